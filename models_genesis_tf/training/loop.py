"""One explicit training loop, for one device and for several.

`fit` cannot begin inside an epoch; this loop can begin at any step, and does for each
step nothing but run it.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.fast_upsampling import fast_twin
from models_genesis_tf.training import batch_statistics
from models_genesis_tf.training.strategy import has_tuned_convolutions
from models_genesis_tf.training.workers import ALONE, Workers

# Reading a loss waits for its step and lets a GPU run dry, so it is not done at each;
# the first ones are read one by one, since a run that fails mostly fails there.
_CHECK_EVERY = 10


class NonFiniteLoss(InputError):
    """The loss is NaN or infinite; going on would only overwrite the weights.

    Attributes:
      loss: What it is.
      step: Which step of the call it belongs to, from 0; -1 in validation.
    """

    def __init__(self, loss: float, step: int = -1):
        """Says so in words.

        Args:
          loss: The loss.
          step: Of the call to `train`.
        """
        super().__init__(
            "training stops when the loss is no finite number; a lower "
            f"--learning_rate helps. Received: loss={loss}"
        )
        self.loss = loss
        self.step = step


@dataclass(frozen=True)
class Trained:
    """What a call to `Trainer.train` did.

    Attributes:
      steps: Steps taken.
      total: The sum of losses, that of earlier calls included; a float32 number.
      seconds: Time it took.
      waited: Seconds of these spent waiting for batches.
    """

    steps: int
    total: float
    seconds: float
    waited: float


class Trainer:
    """Training and validation steps of one model under one strategy.

    Attributes:
      model: Made under the strategy's scope.
      network: What the steps run: the model, or its faster twin.
      optimizer: The same.
      strategy: Divides batches among devices.
      workers: The processes that it spans; this one is among them.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss_per_example: Callable,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        jit_compile: bool = False,
        workers: Workers = ALONE,
        fast_upsampling: bool | None = False,
    ):
        """Compiles the steps.

        Args:
          model: Takes the first element of a batch.
          optimizer: Applies the gradients.
          loss_per_example: (target, output) -> float32 (batch,).
          strategy: Divides batches among devices.
          batch_size: Examples per step over all devices.
          jit_compile: Whether XLA compiles the training step.
          workers: The processes that the strategy spans.
          fast_upsampling: Whether the steps run the model's `fast_twin`; None leaves
            it to `has_tuned_convolutions`.
        """
        self.model = model
        if fast_upsampling is None:
            fast_upsampling = has_tuned_convolutions()
        self.network = fast_twin(model) if fast_upsampling else model
        self.optimizer = optimizer
        self.strategy = strategy
        self.workers = workers
        self._loss = loss_per_example
        self._batch_size = batch_size
        with strategy.scope():
            optimizer.build(model.trainable_variables)
        self._train_step = tf.function(
            self._distributed_train_step, jit_compile=jit_compile or None
        )
        self._valid_step = tf.function(
            self._distributed_valid_step, reduce_retracing=True
        )
        self._forward = tf.function(self._distributed_forward)
        self._add_up = tf.function(self._distributed_sum)

    @property
    def num_devices(self) -> int:
        """How many devices there are, over all workers."""
        return self.strategy.num_replicas_in_sync

    def step(self, batch: tuple) -> tf.Tensor:
        """Takes one training step.

        Args:
          batch: Distributed (input, target).

        Returns:
          The mean loss over the batch, which may still be in the making.
        """
        return self._train_step(batch)

    def train(
        self,
        batches: Iterator,
        steps: int,
        total: float = 0.0,
        after_step: Callable[[], bool | None] = lambda: False,
    ) -> Trained:
        """Takes training steps.

        Args:
          batches: Distributed (input, target) batches; one is taken for each step.
          steps: How many at most.
          total: The sum of losses to go on from.
          after_step: Called after each; True ends the call early. Several workers ask
            each other every tenth step only, and end together.

        Returns:
          What was done.

        Raises:
          NonFiniteLoss: If a loss is NaN or infinite.
        """
        start = time.perf_counter()
        sum_of_losses = tf.constant(total, tf.float32)
        unchecked: list[tf.Tensor] = []
        taken, waited, asked_to_end = 0, 0.0, False
        while taken < steps:
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            unchecked.append(self.step(batch))
            sum_of_losses += unchecked[-1]
            taken += 1
            if taken < _CHECK_EVERY or len(unchecked) == _CHECK_EVERY:
                _check_finite(unchecked, taken - len(unchecked))
                unchecked.clear()
            asked_to_end = after_step() or asked_to_end
            look_up = self.workers.count == 1 or taken % _CHECK_EVERY == 0
            if look_up and self.any_worker(asked_to_end):
                break
        _check_finite(unchecked, taken - len(unchecked))
        seconds = time.perf_counter() - start
        return Trained(taken, float(sum_of_losses), seconds, waited)

    def state(self) -> dict[str, list[np.ndarray]]:
        """The values of all variables, as `set_state` takes them."""
        return {
            name: [np.array(keras.ops.convert_to_numpy(one)) for one in variables]
            for name, variables in self._variables().items()
        }

    def set_state(self, state: dict[str, list[np.ndarray]]) -> None:
        """Gives all variables the values that they had.

        Args:
          state: As from `state`, of a trainer of the same model and optimizer.
        """
        with self.strategy.scope():
            for name, variables in self._variables().items():
                for variable, value in zip(variables, state[name], strict=True):
                    variable.assign(value)

    def _variables(self) -> dict[str, list]:
        return {"model": self.model.variables, "optimizer": self.optimizer.variables}

    def recalibrate(self, batches: Iterable) -> None:
        """Takes batch normalisation's statistics over batches.

        Args:
          batches: Distributed (input, target) batches of the size of training.
        """
        batch_statistics.recalibrate(self.model, batches, self._forward)

    def validate(self, batches: Iterable) -> float:
        """Scores the model without changing it.

        Args:
          batches: Distributed (input, target) batches; all are taken.

        Returns:
          The mean loss over all examples.

        Raises:
          NonFiniteLoss: If it is NaN or infinite.
        """
        total, count = 0.0, 0.0
        for batch in batches:
            batch_total, batch_count = self._valid_step(batch)
            total += float(batch_total)
            count += float(batch_count)
        if not math.isfinite(total):
            raise NonFiniteLoss(total)
        return total / count

    def any_worker(self, asked: bool) -> bool:
        """Finds out whether something holds for any worker.

        Args:
          asked: Whether it does for this one.

        Returns:
          The answer, the same for all of them.
        """
        if self.workers.count == 1:
            return asked
        return bool(self.add_up(np.float32(asked)) > 0)

    def add_up(self, values: np.ndarray) -> np.ndarray:
        """Adds up what each device's worker has.

        Args:
          values: Numbers of this worker.

        Returns:
          Their sums over all devices, the same for all workers.
        """
        return self._add_up(tf.constant(values)).numpy()

    def distribute(self, dataset: tf.data.Dataset):
        """Divides the batches of a set among the devices.

        Args:
          dataset: Batches over all devices; with several workers, those of each of this
            worker's devices in turn.

        Returns:
          The distributed set.
        """
        if self.workers.count > 1:
            return self.strategy.distribute_datasets_from_function(lambda _: dataset)
        return self.strategy.experimental_distribute_dataset(dataset)

    def _distributed_train_step(self, batch):
        losses = self.strategy.run(self._replica_train_step, args=batch)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _replica_train_step(self, inputs, targets):
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            outputs = self.network(inputs, training=True)
            # Gradients are summed over devices, so each gives its share of the mean.
            loss = tf.reduce_sum(self._loss(targets, outputs)) / self._batch_size
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply(gradients, variables)
        return loss

    def _distributed_valid_step(self, batch):
        total, count = self.strategy.run(self._replica_valid_step, args=batch)
        add = tf.distribute.ReduceOp.SUM
        return (
            self.strategy.reduce(add, total, axis=None),
            self.strategy.reduce(add, count, axis=None),
        )

    def _replica_valid_step(self, inputs, targets):
        # A short last batch can leave a device without a share, and convolutions of
        # nothing are refused: it then scores a cube of zeros, which is cut off again.
        # TensorFlow fails all the same where it knows the nothing beforehand.
        inputs = tf.compat.v1.placeholder_with_default(
            inputs, [None, *inputs.shape[1:]]
        )
        count = tf.shape(inputs)[0]
        padding = [[0, tf.maximum(1 - count, 0)]] + [[0, 0]] * (len(inputs.shape) - 1)
        outputs = self.network(tf.pad(inputs, padding), training=False)
        losses = self._loss(targets, outputs[:count])
        return tf.reduce_sum(losses), tf.cast(count, tf.float32)

    def _distributed_sum(self, values):
        # A tensor of each device's own: one that all share could not be summed.
        per_device = self.strategy.run(lambda: tf.identity(values))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_device, axis=None)

    def _distributed_forward(self, batch):
        self.strategy.run(lambda inputs, _: self.network(inputs, training=True), batch)


def _check_finite(losses: list[tf.Tensor], first: int) -> None:
    """Finds the first loss that is no number; `first` is the step of the first one."""
    for step, loss in enumerate(map(float, losses), start=first):
        if not math.isfinite(loss):
            raise NonFiniteLoss(loss, step)
