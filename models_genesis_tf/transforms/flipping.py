"""Random flips, which the cube and the target of its pair share."""

import numpy as np

from models_genesis_tf.config import TransformConfig

MAX_FLIPS = 3


def draw_flipping(
    shape: tuple[int, ...], rng: np.random.Generator, config: TransformConfig
) -> tuple[int, ...]:
    """Draws the axes to flip: up to three flips, each after the other at one rate.

    Args:
      shape: (x, y, z, channel) or (x, y, channel).
      rng: Generator to draw from.
      config: `flip_rate` and `flip_depth` are used. Without `flip_depth` an axis is
        drawn among channel, x and y and a flip of channels does nothing
        (paper_facts B2: the released code).

    Returns:
      The spatial axes flipped an odd number of times, in rising order.
    """
    choices = range(len(shape) - 1) if config.flip_depth else (-1, 0, 1)
    odd: set[int] = set()
    for _ in range(MAX_FLIPS):
        if rng.random() >= config.flip_rate:
            break
        odd ^= {choices[int(rng.random() * len(choices))]}
    return tuple(sorted(odd - {-1}))


def apply_flipping(cube: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Flips a cube along the given axes.

    Args:
      cube: float32 array (x, y, z, channel) or (x, y, channel).
      axes: As drawn by `draw_flipping`.

    Returns:
      A new array of the same shape and type.
    """
    return np.flip(cube, axes).astype(np.float32, order="C")


def flipping(
    cube: np.ndarray, rng: np.random.Generator, config: TransformConfig
) -> np.ndarray:
    """Draws and applies flips; see `draw_flipping` and `apply_flipping`."""
    return apply_flipping(cube, draw_flipping(cube.shape, rng, config))
