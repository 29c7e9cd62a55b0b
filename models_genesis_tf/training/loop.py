"""One explicit training loop, for one device and for several.

`fit` cannot begin inside an epoch; this loop can begin at any step, and does for each
step nothing but run it.
"""

import math
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from models_genesis_tf.errors import InputError

_CHECK_EVERY = 50


class NonFiniteLoss(InputError):
    """The loss is NaN or infinite; going on would only overwrite the weights."""


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
    ):
        """Compiles the steps.

        Args:
          model: Takes the first element of a batch.
          optimizer: Applies the gradients.
          loss_per_example: (target, output) -> float32 (batch,).
          strategy: Divides batches among devices.
          batch_size: Examples per step over all devices.
        """
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy
        self._loss = loss_per_example
        self._batch_size = batch_size
        with strategy.scope():
            optimizer.build(model.trainable_variables)
        self._train_step = tf.function(self._distributed_train_step)
        self._valid_step = tf.function(
            self._distributed_valid_step, reduce_retracing=True
        )

    def train(
        self, batches: Iterator, steps: int, after_step: Callable[[], None]
    ) -> float:
        """Runs training steps.

        Args:
          batches: Distributed (input, target) batches; `steps` are taken.
          steps: How many.
          after_step: Called after each, for progress.

        Returns:
          The mean loss over these steps.

        Raises:
          NonFiniteLoss: If the loss becomes NaN or infinite.
        """
        total = tf.zeros(())
        for step in range(1, steps + 1):
            total += self._train_step(next(batches))
            if step % _CHECK_EVERY == 0 or step == steps:
                self._check_finite(float(total))
            after_step()
        return float(total) / steps

    def validate(self, batches) -> float:
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
        self._check_finite(total)
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

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise NonFiniteLoss(
                "training stops when the loss is no finite number; a lower "
                f"--learning_rate helps. Received: loss={loss}"
            )
