"""Strokes that several drawings share: blends, paths, ribs, lumps and directions."""

import numpy as np

from models_genesis_tf.phantoms.painting import Canvas, paint_tube

_BONE, _MARROW = 430.0, 180.0  # HU
_RIB = (4.0, 6.0)  # mm, half its thickness and half its height
_MARROW_SHARE = 0.62  # of a rib's radii


def blend(canvas: Canvas, cover, value) -> None:
    """Lets a value take its share of each voxel.

    Args:
      canvas: Changed in place.
      cover: The share, 0..1: a number, or an array that broadcasts to the canvas.
      value: A number, or an array that broadcasts to the canvas.
    """
    values = canvas.values
    values += cover * (value - values)


def paint_path(
    canvas: Canvas,
    points,
    radius: float,
    value: float,
    where: np.ndarray | None = None,
) -> None:
    """Paints a tube of even width through points.

    Args:
      canvas: Changed in place.
      points: `(n, 3)` mm from the middle.
      radius: mm.
      value: What is painted.
      where: bool of the canvas's shape; elsewhere nothing changes.
    """
    points = np.array(points, float)
    for start, end in zip(points[:-1], points[1:], strict=True):
        paint_tube(canvas, start, end, (radius, radius), value, where)


def paint_ribs(canvas: Canvas, depth: np.ndarray, height: np.ndarray) -> None:
    """Paints ribs and their marrow.

    Args:
      canvas: Changed in place.
      depth: mm of each voxel from the ribs' middle, across the chest wall; it
        broadcasts to the canvas.
      height: mm of each voxel from the middle of the nearest rib, along the wall; it
        broadcasts to the canvas.
    """
    ring = np.hypot(depth / _RIB[0], height / _RIB[1])  # 1 on a rib's surface
    blend(canvas, np.clip(4 * (1 - ring) + 0.5, 0, 1), _BONE)
    blend(canvas, np.clip(4 * (_MARROW_SHARE - ring) + 0.5, 0, 1), _MARROW)


def draw_lumps(count: int, height: float, rng: np.random.Generator) -> np.ndarray:
    """Draws the lumps of a ball, as `painting.paint_ball` takes them.

    Args:
      count: How many.
      height: The largest, relative to the ball's radius; lumps and dents are equally
        likely.
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
