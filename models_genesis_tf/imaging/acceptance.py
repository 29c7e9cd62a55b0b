"""Which windows of a scan become cubes, and which of its slices are taken.

`chest_ct` is the rule of the released code, exactly (paper_facts 1.3): a window of a
chest CT is taken unless it holds too much tissue. A whole slice always holds the body's
wall, so that the rule of slices of a chest, `chest_slices`, asks for lung instead; no
rule of theirs is published. `foreground` serves every other scan.
A rule is four things: how large windows are, where they may start, which of them are
taken, and the share of tissue that is written beside each cube.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from models_genesis_tf.config import CubeConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import windows

TISSUE_HU = -150.0
OFFICIAL_IN_PLANE = 512
OFFICIAL_BORDERS = (100, 100, 30)
LOOK_AHEAD = 3
MAX_TISSUE_SCORE = 0.15
MIN_FOREGROUND = 0.2
MIN_LUNG = 0.2
_LUNG_HU = (-950.0, -500.0)
_AIR_HU = -200.0


@dataclass(frozen=True)
class Rule:
    """How windows of one scan are chosen.

    Attributes:
      name: "chest_ct", "chest_slices", "foreground" or "none".
      size: Sides x, y, z of a window in voxels of the scan; of a slice, the scan's own
        in plane, and 1.
      first: Lowest place x, y, z where a window starts, in voxels; negative where the
        scan is padded.
      last: Highest place, itself allowed.
      threshold: Intensity from which a voxel is tissue, in the scan's units.
      min_tissue: Smallest share of tissue in a window that is taken, in [0, 1].
      notice: What the user should know about this scan, or "".
    """

    name: str
    size: tuple[int, int, int]
    first: tuple[int, int, int]
    last: tuple[int, int, int]
    threshold: float
    min_tissue: float
    notice: str = ""


def make_rule(array: np.ndarray, config: CubeConfig, luna16: bool = False) -> Rule:
    """Fits a rule to a scan.

    Args:
      array: `(x, y, z)`, in HU where it is a CT.
      config: `acceptance`, `cube_size`, `min_tissue` and `max_padding` are used.
      luna16: Whether the scan lies in LUNA16's layout, where "auto" is chest_ct. For
        a picture, a scan of one slice, "auto" is none.

    Returns:
      The rule.

    Raises:
      InputError: If no window can start anywhere in this scan.
    """
    name = config.acceptance
    if name == "auto":
        name = _choose_name(array, config, luna16)
    if name == "chest_ct" and not config.takes_slices:
        return _chest_rule(array, config)
    size = config.cube_size
    if config.takes_slices:
        size = (*array.shape[:2], 1)
    first, last = _anywhere(array.shape, size, config.max_padding)
    if name == "chest_ct":
        least = config.min_tissue or 0.0
        return Rule("chest_slices", size, first, last, TISSUE_HU, least)
    least = MIN_FOREGROUND if config.min_tissue is None else config.min_tissue
    least = least if name == "foreground" else 0.0
    threshold = _otsu_threshold(windows.sample_voxels(array))
    return Rule(name, size, first, last, threshold, least)


def is_ct(array: np.ndarray) -> bool:
    """Says whether intensities look like HU: air is far below zero.

    Args:
      array: `(x, y, z)`.

    Returns:
      True if at least one voxel in a thousand lies below -200.
    """
    return float(np.mean(windows.sample_voxels(array) < _AIR_HU)) >= 0.001


def accepts(rule: Rule, window: np.ndarray, depth: int) -> bool:
    """Says whether a window becomes a cube.

    Args:
      rule: As from `make_rule`.
      window: `(x, y, depth)` in the scan's units; chest_ct needs at least one more
        slice, since it looks ahead.
      depth: The cube's side along z.

    Returns:
      True if it is taken.
    """
    if rule.name == "none":
        return True
    if rule.name == "chest_slices" and lung_fraction(window) < MIN_LUNG:
        return False
    if rule.name == "chest_ct":
        score = chest_score(window >= rule.threshold, depth)
        if score > MAX_TISSUE_SCORE * window[:, :, :depth].size:
            return False
    return tissue_fraction(rule, window[:, :, :depth]) >= rule.min_tissue


def chest_score(tissue: np.ndarray, depth: int) -> float:
    """The official score of a window: how much tissue it holds.

    A voxel counts 1 if it is tissue and 1/2 if only the voxel above it is. The
    released code looks two slices further too, which changes nothing: what it finds
    there scores 0 like nothing (paper_facts 1.3, step 6).

    Args:
      tissue: `(x, y, depth + 1 or more)`, True for tissue.
      depth: Number of slices scored.

    Returns:
      The sum over the first `depth` slices, in voxels.
    """
    here, above = tissue[:, :, :depth], tissue[:, :, 1 : depth + 1]
    alone = np.count_nonzero(here)
    return alone + 0.5 * (np.count_nonzero(here | above) - alone)


def tissue_fraction(rule: Rule, cube: np.ndarray) -> float:
    """Share of a cube's voxels at or above the rule's threshold.

    Args:
      rule: As from `make_rule`.
      cube: Any shape, in the scan's units.

    Returns:
      A number in [0, 1].
    """
    return np.count_nonzero(cube >= rule.threshold) / cube.size


def lung_fraction(array: np.ndarray) -> float:
    """Share of lung in the middle half in plane of a CT.

    Tables and mattresses, of the same density, do not reach there.

    Args:
      array: `(x, y, z)` in HU, of a whole scan or slice.

    Returns:
      A number in [0, 1].
    """
    middle = tuple(slice(side // 4, side - side // 4) for side in array.shape[:2])
    sample = windows.sample_voxels(array[middle])
    low, high = _LUNG_HU
    return float(np.mean((sample > low) & (sample < high)))


def _choose_name(array: np.ndarray, config: CubeConfig, luna16: bool) -> str:
    """The rule of one scan under "auto"."""
    if config.takes_slices and array.shape[2] == 1:
        return "none"
    chest = is_ct(array) and lung_fraction(array) >= MIN_LUNG
    chest = chest and _has_room(array, config)
    return "chest_ct" if luna16 or chest else "foreground"


def _has_room(array: np.ndarray, config: CubeConfig) -> bool:
    """Says whether a scan is large enough for the rule of a chest."""
    if config.takes_slices:
        return True
    try:
        _chest_rule(array, config)
    except InputError:
        return False
    return True


def _chest_rule(array: np.ndarray, config: CubeConfig) -> Rule:
    shrink = min(1.0, min(array.shape[:2]) / OFFICIAL_IN_PLANE)
    borders = [round(border * shrink) for border in OFFICIAL_BORDERS]
    ahead = (0, 0, LOOK_AHEAD)
    last = tuple(
        side - cube - extra - 1 - border
        for side, cube, extra, border in zip(
            array.shape, config.cube_size, ahead, borders, strict=True
        )
    )
    for axis, side, cube, border, high in zip(
        "xyz", array.shape, config.cube_size, borders, last, strict=True
    ):
        if high < border:
            raise InputError(
                f"chest_ct leaves borders of {border} voxels along {axis}; with them a "
                f"cube of {cube} takes a scan of {side + border - high} or more. "
                f"Received: {side}"
            )
    notice = ""
    if shrink < 1.0:
        notice = (
            f"smaller than {OFFICIAL_IN_PLANE} voxels in plane: the borders of "
            f"chest_ct shrink to {borders[0]} and {borders[2]} voxels"
        )
    least = config.min_tissue or 0.0
    size = config.cube_size
    return Rule("chest_ct", size, tuple(borders), last, TISSUE_HU, least, notice)


def _anywhere(
    shape: tuple[int, ...], size: tuple[int, int, int], max_padding: float
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """First and last starts without borders; a short side is padded evenly."""
    first, last = [], []
    for axis, side, cube in zip("xyz", shape, size, strict=True):
        if cube > max_padding * side:
            raise InputError(
                f"a scan is padded up to {max_padding:g} times its size; it "
                f"has {side} voxels along {axis}. Received: a cube's side of {cube}"
            )
        room = side - cube
        first.append(min(0, -(-room // 2)))
        last.append(max(room, first[-1]))
    return tuple(first), tuple(last)


def _otsu_threshold(sample: np.ndarray) -> float:
    """Otsu's threshold within the 0.5 and 99.5 percentiles: no outlier rules it.

    Infinite where there is one intensity only, of which nothing stands out.
    """
    low, high = np.percentile(sample, (0.5, 99.5))
    if low == high:
        return np.inf
    image = sitk.GetImageFromArray(np.clip(sample, low, high).astype(np.float32))
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.SetNumberOfHistogramBins(256)
    otsu.Execute(image)
    return float(otsu.GetThreshold())
