"""Drawing cubes, or axial slices, from one scan."""

import math
from dataclasses import dataclass

import numpy as np

from models_genesis_tf.config import CubeConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import acceptance, windows
from models_genesis_tf.imaging.cube_files import stable_hash
from models_genesis_tf.imaging.interpolation import resize_smoothly
from models_genesis_tf.imaging.volumes import Volume

TRIES_PER_CUBE = 50  # the released code gives up after 50 draws per cube wanted
_STREAM = 5


@dataclass(frozen=True)
class Sample:
    """The cubes of one scan and where they come from.

    Attributes:
      cubes: float32 `(n, x, y, z)` in [0, 1]; a slice is a cube with z = 1.
      starts: int `(n, 3)`, place of each cube's first voxel in the scan's LPS grid (the
        resampled one, if resampled); negative where it was padded.
      tissue: float `(n,)`, share of tissue in each, in [0, 1].
      spacing: Of the cubes' voxels, mm.
      rule: Name of the rule of acceptance.
      window: Name of the intensity window.
      notice: What the user should know about this scan, or "".
    """

    cubes: np.ndarray
    starts: np.ndarray
    tissue: np.ndarray
    spacing: tuple[float, float, float]
    rule: str
    window: str
    notice: str


def sample_rng(seed: int, source: str) -> np.random.Generator:
    """The generator of one scan's positions; it depends on no other scan.

    Args:
      seed: Of the extraction.
      source: The scan's name.

    Returns:
      A new generator.
    """
    return np.random.default_rng([seed, _STREAM, stable_hash(source)])


def sample_cubes(
    volume: Volume, config: CubeConfig, source: str, luna16: bool = False
) -> Sample:
    """Draws cubes or slices from a scan; only what is cropped is windowed.

    Args:
      volume: The scan, already resampled where that is wanted.
      config: What to cut.
      source: The scan's name, from which its random draws follow.
      luna16: Whether it lies in LUNA16's layout.

    Returns:
      Up to `cubes_per_volume` cubes, at different places.

    Raises:
      InputError: If not one window was found.
    """
    array = volume.array
    rule = acceptance.make_rule(array, config, luna16)
    window = choose_window(array, config, rule)
    low, high = windows.intensity_range(array, window)
    # Beyond the scan there is no tissue, wherever the window begins.
    starts, tissue = draw_starts(
        array, rule, config, sample_rng(config.seed, source), -math.inf
    )
    if not starts:
        raise InputError(
            f"no window was accepted in {TRIES_PER_CUBE * config.cubes_per_volume} "
            f"draws. Received: acceptance={rule.name}, min_tissue={rule.min_tissue:g}"
        )
    size = config.cube_size
    steps = zip(volume.spacing, rule.size, size, strict=True)
    return Sample(
        np.stack([cut(array, rule, start, size, (low, high)) for start in starts]),
        np.array(starts),
        np.array(tissue),
        tuple(step * (side / new) for step, side, new in steps),
        rule.name,
        window.name,
        rule.notice,
    )


def choose_window(
    array: np.ndarray, config: CubeConfig, rule: acceptance.Rule
) -> windows.Window:
    """The window of one scan: "auto" is ct for CT, else percentile.

    Args:
      array: `(x, y, z)` in the scan's units.
      config: `window` is used.
      rule: The scan's rule of acceptance.

    Returns:
      The window.
    """
    if config.window != "auto":
        return windows.parse_window(config.window)
    hounsfield = rule.name.startswith("chest") or acceptance.is_ct(array)
    return windows.WINDOWS["ct" if hounsfield else "percentile"]


def cut(
    array: np.ndarray,
    rule: acceptance.Rule,
    start: tuple[int, int, int],
    size: tuple[int, int, int],
    bounds: tuple[float, float],
) -> np.ndarray:
    """Cuts a cube, or a slice that is resized, and windows it.

    Args:
      array: `(x, y, z)` in the scan's units.
      rule: The scan's rule of acceptance.
      start: First voxel x, y, z; beyond the scan there is the lower bound.
      size: Sides x, y, z of the result.
      bounds: What becomes 0 and what becomes 1, in the scan's units.

    Returns:
      float32 `(x, y, z)` in [0, 1].
    """
    window = crop(array, start, rule.size, bounds[0])
    if window.shape != tuple(size):
        window = resize_smoothly(window, size, np.divide(rule.size, size))
    return windows.scale_to_unit(window, *bounds)


def looked_at_size(rule: acceptance.Rule) -> tuple[int, int, int]:
    """Sides of the window that a rule judges: chest_ct looks one slice ahead.

    Args:
      rule: The scan's rule of acceptance.

    Returns:
      Sides x, y, z in voxels.
    """
    size_x, size_y, depth = rule.size
    return size_x, size_y, depth + (rule.name == "chest_ct")


def draw_start(rule: acceptance.Rule, rng: np.random.Generator) -> tuple[int, int, int]:
    """Draws where a window starts, uniformly over the places of a rule.

    Args:
      rule: The scan's rule of acceptance.
      rng: Generator to draw from.

    Returns:
      Its first voxel x, y, z.
    """
    x, y, z = (
        int(rng.integers(low, high + 1))
        for low, high in zip(rule.first, rule.last, strict=True)
    )
    return x, y, z


def draw_starts(
    array: np.ndarray,
    rule: acceptance.Rule,
    config: CubeConfig,
    rng: np.random.Generator,
    fill: float,
) -> tuple[list[tuple[int, int, int]], list[float]]:
    """Draws places of windows until enough are accepted or too many were tried.

    Args:
      array: `(x, y, z)` in the scan's units.
      rule: The scan's rule of acceptance.
      config: `cubes_per_volume` is used.
      rng: Generator to draw from.
      fill: Intensity of voxels beyond the scan.

    Returns:
      The accepted places, each once, and the share of tissue in each window.
    """
    depth = rule.size[2]
    looked_at = looked_at_size(rule)
    num_places = np.prod(np.subtract(rule.last, rule.first) + 1)
    starts: dict[tuple[int, int, int], float] = {}
    tried = set()
    for _ in range(TRIES_PER_CUBE * config.cubes_per_volume):
        if len(starts) == config.cubes_per_volume or len(tried) == num_places:
            break
        start = draw_start(rule, rng)
        if start in tried:
            continue
        tried.add(start)
        window = crop(array, start, looked_at, fill)
        if acceptance.accepts(rule, window, depth):
            starts[start] = acceptance.tissue_fraction(rule, window[:, :, :depth])
    return list(starts), list(starts.values())


def crop(
    array: np.ndarray,
    start: tuple[int, int, int],
    size: tuple[int, int, int],
    fill: float,
) -> np.ndarray:
    """Cuts a box that may reach beyond the scan.

    Args:
      array: `(x, y, z)`.
      start: Its first voxel, which may be negative.
      size: Its sides.
      fill: Value of voxels beyond the scan; in an array of integers the one below.

    Returns:
      A view where the box lies inside, else a new array of the scan's type.
    """
    inside = tuple(
        slice(max(0, low), min(low + length, side))
        for low, length, side in zip(start, size, array.shape, strict=True)
    )
    found = array[inside]
    if found.shape == tuple(size):
        return found
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        fill = math.floor(min(max(fill, limits.min), limits.max))
    before = [max(0, -low) for low in start]
    after = [
        length - lead - side
        for length, lead, side in zip(size, before, found.shape, strict=True)
    ]
    return np.pad(found, list(zip(before, after, strict=True)), constant_values=fill)
