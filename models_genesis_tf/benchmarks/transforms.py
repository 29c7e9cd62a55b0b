"""How long each transform takes on one cube, and importing them all."""

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from models_genesis_tf.config import TRANSFORM_PRESETS
from models_genesis_tf.transforms.flipping import flipping
from models_genesis_tf.transforms.nonlinear import nonlinear
from models_genesis_tf.transforms.painting import inpainting, outpainting
from models_genesis_tf.transforms.pairs import genesis_pair
from models_genesis_tf.transforms.shuffling import shuffling

CUBE_SHAPE = (64, 64, 32, 1)
_IMPORT = """
import time
start = time.perf_counter()
import models_genesis_tf.transforms.pairs
print(time.perf_counter() - start)
"""


def measure(repeats: int = 200) -> dict:
    """Times every transform alone, drawing included, in one thread.

    Args:
      repeats: Runs of each transform; a pair gets three times as many.

    Returns:
      `milliseconds`: mean time per cube of 64x64x32 voxels for each transform and for
      a pair of preset `official`; `import_seconds`: the first import of the pairs in
      a new process, with compiled kernels on disk.
    """
    rng = np.random.default_rng(0)
    cube = rng.random(CUBE_SHAPE, np.float32)
    config = TRANSFORM_PRESETS["official"]
    transforms = (flipping, shuffling, nonlinear, inpainting, outpainting)
    times = {
        transform.__name__: _milliseconds(
            lambda transform=transform: transform(cube, rng, config), repeats
        )
        for transform in transforms
    }
    times["pair"] = _milliseconds(lambda: genesis_pair(cube, rng, config), 3 * repeats)
    return {"milliseconds": times, "import_seconds": _import_seconds()}


def _milliseconds(make: Callable[[], object], repeats: int) -> float:
    make()
    start = time.perf_counter()
    for _ in range(repeats):
        make()
    return round((time.perf_counter() - start) / repeats * 1000, 3)


def _import_seconds() -> float:
    command = [sys.executable, "-c", _IMPORT]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    return round(float(printed.stdout), 2)
