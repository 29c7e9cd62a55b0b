"""DICOM series: a folder of slices becomes one checked image.

SimpleITK stacks whatever it finds with one spacing; a missing slice only earns a
warning and bends the geometry. Here the slices' own positions are checked first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
_PIXEL_SPACING = "0028|0030"  # between rows, then between columns
_THICKNESS = "0018|0050"
_PATIENT = "0010|0020"
_SERIES_UID = "0020|000e"
_SLICE_UID = "0008|0018"
_LEAST_RISE = 0.1  # of a slice's normal along the world's z, where heights name slices


@dataclass(frozen=True)
class SliceHeader:
    """What the header of one slice says of its series.

    Attributes:
      series_uid: The series' UID.
      patient: PatientID, or "" where it is left empty.
      position: World position (LPS) of the first pixel, mm.
      orientation: Direction cosines of a row (along which the column rises), then of a
        column.
      pixel_spacing: Between columns and between rows, mm.
      thickness: Of a slice, mm; None where it is left empty.
    """

    series_uid: str
    patient: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, float]
    thickness: float | None

    def place(self, column: float, row: float, height: float) -> np.ndarray:
        """Finds the world position of a pixel of any slice of the series.

        Args:
          column: Of the slice as stored, from 0.
          row: The same.
          height: Third coordinate of the slice's position (LPS), mm.

        Returns:
          float64 `(3,)`: its centre (LPS), mm.

        Raises:
          InputError: If the slices stand upright, so that heights do not tell them
            apart.
        """
        along_row, along_column = np.reshape(self.orientation, (2, 3))
        normal = np.cross(along_row, along_column)
        if abs(normal[2]) < _LEAST_RISE:
            raise InputError(
                "slices that are told apart by their height are axial. Received: "
                f"series {self.series_uid} with orientation {self.orientation}"
            )
        rise = (height - self.position[2]) / normal[2] * normal
        within_row = column * self.pixel_spacing[0] * along_row
        return (
            self.position
            + rise
            + within_row
            + row * self.pixel_spacing[1] * along_column
        )


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
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(_series_files(folder))
    return reader.Execute()


def read_series_uid(folder: Path) -> str:
    """Reads which series a folder holds, from one header.

    Args:
      folder: Folder of a DICOM series of any modality.

    Returns:
      Its SeriesInstanceUID.

    Raises:
      InputError: If the folder holds no readable DICOM file.
    """
    return _text(_header(_first_file(folder)), _SERIES_UID)


def read_header(folder: Path) -> SliceHeader:
    """Reads what is common to the slices of a series, from one header.

    Args:
      folder: Folder of one DICOM series.

    Returns:
      The header of the file that is first by name.

    Raises:
      InputError: If the folder holds no readable DICOM file, or it does not give its
        position, orientation and pixel spacing.
    """
    header = _header(_first_file(folder))
    between_rows, between_columns = _numbers(header, _PIXEL_SPACING, 2).tolist()
    thickness = _text(header, _THICKNESS)
    return SliceHeader(
        _text(header, _SERIES_UID),
        _text(header, _PATIENT),
        tuple(_numbers(header, _POSITION, 3).tolist()),
        tuple(_numbers(header, _ORIENTATION, 6).tolist()),
        (between_columns, between_rows),
        float(_numbers(header, _THICKNESS, 1)[0]) if thickness else None,
    )


def read_slice_uids(folder: Path) -> tuple[str, ...]:
    """Reads which slices a series has, from all headers.

    Args:
      folder: Folder of one DICOM series.

    Returns:
      The SOPInstanceUID of each slice along the third axis of what `read_series`
      reads, which is the stored axis 2 of `volumes.OwnGrid`.

    Raises:
      InputError: As `read_series`.
    """
    return tuple(_text(_header(file), _SLICE_UID) for file in _series_files(folder))


def read_slice_gap(folder: Path) -> float:
    """Measures how far the slices of a series lie apart, from all headers.

    Args:
      folder: Folder of one DICOM series.

    Returns:
      The gap, mm.

    Raises:
      InputError: As `read_series`, or if there is one slice alone.
    """
    files = _series_files(folder)
    if len(files) < 2:
        raise InputError(f"a gap takes two slices. Received: {folder} with one file")
    first, last = (_slice_geometry(file)[0] for file in (files[0], files[-1]))
    return float(np.linalg.norm(last - first)) / (len(files) - 1)


def _first_file(folder: Path) -> str:
    for path in sorted(folder.iterdir()):
        if _may_be_dicom(path) and _has_mark(path):
            return str(path)
    raise InputError(f"a DICOM folder holds DICOM files. Received: {folder} with none")


def _series_files(folder: Path) -> list[str]:
    """The files of the one series of a folder, in the order of a checked stack."""
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise InputError(
            "a DICOM folder holds one series. "
            f"Received: {folder} with {len(series)} series"
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    return _stack(folder, files) if len(files) > 1 else list(files)


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
    header = _header(file)
    return _numbers(header, _POSITION, 3), _numbers(header, _ORIENTATION, 6)


def _header(file: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(file)
    reader.SetImageIO("GDCMImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(
            f"a DICOM file has a header that SimpleITK reads. Received: {file}"
        ) from error
    return reader


def _text(header: sitk.ImageFileReader, key: str) -> str:
    """A header's value without the padding to an even length, or nothing."""
    return header.GetMetaData(key).strip(" \0") if header.HasMetaDataKey(key) else ""


def _numbers(header: sitk.ImageFileReader, key: str, count: int) -> np.ndarray:
    text = _text(header, key)
    try:
        numbers = np.array([float(part) for part in text.split("\\")])
    except ValueError:
        numbers = np.array([])
    if numbers.size != count:
        raise InputError(
            "each slice of a DICOM series gives its position and orientation, "
            "and its spacing where it is needed, in numbers. "
            f"Received: {header.GetFileName()} with {key} = '{text}'"
        )
    return numbers
