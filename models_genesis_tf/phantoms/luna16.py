"""Synthetic chest CTs in LUNA16's layout.

`subset0` to `subset9` with one `.mhd` and `.raw` per series, `annotations.csv` (centre
and diameter of nodules, world mm) and `candidates_V2.csv` (nodules and places that are
none, class 1 and 0). Source: luna16.grand-challenge.org/Data. Case k goes to subset
k mod 10, and a case is a patient.
"""

import concurrent.futures
import functools
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.imaging.volumes import new_volume, write_volume
from models_genesis_tf.phantoms.chest import draw_chest
from models_genesis_tf.phantoms.marker import marked
from models_genesis_tf.phantoms.sets import check_size
from models_genesis_tf.phantoms.tables import write_table

NUM_SUBSETS = 10
SIZE = (256, 256, 128)
MIN_SIZE = (128, 128, 64)
_TABLES = ("candidates_V2.csv", "annotations.csv")
_STREAM = 6
_THREADS = 2  # each holds some 300 MB


def write(
    output_dir: str | Path,
    cases: int,
    seed: int = 0,
    size: tuple[int, int, int] = SIZE,
) -> None:
    """Writes cases, then the tables.

    Args:
      output_dir: Folder to write to; an earlier attempt at the same set is replaced.
      cases: Number of patients, one scan each.
      seed: From which all cases follow; case k does not depend on `cases`.
      size: Voxels along x, y and z.

    Raises:
      InputError: If the scans would be too small to show a chest, or the folder
        holds anything else than these.
    """
    check_size(size, MIN_SIZE)
    output_dir = Path(output_dir)
    with marked(output_dir, "luna16", cases, seed):
        _write_set(output_dir, cases, seed, size)


def _write_set(
    output_dir: Path, cases: int, seed: int, size: tuple[int, int, int]
) -> None:
    for table in _TABLES:
        (output_dir / table).unlink(missing_ok=True)
    write_case = functools.partial(_write_case, output_dir, seed, size)
    annotations, candidates = [], []
    # NumPy and SciPy let other threads run while they work on large arrays.
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        results = pool.map(write_case, range(cases))
        bar = tqdm(results, "phantoms", cases, unit="scan", disable=None)
        for found, places in bar:
            annotations += found
            candidates += places
    for name, last, rows in zip(
        _TABLES, ("class", "diameter_mm"), (candidates, annotations), strict=True
    ):
        columns = ("seriesuid", "coordX", "coordY", "coordZ", last)
        write_table(output_dir / name, columns, rows)


def _generator(seed: int, case: int) -> np.random.Generator:
    return np.random.default_rng([seed, _STREAM, case])


def _uid(rng: np.random.Generator) -> str:
    """A series UID of DICOM's branch for UUIDs, which are numbers below 2^128."""
    return "2.25." + "".join(str(digit) for digit in rng.integers(1, 10, 36))


def _write_case(
    output_dir: Path, seed: int, size: tuple[int, int, int], case: int
) -> tuple[list[tuple], list[tuple]]:
    """Writes a scan; gives its rows of annotations and of candidates."""
    rng = _generator(seed, case)
    uid = _uid(rng)
    chest = draw_chest(rng, size)
    origin = rng.uniform((-190, -190, -340), (-170, -170, -250)).round(2)
    volume = new_volume(chest.array, chest.spacing, origin)
    path = output_dir / f"subset{case % NUM_SUBSETS}" / f"{uid}.mhd"
    write_volume(path, volume.array, volume)
    middle = origin + (np.array(size) - 1) / 2 * chest.spacing
    nodules = [(uid, *_place(middle + nodule.centre)) for nodule in chest.nodules]
    decoys = [(uid, *_place(middle + point), 0) for point in chest.decoys]
    annotations = [
        (*row, f"{nodule.diameter:.4f}")
        for row, nodule in zip(nodules, chest.nodules, strict=True)
    ]
    return annotations, [(*row, 1) for row in nodules] + decoys


def _place(point: np.ndarray) -> list[str]:
    return [f"{value:.4f}" for value in point]
