"""A CT series as a folder of DICOM files, one for each slice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from models_genesis_tf.imaging.volumes import Volume

_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


@dataclass(frozen=True)
class SeriesNames:
    """What tells a series from others.

    Attributes:
      patient: The patient's identifier.
      study: UID of the study.
      series: UID of the series.
      frame: UID of the frame of reference.
      number: Number of the series in the study.
      slices: UID of each slice, in the order of z.
    """

    patient: str
    study: str
    series: str
    frame: str
    number: int
    slices: Sequence[str]


def draw_uid(rng: np.random.Generator) -> str:
    """Draws a UID of DICOM's branch for UUIDs, which are numbers below 2^128.

    Args:
      rng: Generator to draw from.

    Returns:
      The UID.
    """
    return "2.25." + "".join(str(digit) for digit in rng.integers(1, 10, 37))


def write_series(folder: Path, volume: Volume, names: SeriesNames) -> None:
    """Writes a volume as a series whose slices count from the head downwards.

    Args:
      folder: Where the files `1-001.dcm`, `1-002.dcm` and so on go; it exists.
      volume: int16 HU, its axes parallel to those of the world.
      names: What identifies the series; one UID for each slice of the volume.
    """
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.KeepOriginalImageUIDOn()
    depth = volume.array.shape[2]
    for row in range(depth):
        number = depth - row
        plane = np.ascontiguousarray(volume.array[:, :, [row]].T)
        image = sitk.GetImageFromArray(plane)
        image.SetSpacing(volume.spacing)
        for tag, value in _tags(volume, names, row, number).items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"1-{number:03d}.dcm"))
        writer.Execute(image)


def _tags(volume: Volume, names: SeriesNames, row: int, number: int) -> dict[str, str]:
    x, y, bottom = volume.origin
    height = bottom + row * volume.spacing[2]
    return {
        "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL",
        "0008|0016": _CT_IMAGE_STORAGE,
        "0008|0018": names.slices[row],
        "0008|0020": "20000101",  # study date
        "0008|0030": "",  # study time
        "0008|0060": "CT",
        "0008|0070": "SYNTHETIC",  # manufacturer
        "0008|103e": "synthetic chest CT",  # series description
        "0010|0010": names.patient,
        "0010|0020": names.patient,
        "0018|0015": "CHEST",
        "0018|0050": f"{volume.spacing[2]:.6f}",  # slice thickness
        # GDCM adds it of its own accord, but only once the process has read a series.
        "0018|0088": f"{volume.spacing[2]:.6g}",  # spacing between slices
        "0018|5100": "HFS",  # patient position
        "0020|000d": names.study,
        "0020|000e": names.series,
        "0020|0011": str(names.number),
        "0020|0013": str(number),
        "0020|0032": f"{x:.6f}\\{y:.6f}\\{height:.6f}",
        "0020|0037": "1\\0\\0\\0\\1\\0",
        "0020|0052": names.frame,
        "0020|1041": f"{height:.6f}",  # slice location
        "0028|0030": f"{volume.spacing[1]:.6f}\\{volume.spacing[0]:.6f}",
        "0028|1052": "-1024",
        "0028|1053": "1",
        "0028|1054": "HU",
    }
