"""How fast pairs are made and delivered, beside the official generator if at hand."""

import concurrent.futures
import importlib.util
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

from models_genesis_tf.config import TRANSFORM_PRESETS
from models_genesis_tf.errors import InputError
from models_genesis_tf.pipelines.pair_stream import training_pair, training_pairs

CUBE_SHAPE = (64, 64, 32, 1)
OFFICIAL_BATCH = 6
_NUM_CUBES = 24
_ROUNDS = 5
_UNUSED_IMPORTS = ("imageio", "skimage", "skimage.transform")


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


def measure(official_dir: str | None = None, pairs: int = 240) -> dict:
    """Times the ways to make pairs of preset `official`, in turn, several rounds.

    Whatever else the machine does then slows all of them alike; medians are given.

    Args:
      official_dir: Clone of the official repository, or None to leave it out.
      pairs: Pairs per round; the official code makes a tenth of them.

    Returns:
      Pairs per second: `one_thread`, `all_threads`, `tf_data` and, with a clone,
      `official`; `cores`; and the ratios that matter.

    Raises:
      InputError: If the clone lacks keras/utils.py.
    """
    contestants = _contestants(official_dir, pairs)
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
    return {"pairs_per_second": result, "ratios": ratios, "cores": os.cpu_count()}


def _contestants(
    official_dir: str | None, pairs: int
) -> dict[str, tuple[Callable[[], None], int]]:
    """What is timed: name -> (function that makes pairs, how many it makes)."""
    cubes = RandomCubes()
    indices = range(len(cubes))
    config = TRANSFORM_PRESETS["official"]

    def make(i: int) -> None:
        training_pair(cubes, indices, 0, config, i)

    def one_thread() -> None:
        for i in range(pairs):
            make(i)

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    batches = pairs // OFFICIAL_BATCH
    stream = training_pairs(cubes, indices, 0, config, OFFICIAL_BATCH).take(batches)

    def tf_data() -> None:
        for _ in stream:
            pass

    contestants = {
        "one_thread": (one_thread, pairs),
        "all_threads": (lambda: list(pool.map(make, range(pairs))), pairs),
        "tf_data": (tf_data, batches * OFFICIAL_BATCH),
    }
    if official_dir:
        generator = _official_generator(Path(official_dir))
        steps = max(1, batches // 10)
        contestants["official"] = (
            lambda: [next(generator) for _ in range(steps)],
            steps * OFFICIAL_BATCH,
        )
    return contestants


def _official_generator(clone: Path):
    """The official generator of pairs, imported from a clone at run time.

    The modules that its file imports without using them for a pair are replaced
    during the import, so that they need not be installed.
    """
    path = clone / "keras" / "utils.py"
    if not path.is_file():
        raise InputError(
            "--official_dir is a clone of MrGiovanni/ModelsGenesis with "
            f"keras/utils.py. Received: --official_dir={clone}"
        )
    spec = importlib.util.spec_from_file_location("official_utils", path)
    module = importlib.util.module_from_spec(spec)
    stand_ins = {name: mock.MagicMock() for name in _UNUSED_IMPORTS}
    with mock.patch.dict(sys.modules, stand_ins):
        spec.loader.exec_module(module)
    config = TRANSFORM_PRESETS["official"]
    rates = types.SimpleNamespace(
        flip_rate=config.flip_rate,
        local_rate=config.local_shuffling_rate,
        nonlinear_rate=config.nonlinear_rate,
        paint_rate=config.painting_rate,
        inpaint_rate=1.0 - config.outpainting_share,
        save_samples=None,
    )
    cubes = np.random.default_rng(0).random((_NUM_CUBES, 1, *CUBE_SHAPE[:3]))
    return module.generate_pair(cubes, OFFICIAL_BATCH, rates)
