"""Which devices train: the distribution strategy of a run."""

import tensorflow as tf

from models_genesis_tf.errors import InputError

STRATEGIES = ("auto", "none", "mirrored")


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Makes the strategy of a run.

    Args:
      name: "mirrored" uses all GPUs of this machine (without one, all logical CPUs),
        "none" one device; "auto" is mirrored with two GPUs or more.

    Returns:
      The strategy; its `num_replicas_in_sync` divides the batch.

    Raises:
      InputError: If there is no strategy of this name.
    """
    if name not in STRATEGIES:
        raise InputError(
            f"a strategy is one of {', '.join(STRATEGIES)}. Received: {name}"
        )
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def check_batch_size(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Checks that a batch can be shared evenly.

    Args:
      batch_size: Pairs per step over all devices.
      strategy: As from `make_strategy`.

    Raises:
      InputError: If it is no multiple of the number of devices.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise InputError(
            f"--batch_size counts all devices and is a multiple of their number, "
            f"{replicas}. Received: --batch_size={batch_size}"
        )
