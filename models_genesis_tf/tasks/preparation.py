"""Cases become arrays in [0, 1] on disk, once for each source and setting.

A prepared case is `<key>.image.npy`, for segmentation `<key>.label.npy`, and
`<key>.json` that says where they come from. The key is made of the image's name, size,
first and last megabyte, the label map's contents, the settings and the version of this
layout, so a change of any makes new files.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf import __version__
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.fingerprints import fingerprint, scan_files, sha256
from models_genesis_tf.imaging.resampling import resample_volume
from models_genesis_tf.imaging.volumes import Volume, read_volume
from models_genesis_tf.imaging.windows import (
    intensity_range,
    parse_window,
    scale_to_unit,
)
from models_genesis_tf.tasks.base import Case

_LAYOUT = 1
_MOST_CLASSES = 256
_SPACING_TOLERANCE = 1e-3  # relative
_ORIGIN_TOLERANCE = 0.1  # voxels
_DIRECTION_TOLERANCE = 1e-3
_STEP = 8  # three poolings halve a patch
_MOST_VOXELS = 64 * 64 * 32  # the official cube
_LONGEST_SIDE = 96


@dataclass(frozen=True)
class Preparation:
    """How images and label maps become arrays.

    Attributes:
      window: As `imaging.windows.parse_window` reads it.
      spacing: Spacing x, y, z in mm to resample to, or None to keep each image's own.
      label_values: The label map's values that become classes 0, 1, ..., background
        first; None for classification.
    """

    window: str = "percentile"
    spacing: tuple[float, float, float] | None = None
    label_values: tuple[int, ...] | None = None


@dataclass(frozen=True)
class PreparedCase:
    """A case whose arrays lie on disk.

    Attributes:
      case: The case.
      image_path: `.npy`, float32.
      label_path: `.npy`, uint8; None for classification.
      label: Index of the class; None for segmentation.
      shape: Of the arrays `(x, y, z)`.
      spacing_mm: Of the arrays.
      original_shape: Of the image as read, in LPS order.
      original_spacing_mm: The same.
      label_values: As in `Preparation`.
    """

    case: Case
    image_path: Path
    label_path: Path | None
    label: int | None
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    original_shape: tuple[int, int, int]
    original_spacing_mm: tuple[float, float, float]
    label_values: tuple[int, ...] | None

    def image(self) -> np.ndarray:
        """Opens the image.

        Returns:
          float32 `(x, y, z)` in [0, 1], memory-mapped, read-only.
        """
        return np.load(self.image_path, mmap_mode="r")

    def label_map(self) -> np.ndarray:
        """Opens the label map of a segmentation case.

        Returns:
          uint8 `(x, y, z)`, the index of each voxel's class, memory-mapped, read-only.
        """
        return np.load(self.label_path, mmap_mode="r")

    def original_label_map(self) -> np.ndarray:
        """Reads the label map as it was before resampling.

        Returns:
          uint8 `(x, y, z)` of the original shape, the index of each voxel's class.
        """
        if self.spacing_mm == self.original_spacing_mm:
            return self.label_map()
        return _to_classes(read_volume(self.case.label).array, self.label_values)


def prepare_case(
    case: Case, preparation: Preparation, cache_dir: str | Path
) -> PreparedCase:
    """Makes a case's arrays, or finds them where they were made before.

    Args:
      case: The case.
      preparation: The settings.
      cache_dir: Folder for the arrays; it is made. Several processes may share it.

    Returns:
      The case with the files of its arrays.

    Raises:
      InputError: If a file cannot be read or written, the label map does not lie on the
        image's grid, or it holds a value that is no class.
    """
    with _errors_name(case):
        stem = Path(cache_dir, _key(case, preparation))
        record_path = stem.with_suffix(".json")
        if not record_path.is_file():
            _prepare(case, preparation, stem)
        record = json.loads(record_path.read_text(encoding="utf-8"))
    segments = isinstance(case.label, Path)
    return PreparedCase(
        case,
        stem.with_suffix(".image.npy"),
        stem.with_suffix(".label.npy") if segments else None,
        None if segments else case.label,
        tuple(record["shape_after"]),
        tuple(record["spacing_after"]),
        tuple(record["shape_before"]),
        tuple(record["spacing_before"]),
        preparation.label_values,
    )


def find_label_values(cases: Sequence[Case]) -> tuple[int, ...]:
    """Finds the values that label maps hold.

    Args:
      cases: Segmentation cases, those that train.

    Returns:
      Background 0 first, then the others, rising.

    Raises:
      InputError: If a label map cannot be read or holds values that are not whole, or
        there are no values beside the background, or more than 255.
    """
    found: set[int] = set()
    for case in cases:
        with _errors_name(case):
            found.update(_whole_values(read_volume(case.label).array))
    values = (0, *sorted(found - {0}))
    if not 2 <= len(values) <= _MOST_CLASSES:
        raise InputError(
            f"label maps hold background 0 and 1 to {_MOST_CLASSES - 1} other values. "
            f"Received: {len(values) - 1} other values in {len(cases)} training cases"
        )
    return values


def choose_patch_size(
    shapes: Sequence[tuple[int, int, int]], kind: str
) -> tuple[int, int, int]:
    """Chooses the patch that suits images of these shapes.

    Args:
      shapes: Of the prepared training images `(x, y, z)`.
      kind: One of `base.KINDS`. Segmentation takes patches of the median side,
        classification one patch that holds every image up to 96 voxels a side.

    Returns:
      Sides x, y, z, multiples of 8; at most as many voxels as the official cube of
      64 x 64 x 32.
    """
    if kind == "segmentation":
        wanted = np.median(shapes, axis=0)
    else:
        wanted = np.minimum(np.max(shapes, axis=0), _LONGEST_SIDE)
    sides = np.ceil(wanted / _STEP).astype(int) * _STEP
    while sides.prod() > _MOST_VOXELS:
        sides[np.argmax(sides)] -= _STEP
    return tuple(sides.tolist())


@contextlib.contextmanager
def _errors_name(case: Case) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"case {case.name}: {error}") from error
    except OSError as error:
        raise InputError(
            f"case {case.name}: its files can be read and its arrays written. "
            f"Received: {error.filename} ({error.strerror})"
        ) from error


def _sources(case: Case) -> list[Path]:
    return [case.image, case.label] if isinstance(case.label, Path) else [case.image]


def _fingerprints(case: Case) -> list[str]:
    """Of the image in short; of the label map whole, for it may be corrected inside."""
    image = fingerprint(scan_files(case.image))
    if not isinstance(case.label, Path):
        return [image]
    return [image, *(sha256(path) for path in scan_files(case.label))]


def _key(case: Case, preparation: Preparation) -> str:
    identity = [_LAYOUT, _fingerprints(case), dataclasses.astuple(preparation)]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _prepare(case: Case, preparation: Preparation, stem: Path) -> None:
    """Writes the arrays, then the record, whose presence says that all are there."""
    source = read_volume(case.image)
    low, high = intensity_range(source.array, parse_window(preparation.window))
    scaled = scale_to_unit(source.array, low, high)
    image = dataclasses.replace(source, array=scaled)
    arrays = {}
    if isinstance(case.label, Path):
        label = read_volume(case.label)
        _check_same_grid(case, source, label)
        classes = _to_classes(label.array, preparation.label_values)
        label = _resampled(dataclasses.replace(source, array=classes), preparation, 0)
        arrays[".label.npy"] = label.array.astype(np.uint8)
    image = _resampled(image, preparation, 1)
    arrays[".image.npy"] = image.array.astype(np.float32)
    record = {
        "case": case.name,
        "files": [str(path) for path in _sources(case)],
        "fingerprints": _fingerprints(case),
        "window": preparation.window,
        "window_range": [low, high],
        "spacing_before": source.spacing,
        "spacing_after": image.spacing,
        "shape_before": source.array.shape,
        "shape_after": image.array.shape,
        "label_values": preparation.label_values,
        "models_genesis_tf": __version__,
    }
    stem.parent.mkdir(parents=True, exist_ok=True)
    for suffix, array in arrays.items():
        with _written_beside(stem.with_suffix(suffix)) as stream:
            np.save(stream, np.ascontiguousarray(array))
    with _written_beside(stem.with_suffix(".json")) as stream:
        stream.write(json.dumps(record, indent=1).encode() + b"\n")


@contextlib.contextmanager
def _written_beside(path: Path) -> Iterator:
    """A file under a name of its own, so that two processes do not share one."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _resampled(volume: Volume, preparation: Preparation, order: int) -> Volume:
    if preparation.spacing is None:
        return volume
    return resample_volume(volume, preparation.spacing, order)


