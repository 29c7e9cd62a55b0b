"""How long each transform takes on one cube, and importing them all."""

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
_IMPORT = """
import time
start = time.perf_counter()
import models_genesis_tf.transforms.pairs
print(time.perf_counter() - start)
"""


def measure(official_dir: str | None = None, repeats: int = 200) -> dict:
    """Times every transform alone, drawing included, in one thread.

    Args:
      official_dir: Clone of the official repository, or None to leave it out.
      repeats: Runs of each transform; a pair gets three times as many, an official
        transform a tenth.

    Returns:
      `milliseconds`: mean time per cube of 64x64x32 voxels for each transform and for
      a pair of preset `official`; `official_milliseconds`: the same for the official
      transforms, with a clone; `import_seconds`: the first import of the pairs in a
      new process, with compiled kernels on disk.

    Raises:
      InputError: If the clone lacks keras/utils.py.
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
    result = {"milliseconds": times, "import_seconds": _import_seconds()}
    if official_dir:
        result["official_milliseconds"] = _time_official(official_dir, repeats // 10)
    return result


def _time_official(official_dir: str, repeats: int) -> dict[str, float]:
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
        name: _milliseconds(lambda make=make: make(cube.copy()), repeats)
        for name, make in transforms.items()
    }


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
