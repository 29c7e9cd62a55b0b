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
from models_genesis_tf.training import batch_statistics

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
      optimizer: The same.
      strategy: Divides batches among devices.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss_per_example: Callable,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        jit_compile: bool = False,
    ):
        """Compiles the steps.

        Args:
          model: Takes the first element of a batch.
          optimizer: Applies the gradients.
          loss_per_example: (target, output) -> float32 (batch,).
          strategy: Divides batches among devices.
          batch_size: Examples per step over all devices.
          jit_compile: Whether XLA compiles the training step.
        """
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
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
          after_step: Called after each; True ends the call early.

        Returns:
          What was done.

        Raises:
          NonFiniteLoss: If a loss is NaN or infinite.
        """
        start = time.perf_counter()
        sum_of_losses = tf.constant(total, tf.float32)
        unchecked: list[tf.Tensor] = []
        taken, waited = 0, 0.0
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
            if after_step():
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

    def distribute(self, dataset: tf.data.Dataset):
        """Divides the batches of a set among the devices.

        Args:
          dataset: Batches over all devices.

        Returns:
          The distributed set.
        """
        return self.strategy.experimental_distribute_dataset(dataset)

    def _distributed_train_step(self, batch):
        losses = self.strategy.run(self._replica_train_step, args=batch)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _replica_train_step(self, inputs, targets):
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            outputs = self.model(inputs, training=True)
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
        count = tf.shape(inputs)[0]
        padding = [[0, tf.maximum(1 - count, 0)]] + [[0, 0]] * (len(inputs.shape) - 1)
        outputs = self.model(tf.pad(inputs, padding), training=False)
        losses = self._loss(targets, outputs[:count])
        return tf.reduce_sum(losses), tf.cast(count, tf.float32)

    def _distributed_forward(self, batch):
        self.strategy.run(lambda inputs, _: self.model(inputs, training=True), batch)


def _check_finite(losses: list[tf.Tensor], first: int) -> None:
    """Finds the first loss that is no number; `first` is the step of the first one."""
    for step, loss in enumerate(map(float, losses), start=first):
        if not math.isfinite(loss):
            raise NonFiniteLoss(loss, step)
