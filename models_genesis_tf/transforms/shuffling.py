"""Local pixel shuffling: voxels change places within many small windows.

The paper writes W~ = P W P' for a window W and permutation matrices P, P'; the
released code, followed here, draws any permutation of the window's voxels (paper_facts
2.3). Each window reads the untouched cube and a later window overwrites an earlier one,
so that no voxel moves farther than one window reaches.
"""

from dataclasses import dataclass

import numpy as np

from models_genesis_tf.config import TransformConfig
from models_genesis_tf.transforms import kernels

OFFICIAL_VOXELS = 64 * 64 * 32


@dataclass(frozen=True)
class Shuffling:
    """Where each voxel's value comes from.

    Attributes:
      source: Flat index of the source voxel, int32 of shape (x * y [* z],).
      num_channels: How many channels move, the first ones; None moves all.
    """

    source: np.ndarray
    num_channels: int | None


def window_limits(sides: tuple[int, ...]) -> tuple[int, ...]:
    """The largest side of a window along each axis: a tenth of the cube's side."""
    return tuple(max(1, side // 10) for side in sides)


def draw_shuffling(
    shape: tuple[int, ...], rng: np.random.Generator, config: TransformConfig
) -> Shuffling:
    """Draws all windows and their permutations.

    Sides are uniform in 1..max(1, side // 10) and positions are uniform. The number of
    windows is `shuffle_windows` times the number of voxels over 64 * 64 * 32.

    Args:
      shape: (x, y, z, channel) or (x, y, channel).
      rng: Generator to draw from.
      config: `shuffle_windows` and `shuffle_first_channel_only` are used.

    Returns:
      The map from each voxel to its source.
    """
    sides = (*shape[:-1], 1)[:3]
    count = round(config.shuffle_windows * int(np.prod(sides)) / OFFICIAL_VOXELS)
    source = kernels.draw_source_map(rng, sides, window_limits(sides), count)
    return Shuffling(source, 1 if config.shuffle_first_channel_only else None)


def apply_shuffling(cube: np.ndarray, shuffling: Shuffling) -> np.ndarray:
    """Moves voxels; all channels of a voxel move together.

    Args:
      cube: float32 array (x, y, z, channel) or (x, y, channel).
      shuffling: As drawn by `draw_shuffling` for this shape.

    Returns:
      A new float32 array of the same shape.
    """
    voxels = np.ascontiguousarray(cube, np.float32).reshape(-1, cube.shape[-1])
    num_channels = shuffling.num_channels or cube.shape[-1]
    return kernels.gather(voxels, shuffling.source, num_channels).reshape(cube.shape)


def shuffling(
    cube: np.ndarray, rng: np.random.Generator, config: TransformConfig
) -> np.ndarray:
    """Draws and applies a shuffling; see `draw_shuffling` and `apply_shuffling`."""
    return apply_shuffling(cube, draw_shuffling(cube.shape, rng, config))
