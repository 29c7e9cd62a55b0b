"""The stream of labelled examples: element i is a pure function of seed, trial and i.

With n training cases, example i belongs to epoch e = i // n; its case is entry i % n of
the permutation that `default_rng([seed, 4, trial, e, 1])` draws, and its maker draws
from `default_rng([seed, 5, trial, e, case, 1])` (NumPy ignores trailing zeros, hence
the 1). Every second example, where i is even, is to hold foreground. As in the stream
of pairs there is no hidden state: a trial resumes at any step and gives the same
examples for any number of parallel calls.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models_genesis_tf.errors import InputError
from models_genesis_tf.pipelines.batching import Example, Parts, map_batches


def training_place(n: int, seed: int, trial: int, i: int) -> tuple[int, int]:
    """Finds the i-th training example.

    Args:
      n: Number of training cases.
      seed: Integer in [0, 2**32).
      trial: Number of the trial, in [0, 2**32).
      i: Position in the endless stream, from 0.

    Returns:
      Its epoch, from 0, and its case, in [0, n).
    """
    epoch, entry = divmod(i, n)
    return epoch, int(_permutation(n, seed, trial, epoch)[entry])


def training_examples(
    make_example: Callable[[int, np.random.Generator, bool], Example],
    n: int,
    parts: Parts,
    seed: int,
    trial: int,
    batch_size: int,
    start_step: int = 0,
    parallel_calls: int | None = None,
) -> tf.data.Dataset:
    """The endless stream of training batches.

    Step s holds the examples s * batch_size to (s + 1) * batch_size - 1; batches run
    across the ends of permutations and nothing is dropped.

    Args:
      make_example: Called as `make_example(case, rng, foreground)` by several threads
        at the same time; returns the parts of one example. `foreground` says that it
        should hold some, if the case has any.
      n: Number of training cases.
      parts: Shape and type of each part of one example, such as
        `(((64, 64, 32, 1), "float32"), ((64, 64, 32), "uint8"))`.
      seed: Integer in [0, 2**32).
      trial: Number of the trial, in [0, 2**32).
      batch_size: Examples per step.
      start_step: The step to begin at.
      parallel_calls: Batches made at the same time; None means one per core.

    Returns:
      Batches, each a tuple with one tensor (batch_size, *shape) per part.

    Raises:
      InputError: If there is no case.
    """
    if n < 1:
        raise InputError(
            f"a stream of examples takes one case or more. Received: n={n}"
        )
    first = start_step * batch_size
    positions = tf.data.Dataset.range(first, np.iinfo(np.int64).max)
    positions = positions.batch(batch_size, drop_remainder=True)

    def example_at(i: int) -> Example:
        epoch, case = training_place(n, seed, trial, i)
        rng = np.random.default_rng([seed, 5, trial, epoch, case, 1])
        return make_example(case, rng, i % 2 == 0)

    return map_batches(positions, example_at, parts, parallel_calls)


def fixed_examples(
    make_example: Callable[[int], Example], count: int, parts: Parts, batch_size: int
) -> tf.data.Dataset:
    """Examples 0 to count - 1 in order, the same every time, as validation takes them.

    Args:
      make_example: Takes a position and returns the parts of its example; called by
        several threads at the same time.
      count: Number of examples.
      parts: Shape and type of each part of one example; see `training_examples`.
      batch_size: Examples per batch; the last batch may hold fewer.

    Returns:
      Batches, each a tuple with one tensor (batch, *shape) per part.

    Raises:
      InputError: If there is no example.
    """
    if count < 1:
        raise InputError(
            f"a set of examples takes one example or more. Received: count={count}"
        )
    return map_batches(
        tf.data.Dataset.range(count).batch(batch_size), make_example, parts
    )


@functools.lru_cache(maxsize=4)
def _permutation(n: int, seed: int, trial: int, epoch: int) -> np.ndarray:
    """The order of one epoch; kept, since each of its examples asks for it."""
    return np.random.default_rng([seed, 4, trial, epoch, 1]).permutation(n)
