"""LCS: segmentation of the liver in LiTS.

131 CTs `volume-N.nii`, N from 0 to 130, with `segmentation-N.nii` of the values 0, 1
(liver) and 2 (lesion), in two folders, Training Batch 1 (0-27) and Training Batch 2;
70 CTs `test-volume-N.nii` have no segmentation. [LiTS, competitions.codalab.org/
competitions/17094; Bilic et al., The Liver Tumor Segmentation Benchmark, Medical Image
Analysis 84, 2023] LiTS names no patients, so a CT is a patient here.

N from 0 to 99 trains, 100 to 114 validates, 115 to 129 tests, 130 is not used; slices
are resized to 256x256, their number stays, and -1000..1000 HU become 0..1. [official
repository, keras/downstream_tasks/config.py] Whether lesions count as liver is not
published; by default they do, for they lie in it.

Headers of LiTS are not to be trusted. Volumes 28 to 47 have an identity matrix, so that
their spacing is 1 mm and their orientation a guess [LITS-CHALLENGE issue 14], and some
segmentations, such as number 53, have one where their volume has not [nnUNet issue
2751]. A segmentation has its volume's voxels in the order of the file all the same
[nnUNet issue 850], so that is how they are laid over each other where headers differ.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.folders import files_below
from models_genesis_tf.imaging.postprocessing import Postprocessing
from models_genesis_tf.imaging.volumes import (
    Volume,
    as_lps,
    as_stored,
    read_volume,
)
from models_genesis_tf.tasks.base import Case, Listing, Task
from models_genesis_tf.tasks.label_maps import check_same_grid
from models_genesis_tf.tasks.splits import keep_complete_split

TASK = Task(
    code="lcs",
    title="liver segmentation",
    modality="CT",
    dimension=3,
    kind="segmentation",
    metric="paper_iou",
    patch_size=(64, 64, 32),
    window="ct",
    spacing=None,
    how_to_get=(
        "LiTS, https://competitions.codalab.org/competitions/17094: below one folder, "
        "at any depth, volume-N.nii and segmentation-N.nii (or .nii.gz), N from 0 to "
        "130"
    ),
    data_set="lits",
    in_plane_size=256,
    # A liver is one piece.
    postprocessing=Postprocessing(largest_component=True),
)

_CLASSES = ("background", "liver")
_FILE = re.compile(r"(volume|segmentation|test-volume)-(\d+)\.nii(\.gz)?")
_ENDS = {"train": 100, "valid": 115, "test": 130}
_PUBLISHED = "the published split (0-99, 100-114, 115-129)"


@dataclass(frozen=True)
class LitsLabel:
    """A segmentation whose header may differ from its volume's.

    Attributes:
      path: Its file.
    """

    path: Path

    def files(self) -> tuple[Path, ...]:
        """The segmentation's file."""
        return (self.path,)

    def identity(self) -> str:
        """Nothing beside the file."""
        return ""

    def read(self, image: Path, volume: Volume) -> np.ndarray:
        """Reads the segmentation onto its volume's grid.

        Args:
          image: The volume's file, which is not looked at.
          volume: What was read from it.

        Returns:
          `(x, y, z)`: 0, 1 for liver and 2 for lesion.

        Raises:
          InputError: If it cannot be read or has another shape than the volume.
        """
        del image
        label = read_volume(self.path)
        try:
            check_same_grid("a segmentation", self.path, label, volume)
        except InputError:
            stored = as_stored(label.array, label.own_grid)
            array = as_lps(stored, volume.own_grid)
            if array.shape != volume.array.shape:
                raise
            return array
        return label.array


def list_cases(folder: Path, lesions_are_liver: bool = True) -> Listing:
    """Finds the volumes and their segmentations; none is opened.

    Args:
      folder: With the files as `TASK.how_to_get` says.
      lesions_are_liver: Whether lesions count as liver; else they are background.

    Returns:
      One case per volume by number.

    Raises:
      InputError: If files are missing or there twice.
    """
    files, tests = _find_files(folder)
    volumes, labels = files["volume"], files["segmentation"]
    cases = _make_cases(volumes, labels)
    if not cases:
        raise InputError(
            f"--data_dir holds the task's files: {TASK.how_to_get}. "
            f"Received: {folder} with {len(volumes)} volumes that are used"
        )
    kept, division = keep_complete_split(cases, _PUBLISHED)
    counts = {
        "from number 130 on are not used": len(volumes) - len(cases),
        "without segmentation (test-volume) passed over": tests,
        "segmentations without their volume": len(labels.keys() - volumes.keys()),
    }
    notice = [f"{len(kept)} volumes", *_told(counts)]
    values = ((0,), (1, 2)) if lesions_are_liver else ((0, 2), (1,))
    return Listing(kept, _CLASSES, values, f"{', '.join(notice)}; {division}")


def _make_cases(volumes: dict[int, Path], labels: dict[int, Path]) -> list[Case]:
    cases = []
    for number, path in volumes.items():
        if number not in labels:
            raise InputError(
                "a volume has its segmentation. "
                f"Received: {path} without segmentation-{number}.nii"
            )
        part = next((part for part, end in _ENDS.items() if number < end), None)
        if part:
            name, label = f"volume-{number}", LitsLabel(labels[number])
            cases.append(Case(name, (path,), label, f"lits_{number}", part))
    return cases


def _told(counts: dict[str, int]) -> Iterable[str]:
    return (f"{count} {what}" for what, count in counts.items() if count)


def _find_files(folder: Path) -> tuple[dict[str, dict[int, Path]], int]:
    """Volumes and segmentations by number, rising, and how many tests there are."""
    found: dict[str, dict[int, Path]] = {"volume": {}, "segmentation": {}}
    tests = 0
    for path in files_below(folder):
        match = _FILE.fullmatch(path.name)
        if match is None:
            continue
        kind, number = match[1], int(match[2])
        if kind not in found:
            tests += 1
            continue
        first = found[kind].setdefault(number, path)
        if first != path:
            raise InputError(f"a {kind} is there once. Received: {first} and {path}")
    return {kind: dict(sorted(one.items())) for kind, one in found.items()}, tests
