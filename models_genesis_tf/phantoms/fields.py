"""Fields over a canvas that shapes are cut out of."""

import numpy as np

from models_genesis_tf.phantoms.painting import Canvas, smooth_noise


def bumps(canvas: Canvas, length: float, rng: np.random.Generator) -> np.ndarray:
    """Draws random bumps.

    Args:
      canvas: Whose shape and spacing are taken.
      length: Distance between the bumps, mm.
      rng: Generator to draw from.

    Returns:
      float32 of the canvas's shape, with mean near 0 and standard deviation near 1.
    """
    cells = tuple(length / step for step in canvas.spacing)
    return smooth_noise(canvas.values.shape, cells, rng)


def ellipsoid(canvas: Canvas, centre, radii) -> np.ndarray:
    """Measures the distance from the centre of an ellipsoid along the axes.

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
