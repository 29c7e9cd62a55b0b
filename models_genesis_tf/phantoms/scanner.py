"""What a CT scanner adds to a drawing: the grain of its noise, and stored values."""

import numpy as np
from scipy import ndimage


def draw_noise(size: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Draws noise with the grain of a soft reconstruction kernel.

    Args:
      size: Voxels along x, y and z.
      rng: Generator to draw from.

    Returns:
      float32 of that size with mean near 0, to be scaled by its standard deviation.
    """
    noise = rng.standard_normal(size, np.float32)
    return ndimage.gaussian_filter(noise, (0.6, 0.6, 0))


def to_stored(values: np.ndarray) -> np.ndarray:
    """Gives the whole numbers of 12 bits that a scanner stores.

    Args:
      values: Any shape, HU.

    Returns:
      int16 of that shape, -1024..3071.
    """
    return np.clip(np.round(values), -1024, 3071).astype(np.int16)
