"""How long each transform takes on one cube, a pair on all cores, importing them."""

import concurrent.futures
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from models_genesis_tf.benchmarks.official import load_official_transforms
from models_genesis_tf.config import TRANSFORM_PRESETS
from models_genesis_tf.transforms.flipping import flipping
from models_genesis_tf.transforms.nonlinear import nonlinear
from models_genesis_tf.transforms.painting import inpainting, outpainting
from models_genesis_tf.transforms.pairs import genesis_pair
from models_genesis_tf.transforms.shuffling import shuffling

CUBE_SHAPE = (64, 64, 32, 1)
_ROUNDS = 5
_IMPORT = """
import time
start = time.perf_counter()
import models_genesis_tf.transforms.pairs
print(time.perf_counter() - start)
"""


def measure(official_dir: str | None = None, repeats: int = 200) -> dict:
    """Times every transform alone, drawing included, in one thread.

    Ours and the official ones take turns in five rounds; medians of the rounds' means
    are given.

    Args:
      official_dir: Clone of the official repository, or None to leave it out.
      repeats: Runs of each transform; a pair gets three times as many, also in each
        thread, an official transform a tenth.

    Returns:
      `milliseconds`: time per cube of 64x64x32 voxels for each transform and for a pair
      of preset `official`; `pairs_per_second` in `one_thread` and in `all_threads`, one
      for each core; `import_seconds`: the first import of the pairs in a new process,
      with compiled kernels on disk; and with a clone `official_milliseconds`, the same
      for the official transforms, and `ratios`: `official_over_ours` of each.

    Raises:
      InputError: If the clone lacks keras/utils.py.
    """
    work = _our_work()
    times = {name: (make, _count(name, repeats)) for name, make in work.items()}
    if official_dir:
        for name, make in _official_work(official_dir).items():
            times["official", name] = (make, repeats // 10)
    found = _time_in_turn(times)
    ours = {name: found[name] for name in work}
    result = {
        "milliseconds": _rounded(ours, 3),
        "pairs_per_second": {
            "one_thread": _pairs_per_second(1, 3 * repeats),
            "all_threads": _pairs_per_second(os.cpu_count(), 3 * repeats),
        },
        "import_seconds": _import_seconds(),
    }
    if official_dir:
        theirs = {key[1]: value for key, value in found.items() if key not in ours}
        result["official_milliseconds"] = _rounded(theirs, 3)
        ratios = {name: value / ours[name] for name, value in theirs.items()}
        result["ratios"] = {"official_over_ours": _rounded(ratios, 2)}
    return result


def _count(name: str, repeats: int) -> int:
    return 3 * repeats if name == "pair" else repeats


def _rounded(values: dict[str, float], digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in values.items()}


def _our_work() -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(0)
    cube = rng.random(CUBE_SHAPE, np.float32)
    config = TRANSFORM_PRESETS["official"]
    transforms = (flipping, shuffling, nonlinear, inpainting, outpainting)
    work = {
        transform.__name__: lambda transform=transform: transform(cube, rng, config)
        for transform in transforms
    }
    return work | {"pair": lambda: genesis_pair(cube, rng, config)}


def _official_work(official_dir: str) -> dict[str, Callable[[], object]]:
    """What the official code does; its flips turn both cubes of a pair."""
    module = load_official_transforms(official_dir)
    cube = np.random.default_rng(0).random((1, *CUBE_SHAPE[:3]))
    always = {"prob": 1.0}
    transforms = {
        "flipping": lambda x: module.data_augmentation(x, x, 0.4),
        "shuffling": lambda x: module.local_pixel_shuffling(x, **always),
        "nonlinear": lambda x: module.nonlinear_transformation(x, **always),
        "inpainting": module.image_in_painting,
        "outpainting": module.image_out_painting,
    }
    return {
        name: lambda make=make: make(cube.copy()) for name, make in transforms.items()
    }


def _time_in_turn(work: dict) -> dict:
    """Milliseconds of each: the median over rounds of the mean within one."""
    for make, _ in work.values():
        make()
    times = {name: [] for name in work}
    for _ in range(_ROUNDS):
        for name, (make, count) in work.items():
            repeats = max(1, count // _ROUNDS)
            start = time.perf_counter()
            for _ in range(repeats):
                make()
            times[name].append((time.perf_counter() - start) / repeats * 1000)
    return {name: float(np.median(values)) for name, values in times.items()}


def _pairs_per_second(threads: int, pairs: int) -> float:
    """How fast threads make pairs at the same time, each from its own cube."""
    config = TRANSFORM_PRESETS["official"]

    def make_pairs(thread: int) -> None:
        rng = np.random.default_rng([0, thread])
        cube = rng.random(CUBE_SHAPE, np.float32)
        for _ in range(pairs):
            genesis_pair(cube, rng, config)

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(make_pairs, range(threads)))
        return round(threads * pairs / (time.perf_counter() - start), 1)


def _import_seconds() -> float:
    command = [sys.executable, "-c", _IMPORT]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    return round(float(printed.stdout), 2)
