"""Linear interpolation of arrays with channels onto a grid of other voxels.

Grids share their outer edges: the centre of voxel i of n lies at (i + 1/2) / n of the
side, as in `resampling`. Nothing is smoothed before, and the outermost voxels' values
hold beyond their centres.
"""

from collections.abc import Sequence

import numpy as np


def interpolate(
    array: np.ndarray, sides: Sequence[int], scale: Sequence[float]
) -> np.ndarray:
    """Interpolates linearly onto a grid with the same outer corner as the old one.

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
