"""Which devices train: the distribution strategy of a run."""

import tensorflow as tf

from models_genesis_tf.errors import InputError

STRATEGIES = ("auto", "none", "mirrored")
CROSS_DEVICE_OPS = {
    "auto": None,
    "nccl": tf.distribute.NcclAllReduce,
    "hierarchical": tf.distribute.HierarchicalCopyAllReduce,
    "one_device": tf.distribute.ReductionToOneDevice,
}


def make_strategy(name: str, cross_device_ops: str = "auto") -> tf.distribute.Strategy:
    """Makes the strategy of a run.

    Args:
      name: "mirrored" uses all GPUs of this machine (without one, all logical CPUs),
        "none" one device; "auto" is mirrored with two GPUs or more.
      cross_device_ops: How devices add up gradients, a key of `CROSS_DEVICE_OPS`;
        "auto" leaves it to TensorFlow, which takes NCCL for GPUs.

    Returns:
      The strategy; its `num_replicas_in_sync` divides the batch.

    Raises:
      InputError: If there is no strategy or operation of this name.
    """
    if cross_device_ops not in CROSS_DEVICE_OPS:
        raise InputError(
            f"cross-device operations are one of {', '.join(CROSS_DEVICE_OPS)}. "
            f"Received: {cross_device_ops}"
        )
    if name not in STRATEGIES:
        raise InputError(
            f"a strategy is one of {', '.join(STRATEGIES)}. Received: {name}"
        )
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        names = [device.name for device in devices]
        operations = CROSS_DEVICE_OPS[cross_device_ops]
        return tf.distribute.MirroredStrategy(names, operations and operations())
    return tf.distribute.get_strategy()


def describe_devices(strategy: tf.distribute.Strategy) -> str:
    """Says how many devices of which kind train.

    Args:
      strategy: As from `make_strategy`.

    Returns:
      For instance "2 NVIDIA A100" or "1 CPU".
    """
    count = strategy.num_replicas_in_sync
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"{count} CPU"
    details = tf.config.experimental.get_device_details(gpus[0])
    return f"{count} {details.get('device_name', 'GPU')}"


def gpu_capabilities() -> list[tuple[int, int]]:
    """The compute capability of each GPU, (0, 0) where it is not known."""
    return [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in tf.config.list_physical_devices("GPU")
    ]


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
