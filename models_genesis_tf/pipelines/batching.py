"""Batches of examples that Python makes, several at a time, in memory used again."""

import math
import os
import weakref
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import DTypeLike

from models_genesis_tf.errors import InputError

_BATCHES_AHEAD = 2
_ALIGNMENT = 64
Example = tuple[np.ndarray, ...]
Parts = tuple[tuple[tuple[int, ...], DTypeLike], ...]


def map_batches(
    positions: tf.data.Dataset,
    make_example: Callable[[int], Example],
    parts: Parts,
    parallel_calls: int | None = None,
) -> tf.data.Dataset:
    """Maps batches of positions to batches of examples, in order.

    Every worker already takes its own share, so tf.data must not divide it again. And
    there is nothing to tune: its tuner only delays the end of an iterator by a second.

    Args:
      positions: Batches of integers, int64 (batch,); the last may hold fewer.
      make_example: Takes a position and returns the parts of its example; called by
        several threads at the same time.
      parts: Shape and type of each part of one example, such as
        `(((64, 64, 32, 1), "float32"), ((), "int32"))`.
      parallel_calls: Batches made at the same time; None means one per core.

    Returns:
      Batches, each a tuple with one tensor (batch, *shape) per part. Iterating raises
      the error of TensorFlow that carries the message of any raised by `make_example`,
      or that of an example with other shapes or types.
    """
    parts = tuple((tuple(shape), np.dtype(dtype)) for shape, dtype in parts)
    kinds = [tf.as_dtype(dtype) for _, dtype in parts]
    batch_size = positions.element_spec.shape[0]

    def make_batch(batch: np.ndarray) -> Example:
        filled = [_BUFFERS.take((len(batch), *shape), dtype) for shape, dtype in parts]
        for k, position in enumerate(batch):
            _fill([part[k, ...] for part in filled], make_example(int(position)))
        return tuple(filled)

    def batch_at(batch):
        # Stateless, as it is: else deterministic operation would make them in turn.
        made = tf.numpy_function(make_batch, [batch], kinds, stateful=False)
        return tuple(
            tf.ensure_shape(part, (batch_size, *shape))
            for part, (shape, _) in zip(made, parts, strict=True)
        )

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    options.autotune.enabled = False
    calls = parallel_calls or os.cpu_count()
    batches = positions.map(batch_at, num_parallel_calls=calls, deterministic=True)
    return batches.prefetch(_BATCHES_AHEAD).with_options(options)


def _fill(places: list[np.ndarray], example: Example) -> None:
    """Copies the parts of an example to their places; NumPy alone would broadcast."""
    expected = [place.shape for place in places]
    shapes = [np.shape(part) for part in example]
    if shapes != expected:
        raise InputError(
            f"the parts of an example have the shapes {expected}. "
            f"Received: shapes={shapes}"
        )
    for place, part in zip(places, example, strict=True):
        np.copyto(place, part, casting="same_kind")


class _Buffers:
    """Memory for batches, used again once TensorFlow lets go of what lay there.

    Fresh memory for every batch costs page faults, for which the threads of a process
    wait on each other. TensorFlow takes an array without copying it if it is aligned.
    """

    def __init__(self):
        self._unused: dict[tuple, list[np.ndarray]] = {}

    def take(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Returns memory of this shape and type; it comes back by itself."""
        unused = self._unused.setdefault((shape, dtype), [])
        try:
            buffer = unused.pop()
        except IndexError:
            buffer = _aligned_empty(shape, dtype)
        batch = buffer.view()
        weakref.finalize(batch, unused.append, buffer)
        return batch


def _aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array that starts at a multiple of `_ALIGNMENT` bytes."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


# One for all: TensorFlow keeps every function that it ever called from a data set, and
# with it what the function holds.
_BUFFERS = _Buffers()
