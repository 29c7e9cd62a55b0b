"""Patches of images: where they start, cutting them out, sampling, flipping them."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from models_genesis_tf.errors import InputError


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


def slices_around(count: int, depth: int | None = None) -> range:
    """Lists the slices on both sides of a middle one.

    Args:
      count: How many there are, odd.
      depth: Slices of the volume whose middle it is, as `centre_patch_start` finds it;
        those beyond it are left out. None lists all.

    Returns:
      How many slices above the middle each lies.

    Raises:
      InputError: If the count is not odd.
    """
    if count < 1 or count % 2 == 0:
        raise InputError(
            "slices around a middle one are an odd number. "
            f"Received: slices_per_case={count}"
        )
    low, high = -(count // 2), count // 2
    if depth is not None:
        (middle,) = centre_patch_start((depth,), (1,))
        low, high = max(low, -middle), min(high, depth - 1 - middle)
    return range(low, high + 1)


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


def box_around(
    shape: Sequence[int],
    centre: Sequence[float],
    patch_size: Sequence[int],
    scale: Sequence[float],
) -> tuple[slice, ...]:
    """Finds what of an array `sample_around` looks at.

    Args:
      shape: Sides of the array in voxels, without channels.
      centre: Where the patch's centre is, in voxels of the array.
      patch_size: Sides of the patch in its own voxels.
      scale: Side of the patch's voxels in the array's.

    Returns:
      A slice for each axis; empty where the patch lies outside.
    """
    reach = (np.array(patch_size) - 1) / 2 * scale
    # One voxel more on either side: interpolation fades to the fill there.
    low = np.floor(np.subtract(centre, reach)).astype(int) - 1
    high = np.ceil(np.add(centre, reach)).astype(int) + 2
    ends = zip(
        np.clip(low, 0, shape).tolist(), np.clip(high, 0, shape).tolist(), strict=True
    )
    return tuple(slice(*pair) for pair in ends)


def sample_around(
    array: np.ndarray,
    centre: Sequence[float],
    patch_size: Sequence[int],
    scale: Sequence[float],
    order: int = 1,
) -> np.ndarray:
    """Samples a patch of other voxels around a place.

    Args:
      array: (x, y, z) or (x, y, z, channel).
      centre: Where the patch's centre is, in voxels of the array.
      patch_size: Sides of the patch in its own voxels.
      scale: Side of the patch's voxels in the array's.
      order: Of the interpolation: 1 linear, 0 nearest (label maps).

    Returns:
      float32 patch with all channels; 0 beyond the array.
    """
    box = box_around(array.shape[: len(patch_size)], centre, patch_size, scale)
    part = np.asarray(array[box], np.float32)
    channels = array.shape[len(patch_size) :]
    patch = np.zeros((*patch_size, *channels), np.float32)
    if 0 in part.shape:
        return patch
    first = np.subtract(centre, (np.array(patch_size) - 1) / 2 * scale)
    offset = first - [edge.start for edge in box]
    for channel in np.ndindex(channels):
        ndimage.affine_transform(
            part[(..., *channel)],
            np.array(scale, float),
            offset,
            output=patch[(..., *channel)],
            output_shape=tuple(patch_size),
            order=order,
            mode="grid-constant",
        )
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
