"""Label maps: reading them on their image's grid, and the classes of their values."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError, listed
from models_genesis_tf.imaging.images import is_image2d, read_label2d
from models_genesis_tf.imaging.volumes import Volume, read_volume
from models_genesis_tf.tasks.base import Case

# The values that become class 0 (background), 1, ...
LabelValues = tuple[tuple[int, ...], ...]

_MOST_CLASSES = 256
_SPACING_TOLERANCE = 1e-3  # relative
_ORIGIN_TOLERANCE = 0.1  # voxels
_DIRECTION_TOLERANCE = 1e-3


def read_label(case: Case, image: Volume) -> np.ndarray:
    """Reads or makes the label map of a segmentation case.

    Args:
      case: The case.
      image: Its image, as read.

    Returns:
      `(x, y, z)` values on the image's grid.

    Raises:
      InputError: If it cannot be read or does not lie on the image's grid.
    """
    if not isinstance(case.label, Path):
        return case.label.read(case.image, image)
    label = _read_map(case.label)
    if is_image2d(case.label):  # which says nothing of its grid but the shape
        label = dataclasses.replace(image, array=label.array)
    check_same_grid("a label map", case.label, label, image)
    return label.array


def find_label_values(cases: Iterable[Case]) -> LabelValues:
    """Finds the values that label maps hold.

    Args:
      cases: Segmentation cases with label files, those that train.

    Returns:
      Background 0 first, then the others, rising, each a class.

    Raises:
      InputError: If a label map cannot be read or holds values that are not whole, or
        there are no values beside the background, or more than 255.
    """
    found: set[int] = set()
    count = 0
    for case in cases:
        count += 1
        try:
            found.update(_whole_values(_read_map(case.label).array))
        except InputError as error:
            raise InputError(f"case {case.name}: {error}") from error
    values = (0, *sorted(found - {0}))
    if not 2 <= len(values) <= _MOST_CLASSES:
        raise InputError(
            f"label maps hold background 0 and 1 to {_MOST_CLASSES - 1} other values. "
            f"Received: {len(values) - 1} other values in {count} training cases"
        )
    return tuple((value,) for value in values)


def to_classes(labels: np.ndarray, label_values: LabelValues) -> np.ndarray:
    """Turns a label map's values into classes.

    Args:
      labels: Values of any shape.
      label_values: Those that become class 0, 1, ...

    Returns:
      uint8 of the same shape.

    Raises:
      InputError: If a value is not whole, or becomes no class.
    """
    known = sorted(value for values in label_values for value in values)
    unknown = sorted(set(_whole_values(labels)) - set(known))
    if unknown:
        raise InputError(
            "unknown class: classes are made of the values "
            f"{', '.join(map(str, known))}. Received: {unknown[0]}"
        )
    classes = np.zeros(labels.shape, np.uint8)
    for index, values in enumerate(label_values[1:], start=1):
        for value in values:
            classes[labels == value] = index
    return classes


def check_same_grid(what: str, path: Path, volume: Volume, image: Volume) -> None:
    """Checks that two volumes have the same voxels.

    Args:
      what: What the first one is, such as "a label map".
      path: Its file.
      volume: The first one.
      image: The other one.

    Raises:
      InputError: If shape, spacing, origin or direction differ.
    """
    direction = np.reshape(image.direction, (3, 3))
    shift = direction.T @ (np.array(volume.origin) - image.origin) / image.spacing
    turned = np.abs(np.subtract(volume.direction, image.direction)).max()
    stretched = np.abs(np.divide(volume.spacing, image.spacing) - 1).max()
    differing = {
        "shape": volume.array.shape != image.array.shape,
        "spacing": stretched > _SPACING_TOLERANCE,
        "origin": np.abs(shift).max() > _ORIGIN_TOLERANCE,
        "direction": turned > _DIRECTION_TOLERANCE,
    }
    for name, differs in differing.items():
        if differs:
            of_image, of_volume = (
                one.array.shape if name == "shape" else getattr(one, name)
                for one in (image, volume)
            )
            raise InputError(
                f"{what} has its image's {name} {listed(of_image)}. "
                f"Received: {path} with {listed(of_volume)}"
            )


def _read_map(path: Path) -> Volume:
    return read_label2d(path) if is_image2d(path) else read_volume(path)


def _whole_values(labels: np.ndarray) -> list[int]:
    values = np.unique(labels)
    broken = values[values != np.round(values)]
    if len(broken):
        raise InputError(
            f"the values of a label map are whole numbers. Received: {broken[0]:g}"
        )
    return [int(value) for value in values]
