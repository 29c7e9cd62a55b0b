"""Which devices train: the distribution strategy of a run."""

import contextlib
import json
import os
import re
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.python.util import _pywrap_util_port  # no public name says it

from models_genesis_tf.errors import InputError
from models_genesis_tf.training.workers import MULTI_WORKER, Workers, cluster_config

STRATEGIES = ("auto", "none", "mirrored", MULTI_WORKER)
CROSS_DEVICE_OPS = {
    "auto": None,
    "nccl": tf.distribute.NcclAllReduce,
    "hierarchical": tf.distribute.HierarchicalCopyAllReduce,
    "one_device": tf.distribute.ReductionToOneDevice,
}
_IMPLEMENTATIONS = tf.distribute.experimental.CommunicationImplementation
_ACROSS_WORKERS = {
    "auto": _IMPLEMENTATIONS.AUTO,
    "nccl": _IMPLEMENTATIONS.NCCL,
    "ring": _IMPLEMENTATIONS.RING,
}
_TASK = re.compile(r"/job:(\w+)/replica:\d+/task:(\d+)")


def make_strategy(name: str, cross_device_ops: str = "auto") -> tf.distribute.Strategy:
    """Makes the strategy of a run.

    Args:
      name: "mirrored" uses all GPUs of this machine (without one, all logical CPUs),
        "none" one device; "auto" is mirrored with two GPUs or more. "multi_worker" uses
        those of all workers, of which this process is one (`workers.cluster_config`),
        and waits until all are there; it has to come before all else that TensorFlow
        does in the process.
      cross_device_ops: How devices add up gradients, a key of `CROSS_DEVICE_OPS`, with
        several workers "auto", "nccl" or "ring"; "auto" leaves it to TensorFlow, which
        takes NCCL for GPUs.

    Returns:
      The strategy; its `num_replicas_in_sync` divides the batch.

    Raises:
      InputError: If there is no strategy or operation of this name, or the workers are
        not described.
    """
    if name not in STRATEGIES:
        raise InputError(
            f"a strategy is one of {', '.join(STRATEGIES)}. Received: {name}"
        )
    operations = _ACROSS_WORKERS if name == MULTI_WORKER else CROSS_DEVICE_OPS
    if cross_device_ops not in operations:
        raise InputError(
            f"with the strategy {name}, cross-device operations are one of "
            f"{', '.join(operations)}. Received: {cross_device_ops}"
        )
    if name == MULTI_WORKER:
        return _join_workers(_ACROSS_WORKERS[cross_device_ops])
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = gpus or tf.config.list_logical_devices("CPU")
        names = [device.name for device in devices]
        operations = CROSS_DEVICE_OPS[cross_device_ops]
        return tf.distribute.MirroredStrategy(names, operations and operations())
    return tf.distribute.get_strategy()


def _join_workers(
    implementation: tf.distribute.experimental.CommunicationImplementation,
) -> tf.distribute.Strategy:
    """Meets the other workers."""
    os.environ["TF_CONFIG"] = json.dumps(cluster_config(os.environ))
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=implementation
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except tf.errors.OpError as error:
        raise InputError(
            "a worker listens at its own address and reaches those of the others. "
            f"Received: {os.environ['TF_CONFIG']} ({error.message})"
        ) from error


@contextlib.contextmanager
def needing_all(workers: Workers) -> Iterator[None]:
    """Ends this worker with a message when another one is gone.

    Args:
      workers: All of them.

    Yields:
      Nothing.

    Raises:
      InputError: If several work together and one cannot be reached any more.
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        if workers.count == 1:
            raise
        tasks = dict.fromkeys(_TASK.findall(error.message))
        silent = ", ".join(f"{job} {index}" for job, index in tasks)
        raise InputError(
            "training takes all workers, and one has ended or cannot be reached; the "
            "same command on all goes on from the last checkpoint. Received: no answer "
            f"from {silent or 'one of them'}"
        ) from error


def describe_devices(strategy: tf.distribute.Strategy, workers: Workers) -> str:
    """Says how many devices of which kind train.

    Args:
      strategy: As from `make_strategy`.
      workers: The processes that it spans.

    Returns:
      For instance "2 NVIDIA A100", "1 CPU" or "4 CPU of 4 workers".
    """
    count = strategy.num_replicas_in_sync
    gpus = tf.config.list_physical_devices("GPU")
    kind = "CPU"
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        kind = details.get("device_name", "GPU")
    together = f" of {workers.count} workers" if workers.count > 1 else ""
    return f"{count} {kind}{together}"


def gpu_capabilities() -> list[tuple[int, int]]:
    """The compute capability of each GPU, (0, 0) where it is not known."""
    return [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in tf.config.list_physical_devices("GPU")
    ]


def has_tuned_convolutions() -> bool:
    """Whether cuDNN or oneDNN convolves, not TensorFlow's own kernels for CPUs.

    With those a network's `fast_twin` is slower than the network itself: a step takes
    3.5 times as long (width 8, a core with AVX2).
    """
    return bool(gpu_capabilities()) or _pywrap_util_port.IsMklEnabled()


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
