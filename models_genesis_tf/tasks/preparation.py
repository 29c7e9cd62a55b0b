"""Cases become arrays in [0, 1] on disk, once for each source and setting.

What is prepared is `<key>.image.npy`, for segmentation `<key>.label.npy`, and
`<key>.json` that says where they come from. The key is made of the images' names,
sizes, first and last megabytes, the label map's contents, the settings and the version
of this layout, so a change of any makes new files.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models_genesis_tf import __version__
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.fingerprints import (
    scan_files,
    scan_fingerprint,
    sha256,
)
from models_genesis_tf.imaging.mapped_arrays import MappedArray
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.case_arrays import (
    Preparation,
    is_patch,
    is_place,
    make_arrays,
    voxel_of,
)
from models_genesis_tf.tasks.prepared_case import PreparedCase

_LAYOUT = 2
_ROWS_LOOKED_AT = 32


class _PatchLimits(NamedTuple):
    """What a chosen patch keeps to, in voxels."""

    step: int  # what a network halves it by
    longest_side: int  # of a classification
    most_voxels: int


_OF_VOLUMES = _PatchLimits(8, 96, 64 * 64 * 32)  # the official cube
_OF_PICTURES = _PatchLimits(32, 224, 224 * 224)


def prepare_cases(
    cases: Iterable[Case], preparation: Preparation, cache_dir: str | Path
) -> dict[str, PreparedCase]:
    """Makes the arrays of cases, or finds them where they were made before.

    Args:
      cases: The cases.
      preparation: The settings.
      cache_dir: Folder for the arrays; it is made. Several processes may share it.

    Returns:
      By name in the order given, the cases with the files of their arrays.

    Raises:
      InputError: If a file cannot be read or written, channels or label map do not lie
        on the image's grid, a place lies outside of its scan, or a label map holds a
        value that is no class.
    """
    found: dict = {}  # what is made or looked up once for several cases
    prepared = {}
    for case in cases:
        with _errors_name(case, cache_dir):
            prepare = _prepare if case.row is None else _find_row
            prepared[case.name] = prepare(case, preparation, Path(cache_dir), found)
    return prepared


def prepare_case(
    case: Case, preparation: Preparation, cache_dir: str | Path
) -> PreparedCase:
    """Makes the arrays of one case, or finds them.

    Args:
      case: The case.
      preparation: The settings.
      cache_dir: As for `prepare_cases`.

    Returns:
      The case with the files of its arrays.

    Raises:
      InputError: As `prepare_cases`.
    """
    return prepare_cases([case], preparation, cache_dir)[case.name]


def choose_patch_size(
    shapes: Sequence[tuple[int, int, int]], kind: str
) -> tuple[int, int, int]:
    """Chooses the patch that suits images of these shapes.

    Args:
      shapes: Of the prepared training images `(x, y, z)`.
      kind: One of `base.KINDS`. Segmentation takes patches of the median side,
        classification one patch that holds every image up to 96 voxels a side, and
        every picture of one slice up to 224.

    Returns:
      Sides x, y, z, multiples of 8; at most as many voxels as the official cube of
      64 x 64 x 32. For pictures, x and y are multiples of 32, at most 224 x 224, and z
      is 1.
    """
    is_flat = max(z for _, _, z in shapes) == 1
    limits = _OF_PICTURES if is_flat else _OF_VOLUMES
    if kind == "segmentation":
        wanted = np.median(shapes, axis=0)
    else:
        wanted = np.minimum(np.max(shapes, axis=0), limits.longest_side)
    sides = np.ceil(wanted / limits.step).astype(int) * limits.step
    if is_flat:
        sides[2] = 1
    while sides.prod() > limits.most_voxels:
        sides[np.argmax(sides)] -= limits.step
    return tuple(sides.tolist())


@dataclass(frozen=True)
class _Arrays:
    """Files of arrays, and the record beside them."""

    image: MappedArray
    label: MappedArray | None
    record: dict


def _prepare(
    case: Case, preparation: Preparation, cache_dir: Path, found: dict
) -> PreparedCase:
    arrays: _Arrays | None = found.get(case.images) if is_place(case) else None
    arrays = arrays or _find_arrays(case, preparation, cache_dir, found)
    record, moment = arrays.record, "after" if is_patch(case) else "before"
    centre = None
    if is_place(case):
        found[case.images] = arrays
        names = ("origin", "direction", "spacing_before", "shape_before")
        centre = voxel_of(case.centre, *(record[name] for name in names))
        centre = tuple(centre.tolist())
    return PreparedCase(
        case,
        f"{arrays.image.path.stem} {case.centre}",
        arrays.image,
        arrays.label,
        record["spacing_after"],
        record[f"shape_{moment}"],
        record[f"spacing_{moment}"],
        centre,
        preparation.label_values,
    )


def _find_row(
    case: Case, preparation: Preparation, cache_dir: Path, found: dict
) -> PreparedCase:
    """A row of files that hold prepared cases already."""
    del cache_dir
    rows = []
    for path in (case.image, case.label):
        if path not in found:
            found[path] = MappedArray.of(path)
            found["identity", path] = scan_fingerprint(path)
            _check_rows(found[path], are_labels=path == case.label)
        row = found[path].row(case.row)
        sides = tuple(side for side in row.shape if side > 1)
        if len(sides) != 3:
            raise InputError(
                "a row of an array of cases has three sides. "
                f"Received: {path} of shape {found[path].shape}"
            )
        rows.append(row._replace(shape=sides))
    image, label = rows
    spacing = preparation.spacing or (1.0, 1.0, 1.0)
    files = [found["identity", path] for path in (case.image, case.label)]
    return PreparedCase(
        case,
        f"{case.row} {' '.join(files)}",
        image._replace(shape=(*image.shape, 1)),
        label,
        spacing,
        image.shape,
        spacing,
        None,
        preparation.label_values,
    )


def _check_rows(array: MappedArray, are_labels: bool) -> None:
    """Looks at the values of some rows; to look at all would take minutes."""
    step = max(1, array.shape[0] // _ROWS_LOOKED_AT)
    values = array.open()[::step]
    right = np.isin(values, (0, 1)) if are_labels else (values >= 0) & (values <= 1)
    if not right.all():
        rule = "masks hold 0 and 1" if are_labels else "prepared images are in [0, 1]"
        raise InputError(f"{rule}. Received: {array.path} with {values[~right][0]:g}")


def _find_arrays(
    case: Case, preparation: Preparation, cache_dir: Path, found: dict
) -> _Arrays:
    fingerprints = _fingerprints(case, found)
    stem = Path(cache_dir, _key(case, preparation, fingerprints))
    record_path = stem.with_suffix(".json")
    suffixes = [".json", ".image.npy"]
    suffixes += [".label.npy"] * (not case.is_classified)
    if not all(stem.with_suffix(suffix).is_file() for suffix in suffixes):
        _write_arrays(case, preparation, fingerprints, stem)
    record = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(record_path.read_text(encoding="utf-8")).items()
    }
    label = None
    if not case.is_classified:
        label = MappedArray.of(stem.with_suffix(".label.npy"))
    return _Arrays(MappedArray.of(stem.with_suffix(".image.npy")), label, record)


@contextlib.contextmanager
def _errors_name(case: Case, cache_dir: str | Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"case {case.name}: {error}") from error
    except OSError as error:
        raise InputError(
            f"case {case.name}: its files can be read and its arrays written. "
            f"Received: {error.filename or cache_dir} ({error.strerror})"
        ) from error


def _sources(case: Case) -> list[Path]:
    if case.is_classified:
        return list(case.images)
    if isinstance(case.label, Path):
        return [*case.images, case.label]
    return [*case.images, *case.label.files()]


def _fingerprints(case: Case, found: dict) -> list[str]:
    """Of images in short; of the label map whole, for it may be corrected inside."""
    key = ("fingerprints", case.images)
    if key not in found:
        found[key] = [scan_fingerprint(path) for path in case.images]
    if case.is_classified:
        return found[key]
    if isinstance(case.label, Path):
        return [*found[key], *(sha256(path) for path in scan_files(case.label))]
    made_of = [sha256(path) for path in case.label.files()]
    return [*found[key], *made_of, case.label.identity()]


def _key(case: Case, preparation: Preparation, fingerprints: list[str]) -> str:
    settings = dataclasses.asdict(preparation)
    if not is_patch(case):
        del settings["patch_size"]
    if is_place(case):
        del settings["spacing"], settings["in_plane_size"]
    identity = [_LAYOUT, fingerprints, settings]
    if case.centre is not None:
        identity += ["scan"] if is_place(case) else [case.centre]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _write_arrays(
    case: Case, preparation: Preparation, fingerprints: list[str], stem: Path
) -> None:
    """Writes the arrays, then the record, whose presence says that all are there."""
    made = make_arrays(case, preparation, fingerprints[: len(case.images)])
    record = {
        "case": case.name,
        "files": [str(path) for path in _sources(case)],
        "fingerprints": fingerprints,
        "window": preparation.window,
        "window_ranges": made.window_ranges,
        "origin": made.source.origin,
        "direction": made.source.direction,
        "spacing_before": made.source.spacing,
        "spacing_after": made.spacing,
        "shape_before": made.source.array.shape,
        "shape_after": made.image.shape[:3],
        "label_values": preparation.label_values,
        "models_genesis_tf": __version__,
    }
    stem.parent.mkdir(parents=True, exist_ok=True)
    arrays = {".image.npy": made.image, ".label.npy": made.label}
    for suffix, array in arrays.items():
        if array is not None:
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
