"""Non-linear intensity: every voxel's value is mapped by one cubic Bezier curve.

B(t) = (1-t)^3 P0 + 3 (1-t)^2 t P1 + 3 (1-t) t^2 P2 + t^3 P3 with t in [0, 1]; P1 and P2
are uniform in the unit square, so that both coordinates are monotone in t and the curve
is a map of [0, 1] onto itself (Models Genesis, MICCAI 2019, "non-linear
transformation").
"""

from dataclasses import dataclass

import numpy as np

from models_genesis_tf.config import TransformConfig
from models_genesis_tf.transforms import kernels


@dataclass(frozen=True)
class IntensityCurve:
    """The control points P0..P3 of one map.

    Attributes:
      x: Their intensities going in: (0, x1, x2, 1), in [0, 1].
      y: Their intensities coming out: (0, y1, y2, 1), or (1, y1, y2, 0) for an
        inverted map.
    """

    x: tuple[float, float, float, float]
    y: tuple[float, float, float, float]


def draw_nonlinear(
    shape: tuple[int, ...], rng: np.random.Generator, config: TransformConfig
) -> IntensityCurve:
    """Draws a curve; it is increasing or inverted with equal chances.

    Args:
      shape: Not used: one curve serves the whole cube.
      rng: Generator to draw from.
      config: Not used: the method leaves nothing to set.

    Returns:
      The curve's control points.
    """
    del shape, config
    x1, y1, x2, y2, direction = rng.random(5).tolist()
    ends = (1.0, 0.0) if direction < 0.5 else (0.0, 1.0)
    return IntensityCurve((0.0, x1, x2, 1.0), (ends[0], y1, y2, ends[1]))


def apply_nonlinear(cube: np.ndarray, curve: IntensityCurve) -> np.ndarray:
    """Maps a cube's values by a curve.

    Args:
      cube: float32 array of any shape in [0, 1]; values beyond are taken as the ends.
      curve: As drawn by `draw_nonlinear`.

    Returns:
      A new float32 array of the same shape in [0, 1].
    """
    table = kernels.bezier_table(curve.x, curve.y)
    flat = np.ascontiguousarray(cube, np.float32).reshape(-1)
    return kernels.apply_table(flat, table).reshape(cube.shape)


def nonlinear(
    cube: np.ndarray, rng: np.random.Generator, config: TransformConfig
) -> np.ndarray:
    """Draws and applies a curve; see `draw_nonlinear` and `apply_nonlinear`."""
    return apply_nonlinear(cube, draw_nonlinear(cube.shape, rng, config))
