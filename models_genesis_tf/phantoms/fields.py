"""Arrays over a canvas that shapes are made of."""

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.painting import Canvas, smooth_noise


def bumps(canvas: Canvas, length: float, rng: np.random.Generator) -> np.ndarray:
    """Draws random bumps.

    Args:
      canvas: Whose shape and spacing are taken.
      length: Distance between the bumps, mm.
      rng: Generator to draw from.

    Returns:
      float32 of the canvas's shape, as `painting.smooth_noise` gives it.
    """
    cells = tuple(length / step for step in canvas.spacing)
    return smooth_noise(canvas.values.shape, cells, rng)


def ellipsoid(canvas: Canvas, centre, radii) -> np.ndarray:
    """Measures the distance from the centre of an ellipsoid, relative to its radii.

    Args:
      canvas: Whose coordinates are taken.
      centre: x, y and z, mm.
      radii: Along x, y and z, mm.

    Returns:
      float32 of the canvas's shape: 0 in the centre, 1 on the surface.
    """
    axes = (canvas.x, canvas.y, canvas.z)
    square = sum(  # plain numbers leave float32 as it is
        ((axis - float(middle)) / float(radius)) ** 2
        for axis, middle, radius in zip(axes, centre, radii, strict=True)
    )
    return np.sqrt(square)


def cover_beyond(canvas: Canvas, depth: np.ndarray) -> np.ndarray:
    """Finds the share of each voxel beyond a surface.

    Args:
      canvas: Whose voxels they are.
      depth: mm of their centres beyond the surface, negative before it.

    Returns:
      The share, 0..1, of the shape of `depth`.
    """
    return np.clip(depth / canvas.spacing[0] + 0.5, 0, 1)


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """Keeps the largest of a mask's pieces, which touch each other by no side.

    Args:
      mask: bool `(x, y, z)`, with a voxel at least.

    Returns:
      bool `(x, y, z)`.
    """
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())
    return pieces == 1 + np.argmax(sizes[1:])
