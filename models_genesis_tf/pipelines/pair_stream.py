"""The stream of pairs: element i is a pure function of the seed and of i.

With n cubes, pair i belongs to epoch e = i // n; its cube is entry i % n of the
permutation that `default_rng([seed, 1, e])` draws, and its transforms draw from
`default_rng([seed, 2, e, cube_index])`. Validation pairs draw from
`default_rng([seed, 3, cube_index])`. `cube_index` is the cube's position in the whole
set, not among the chosen indices. There is no hidden state: a run resumes at any step
and gives the same pairs for any number of parallel calls and of workers.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from models_genesis_tf.config import TransformConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.pipelines.batching import Parts, map_batches
from models_genesis_tf.transforms.pairs import genesis_pair

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Share:
    """What one of several workers takes of a stream: every `num_workers`-th pair.

    Attributes:
      worker: Its number, from 0; it takes the pairs i with i % num_workers == worker.
      num_workers: How many workers share the stream.
      devices: How many devices each worker has; each of them takes its own batches.
    """

    worker: int = 0
    num_workers: int = 1
    devices: int = 1

    @property
    def batches_per_step(self) -> int:
        """Into how many batches the pairs of one step are divided, over all workers."""
        return self.num_workers * self.devices

    def divide(self, batch_size: int) -> int:
        """Divides the pairs of a step.

        Args:
          batch_size: Pairs per step over all workers.

        Returns:
          Pairs per batch.

        Raises:
          InputError: If they cannot be shared evenly.
        """
        if batch_size % self.batches_per_step:
            raise InputError(
                "batch_size is a multiple of the number of devices of all workers. "
                f"Received: batch_size={batch_size}, {self.num_workers} worker(s) of "
                f"{self.devices} device(s)"
            )
        return batch_size // self.batches_per_step


WHOLE = Share()


def training_place(indices: Sequence[int], seed: int, i: int) -> tuple[int, int]:
    """Finds the i-th training pair.

    Args:
      indices: The training cubes' positions in the whole set.
      seed: Integer in [0, 2**32).
      i: Position in the endless stream, from 0.

    Returns:
      Its epoch, from 0, and its cube's position in the whole set.
    """
    epoch, entry = divmod(int(i), len(indices))
    return epoch, int(indices[_permutation(seed, epoch, len(indices))[entry]])


def training_pair(
    cubes, indices: Sequence[int], seed: int, config: TransformConfig, i: int
) -> Pair:
    """Makes the i-th training pair.

    Args:
      cubes: Anything whose `cubes[k]` is a float32 array (x, y, z, channel) or
        (x, y, channel) in [0, 1].
      indices: The training cubes' positions in `cubes`.
      seed: Integer in [0, 2**32).
      config: Rates and sizes of the transforms.
      i: Position in the endless stream, from 0.

    Returns:
      The deformed cube and the original, as from `genesis_pair`.
    """
    epoch, cube_index = training_place(indices, seed, i)
    rng = np.random.default_rng([seed, 2, epoch, cube_index])
    return genesis_pair(cubes[cube_index], rng, config)


def validation_pair(
    cubes, indices: Sequence[int], seed: int, config: TransformConfig, i: int
) -> Pair:
    """Makes the i-th validation pair, the same in every epoch; see `training_pair`."""
    cube_index = int(indices[int(i)])
    rng = np.random.default_rng([seed, 3, cube_index])
    return genesis_pair(cubes[cube_index], rng, config)


def training_pairs(
    cubes,
    indices: Sequence[int],
    seed: int,
    config: TransformConfig,
    batch_size: int,
    start_step: int = 0,
    parallel_calls: int | None = None,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """The endless stream of training batches.

    Step s holds the pairs s * batch_size to (s + 1) * batch_size - 1; batches run
    across the ends of permutations and nothing is dropped. Several devices of a worker
    take the batches of its share in turn.

    Args:
      cubes: The whole set, as for `training_pair`.
      indices: The training cubes' positions in `cubes`.
      seed: Integer in [0, 2**32).
      config: Rates and sizes of the transforms.
      batch_size: Pairs per step over all workers.
      start_step: The step to begin at.
      parallel_calls: Batches made at the same time; None means one per core.
      share: What of the stream this worker takes.

    Returns:
      Batches (deformed, original), each float32 of shape
      (batch_size // share.batches_per_step, x, y, z, channel).

    Raises:
      InputError: If the batch cannot be shared evenly or there is no cube.
    """
    size = share.divide(batch_size)
    first = start_step * batch_size + share.worker
    positions = tf.data.Dataset.range(first, np.iinfo(np.int64).max, share.num_workers)
    positions = positions.batch(size, drop_remainder=True)
    make_pair = functools.partial(training_pair, cubes, indices, seed, config)
    return map_batches(positions, make_pair, _parts(cubes, indices), parallel_calls)


def validation_pairs(
    cubes,
    indices: Sequence[int],
    seed: int,
    config: TransformConfig,
    batch_size: int,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """The validation batches: one pair per cube, the same every time.

    Args:
      cubes: The whole set, as for `training_pair`.
      indices: The validation cubes' positions in `cubes`, in the order wanted.
      seed: Integer in [0, 2**32).
      config: Rates and sizes of the transforms.
      batch_size: Pairs per step over all workers; the last batch may hold fewer.
      share: What of the pairs this worker takes.

    Returns:
      Batches (deformed, original), each float32 (batch, x, y, z, channel).

    Raises:
      InputError: If the batch cannot be shared evenly or there is no cube.
    """
    positions = tf.data.Dataset.range(share.worker, len(indices), share.num_workers)
    positions = positions.batch(share.divide(batch_size))
    make_pair = functools.partial(validation_pair, cubes, indices, seed, config)
    return map_batches(positions, make_pair, _parts(cubes, indices))


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """The order of one epoch; kept, since each of its pairs asks for it."""
    return np.random.default_rng([seed, 1, epoch]).permutation(size)


def _parts(cubes, indices: Sequence[int]) -> Parts:
    """Shape and type of the deformed cube and the original, seen on the first cube."""
    if len(indices) == 0:
        raise InputError("a stream of pairs takes one cube or more. Received: none")
    return ((cubes[int(indices[0])].shape, np.float32),) * 2
