"""Pictures: X-rays, ultrasound frames and the like become volumes of one slice.

x runs to the right of the picture and y down it; nothing is turned to the patient's
axes. Colours become grey by their luminance (ITU-R BT.601), alpha is dropped, and
profiles, gamma and Exif are not applied.

Of damage: PNG files carry checksums, which their reader checks, and DICOM files the
length of their pixels. JPEG files carry neither, and the reader fills what is missing
with grey, so that the file goes on to its end mark is checked here; a change between
two marks cannot be told from a picture.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import dicom
from models_genesis_tf.imaging.folders import is_chosen, walk
from models_genesis_tf.imaging.volumes import (
    Volume,
    list_scans,
    new_volume,
    scan_name,
)

_READERS = {
    ".png": "PNGImageIO",
    ".jpg": "JPEGImageIO",
    ".jpeg": "JPEGImageIO",
    ".dcm": "GDCMImageIO",
}
# A .dcm file may also be a slice of a series.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_LUMINANCE = (0.299, 0.587, 0.114)
_PHOTOMETRIC = "0028|0004"
_BITS_ALLOCATED = "0028|0100"
# Both give the distance of rows, then of columns. The first is of what is shown where
# someone calibrated it, the second at the detector, in front of which the patient is.
_SPACINGS = ("0028|0030", "0018|1164")
# What is neither a stuffed 255, nor a restart mark, nor fill, begins a JPEG segment.
_JPEG_MARK = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_JPEG_START, _JPEG_END = b"\xd8", b"\xd9"
_PNG_GREY = 0


def is_image2d(path: Path) -> bool:
    """Says whether a path is that of a picture.

    Args:
      path: The path.

    Returns:
      True for what is no folder and ends with one of `IMAGE_SUFFIXES` or .dcm.
    """
    return path.suffix.lower() in _READERS and not path.is_dir()


def image_name(path: Path) -> str:
    """Names a picture or a scan.

    Args:
      path: File or folder.

    Returns:
      The last part of the path, without the ending of a known format.
    """
    return path.stem if is_image2d(path) else scan_name(path)


def list_scans_and_images(
    folder: str | Path, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[list[Path], list[Path]]:
    """Finds the scans and the pictures below a folder.

    Args:
      folder: Where to look, at any depth.
      include: Globs on files and folders, see `folders.is_chosen`; empty takes all.
      exclude: Globs on what is left out.

    Returns:
      Scans, as `volumes.list_scans` finds them, and pictures, both sorted by path. A
      folder of DICOM files is a series if they say where their slices lie, as X-rays
      and ultrasound frames do not; those are pictures.

    Raises:
      InputError: If the folder does not exist.
    """
    images = list_images(folder, include, exclude)
    folders = {path.parent for path in images if _is_dicom(path)}
    series = set(filter(_is_series, folders))
    scans = list_scans(folder, include, exclude)
    return (
        [path for path in scans if path not in folders - series],
        [path for path in images if not _is_dicom(path) or path.parent not in series],
    )


def list_images(
    folder: str | Path, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[Path]:
    """Finds the pictures below a folder.

    Args:
      folder: Where to look, at any depth.
      include: Globs on files, see `folders.is_chosen`; empty takes all. Names that
        start with a dot are left out whatever it says.
      exclude: Globs on what is left out.

    Returns:
      Files that end with one of `IMAGE_SUFFIXES` or .dcm, sorted by path; slices of a
      DICOM series are among them.

    Raises:
      InputError: If the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"--data_dir is an existing folder. Received: {folder}")
    known = tuple(_READERS)
    return sorted(
        parent / name
        for parent, names in walk(folder)
        for name in names
        if name.lower().endswith(known)
        and is_chosen(parent / name, folder, include, exclude)
    )


