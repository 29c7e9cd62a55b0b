"""Synthetic abdominal CTs in the layout of LiTS 2017.

`volume-N.nii` is a CT and `segmentation-N.nii` on its grid its labels: 0 background, 1
liver, 2 lesion (Bilic et al., The Liver Tumor Segmentation Benchmark, arXiv
1901.04056). The headers of the real set differ in orientation (issue 14 of
LITS-CHALLENGE on GitHub), and so do these. Case N is a patient.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.imaging.volumes import OwnGrid, Volume, new_volume, write_volume
from models_genesis_tf.phantoms.abdomen import draw_abdomen
from models_genesis_tf.phantoms.marker import marked

_STREAM = 17
_PERMUTED = 0.15  # share of cases whose stored axes are not in the order x, y, z
_ORDERS = ((0, 2, 1), (1, 0, 2), (2, 0, 1))


def write(output_dir: str | Path, cases: int, seed: int = 0) -> None:
    """Writes cases.

    Args:
      output_dir: Folder to write to; an earlier attempt at the same set is replaced.
      cases: Number of patients, one scan each.
      seed: From which all cases follow; case k does not depend on `cases`.

    Raises:
      InputError: If the folder holds anything else.
    """
    output_dir = Path(output_dir)
    with marked(output_dir, "lits", cases, seed):
        for case in tqdm(range(cases), "phantoms", unit="scan", disable=None):
            _write_case(output_dir, seed, case)


def _write_case(output_dir: Path, seed: int, case: int) -> None:
    rng = np.random.default_rng([seed, _STREAM, case])
    abdomen = draw_abdomen(rng)
    origin = rng.uniform((-180, -180, -600), (-160, -160, -200)).round(2)
    volume = new_volume(abdomen.array, abdomen.spacing, origin)
    volume = _store_as(volume, *_draw_orientation(rng))
    write_volume(output_dir / f"volume-{case}.nii", abdomen.array, volume)
    write_volume(output_dir / f"segmentation-{case}.nii", abdomen.labels, volume)


def _draw_orientation(
    rng: np.random.Generator,
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """The stored axis of each of x, y and z, and whether they run against it."""
    order = _ORDERS[rng.integers(len(_ORDERS))]
    axes = order if rng.random() < _PERMUTED else (0, 1, 2)
    return axes, tuple((rng.random(3) < 0.5).tolist())


def _store_as(
    volume: Volume, axes: tuple[int, ...], flipped: tuple[bool, ...]
) -> Volume:
    """The same scan, to be stored with flipped axes in another order."""
    steps, sides = np.array(volume.spacing), np.array(volume.array.shape)
    signs = np.where(flipped, -1.0, 1.0)
    direction, spacing = np.zeros((3, 3)), np.empty(3)
    direction[range(3), axes] = signs
    spacing[list(axes)] = steps
    origin = np.array(volume.origin) + np.where(flipped, steps * (sides - 1), 0)
    grid = OwnGrid(
        axes,
        flipped,
        tuple(spacing.tolist()),
        tuple(origin.tolist()),
        tuple(direction.ravel().tolist()),
    )
    return Volume(volume.array, volume.spacing, volume.origin, volume.direction, grid)
