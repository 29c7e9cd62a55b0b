"""The arrays that a case becomes: read, windowed, resampled or cut.

- Most cases are whole images, resampled if a spacing is asked for.
- A segmentation around a place is the patch around it.
- A classification of places in a scan keeps the scan as it is, in float16 (half a HU at
  most in a window of 2000), once for all of its places: patches around all candidates
  of LUNA16 would be 400 GB.
- Pictures are kept in float16 too (a step of 8 bits is eight of its own near 1): the
  112,120 of ChestX-ray14 at 224x224 are 11 GB.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError, listed
from models_genesis_tf.imaging.images import is_image2d, read_image2d
from models_genesis_tf.imaging.patches import box_around, sample_around
from models_genesis_tf.imaging.resampling import resample_volume
from models_genesis_tf.imaging.volumes import (
    Volume,
    new_volume,
    read_volume,
    world_to_voxel,
)
from models_genesis_tf.imaging.windows import (
    Window,
    intensity_range,
    parse_window,
    scale_to_unit,
)
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.label_maps import (
    LabelValues,
    check_same_grid,
    read_label,
    to_classes,
)


@dataclass(frozen=True)
class Preparation:
    """How images and label maps become arrays.

    Attributes:
      window: As `imaging.windows.parse_window` reads it.
      spacing: Spacing x, y, z in mm to resample to, or None to keep each image's own.
      in_plane_size: Voxels along x and along y that slices are resized to where no
        spacing is asked for, or None.
      patch_size: Sides x, y, z of the patch around a place, in voxels; None where all
        cases are whole images.
      label_values: The label map's values that become classes 0, 1, ..., background
        first; None for classification.
    """

    window: str = "percentile"
    spacing: tuple[float, float, float] | None = None
    in_plane_size: int | None = None
    patch_size: tuple[int, int, int] | None = None
    label_values: LabelValues | None = None


@dataclass(frozen=True)
class CaseArrays:
    """What a case becomes.

    Attributes:
      image: Floating point `(x, y, z, channel)` in [0, 1]; z is 1 of a picture.
      label: uint8 `(x, y, z)`, the class of each voxel; None for classification.
      spacing: Of both along x, y and z, mm.
      window_ranges: What became 0 and 1 of each channel.
      source: The first channel as it was read.
    """

    image: np.ndarray
    label: np.ndarray | None
    spacing: tuple[float, float, float]
    window_ranges: list[tuple[float, float]]
    source: Volume


def is_patch(case: Case) -> bool:
    """Says whether a case becomes the patch around a place.

    Args:
      case: The case.

    Returns:
      True for a place that is segmented.
    """
    return case.centre is not None and not case.is_classified


def is_place(case: Case) -> bool:
    """Says whether a case is a place in a scan that others share.

    Args:
      case: The case.

    Returns:
      True for a place that is classified.
    """
    return case.centre is not None and case.is_classified


def make_arrays(
    case: Case, preparation: Preparation, fingerprints: Sequence[str]
) -> CaseArrays:
    """Reads a case and makes its arrays.

    Args:
      case: The case.
      preparation: The settings.
      fingerprints: Of its images: the last scan is kept for the places that follow.

    Returns:
      The arrays.

    Raises:
      InputError: If a file cannot be read, channels or label map do not lie on the
        image's grid, the place is outside, or the label map holds a value that is no
        class.
    """
    read = _read_again if is_patch(case) else _read_channels
    volumes = read(case.images, tuple(fingerprints))
    view = _view_of(case, preparation, volumes[0])
    window = parse_window(preparation.window)
    for path, volume in zip(case.images, volumes, strict=True):
        _check_units(path, volume.array, window)
    ranges = [intensity_range(volume.array, window) for volume in volumes]
    channels = [
        scale_to_unit(volume.array[view.box], *limits)
        for volume, limits in zip(volumes, ranges, strict=True)
    ]
    is_flat = volumes[0].array.shape[2] == 1
    kind = np.float16 if is_place(case) or is_flat else np.float32
    image = np.stack([view.apply(one, 1) for one in channels], -1, dtype=kind)
    label = None
    if not case.is_classified:
        values = read_label(case, volumes[0])[view.box]
        classes = to_classes(values, preparation.label_values)
        label = view.apply(classes, 0).astype(np.uint8)
    return CaseArrays(image, label, view.spacing, ranges, volumes[0])


def target_spacing(
    preparation: Preparation, source: Volume
) -> tuple[float, float, float]:
    """The spacing that a whole scan is resampled to.

    Args:
      preparation: The settings.
      source: The scan.

    Returns:
      Distance of voxels along x, y and z, mm; the scan's own if no other is asked for.
    """
    if preparation.spacing or not preparation.in_plane_size:
        return preparation.spacing or source.spacing
    x, y, z = source.spacing
    sides, wanted = source.array.shape, preparation.in_plane_size
    return x * sides[0] / wanted, y * sides[1] / wanted, z


def voxel_of(
    place: Sequence[float],
    origin: Sequence[float],
    direction: Sequence[float],
    spacing: Sequence[float],
    shape: Sequence[int],
) -> np.ndarray:
    """Finds a place in its scan; coordinates of another scan show here.

    Args:
      place: World position (LPS), mm.
      origin: Of the scan, as in `Volume`, and so are the others.
      direction: Direction cosines.
      spacing: Distance of voxels, mm.
      shape: Sides in voxels.

    Returns:
      float64 `(3,)`: where it is, in voxels.

    Raises:
      InputError: If it lies outside.
    """
    voxel = world_to_voxel(place, origin, direction, spacing)
    if not ((voxel >= -0.5) & (voxel <= np.array(shape) - 0.5)).all():
        sides = "x".join(map(str, shape))
        raise InputError(
            f"a place lies inside its scan of {sides} voxels. "
            f"Received: {listed(place)} mm, which is voxel {listed(voxel)}"
        )
    return voxel


def _check_units(path: Path, array: np.ndarray, window: Window) -> None:
    """Refuses images that a window meant for others would make black or white.

    CT of which all is 0 to 1 HU was scaled to that range by someone before.
    """
    if is_image2d(path) and (window.low, window.high) == (0, 255) and array.max() > 255:
        raise InputError(
            "--window=0,255 is that of images of 8 bits, and others take "
            f"--window=percentile. Received: {path} with values up to {array.max():g}"
        )
    if window.name != "ct" or path.suffix != ".npy":
        return
    if array.min() >= 0 and array.max() <= 1:
        raise InputError(
            "under --window=ct a patch is in HU, and one in [0, 1] takes "
            f"--window=0,1. Received: {path} with values up to {array.max():g}"
        )


def _read_channels(
    images: tuple[Path, ...], fingerprints: tuple[str, ...]
) -> list[Volume]:
    del fingerprints  # a key of `_read_again`
    volumes = [read_image(path) for path in images]
    for path, volume in zip(images[1:], volumes[1:], strict=True):
        check_same_grid("a channel", path, volume, volumes[0])
    return volumes


# The places of one scan follow one another.
_read_again = functools.lru_cache(maxsize=1)(_read_channels)


def read_image(path: Path) -> Volume:
    """Reads an image of a case.

    Args:
      path: What `imaging.volumes.read_volume` or `imaging.images.read_image2d` reads,
        or a `.npy` file of a patch.

    Returns:
      The image; that of a `.npy` file has voxels of 1 mm.

    Raises:
      InputError: If it cannot be read.
    """
    if is_image2d(path):
        return read_image2d(path)
    if path.suffix != ".npy":
        return read_volume(path)
    try:
        array = np.load(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"a patch is a whole .npy file. Received: {path} ({error})"
        ) from error
    if array.ndim != 3 or not np.isfinite(array).all():
        raise InputError(
            "a patch is an array of three axes and finite values. "
            f"Received: {path} of shape {array.shape}"
        )
    return new_volume(array, (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class _View:
    """What is kept of arrays on the source's grid: a box of it, resampled or not.

    Attributes:
      source: The scan.
      box: The part that is needed.
      spacing: Of what is kept, mm.
      patch_size: Sides of the patch around the centre; None without one.
      centre: In voxels of the box.
    """

    source: Volume
    box: tuple[slice, ...]
    spacing: tuple[float, float, float]
    patch_size: tuple[int, ...] | None = None
    centre: np.ndarray | None = None

    def apply(self, array: np.ndarray, order: int) -> np.ndarray:
        """Takes an array of the box to what is kept; order 1 linear, 0 nearest."""
        if self.centre is not None:
            scale = np.divide(self.spacing, self.source.spacing)
            return sample_around(array, self.centre, self.patch_size, scale, order)
        if self.spacing == self.source.spacing:
            return array
        volume = dataclasses.replace(self.source, array=array)
        return resample_volume(volume, self.spacing, order).array


def _view_of(case: Case, preparation: Preparation, source: Volume) -> _View:
    whole = (slice(None),) * 3
    spacing = preparation.spacing or source.spacing
    if is_place(case):
        return _View(source, whole, source.spacing)
    if is_patch(case):
        size, shape = preparation.patch_size, source.array.shape
        geometry = (source.origin, source.direction, source.spacing)
        centre = voxel_of(case.centre, *geometry, shape)
        box = box_around(shape, centre, size, np.divide(spacing, source.spacing))
        return _View(source, box, spacing, size, centre - [edge.start for edge in box])
    return _View(source, whole, target_spacing(preparation, source))
