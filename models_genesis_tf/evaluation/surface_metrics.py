"""Distances between the surfaces of two masks of one case, in mm.

The surface of a mask is made of those of its voxels that have a neighbour across a face
outside the mask; beyond the border of the image everything is outside. A distance runs
from the centre of a surface voxel to the centre of the nearest surface voxel of the
other mask. Every surface voxel counts the same, whatever area it stands for.
"""

import math

import numpy as np
from scipy import ndimage, spatial

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.metrics import checked_masks

# Three voxels of 0.1 mm are 0.30000000000000004 mm and yet within 0.3 mm.
_ROUNDING_MM = 1e-6


def surface_distances(
    truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]
) -> np.ndarray:
    """Distances from every surface voxel of either mask to the other's surface.

    Args:
      truth: A mask, `(x, y, z)` or `(x, y)`.
      prediction: A mask of the same shape.
      spacing: Size of a voxel along each axis, in mm.

    Returns:
      float64 (surface voxels of the truth + those of the prediction,), in mm and in
      that order: both directed sets joined. No value if both masks are empty; all
      infinite if one is.

    Raises:
      InputError: If the shapes differ, a value is neither 0 nor 1, or the spacing is
        not one positive number for each axis.
    """
    truth, prediction = checked_masks(truth, prediction)
    _check_spacing(spacing, truth.ndim)
    # Both surfaces lie in the box around both masks, and what is outside of it is
    # outside of both: the box gives the distances that the whole image gives.
    boxes = ndimage.find_objects((truth | prediction).astype(np.uint8))
    if not boxes:
        return np.empty(0)
    first, second = (
        np.argwhere(_surface(mask[boxes[0]])) * spacing for mask in (truth, prediction)
    )
    there = _directed_distances(first, second)
    return np.concatenate([there, _directed_distances(second, first)])


def hausdorff(
    truth: np.ndarray,
    prediction: np.ndarray,
    spacing: tuple[float, ...],
    percentile: float,
) -> float:
    """Percentile of the distances between two surfaces.

    It is taken once, over both directed sets joined, with linear interpolation; some
    tools take the larger of the two sets' own percentiles, which differs.

    Args:
      truth: A mask, `(x, y, z)` or `(x, y)`.
      prediction: A mask of the same shape.
      spacing: Size of a voxel along each axis, in mm.
      percentile: In [0, 100]; 100 gives the Hausdorff distance of the surfaces.

    Returns:
      mm; 0 if both masks are empty, nan if one is.

    Raises:
      InputError: As for `surface_distances`, or if the percentile is out of range.
    """
    distances = surface_distances(truth, prediction, spacing)
    return distance_percentile(distances, percentile)


def distance_percentile(distances: np.ndarray, percentile: float) -> float:
    """The percentile that `hausdorff` gives, of distances that are known.

    Args:
      distances: As from `surface_distances`.
      percentile: In [0, 100].

    Returns:
      mm; 0 without distances, nan if they are infinite.

    Raises:
      InputError: If the percentile is out of range.
    """
    if not 0 <= percentile <= 100:
        raise InputError(f"a percentile is in [0, 100]. Received: {percentile=}")
    if not distances.size:
        return 0.0
    if np.isinf(distances).any():
        return math.nan
    return float(np.percentile(distances, percentile))


def hausdorff95(
    truth: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]
) -> float:
    """The 95th percentile of the distances between two surfaces, as from `hausdorff`.

    Args:
      truth: A mask, `(x, y, z)` or `(x, y)`.
      prediction: A mask of the same shape.
      spacing: Size of a voxel along each axis, in mm.

    Returns:
      mm; 0 if both masks are empty, nan if one is.

    Raises:
      InputError: As for `surface_distances`.
    """
    return hausdorff(truth, prediction, spacing, 95.0)


def surface_dice(
    truth: np.ndarray,
    prediction: np.ndarray,
    spacing: tuple[float, ...],
    tolerance: float,
) -> float:
    """Share of both surfaces' voxels that lie near the other surface.

    Args:
      truth: A mask, `(x, y, z)` or `(x, y)`.
      prediction: A mask of the same shape.
      spacing: Size of a voxel along each axis, in mm.
      tolerance: Largest distance that is near, itself included, in mm.

    Returns:
      A number in [0, 1]; 1 if both masks are empty, 0 if one is.

    Raises:
      InputError: As for `surface_distances`, or if the tolerance is negative or not
        finite.
    """
    return share_within(surface_distances(truth, prediction, spacing), tolerance)


def share_within(distances: np.ndarray, tolerance: float) -> float:
    """The share that `surface_dice` gives, of distances that are known.

    Args:
      distances: As from `surface_distances`.
      tolerance: Largest distance that is near, itself included, in mm.

    Returns:
      A number in [0, 1]; 1 without distances.

    Raises:
      InputError: If the tolerance is negative or not finite.
    """
    if not 0 <= tolerance < math.inf:
        raise InputError(f"a tolerance is 0 mm or more. Received: {tolerance=}")
    if not distances.size:
        return 1.0
    return float(np.mean(distances <= tolerance + _ROUNDING_MM))


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)


def _directed_distances(start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """From each point (n, axes) to the nearest of others, in mm; infinite if none."""
    if not len(goal):
        return np.full(len(start), math.inf)
    return spatial.cKDTree(goal).query(start)[0]


def _check_spacing(spacing: tuple[float, ...], axes: int) -> None:
    if len(spacing) != axes or not all(0 < side < math.inf for side in spacing):
        raise InputError(
            f"spacing is {axes} positive numbers in mm. Received: {spacing=}"
        )
