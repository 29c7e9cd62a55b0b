"""What drawings in tissue share: soft blends, random bumps, lumps and directions."""

import numpy as np

from models_genesis_tf.phantoms.painting import Canvas, smooth_noise


def blend(canvas: Canvas, cover, value) -> None:
    """Lets a value take its share of each voxel.

    Args:
      canvas: Changed in place.
      cover: The share, 0..1: a number, or an array that broadcasts to the canvas.
      value: A number, or an array that broadcasts to the canvas.
    """
    values = canvas.values
    values += cover * (value - values)


def cover_beyond(canvas: Canvas, depth: np.ndarray) -> np.ndarray:
    """Finds the share of each voxel beyond a surface.

    Args:
      canvas: Whose voxels they are.
      depth: mm of their centres beyond the surface, negative before it.

    Returns:
      The share, 0..1, of the shape of `depth`.
    """
    return np.clip(depth / canvas.spacing[0] + 0.5, 0, 1)


def bumps(canvas: Canvas, length: float, rng: np.random.Generator) -> np.ndarray:
    """Draws random bumps.

    Args:
      canvas: On whose grid they are.
      length: Distance between them, mm.
      rng: Generator to draw from.

    Returns:
      float32 of the canvas's shape, of mean near 0 and standard deviation near 1.
    """
    cells = tuple(length / step for step in canvas.spacing)
    return smooth_noise(canvas.values.shape, cells, rng)


def draw_lumps(count: int, height: float, rng: np.random.Generator) -> np.ndarray:
    """Draws the lumps of a ball, as `painting.paint_ball` takes them.

    Args:
      count: How many.
      height: The largest, relative to the ball's radius; as many are dents.
      rng: Generator to draw from.

    Returns:
      `(count, 4)`: directions and heights.
    """
    return np.c_[rng.standard_normal((count, 3)), rng.uniform(-height, height, count)]


def draw_direction(rng: np.random.Generator) -> np.ndarray:
    """Draws a direction in space.

    Args:
      rng: Generator to draw from.

    Returns:
      `(3,)` of length 1.
    """
    direction = rng.standard_normal(3)
    return direction / np.linalg.norm(direction)
