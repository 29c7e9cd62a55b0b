"""What a target task is, and what its cases are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from models_genesis_tf.imaging.postprocessing import Postprocessing
from models_genesis_tf.imaging.volumes import Volume

KINDS = ("classification", "segmentation")
PARTS = ("train", "valid", "test")


class LabelSource(Protocol):
    """A label map that is made of something else than an image."""

    def files(self) -> tuple[Path, ...]:
        """The files that it is made of."""

    def identity(self) -> str:
        """What, beside the files' contents, the label map follows from; no path."""

    def read(self, image: Path, volume: Volume) -> np.ndarray:
        """Makes the label map.

        Args:
          image: File, or folder of a DICOM series, that the volume was read from.
          volume: What was read from it.

        Returns:
          Integers `(x, y, z)` of the volume's shape.
        """


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled image, or a place in one.

    Attributes:
      name: Unique among the cases of a task.
      images: For each channel a file, or folder of a DICOM series.
      label: File or source of the label map (segmentation), or index of the class
        (classification); where a case may be of several classes or of none, 1 or 0 for
        each class.
      patient: Cases of one patient are never in two parts.
      split: "train", "valid" or "test" where the data say so, else None.
      centre: World position (LPS) that the patch is cut around, mm; None where the
        whole image is the case.
      candidate: In a classification, the cases of one candidate get one score, their
        mean; None where each case is one.
      row: Of `.npy` files that hold one case per row, else None.
      series: Series instance UID of the scan where it is known, which tells whether
        pre-training saw it under another name.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | LabelSource | int | tuple[int, ...]
    patient: str
    split: str | None
    centre: tuple[float, float, float] | None = None
    candidate: str | None = None
    row: int | None = None
    series: str | None = None

    @property
    def image(self) -> Path:
        """The image of the first channel."""
        return self.images[0]

    @property
    def is_classified(self) -> bool:
        """Whether its label says the class, or classes, of the whole of it."""
        return isinstance(self.label, int | tuple)


@dataclass(frozen=True)
class Listing:
    """The cases of a task as they were found.

    Attributes:
      cases: In an order that does not depend on the file system.
      classes: Names by index, background included; empty where label maps say which
        there are.
      label_values: The label maps' values that become each class; None in a
        classification and where label maps say which there are.
      notice: What was taken and what left out, for the user.
    """

    cases: tuple[Case, ...]
    classes: tuple[str, ...]
    label_values: tuple[tuple[int, ...], ...] | None
    notice: str


@dataclass(frozen=True)
class Task:
    """What is learned from which data, and how it is scored.

    Attributes:
      code: Value of `--task`.
      title: For people.
      modality: For example "CT".
      dimension: 2 or 3.
      kind: One of `KINDS`.
      metric: The score that trials are compared by.
      patch_size: Sides x, y, z in voxels, or None to choose from the data.
      window: As `imaging.windows.parse_window` reads it.
      spacing: Spacing x, y, z in mm that images are resampled to, or None.
      how_to_get: Where the data come from, and what their folder looks like.
      data_set: Name of the data's folder below `$MODELS_GENESIS_DATA` and `./data`, and
        of its phantoms; empty where a manifest names the files.
      in_plane_size: Voxels along x and along y that slices are resized to where no
        spacing is asked for, or None.
      postprocessing: What is done to predicted masks of whole scans.
      multi_label: Whether a case may be of several classes, or of none; the classes are
        then findings, without a background.
    """

    code: str
    title: str
    modality: str
    dimension: int
    kind: str
    metric: str
    patch_size: tuple[int, ...] | None
    window: str
    spacing: tuple[float, float, float] | None
    how_to_get: str
    data_set: str = ""
    in_plane_size: int | None = None
    postprocessing: Postprocessing = Postprocessing()
    multi_label: bool = False
