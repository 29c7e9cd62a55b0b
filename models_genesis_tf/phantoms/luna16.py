"""Synthetic chest CTs in LUNA16's layout.

`subset0` to `subset9` with one `.mhd` and `.raw` per series, `annotations.csv` (centre
and diameter of nodules, world mm) and `candidates_V2.csv` (nodules and places that are
none). Case k goes to subset k mod 10, and a case is a patient.
"""

import csv
import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import new_volume, write_volume
from models_genesis_tf.phantoms.chest import draw_chest

NUM_SUBSETS = 10
SIZE = (256, 256, 128)
MIN_SIZE = (128, 128, 64)
_STREAM = 6


def write(
    output_dir: str | Path,
    cases: int,
    seed: int = 0,
    size: tuple[int, int, int] = SIZE,
) -> None:
    """Writes cases; the tables come last, so that they say the set is complete.

    Args:
      output_dir: Folder to write to.
      cases: Number of patients, one scan each.
      seed: From which all cases follow; case k does not depend on `cases`.
      size: Voxels along x, y and z.

    Raises:
      InputError: If the scans would be too small to show a chest.
    """
    if any(side < least for side, least in zip(size, MIN_SIZE, strict=True)):
        raise InputError(
            f"a phantom has {'x'.join(map(str, MIN_SIZE))} voxels or more. "
            f"Received: {'x'.join(map(str, size))}"
        )
    output_dir = Path(output_dir)
    annotations, candidates = [], []
    for case in tqdm(range(cases), desc="phantoms", unit="scan", disable=None):
        rng = np.random.default_rng([seed, _STREAM, case])
        uid = "2.25." + "".join(str(digit) for digit in rng.integers(1, 10, 36))
        chest = draw_chest(rng, size)
        origin = rng.uniform((-190, -190, -340), (-170, -170, -250)).round(2)
        volume = new_volume(chest.array, chest.spacing, origin)
        path = output_dir / f"subset{case % NUM_SUBSETS}" / f"{uid}.mhd"
        write_volume(path, volume.array, volume)
        middle = origin + (np.array(size) - 1) / 2 * chest.spacing
        for nodule in chest.nodules:
            place = _place(middle + nodule.centre)
            annotations.append((uid, *place, f"{nodule.diameter:.4f}"))
            candidates.append((uid, *place, 1))
        candidates += [(uid, *_place(middle + point), 0) for point in chest.decoys]
    columns = ("seriesuid", "coordX", "coordY", "coordZ")
    _write_table(output_dir / "candidates_V2.csv", (*columns, "class"), candidates)
    _write_table(output_dir / "annotations.csv", (*columns, "diameter_mm"), annotations)


def _place(point: np.ndarray) -> list[str]:
    return [f"{value:.4f}" for value in point]


def _write_table(path: Path, columns: tuple[str, ...], rows: list[tuple]) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    os.replace(part, path)
