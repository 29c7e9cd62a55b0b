"""Resampling a scan to another spacing."""

import dataclasses

import numpy as np
from scipy import ndimage

from models_genesis_tf.imaging.interpolation import resize_smoothly
from models_genesis_tf.imaging.volumes import Volume


def resample_volume(
    volume: Volume, spacing_mm: tuple[float, float, float], order: int = 1
) -> Volume:
    """Resamples a scan onto a grid of another spacing over the same extent.

    The voxel edges of both grids span the same box, as far as a whole number of
    voxels allows. A scan is not smoothed before; a picture of one slice, whose pixels
    mostly become several times as large, is.

    Args:
      volume: The scan.
      spacing_mm: Distance of voxels wanted along x, y and z, mm.
      order: Of the spline: 0 nearest (masks), 1 linear, 3 cubic.

    Returns:
      The resampled scan as float32, or the scan itself if it has that spacing. It
      keeps the own grid of the scan it was made from, onto which arrays of this new
      shape cannot be written.
    """
    old = np.array(volume.spacing)
    new = np.array(spacing_mm, float)
    if np.allclose(old, new, rtol=1e-4):
        return volume
    sides = np.array(volume.array.shape)
    new_sides = np.maximum(1, np.round(sides * old / new)).astype(int)
    # Centre of new voxel k in old voxels: (k + 1/2) new / old - 1/2.
    scale = new / old
    offset = 0.5 * scale - 0.5
    if order == 1 and volume.array.shape[2] == 1:
        array = resize_smoothly(volume.array, new_sides, scale)
    else:
        array = ndimage.affine_transform(
            volume.array.astype(np.float32),
            scale,
            offset,
            output_shape=tuple(new_sides),
            order=order,
            mode="nearest",
        )
    direction = np.array(volume.direction).reshape(3, 3)
    origin = np.array(volume.origin) + direction @ (offset * old)
    return dataclasses.replace(
        volume, array=array, spacing=tuple(new.tolist()), origin=tuple(origin.tolist())
    )
