"""Intensity windows: what of a scan's range is mapped to [0, 1]."""

from dataclasses import dataclass

import numpy as np

from models_genesis_tf.errors import InputError

_PERCENTILES = (0.5, 99.5)
_SAMPLE = 2_000_000


@dataclass(frozen=True)
class Window:
    """A range of intensities.

    Attributes:
      name: "ct", "mr", "percentile", "nonzero" or "low,high".
      low: What becomes 0, in the scan's units; None for a percentile of each scan, or
        of its voxels that are not 0.
      high: What becomes 1.
    """

    name: str
    low: float | None
    high: float | None


WINDOWS = {
    "ct": Window("ct", -1000.0, 1000.0),
    "mr": Window("mr", 0.0, 4000.0),
    "percentile": Window("percentile", None, None),
    "nonzero": Window("nonzero", None, None),
}


def parse_window(text: str) -> Window:
    """Reads the value of --window.

    Args:
      text: "ct" (-1000..1000 HU), "mr" (0..4000), "percentile" (0.5 to 99.5 % of each
        scan), "nonzero" (the same of its voxels that are not 0, as of a brain without
        skull) or two numbers "low,high".

    Returns:
      The window.

    Raises:
      InputError: If it is none of these or the range is empty.
    """
    if text in WINDOWS:
        return WINDOWS[text]
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = np.nan
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(
            f"--window is {', '.join(WINDOWS)} or two rising numbers low,high. "
            f"Received: --window={text}"
        )
    return Window(text, low, high)


def sample_voxels(array: np.ndarray) -> np.ndarray:
    """Takes every k-th voxel along each axis, for statistics of a whole scan.

    Args:
      array: `(x, y, z)`.

    Returns:
      A 3D view with about two million voxels at most.
    """
    step = max(1, int(np.ceil((array.size / _SAMPLE) ** (1 / 3))))
    return array[::step, ::step, ::step]


def intensity_range(array: np.ndarray, window: Window) -> tuple[float, float]:
    """The range that becomes [0, 1] in one scan.

    Args:
      array: `(x, y, z)`, the scan's own units.
      window: As from `parse_window`.

    Returns:
      Lowest and highest intensity, in the scan's units.

    Raises:
      InputError: If the scan's percentiles coincide, as in a constant image.
    """
    if window.low is not None and window.high is not None:
        return window.low, window.high
    voxels = sample_voxels(array)
    if window.name == "nonzero":
        voxels = voxels[voxels != 0] if voxels.any() else voxels
    low, high = np.percentile(voxels, _PERCENTILES).tolist()
    if low >= high:
        raise InputError(
            "a percentile window takes a scan of more than one intensity. "
            f"Received: {low:g} to {high:g}"
        )
    return low, high


def scale_to_unit(array: np.ndarray, low: float, high: float) -> np.ndarray:
    """Clips to a range and scales it to [0, 1].

    Args:
      array: Any shape and number type.
      low: What becomes 0.
      high: What becomes 1.

    Returns:
      A new float32 array of the same shape in [0, 1].
    """
    scaled = (array.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.clip(scaled, 0.0, 1.0, out=scaled)
