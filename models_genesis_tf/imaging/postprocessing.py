"""Cleaning a segmentation: which connected pieces of each class stay.

Voxels that share a face, an edge or a corner are connected (26 neighbours). Classes are
cleaned one by one, each within its bounding box, so a whole scan takes about five
bytes a voxel beside the result. Wherever NumPy would widen indices to 64 bits, the
work goes by parts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models_genesis_tf.errors import InputError, listed

_NEIGHBOURS = np.ones((3, 3, 3), bool)
_CHUNK = 2**20
# Headers of NIfTI hold three float32 spacings, each off by at most 6e-8 of itself.
_VOLUME_ERROR = 2e-7


@dataclass(frozen=True)
class Postprocessing:
    """What is done to a predicted mask.

    Attributes:
      largest_component: Whether only the largest connected piece of each class stays.
      min_size_mm3: Volume from which a connected piece stays, mm^3.
    """

    largest_component: bool = False
    min_size_mm3: float = 0.0

    def apply(self, labels: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
        """Cleans a mask.

        Args:
          labels: `(x, y, z)`, uint8, classes; 0 is background.
          spacing_mm: Distance of voxels along x, y and z, mm.

        Returns:
          Labels of the same shape and type; the same array if nothing is asked for.

        Raises:
          InputError: As `remove_small`.
        """
        if self.min_size_mm3:
            labels = remove_small(labels, spacing_mm, self.min_size_mm3)
        if self.largest_component:
            labels = keep_largest_component(labels)
        return labels


def keep_largest_component(labels: np.ndarray) -> np.ndarray:
    """Keeps the largest connected piece of each class.

    Args:
      labels: `(x, y, z)`, uint8, classes; 0 is background.

    Returns:
      A new array of the same shape and type: of each class but 0 the piece with most
      voxels, of equal ones that whose first voxel comes first in C order; all other
      voxels are 0.

    Raises:
      InputError: If the labels have another type or number of axes.
    """
    return _filtered(labels, _is_largest)


def remove_small(
    labels: np.ndarray, spacing_mm: Sequence[float], min_size_mm3: float
) -> np.ndarray:
    """Removes the connected pieces of each class that are too small.

    A piece of exactly the limit stays, also where the volume of a voxel is off by the
    rounding of its three spacings to float32.

    Args:
      labels: `(x, y, z)`, uint8, classes; 0 is background.
      spacing_mm: Distance of voxels along x, y and z, mm.
      min_size_mm3: Volume from which a piece stays, mm^3, at least 0.

    Returns:
      A new array of the same shape and type: the labels with 0 in the pieces that are
      removed.

    Raises:
      InputError: If the labels have another type or number of axes, a spacing is not
        positive or lacks an axis, or the limit is negative or not finite.
    """
    fewest = _fewest_voxels(spacing_mm, min_size_mm3)
    return _filtered(labels, lambda pieces, sizes: sizes >= fewest)


def _filtered(
    labels: np.ndarray, choose: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """The labels without the pieces that `choose(pieces, sizes)` does not mark."""
    if labels.dtype != np.uint8 or labels.ndim != 3:
        raise InputError(
            "labels are uint8 with three axes. "
            f"Received: {labels.dtype} of shape {labels.shape}"
        )
    result = np.array(labels, order="C")
    for index, box in enumerate(ndimage.find_objects(result, 255), start=1):
        if box is None:
            continue
        region = result[box]
        pieces, count = ndimage.label(region == index, _NEIGHBOURS)
        stays = choose(pieces, _sizes(pieces, count))
        stays[0] = True  # number 0 is what is not of this class
        if not stays.all():
            for plane, numbers in zip(region, pieces, strict=True):
                plane[~stays[numbers]] = 0
    return result


def _sizes(pieces: np.ndarray, count: int) -> np.ndarray:
    """Voxels of each piece, by its number; entry 0 counts all others."""
    flat = pieces.ravel()
    # A part is no shorter than the table, so that many pieces do not cost more time.
    step = max(_CHUNK, count)
    sizes = np.zeros(count + 1, np.int64)
    for start in range(0, flat.size, step):
        sizes += np.bincount(flat[start : start + step], minlength=count + 1)
    return sizes


def _is_largest(pieces: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Marks the one piece that is the largest, by its number."""
    largest = sizes == sizes[1:].max()
    largest[0] = False
    # SciPy does not document the order of its numbers: the voxels tell which is first.
    first = next(part[hit][0] for part in pieces if (hit := largest[part]).any())
    return np.arange(len(sizes)) == first


def _fewest_voxels(spacing_mm: Sequence[float], min_size_mm3: float) -> int:
    """The number of voxels from which a piece reaches the limit."""
    spacing = [float(step) for step in spacing_mm]
    if len(spacing) != 3 or not all(0 < step < math.inf for step in spacing):
        raise InputError(
            "spacing_mm is a positive number for each of three axes. "
            f"Received: {listed(spacing)}"
        )
    if not 0 <= min_size_mm3 < math.inf:
        raise InputError(
            f"min_size_mm3 is a finite number, at least 0. Received: {min_size_mm3}"
        )
    voxels = float(min_size_mm3) / math.prod(spacing)
    whole = round(voxels)
    if math.isclose(voxels, whole, rel_tol=_VOLUME_ERROR):
        return whole
    return math.ceil(voxels)
