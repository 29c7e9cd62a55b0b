"""Scans with their geometry: files become (x, y, z) arrays in LPS order, and back.

This is the one place that turns SimpleITK's (z, y, x) arrays round and that reorients
scans: x runs to the patient's left, y to the back (posterior), z to the head.
Arrays are views of what SimpleITK read; nothing is copied.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import completeness, dicom
from models_genesis_tf.imaging.folders import is_chosen, walk

_READERS = {
    ".nii.gz": "NiftiImageIO",
    ".nii": "NiftiImageIO",
    ".mhd": "MetaImageIO",
    ".mha": "MetaImageIO",
    ".nrrd": "NrrdImageIO",
}
SUFFIXES = tuple(_READERS)
FORMATS = ", ".join(SUFFIXES) + " or a folder that holds a DICOM series"

sitk.ProcessObject.SetGlobalWarningDisplay(False)


@dataclass(frozen=True)
class OwnGrid:
    """The grid that a scan was stored on, to write results back onto it.

    Attributes:
      axes: The stored axis that each of x, y and z comes from.
      flipped: Whether x, y and z run against it.
      spacing: Of the stored axes, mm.
      origin: World position (LPS) of the stored first voxel, mm.
      direction: Direction cosines of the stored axes, row by row.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]


@dataclass(frozen=True)
class Volume:
    """A scan in LPS order.

    Attributes:
      array: `(x, y, z)` in the stored type and units (HU for CT).
      spacing: Distance of voxels along x, y and z, mm.
      origin: World position (LPS) of voxel (0, 0, 0), mm.
      direction: Direction cosines of x, y and z as columns, row by row.
      own_grid: The grid of the file it came from.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    own_grid: OwnGrid


def list_scans(
    folder: str | Path, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[Path]:
    """Finds the scans below a folder.

    Args:
      folder: Where to look, at any depth.
      include: Globs on files (or DICOM folders), see `folders.is_chosen`; empty takes
        all. Names that start with a dot are left out whatever it says.
      exclude: Globs on what is left out.

    Returns:
      Files of the known formats and folders that hold DICOM files, sorted by path.

    Raises:
      InputError: If the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"--data_dir is an existing folder. Received: {folder}")
    found = []
    for parent, names in walk(folder):
        found += [parent / name for name in names if name.lower().endswith(SUFFIXES)]
        if dicom.is_dicom_folder(parent):
            found.append(parent)
    return sorted(path for path in found if is_chosen(path, folder, include, exclude))


def scan_name(path: str | Path) -> str:
    """The name of a scan: that of its file or folder without a known suffix.

    Args:
      path: File or folder.

    Returns:
      For example "LIDC-IDRI-0001" for "scans/LIDC-IDRI-0001.nii.gz".
    """
    name = Path(path).name
    return name[: len(name) - len(_suffix(name))]


def read_volume(path: str | Path) -> Volume:
    """Reads a scan and checks that all of it is there.

    Args:
      path: File of a known format, or folder of one DICOM series.

    Returns:
      The scan in LPS order; its array is a read-only view.

    Raises:
      InputError: If the file is absent, damaged or cut short, is not a 3D image of
        one value per voxel, or holds NaN or infinite values.
    """
    path = Path(path)
    image = _squeeze_time(_read_image(path))
    kind = image.GetPixelIDTypeAsString()
    if image.GetNumberOfComponentsPerPixel() != 1 or "complex" in kind:
        raise InputError(
            f"a scan has one real value per voxel. Received: {path} with "
            f"{image.GetNumberOfComponentsPerPixel()} ({kind})"
        )
    if image.GetDimension() != 3 or min(image.GetSize()) < 2:
        size = "x".join(str(side) for side in image.GetSize())
        raise InputError(f"a scan is a 3D image. Received: {path} of {size} voxels")
    geometry = image.GetDirection() + image.GetOrigin() + image.GetSpacing()
    if not np.isfinite(geometry).all() or min(image.GetSpacing()) <= 0:
        raise InputError(
            "a scan has a finite geometry with positive spacing. Received: "
            f"{path} with spacing {image.GetSpacing()}, origin {image.GetOrigin()}"
        )
    volume = _to_lps(image)
    _check_finite(volume.array, path)
    return volume


