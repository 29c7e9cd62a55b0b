"""A training step under TensorFlow: the one that pre-training takes."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.precision import choose_precision, read_cpu_features
from models_genesis_tf.training.loop import Trainer
from models_genesis_tf.training.optimizers import make_optimizer
from models_genesis_tf.training.strategy import gpu_capabilities


def gpu_name() -> str | None:
    """The kind of the GPU that computes, None without one."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")


def check_precision(policy: str, first_side: int) -> None:
    """Checks that TensorFlow computes right in a precision on this machine.

    Args:
      policy: Name of a Keras dtype policy.
      first_side: The first side of cubes in voxels.

    Raises:
      InputError: If it does not.
    """
    choose_precision(policy, gpu_capabilities(), read_cpu_features(), first_side)


def wait(tensor: tf.Tensor) -> None:
    """Waits until a tensor has been computed.

    Args:
      tensor: Of any shape.
    """
    tf.reshape(tensor, (-1,))[0].numpy()


def make_step(
    model: keras.Model,
    policy: str,
    batch: tuple[np.ndarray, np.ndarray],
    fast_upsampling: bool = True,
) -> Callable[[], float]:
    """Prepares a step.

    Args:
      model: Restores cubes.
      policy: The model's dtype policy.
      batch: float32 (input, target), each (batch, x, y, z, channel).
      fast_upsampling: Whether the step runs the model's `fast_twin`.

    Returns:
      A function that takes one step, waits for it and returns the loss.
    """
    optimizer = make_optimizer("sgd", None, policy)
    strategy = tf.distribute.get_strategy()
    trainer = Trainer(
        model,
        optimizer,
        mean_squared_error,
        strategy,
        len(batch[0]),
        fast_upsampling=fast_upsampling,
    )
    tensors = tuple(map(tf.constant, batch))
    return lambda: float(trainer.step(tensors))
