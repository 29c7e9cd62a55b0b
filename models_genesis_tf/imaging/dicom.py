"""DICOM series: a folder of slices becomes one checked image.

SimpleITK stacks whatever it finds with one spacing; a missing slice only earns a
warning and bends the geometry. Here the slices' own positions are checked first.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from models_genesis_tf.errors import InputError

# How far a slice may lie from its place in an even stack, as a share of the gap. One
# that is missing shifts others by a third at least, rounded positions by far less.
_PLACE_TOLERANCE = 0.1
_LARGEST_TILT = 0.02  # sideways shift per mm of height
_POSITION = "0020|0032"
_ORIENTATION = "0020|0037"


def is_dicom_folder(folder: Path) -> bool:
    """Says whether a folder itself (not those below it) holds DICOM files.

    Args:
      folder: An existing folder.

    Returns:
      True if a file without the suffix of another format carries DICOM's mark. Hidden
      files and the index DICOMDIR do not count.
    """
    return any(_may_be_dicom(path) and _has_mark(path) for path in folder.iterdir())


def read_series(folder: Path) -> sitk.Image:
    """Reads the one series of a folder.

    Args:
      folder: Folder with one DICOM file per slice, or one file with all.

    Returns:
      The image, with SimpleITK's geometry (LPS world, mm).

    Raises:
      InputError: If there is no series or more than one, slices differ in
        orientation, do not lie above one another, or the gaps between them are not
        even.
    """
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise InputError(
            "a DICOM folder holds one series. "
            f"Received: {folder} with {len(series)} series"
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(_stack(folder, files) if len(files) > 1 else files)
    return reader.Execute()


def _may_be_dicom(path: Path) -> bool:
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    suffix = path.suffix.lower()
    known = suffix in ("", ".dcm", ".dicom", ".ima") or suffix[1:].isdigit()
    return known and path.is_file()


def _has_mark(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _stack(folder: Path, files: Sequence[str]) -> list[str]:
    """Sorts slices by height, after checking that they form an even stack."""
    slices = [_slice_geometry(file) for file in files]
    orientation = slices[0][1]
    if any(not np.allclose(other, orientation, atol=1e-3) for _, other in slices):
        raise InputError(
            "the slices of a DICOM series have one orientation. "
            f"Received: {folder} with several"
        )
    normal = np.cross(orientation[:3], orientation[3:])
    positions = np.array([position for position, _ in slices])
    order = np.argsort(positions @ normal)
    heights = (positions @ normal)[order]
    even = np.linspace(heights[0], heights[-1], len(files))
    gap = even[1] - even[0]
    if gap <= 0 or np.abs(heights - even).max() > _PLACE_TOLERANCE * gap:
        gaps = np.diff(heights)
        raise InputError(
            "the slices of a DICOM series lie at even gaps. "
            f"Received: {folder} with gaps of {gaps.min():.3f} to {gaps.max():.3f} mm"
        )
    rise = heights[-1] - heights[0]
    shift = positions[order[-1]] - positions[order[0]] - rise * normal
    if np.linalg.norm(shift) > _LARGEST_TILT * rise:
        raise InputError(
            "the slices of a DICOM series lie straight above one another. Received: "
            f"{folder} with a shift of {np.linalg.norm(shift):.3f} mm over {rise:.3f}"
        )
    return [files[index] for index in order]


def _slice_geometry(file: str) -> tuple[np.ndarray, np.ndarray]:
    """Position (3 mm) and orientation (6 direction cosines) of one slice."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(file)
    reader.SetImageIO("GDCMImageIO")
    reader.ReadImageInformation()
    return _numbers(reader, _POSITION, 3), _numbers(reader, _ORIENTATION, 6)


def _numbers(reader: sitk.ImageFileReader, key: str, count: int) -> np.ndarray:
    text = reader.GetMetaData(key) if reader.HasMetaDataKey(key) else ""
    try:
        numbers = np.array([float(part) for part in text.split("\\")])
    except ValueError:
        numbers = np.array([])
    if numbers.size != count:
        raise InputError(
            "each slice of a DICOM series gives its position and orientation. "
            f"Received: {reader.GetFileName()} with {key} = '{text.strip()}'"
        )
    return numbers