def new_volume(
    array: np.ndarray,
    spacing: Sequence[float],
    origin: Sequence[float] = (0.0, 0.0, 0.0),
) -> Volume:
    """Makes a scan of an array whose axes run along the world's.

    Args:
      array: `(x, y, z)` in LPS order.
      spacing: Of x, y and z, mm.
      origin: World position (LPS) of voxel (0, 0, 0), mm.

    Returns:
      The scan; its own grid is this one.
    """
    spacing = tuple(float(step) for step in spacing)
    origin = tuple(float(place) for place in origin)
    identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    grid = OwnGrid((0, 1, 2), (False,) * 3, spacing, origin, identity)
    return Volume(array, spacing, origin, identity, grid)


def as_stored(array: np.ndarray, grid: OwnGrid) -> np.ndarray:
    """Turns an array from LPS order to the order of the file it came from.

    Args:
      array: `(x, y, z)` in LPS order.
      grid: Of the file.

    Returns:
      A view along the stored axes.
    """
    return _flip(array, grid.flipped).transpose(np.argsort(grid.axes))


def as_lps(stored: np.ndarray, grid: OwnGrid) -> np.ndarray:
    """Turns an array from the order of a file to LPS order.

    Args:
      stored: Along the stored axes.
      grid: Of the file.

    Returns:
      A view `(x, y, z)` in LPS order.
    """
    return _flip(stored.transpose(grid.axes), grid.flipped)


def world_to_voxel(
    point: Sequence[float],
    origin: Sequence[float],
    direction: Sequence[float],
    spacing: Sequence[float],
) -> np.ndarray:
    """Finds where a place of the world lies in a scan.

    Args:
      point: World position (LPS), mm.
      origin: Of the scan, as in `Volume`, and so are the others.
      direction: Direction cosines.
      spacing: Distance of voxels, mm.

    Returns:
      float64 `(3,)`: the place in voxels along x, y and z, where the centre of the
      first voxel is 0; outside of the scan it is below -0.5 or above its sides - 0.5.
    """
    shift = np.subtract(point, origin)
    return np.linalg.solve(np.reshape(direction, (3, 3)), shift) / spacing


def write_volume(path: str | Path, array: np.ndarray, like: Volume) -> None:
    """Writes a mask or volume on the grid that a scan was stored on.

    Args:
      path: File to write, in a known format; its folder is created. Only `.nii` and
        `.mhd` are not compressed.
      array: `(x, y, z)` of the shape of `like.array`; booleans become 0 and 1.
      like: The scan that it belongs to, as read by `read_volume`.

    Raises:
      InputError: If the shapes differ, the format is unknown or the file cannot be
        written.
    """
    path = Path(path)
    if array.shape != like.array.shape:
        raise InputError(
            f"a mask has its scan's shape {like.array.shape}. Received: {array.shape}"
        )
    if not path.name.endswith(SUFFIXES):  # SimpleITK renames "X.MHA" to "X.mhd"
        known = ", ".join(SUFFIXES)
        raise InputError(f"volumes are written as {known}. Received: {path}")
    grid = like.own_grid
    if array.dtype == bool:
        array = array.astype(np.uint8)
    array = as_stored(array, grid)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A header names its data file, so both get their last names in a folder beside.
    beside = Path(tempfile.mkdtemp(prefix=".", dir=path.parent))
    try:
        compressed = path.suffix not in (".nii", ".mhd")  # .mhd + .raw, as in LUNA16
        sitk.WriteImage(image, str(beside / path.name), compressed)
        parts = sorted(beside.iterdir(), key=lambda part: part.name == path.name)
        for part in parts:
            os.replace(part, path.parent / part.name)
    except RuntimeError as error:
        raise InputError(f"SimpleITK cannot write {path}: {_reason(error)}") from error
    finally:
        shutil.rmtree(beside)


