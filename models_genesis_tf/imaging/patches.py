"""Patches of images: where they start, cutting them out, flipping them."""

from collections.abc import Sequence

import numpy as np


def draw_patch_start(
    shape: Sequence[int],
    patch_size: Sequence[int],
    rng: np.random.Generator,
    foreground_voxels: np.ndarray | None = None,
) -> tuple[int, ...]:
    """Draws where a patch starts, uniformly over the places where it fits.

    Args:
      shape: Sides of the image in voxels, without channels.
      patch_size: Sides of the patch in voxels, one per side of the image.
      rng: Generator to draw from.
      foreground_voxels: int (m, 3), indices in the image, or None. If there are any,
        one of them is drawn uniformly and the patch contains it.

    Returns:
      The patch's first voxel. Along an axis where the image is shorter than the patch
      it is that of `centre_patch_start`, which is negative.
    """
    room = np.subtract(shape, patch_size)
    first = np.where(room < 0, room // 2, 0)
    last = np.where(room < 0, room // 2, room)
    if foreground_voxels is not None and len(foreground_voxels):
        voxel = foreground_voxels[rng.integers(len(foreground_voxels))]
        first = np.maximum(first, voxel - np.array(patch_size) + 1)
        last = np.minimum(last, voxel)
    return tuple(rng.integers(first, last, endpoint=True).tolist())


def centre_patch_start(
    shape: Sequence[int], patch_size: Sequence[int]
) -> tuple[int, ...]:
    """Places a patch and an image with their centres together, to within a voxel.

    Args:
      shape: Sides of the image in voxels, without channels.
      patch_size: Sides of the patch in voxels, one per side of the image.

    Returns:
      The patch's first voxel, negative along an axis where the image is shorter.
    """
    return tuple(
        (side - length) // 2 for side, length in zip(shape, patch_size, strict=True)
    )


def cut_patch(
    array: np.ndarray, start: Sequence[int], patch_size: Sequence[int], fill: float = 0
) -> np.ndarray:
    """Cuts a patch that may reach beyond the array.

    Args:
      array: (x, y, z) or (x, y, z, channel).
      start: The patch's first voxel, which may be negative.
      patch_size: Its sides in voxels, without channels.
      fill: Value of voxels beyond the array.

    Returns:
      A new array of the same type: the patch, with all channels.
    """
    channels = array.shape[len(patch_size) :]
    patch = np.full((*patch_size, *channels), fill, array.dtype)
    source, target = [], []
    for low, length, side in zip(start, patch_size, array.shape, strict=False):
        begin, end = max(low, 0), max(min(low + length, side), 0)
        source.append(slice(begin, end))
        target.append(slice(begin - low, max(end, begin) - low))
    patch[tuple(target)] = array[tuple(source)]
    return patch


def random_flips(
    image: np.ndarray,
    target: np.ndarray,
    rng: np.random.Generator,
    axes: Sequence[int] = (0, 1, 2),
) -> tuple[np.ndarray, np.ndarray]:
    """Flips image and target alike, each axis with probability 0.5.

    Args:
      image: (x, y, z, channel).
      target: (x, y, z) or (x, y, z, channel).
      rng: Generator to draw from; three numbers are drawn whatever the axes.
      axes: Those that may be flipped.

    Returns:
      The two flipped, new contiguous arrays of the same types.
    """
    drawn = np.flatnonzero(rng.random(image.ndim - 1) < 0.5)
    flipped = tuple(axis for axis in drawn.tolist() if axis in axes)
    return np.flip(image, flipped).copy(), np.flip(target, flipped).copy()
