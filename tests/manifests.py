"""Small labelled data sets: noisy images with balls in them, and their manifests.

Patients 0 to 7 train, 8 and 9 validate, 10 and 11 are the test part; each has one case.
"""

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.experiments.labelled_data import (
    LabelledData,
    load_labelled_data,
)
from models_genesis_tf.imaging.volumes import new_volume, write_volume

PART_OF_PATIENT = ("train",) * 8 + ("valid",) * 2 + ("test",) * 2
SHAPE = (20, 18, 12)
SMALL_SHAPE = (14, 18, 12)  # of patient 3, narrower than a patch
PATCH = (16, 16, 8)
SPACING = (1.0, 1.0, 2.0)
# What all runs on these data have in common.
CONFIG = FinetuneConfig(
    patch_size=PATCH, base_filters=2, epochs=2, precision="float32", seed=3
)


def shape_of(patient: int) -> tuple[int, int, int]:
    """The sides of a patient's image."""
    return SMALL_SHAPE if patient == 3 else SHAPE


def draw_case(patient: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws an image with a bright ball (1) and a dark one (2) and its label map.

    Args:
      patient: Its number, from which all of it follows.

    Returns:
      int16 image and uint8 label map, both (x, y, z).
    """
    rng = np.random.default_rng([11, patient])
    shape = shape_of(patient)
    labels = np.zeros(shape, np.uint8)
    for label, share in ((1, 0.3), (2, 0.7)):
        centre = np.array(shape) * (share, 0.5, 0.5) + rng.uniform(-1, 1, 3)
        grid = np.indices(shape).transpose(1, 2, 3, 0)
        labels[((grid - centre) ** 2).sum(axis=-1) <= 3**2] = label
    image = rng.normal(0, 30, shape) + np.choose(labels, (0, 300, -300))
    return image.astype(np.int16), labels


def write_array(path: Path, array: np.ndarray, spacing: Sequence = SPACING) -> Path:
    """Writes an image or a label map."""
    volume = new_volume(array, spacing, (-10, 20, 30))
    write_volume(path, array, volume)
    return path


def write_rows(path: Path, rows: Sequence[dict]) -> Path:
    """Writes a manifest."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def segmentation_rows(folder: Path) -> list[dict]:
    """Writes images and label maps of every patient; gives the rows of a manifest."""
    rows = []
    for patient, part in enumerate(PART_OF_PATIENT):
        image, labels = draw_case(patient)
        write_array(folder / f"scan_{patient}.nii.gz", image)
        write_array(folder / f"mask_{patient}.nii.gz", labels)
        rows.append(
            {
                "image": f"scan_{patient}.nii.gz",
                "label": f"mask_{patient}.nii.gz",
                "patient": f"patient_{patient}",
                "split": part,
            }
        )
    return rows


def classification_rows(
    folder: Path, names: Sequence[str] = ("no", "yes")
) -> list[dict]:
    """Writes images of every patient; gives the rows of a manifest.

    Patient k is of class k mod the number of classes: of class 0 noise alone, of
    class 1 with a bright ball, of class 2 with a dark one.
    """
    rows = []
    for patient, part in enumerate(PART_OF_PATIENT):
        image, labels = draw_case(patient)
        label = patient % len(names)
        image[(labels != label) & (labels > 0)] = 0
        write_array(folder / f"scan_{patient}.nii.gz", image)
        rows.append(
            {
                "image": f"scan_{patient}.nii.gz",
                "label": names[label],
                "patient": f"patient_{patient}",
                "split": part,
            }
        )
    return rows


def write_segmentation(folder: Path) -> Path:
    """Writes the data set of a segmentation and gives its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_rows(folder / "cases.csv", segmentation_rows(folder))


def write_classification(folder: Path, names: Sequence[str] = ("no", "yes")) -> Path:
    """Writes the data set of a classification and gives its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_rows(folder / "cases.csv", classification_rows(folder, names))


def load_cases(
    manifest: Path,
    cache: Path,
    parts: Sequence[str] = ("train", "valid", "test"),
    **settings,
) -> LabelledData:
    """Loads the cases of a manifest with `CONFIG`, but for what settings change."""
    config = dataclasses.replace(CONFIG, manifest=str(manifest), **settings)
    return load_labelled_data(config, cache, parts)