def _suffix(name: str) -> str:
    """The known suffix that a name ends with, in lower case, or nothing."""
    return next((end for end in SUFFIXES if name.lower().endswith(end)), "")


def _read_image(path: Path) -> sitk.Image:
    if not path.exists():
        raise InputError(f"a scan has to exist. Received: {path}")
    try:
        if path.is_dir():
            return dicom.read_series(path)
        suffix = _suffix(path.name)
        if not suffix:
            raise InputError(f"a scan is {FORMATS}. Received: {path}")
        completeness.check_complete(path)
        # Left to choose a reader, SimpleITK does not take ".MHD" for MetaImage.
        image = sitk.ReadImage(str(path), imageIO=_READERS[suffix])
        completeness.check_faithful(path, sitk.GetArrayViewFromImage(image))
        return image
    except RuntimeError as error:
        raise InputError(f"SimpleITK cannot read {path}: {_reason(error)}") from error


def _reason(error: RuntimeError) -> str:
    """The last line of SimpleITK's report, which is the one that tells."""
    return str(error).strip().splitlines()[-1]


def _squeeze_time(image: sitk.Image) -> sitk.Image:
    """Drops a fourth axis of length one, which some converters write."""
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        return image[:, :, :, 0]
    return image


class _Voxels:
    """An image's memory for NumPy: SimpleITK's own view outlives its image."""

    def __init__(self, image: sitk.Image):
        self._image = image
        self.__array_interface__ = sitk.GetArrayViewFromImage(image).__array_interface__


def _to_lps(image: sitk.Image) -> Volume:
    spacing = np.array(image.GetSpacing())
    direction = np.array(image.GetDirection()).reshape(3, 3)
    axes = _axes_nearest_to_world(direction)
    flipped = tuple(bool(direction[world, axes[world]] < 0) for world in range(3))
    stored = np.asarray(_Voxels(image)).T  # (z, y, x) turned round
    array = _flip(stored.transpose(axes), flipped)
    origin = np.array(image.GetOrigin())
    for axis, backwards in zip(axes, flipped, strict=True):
        if backwards:
            step = direction[:, axis] * spacing[axis]
            origin = origin + step * (stored.shape[axis] - 1)
    signs = np.where(flipped, -1.0, 1.0)
    return Volume(
        array,
        tuple(spacing[list(axes)].tolist()),
        tuple(origin.tolist()),
        tuple((direction[:, list(axes)] * signs).ravel().tolist()),
        OwnGrid(
            axes,
            flipped,
            image.GetSpacing(),
            image.GetOrigin(),
            image.GetDirection(),
        ),
    )


def _axes_nearest_to_world(direction: np.ndarray) -> tuple[int, int, int]:
    """The stored axis nearest to each world axis, the clearest cases first."""
    weight = np.abs(direction)
    chosen = {}
    for _ in range(3):
        world, axis = np.unravel_index(np.argmax(weight), (3, 3))
        chosen[int(world)] = int(axis)
        weight[world, :] = -1
        weight[:, axis] = -1
    return chosen[0], chosen[1], chosen[2]


def _flip(array: np.ndarray, flipped: tuple[bool, ...]) -> np.ndarray:
    return array[tuple(slice(None, None, -1 if back else 1) for back in flipped)]


def _check_finite(array: np.ndarray, path: Path) -> None:
    """Sums first: a sum is finite only if all values are, and takes no memory."""
    if array.dtype.kind != "f":
        return
    with np.errstate(invalid="ignore", over="ignore"):
        total = array.sum(dtype=np.float64)
    if np.isfinite(total):
        return
    planes = np.moveaxis(array, -1, 0)
    count = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in planes)
    completeness.check_finite(path, count)
