"""Linear interpolation of arrays with channels onto a grid of other voxels.

Grids share their outer edges: the centre of voxel i of n lies at (i + 1/2) / n of the
side, as in `resampling`. The outermost voxels' values hold beyond their centres.
"""

import functools
from collections.abc import Sequence

import numpy as np


def interpolate(
    array: np.ndarray, sides: Sequence[int], scale: Sequence[float]
) -> np.ndarray:
    """Interpolates linearly onto a grid with the same outer corner as the old one.

    Nothing is smoothed before.

    Args:
      array: float32; its axes before the last are the grid's, others lead.
      sides: Of the new grid.
      scale: Side of a new voxel in old voxels, along each axis.

    Returns:
      float32; the argument itself where nothing changes.
    """
    leading = array.ndim - 1 - len(sides)
    for axis, (side, step) in enumerate(zip(sides, scale, strict=True), leading):
        old = array.shape[axis]
        if side == old and step == 1:
            continue
        places = np.clip((np.arange(side) + 0.5) * step - 0.5, 0, old - 1)
        low = places.astype(int)
        share = (places - low).astype(np.float32)
        before = array.take(low, axis)
        # In this form, neighbours that are equal give their value exactly.
        array = array.take(np.minimum(low + 1, old - 1), axis)
        array -= before
        array *= share.reshape(-1, *[1] * (array.ndim - 1 - axis))
        array += before
    return array


def resize_smoothly(
    array: np.ndarray, sides: Sequence[int], scale: Sequence[float]
) -> np.ndarray:
    """Interpolates as `interpolate` does, or averages where voxels become larger.

    Where 1024 pixels become 224, interpolation alone looks at two of almost five. Here
    the weight of an old voxel falls linearly from a new one's centre to the next ones',
    or to the next old ones' where those are farther apart.

    Args:
      array: `(*grid)`, or with channels last.
      sides: Of the new grid.
      scale: Side of a new voxel in old voxels, along each axis.

    Returns:
      float32, a constant where the old one is.
    """
    array = np.asarray(array, np.float64)
    for axis, (side, step) in enumerate(zip(sides, scale, strict=True)):
        weights = _weights(array.shape[axis], int(side), float(step))
        array = np.moveaxis(np.tensordot(weights, array, (1, axis)), 0, axis)
    return array.astype(np.float32)


@functools.lru_cache(maxsize=8)
def _weights(old: int, new: int, scale: float) -> np.ndarray:
    """float64 (new, old), rows of sum 1: what old voxels give to each new one."""
    centres = np.clip((np.arange(new) + 0.5) * scale - 0.5, 0, old - 1)
    distances = np.abs(np.arange(old) - centres[:, None]) / max(1, scale)
    weights = np.clip(1 - distances, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)
