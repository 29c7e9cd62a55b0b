"""DICOM series: a folder of slices becomes one checked image.

SimpleITK stacks whatever it finds with one spacing; a missing slice only earns a
warning and bends the geometry. Here the slices' own positions are checked first.
"""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from models_genesis_tf.errors import InputError

_GAP_TOLERANCE = 0.02  # of the usual gap; positions are rounded to some 0.01 mm
_POSITION = "0020|0032"
_ORIENTATION = "0020|0037"


def is_dicom_folder(folder: Path) -> bool:
    """Says whether a folder itself (not those below it) holds DICOM files.

    Args:
      folder: An existing folder.

    Returns:
      True if one of its first files without the suffix of another format carries
      DICOM's mark.
    """
    names = sorted(path for path in folder.iterdir() if _may_be_dicom(path))
    return any(_has_mark(path) for path in names[:3])


def read_series(folder: Path) -> sitk.Image:
    """Reads the one series of a folder.

    Args:
      folder: Folder with one DICOM file per slice, or one file with all.

    Returns:
      The image, with SimpleITK's geometry (LPS world, mm).

    Raises:
      InputError: If there is no series or more than one, slices differ in
        orientation, or the gaps between them are not even.
    """
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise InputError(
            "a DICOM folder holds one series. "
            f"Received: {folder} with {len(series)} series"
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    if len(files) > 1:
        _check_slices(folder, files)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    return reader.Execute()


def _may_be_dicom(path: Path) -> bool:
    suffix = path.suffix.lower()
    return path.is_file() and (suffix in ("", ".dcm", ".ima") or suffix[1:].isdigit())


def _has_mark(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _check_slices(folder: Path, files: tuple[str, ...]) -> None:
    slices = [_slice_geometry(file) for file in files]
    orientation = slices[0][1]
    if any(not np.allclose(other, orientation, atol=1e-3) for _, other in slices):
        raise InputError(
            "the slices of a DICOM series have one orientation. "
            f"Received: {folder} with several"
        )
    normal = np.cross(orientation[:3], orientation[3:])
    heights = np.sort([position @ normal for position, _ in slices])
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    if usual <= 0 or np.abs(gaps - usual).max() > _GAP_TOLERANCE * usual:
        raise InputError(
            "the slices of a DICOM series lie at even gaps. "
            f"Received: {folder} with gaps of {gaps.min():.3f} to {gaps.max():.3f} mm"
        )


def _slice_geometry(file: str) -> tuple[np.ndarray, np.ndarray]:
    """Position (3 mm) and orientation (6 direction cosines) of one slice."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(file)
    reader.ReadImageInformation()
    values = []
    for key, count in ((_POSITION, 3), (_ORIENTATION, 6)):
        text = reader.GetMetaData(key) if reader.HasMetaDataKey(key) else ""
        numbers = np.array([float(part) for part in text.split("\\") if part.strip()])
        if numbers.size != count:
            raise InputError(
                "each slice of a DICOM series gives its position and orientation. "
                f"Received: {file} without"
            )
        values.append(numbers)
    return values[0], values[1]
