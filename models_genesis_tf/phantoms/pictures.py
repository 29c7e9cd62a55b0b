"""The PNG files of a set of phantoms."""

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes a grey picture beside its name and renames it when complete.

    Args:
      path: File to write; its folder is created.
      image: uint8 `(x, y)`, x to the right of the picture and y down.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part.png")  # SimpleITK goes by the suffix
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(image.T)), str(part))
    os.replace(part, path)
