"""In-painting and out-painting: windows, or all but windows, are overwritten.

In-painting replaces the inside of up to five windows and the net has to restore the
interior of organs from their surroundings; out-painting keeps only up to five windows
and the net has to extrapolate (Models Genesis, MICCAI 2019; sizes and rates from the
released code, paper_facts 2.4, 2.5 and 2.7).
"""

from dataclasses import dataclass

import numpy as np

from models_genesis_tf.config import TransformConfig


@dataclass(frozen=True)
class Painting:
    """Windows and what is painted inside or outside of them.

    Attributes:
      windows: One tuple of slices over the spatial axes for each window.
      outer: Whether the outside is painted and the windows stay.
      paint: float32 in [0, 1) that broadcasts to the cube's shape: noise, or one
        value for all voxels.
    """

    windows: tuple[tuple[slice, ...], ...]
    outer: bool
    paint: np.ndarray


def draw_inpainting(
    shape: tuple[int, ...], rng: np.random.Generator, config: TransformConfig
) -> Painting:
    """Draws inner windows with sides uniform in side // 6..side // 3 and their paint.

    Args:
      shape: (x, y, z, channel) or (x, y, channel).
      rng: Generator to draw from.
      config: The fields on painting are used.

    Returns:
      A painting with 0 to `painting_windows` windows.
    """
    lengths = [_inner_lengths(side, config) for side in shape[:-1]]
    count = _draw_count(config.inpainting_first_rate, rng, config)
    windows = _draw_windows(shape, lengths, count, rng, config)
    channels = 1 if config.inpainting_shared_noise else shape[-1]
    paint = _draw_paint((*shape[:-1], channels), config.inpainting_fill, rng)
    return Painting(windows, False, paint)


def draw_outpainting(
    shape: tuple[int, ...], rng: np.random.Generator, config: TransformConfig
) -> Painting:
    """Draws windows that stay, of side - uniform(3 side // 7..4 side // 7), and paint.

    Args:
      shape: (x, y, z, channel) or (x, y, channel).
      rng: Generator to draw from.
      config: The fields on painting are used.

    Returns:
      A painting with 1 to `painting_windows` windows.
    """
    lengths = [_outer_lengths(side, config) for side in shape[:-1]]
    count = _draw_count(1.0, rng, config)
    windows = _draw_windows(shape, lengths, count, rng, config)
    return Painting(windows, True, _draw_paint(shape, config.outpainting_fill, rng))


def apply_painting(cube: np.ndarray, painting: Painting) -> np.ndarray:
    """Paints a cube.

    Args:
      cube: float32 array (x, y, z, channel) or (x, y, channel).
      painting: As drawn by `draw_inpainting` or `draw_outpainting` for this shape.

    Returns:
      A new float32 array of the same shape.
    """
    paint = np.broadcast_to(painting.paint, cube.shape)
    inside, outside = (cube, paint) if painting.outer else (paint, cube)
    painted = outside.astype(np.float32, order="C")
    for window in painting.windows:
        painted[window] = inside[window]
    return painted


def inpainting(
    cube: np.ndarray, rng: np.random.Generator, config: TransformConfig
) -> np.ndarray:
    """Draws and applies an inner painting; see `draw_inpainting`."""
    return apply_painting(cube, draw_inpainting(cube.shape, rng, config))


def outpainting(
    cube: np.ndarray, rng: np.random.Generator, config: TransformConfig
) -> np.ndarray:
    """Draws and applies an outer painting; see `draw_outpainting`."""
    return apply_painting(cube, draw_outpainting(cube.shape, rng, config))


def _inner_lengths(side: int, config: TransformConfig) -> tuple[int, int]:
    """Smallest and largest side of an inner window."""
    return config.fixed_sides or (side // 6, side // 3)


def _outer_lengths(side: int, config: TransformConfig) -> tuple[int, int]:
    """Smallest and largest side of a window that stays."""
    shortest, longest = config.fixed_sides or (3 * side // 7, 4 * side // 7)
    return side - longest, side - shortest


def _draw_count(
    first_rate: float, rng: np.random.Generator, config: TransformConfig
) -> int:
    """Draws how many windows there are: each next one has to win its own draw."""
    if rng.random() >= first_rate:
        return 0
    count = 1
    while count < config.painting_windows:
        if rng.random() >= config.painting_continue_rate:
            break
        count += 1
    return count


def _draw_windows(
    shape: tuple[int, ...],
    lengths: list[tuple[int, int]],
    count: int,
    rng: np.random.Generator,
    config: TransformConfig,
) -> tuple[tuple[slice, ...], ...]:
    return tuple(
        tuple(
            _draw_slice(side, *bounds, config.painting_margin, rng)
            for side, bounds in zip(shape[:-1], lengths, strict=True)
        )
        for _ in range(count)
    )


def _draw_slice(
    side: int, shortest: int, longest: int, margin: int, rng: np.random.Generator
) -> slice:
    """Draws length and position of a window along one axis, both ends included.

    On a short axis the margin gives way first, down to leaving half the side, and
    then the length.
    """
    margin = min(margin, side // 4)
    room = side - 2 * margin
    longest = min(max(longest, 1), room)
    shortest = min(max(shortest, 1), longest)
    length = shortest + int(rng.random() * (longest - shortest + 1))
    low = margin + int(rng.random() * (room - length + 1))
    return slice(low, low + length)


def _draw_paint(
    shape: tuple[int, ...], fill: str, rng: np.random.Generator
) -> np.ndarray:
    """Draws noise of a shape, or one value that stands for all of it."""
    if fill == "constant":
        shape = (1,) * len(shape)
    return rng.random(shape, np.float32)
