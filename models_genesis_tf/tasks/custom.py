"""A task of the user's own, described by a csv manifest.

The columns `image` and `label` are needed, `patient` (else each case is one) and
`split` are read where they are there, and others may be used in conditions. Paths are
relative to the manifest's folder. A case is named after its image without suffix; if
two images share a name, all cases are named by their paths relative to that folder.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.images import image_name
from models_genesis_tf.imaging.windows import parse_window
from models_genesis_tf.tasks.base import KINDS, Case, Listing, Task
from models_genesis_tf.tasks.conditions import (
    Condition,
    as_number,
    parse_label_map,
    parse_where,
)
from models_genesis_tf.tasks.table_rows import Row, read_files, read_parts, read_rows

_METRICS = {"classification": "auc", "segmentation": "dice_mean"}
_HOW_TO_GET = (
    "your own data: --manifest names a csv file with the columns image and label and, "
    "where you have them, patient and split (train, valid, test)"
)


def read_manifest(
    path: str | Path,
    kind: str,
    label_column: str = "label",
    label_map: str = "",
    where: str = "",
) -> Listing:
    """Reads the cases of a manifest.

    Args:
      path: A csv file with a header.
      kind: One of `base.KINDS`. The label of segmentation is the path of a label map,
        that of classification the name of a class.
      label_column: Column of the label.
      label_map: "condition:class" with commas between, for example "<3:0,>3:1" or
        "benign:0,malignant:1"; the first that holds names the class, and rows where
        none holds are left out. Empty takes the label's text. Classification only.
      where: Conditions on columns with commas or & between, for example
        "n_readers>=3"; rows where one does not hold are left out.

    Returns:
      The cases in the order of the rows. Classes are those of the rows that train (all
      rows, where there is no split), sorted by number or else by name.

    Raises:
      InputError: If the manifest, a row of it (the header is row 1), or a condition is
        not as described.
    """
    if kind not in KINDS:
        raise InputError(
            f"--kind is one of {', '.join(KINDS)}. Received: --kind={kind}"
        )
    if label_map and kind == "segmentation":
        raise InputError(
            "--label_map sorts rows into classes, so it goes with "
            f"--kind=classification. Received: --label_map={label_map}"
        )
    rows, labels, notice = _read_chosen(path, label_column, label_map, where)
    images = read_files(rows, "image", "an image")
    names = _case_names(rows, images)
    splits = read_parts(rows)
    if kind == "segmentation":
        classes, targets = (), [row.file(label_column) for row in rows]
    else:
        classes = _find_classes(labels, splits)
        targets = _class_indices(rows, labels, classes)
        sizes = [f"{name} ({labels.count(name)})" for name in classes]
        notice = f"{notice}; classes {', '.join(sizes)}"
    patients = [
        row.cell("patient") if "patient" in row.cells else name
        for row, name in zip(rows, names, strict=True)
    ]
    channels = [(image,) for image in images]
    cases = tuple(map(Case, names, channels, targets, patients, splits))
    return Listing(cases, classes, None, notice)


def read_column(
    path: str | Path,
    column: str,
    label_column: str = "label",
    label_map: str = "",
    where: str = "",
) -> dict[str, float]:
    """Reads a column of numbers of a manifest.

    Args:
      path: As for `read_manifest`.
      column: The column.
      label_column: Which rows are read, see there, as for the others.
      label_map: See there.
      where: See there.

    Returns:
      Name of each case -> its number; cases whose cell is empty are not there.

    Raises:
      InputError: As `read_manifest`, or if a cell is neither empty nor a number.
    """
    rows, *_ = _read_chosen(path, label_column, label_map, where, [column])
    names = _case_names(rows, read_files(rows, "image", "an image"))
    numbers = {}
    for name, row in zip(names, rows, strict=True):
        text = row.cells[column]
        number = as_number(text)
        if number is not None:
            numbers[name] = number
        elif text:
            raise row.error(f"the column {column} is of numbers", f"{column}={text}")
    return numbers


def custom_task(
    kind: str,
    window: str = "percentile",
    spacing: tuple[float, float, float] | None = None,
    patch_size: tuple[int, int, int] | None = None,
) -> Task:
    """The task that a manifest describes.

    Args:
      kind: One of `base.KINDS`.
      window: As `imaging.windows.parse_window` reads it.
      spacing: Spacing x, y, z in mm to resample to, or None to keep each image's own.
      patch_size: Sides x, y, z in voxels, z being 1 in two dimensions; None chooses
        from the data.

    Returns:
      The task.

    Raises:
      InputError: If the kind, window, spacing or patch size is out of range.
    """
    if kind not in KINDS:
        raise InputError(
            f"--kind is one of {', '.join(KINDS)}. Received: --kind={kind}"
        )
    parse_window(window)
    if spacing is not None and not (
        len(spacing) == 3 and np.isfinite(spacing).all() and min(spacing) > 0
    ):
        raise InputError(
            f"--spacing is three lengths above 0 in mm. Received: --spacing={spacing}"
        )
    if patch_size is not None and not _is_patch_size(patch_size):
        raise InputError(
            "--patch_size is three multiples of 8 in voxels, or two of 32 and 1. "
            f"Received: --patch_size={patch_size}"
        )
    return Task(
        code="custom",
        title=f"{kind} of your own data",
        modality="any",
        dimension=3,
        kind=kind,
        metric=_METRICS[kind],
        patch_size=patch_size,
        window=window,
        spacing=spacing,
        how_to_get=_HOW_TO_GET,
    )


def _read_chosen(
    path: str | Path,
    label_column: str,
    label_map: str,
    where: str,
    columns: Sequence[str] = (),
) -> tuple[list[Row], list[str], str]:
    """Reads the rows that are used, of a table that has some columns more, too."""
    conditions, rules = parse_where(where), parse_label_map(label_map)
    needed = ["image", label_column, *columns, *(test.column for test in conditions)]
    rows = read_rows(Path(path), needed, "manifest")
    rows, labels, notice = _choose(rows, label_column, conditions, rules)
    notice = f"{Path(path).name}: {notice}"
    if not rows:
        raise InputError(f"a manifest leaves rows to use. Received: {notice}")
    return rows, labels, notice


def _choose(
    rows: Sequence[Row],
    label_column: str,
    conditions: Sequence[Condition],
    rules: Sequence[tuple[Condition, str]],
) -> tuple[list[Row], list[str], str]:
    """Takes the rows that conditions and rules leave; gives their labels, counts."""
    kept = [
        row
        for row in rows
        if all(test.holds(row.cells[test.column]) for test in conditions)
    ]
    labelled = [(row, _map_label(row.cell(label_column), rules)) for row in kept]
    taken = [(row, label) for row, label in labelled if label is not None]
    notice = (
        f"{len(taken)} of {len(rows)} rows taken, {len(rows) - len(kept)} left out by "
        f"--where, {len(kept) - len(taken)} by --label_map"
    )
    return [row for row, _ in taken], [label for _, label in taken], notice


def _is_patch_size(sides: tuple[int, ...]) -> bool:
    """Whether a network in three dimensions takes such a patch, or one in two."""
    if len(sides) != 3 or min(sides) < 1:
        return False
    x, y, z = sides
    return x % 32 == y % 32 == 0 if z == 1 else all(side % 8 == 0 for side in sides)


def _map_label(text: str, rules: Sequence[tuple[Condition, str]]) -> str | None:
    if not rules:
        return text
    return next((name for condition, name in rules if condition.holds(text)), None)


def _case_names(rows: Sequence[Row], images: Sequence[Path]) -> list[str]:
    names = [image_name(image) for image in images]
    if len(set(names)) == len(names):
        return names
    names = [
        Path(
            os.path.relpath(image.parent, row.table.parent), image_name(image)
        ).as_posix()
        for row, image in zip(rows, images, strict=True)
    ]
    for row, name in zip(rows, names, strict=True):
        if names.count(name) > 1:
            raise row.error("images differ in more than their suffix", f"image={name}")
    return names


def _find_classes(
    labels: Sequence[str], splits: Sequence[str | None]
) -> tuple[str, ...]:
    names = {
        label
        for label, split in zip(labels, splits, strict=True)
        if split in ("train", None)
    }
    if len(names) < 2:
        raise InputError(
            "the rows that train have two classes or more. "
            f"Received: {', '.join(sorted(names))}"
        )
    numbers = {name: as_number(name) for name in names}
    if None in numbers.values():
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (numbers[name], name)))


def _class_indices(
    rows: Sequence[Row], labels: Sequence[str], classes: Sequence[str]
) -> list[int]:
    for row, label in zip(rows, labels, strict=True):
        if label not in classes:
            raise row.error(
                f"unknown class: the rows that train have {', '.join(classes)}", label
            )
    return [classes.index(label) for label in labels]
