"""How fast batches of pairs are made and delivered, beside the official generator.

Every contestant delivers the same thing, batches of pairs. Ours fill memory that is
used again; the official generator allocates each batch, as it does in training.
"""

import concurrent.futures
import os
import threading
import time
from collections.abc import Callable

import numpy as np

from models_genesis_tf.benchmarks.official import (
    load_official_transforms,
    official_rates,
)
from models_genesis_tf.config import TRANSFORM_PRESETS
from models_genesis_tf.pipelines.pair_stream import training_pair, training_pairs

CUBE_SHAPE = (64, 64, 32, 1)
BATCH = 6
_NUM_CUBES = 24
_ROUNDS = 9


class RandomCubes:
    """Stands in for a set of cubes on disk: `cubes[i]` is a copy, as from a memmap."""

    def __init__(self, count: int = _NUM_CUBES):
        rng = np.random.default_rng(0)
        self._cubes = rng.random((count, *CUBE_SHAPE), np.float32)
        self.cube_shape = CUBE_SHAPE

    def __len__(self) -> int:
        return len(self._cubes)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._cubes[index].copy()


def measure(official_dir: str | None = None, pairs: int = 2400) -> dict:
    """Times the ways to make pairs of preset `official`, in turn, several rounds.

    Whatever else the machine does then slows all of them alike; medians are given.

    Args:
      official_dir: Clone of the official repository, or None to leave it out.
      pairs: Pairs per round; the official code makes a fortieth of them.

    Returns:
      Pairs per second: `one_thread`, `all_threads`, `tf_data` and, with a clone,
      `official`; and the ratios that matter.

    Raises:
      InputError: If the clone lacks keras/utils.py.
    """
    contestants = _contestants(official_dir, pairs // BATCH)
    for make, _ in contestants.values():
        make()
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(_ROUNDS):
        for name, (make, count) in contestants.items():
            start = time.perf_counter()
            make()
            rates[name].append(count / (time.perf_counter() - start))
    result = {name: round(float(np.median(rate)), 1) for name, rate in rates.items()}
    ratios = {"tf_data_over_one_thread": result["tf_data"] / result["one_thread"]}
    if official_dir:
        ratios["one_thread_over_official"] = result["one_thread"] / result["official"]
    ratios = {name: round(ratio, 2) for name, ratio in ratios.items()}
    return {"pairs_per_second": result, "ratios": ratios}


def _contestants(
    official_dir: str | None, batches: int
) -> dict[str, tuple[Callable[[], None], int]]:
    """What is timed: name -> (function that makes pairs, how many it makes)."""
    cubes = RandomCubes()
    indices = range(len(cubes))
    config = TRANSFORM_PRESETS["official"]

    memory = threading.local()

    def make_batch(number: int) -> None:
        if not hasattr(memory, "batch"):
            memory.batch = np.empty((2, BATCH, *CUBE_SHAPE), np.float32)
        for k in range(BATCH):
            pair = training_pair(cubes, indices, 0, config, number * BATCH + k)
            memory.batch[0, k], memory.batch[1, k] = pair

    def one_thread() -> None:
        for number in range(batches):
            make_batch(number)

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    stream = training_pairs(cubes, indices, 0, config, BATCH).take(batches)

    def tf_data() -> None:
        for _ in stream:
            pass

    contestants = {
        "one_thread": (one_thread, batches * BATCH),
        "all_threads": (
            lambda: list(pool.map(make_batch, range(batches))),
            batches * BATCH,
        ),
        "tf_data": (tf_data, batches * BATCH),
    }
    if official_dir:
        module = load_official_transforms(official_dir)
        images = np.random.default_rng(0).random((_NUM_CUBES, 1, *CUBE_SHAPE[:3]))
        generator = module.generate_pair(images, BATCH, official_rates())
        steps = max(1, batches // 40)
        contestants["official"] = (
            lambda: [next(generator) for _ in range(steps)],
            steps * BATCH,
        )
    return contestants
