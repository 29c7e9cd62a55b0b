"""The official extraction of cubes, run from a user's own clone.

It is a script that goes through one fold of LUNA16 and offers no function to others. So
the whole script runs, unchanged, in a process of its own: it reads the scans, cuts
their cubes and saves them, as ours does. What it imports and does not need for that is
replaced by stand-ins, so that neither its presence nor its size counts.
"""

from pathlib import Path

import numpy as np

from models_genesis_tf.benchmarks.official import find_file
from models_genesis_tf.benchmarks.own_process import run_alone
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.acceptance import LOOK_AHEAD, OFFICIAL_BORDERS

_FILE = "infinite_generator_3D.py"
_CUBE_SIZE = (64, 64, 32)
# It draws a cube's first voxel between borders on both sides, the upper one exclusive,
# and leaves room for its look at the next slices (infinite_generator_3D.py).
_LEAST_SIDES = tuple(
    2 * border + side + ahead + 1
    for border, side, ahead in zip(
        OFFICIAL_BORDERS, _CUBE_SIZE, (0, 0, LOOK_AHEAD), strict=True
    )
)
_UNUSED_IMPORTS = (
    "keras",
    "tensorflow",
    "matplotlib",
    "matplotlib.pyplot",
    "skimage",
    "skimage.transform",
    "sklearn",
)
_IMPORTS = f"""
import contextlib, io, runpy
from unittest import mock
import numpy, SimpleITK, tqdm
for name in {_UNUSED_IMPORTS}:
    sys.modules[name] = mock.MagicMock(__version__="none")
script, data_dir, output_dir, cubes = sys.argv[1:]
sys.argv = [script, "--fold=0", "--data", data_dir, "--save", output_dir]
sys.argv += ["--scale", cubes]
"""
_WORK = """
with contextlib.redirect_stdout(io.StringIO()):
    runpy.run_path(script, run_name="__main__")
"""


def check_comparable(clone: str | Path, size: tuple[int, int, int]) -> None:
    """Checks that the official extraction can cut cubes from a scan.

    Args:
      clone: Clone of the official repository.
      size: Sides x, y, z of the scan in voxels.

    Raises:
      InputError: If the clone lacks it, or the scan is too small for it.
    """
    find_file(clone, _FILE)
    if np.less(size, _LEAST_SIDES).any():
        raise InputError(
            "the official extraction takes scans of "
            f"{'x'.join(map(str, _LEAST_SIDES))} voxels or more. "
            f"Received: {'x'.join(map(str, size))}"
        )


def run(clone: str | Path, data_dir: Path, output_dir: Path, cubes: int) -> dict:
    """Cuts cubes of 64x64x32 voxels from the scans of subset0.

    Args:
      clone: Clone of the official repository.
      data_dir: Folder in LUNA16's layout.
      output_dir: Folder that cubes are written to.
      cubes: Cubes wanted of each scan.

    Returns:
      `seconds` of reading, cutting and saving, `peak_mib` as from `run_alone`, and
      `cubes`, how many were cut.

    Raises:
      InputError: If the clone lacks the script or it ends with an error, as it does
        where it finds no cube.
    """
    script = find_file(clone, _FILE)
    done = run_alone(_IMPORTS, _WORK, script, data_dir, output_dir, cubes)
    (file,) = output_dir.glob("*.npy")
    return done | {"cubes": len(np.load(file, mmap_mode="r"))}