def _check_same_grid(case: Case, image: Volume, label: Volume) -> None:
    direction = np.reshape(image.direction, (3, 3))
    shift = direction.T @ (np.array(label.origin) - image.origin) / image.spacing
    turned = np.abs(np.subtract(label.direction, image.direction)).max()
    stretched = np.abs(np.divide(label.spacing, image.spacing) - 1).max()
    differing = {
        "shape": label.array.shape != image.array.shape,
        "spacing": stretched > _SPACING_TOLERANCE,
        "origin": np.abs(shift).max() > _ORIGIN_TOLERANCE,
        "direction": turned > _DIRECTION_TOLERANCE,
    }
    for name, differs in differing.items():
        if differs:
            of_image, of_label = (
                volume.array.shape if name == "shape" else getattr(volume, name)
                for volume in (image, label)
            )
            raise InputError(
                f"a label map has its image's {name} {_text(of_image)}. "
                f"Received: {case.label} with {_text(of_label)}"
            )


def _text(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"


def _whole_values(labels: np.ndarray) -> list[int]:
    values = np.unique(labels)
    broken = values[values != np.round(values)]
    if len(broken):
        raise InputError(
            f"the values of a label map are whole numbers. Received: {broken[0]:g}"
        )
    return [int(value) for value in values]


def _to_classes(labels: np.ndarray, label_values: Sequence[int]) -> np.ndarray:
    """The position of each voxel's value among the label values, uint8."""
    unknown = sorted(set(_whole_values(labels)) - set(label_values))
    if unknown:
        known = ", ".join(str(value) for value in label_values)
        raise InputError(
            f"unknown class: a label map holds the values {known} that training cases "
            f"hold. Received: {unknown[0]}"
        )
    classes = np.zeros(labels.shape, np.uint8)
    for index, value in enumerate(label_values):
        classes[labels == value] = index
    return classes