def read_image2d(path: str | Path) -> Volume:
    """Reads a picture and checks that all of it is there.

    Args:
      path: PNG of 1 to 16 bits, JPEG, or DICOM file of one frame; grey or in colours.
        MONOCHROME1, in which 0 is white, is inverted within the range of the stored
        bits; the slope and intercept of a rescaled file are applied, other tables and
        windows are not.

    Returns:
      `(x, y, 1)` in the file's own number type and range, grey. Its spacing is that of
      the DICOM file, else 1 mm.

    Raises:
      InputError: If the file is absent, damaged or cut short, or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"an image has to exist. Received: {path}")
    if not is_image2d(path):
        known = ", ".join(_READERS)
        raise InputError(f"an image is a file of {known}. Received: {path}")
    image = _read(path)
    spacing = _dicom_spacing(image) if image.GetDimension() == 3 else (1.0, 1.0)
    array = sitk.GetArrayFromImage(image)
    channels = image.GetNumberOfComponentsPerPixel()
    array = array.reshape(*array.shape[array.ndim - 2 - (channels > 1) :])
    if channels > 1:
        array = _to_grey(array)
    if not np.isfinite(array).all():
        raise InputError(f"an image holds finite values only. Received: {path}")
    return new_volume(array.T[..., None], (*spacing, 1.0))


def read_label2d(path: str | Path) -> Volume:
    """Reads a picture whose values name classes.

    Args:
      path: A grey PNG without a palette or alpha.

    Returns:
      `(x, y, 1)`, whole numbers as they are stored, of voxels of 1 mm.

    Raises:
      InputError: As `read_image2d`, or if it is no such file.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"a label image is a .png file. Received: {path}")
    volume = read_image2d(path)
    with path.open("rb") as stream:
        bits, colours = stream.read(26)[24:]
    if colours != _PNG_GREY:
        raise InputError(
            "a label image has one number per pixel: a grey PNG without a palette. "
            f"Received: {path} of PNG colour type {colours}"
        )
    # The reader stretches fewer than 8 bits to 0..255.
    array = volume.array // (255 // (2**bits - 1)) if bits < 8 else volume.array
    return new_volume(array, volume.spacing)


def write_image2d(path: str | Path, image: np.ndarray) -> None:
    """Writes a grey picture beside its name and renames it when complete.

    Args:
      path: PNG file; its folder is created.
      image: uint8 `(x, y, 1)`: what a picture shows, or classes.

    Raises:
      InputError: If the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part.png")  # SimpleITK goes by the suffix
    try:
        rows = np.ascontiguousarray(image[..., 0].T)
        sitk.WriteImage(sitk.GetImageFromArray(rows), str(part))
        os.replace(part, path)
    except RuntimeError as error:
        raise InputError(f"an image can be written. Received: {path}") from error
    finally:
        part.unlink(missing_ok=True)


def _is_dicom(path: Path) -> bool:
    return path.suffix.lower() == ".dcm"


def _is_series(folder: Path) -> bool:
    try:
        dicom.read_header(folder)
    except InputError:
        return False
    return True


def _read(path: Path) -> sitk.Image:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_READERS[path.suffix.lower()])
    if reader.GetImageIO() == "JPEGImageIO":
        _check_jpeg(path)
    try:
        reader.ReadImageInformation()
        _check_header(reader)
        return reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(
            f"an image file is whole and undamaged. Received: {path} ({reason})"
        ) from error


def _check_jpeg(path: Path) -> None:
    """Follows the segments to the end mark; those that tell their length are passed."""
    data = path.read_bytes()
    place = 0
    while found := _JPEG_MARK.search(data, place):
        place = found.end()
        if found[1] == _JPEG_END:
            return
        if found[1] != _JPEG_START:
            place += max(2, int.from_bytes(data[place : place + 2]))
    raise InputError(
        f"a JPEG file goes on to its end mark. Received: {path} of {len(data)} bytes "
        "without one"
    )


def _check_header(reader: sitk.ImageFileReader) -> None:
    """Refuses what would be read wrongly, before it is."""
    size, path = reader.GetSize(), reader.GetFileName()
    if len(size) == 3 and size[2] != 1:
        raise InputError(
            f"a DICOM image has one frame. Received: {path} with {size[2]}"
        )
    if reader.GetNumberOfComponents() not in (1, 3, 4):
        raise InputError(
            "an image is grey, RGB or RGBA. "
            f"Received: {path} of {reader.GetNumberOfComponents()} channels"
        )
    inverted = _tag(reader, _PHOTOMETRIC) == "MONOCHROME1"
    if inverted and _tag(reader, _BITS_ALLOCATED) not in ("8", "16"):
        # GDCM, which inverts the others, returns memory that nobody wrote to.
        raise InputError(
            "a MONOCHROME1 image has 8 or 16 bits per pixel. "
            f"Received: {path} of {_tag(reader, _BITS_ALLOCATED)}"
        )


def _tag(file: sitk.ImageFileReader | sitk.Image, key: str) -> str:
    return file.GetMetaData(key).strip(" \0") if file.HasMetaDataKey(key) else ""


def _dicom_spacing(image: sitk.Image) -> tuple[float, float]:
    """Distance of columns and of rows, mm; some X-rays leave it out or give 0."""
    for key in _SPACINGS:
        try:
            rows, columns = (float(part) for part in _tag(image, key).split("\\"))
        except ValueError:
            continue
        if np.isfinite([rows, columns]).all() and min(rows, columns) > 0:
            return columns, rows
    return 1.0, 1.0


def _to_grey(colours: np.ndarray) -> np.ndarray:
    """Luminance in the same number type: equal colours keep their value."""
    grey = colours[..., :3] @ np.array(_LUMINANCE)
    if colours.dtype.kind != "f":
        grey = np.round(grey)
    return grey.astype(colours.dtype)
