"""ECC: which candidates are pulmonary emboli, in a folder of patches.

The published data (PE-CAD) are private. What the released code tells: patches of
64x64x64 voxels, clipped to -1000..1000 HU, several per candidate, whose outputs become
one per candidate; a cross-validation of three folds, each with lists of 74 training, 4
validating and 39 testing patients out of 117. [official repository,
keras/downstream_tasks/config.py and data/ecc]

The folder form here is this package's own: `candidates.csv` with the columns file,
patient, candidate and label, one row per patch. `file` is relative to the table, a
`.npy` array or a scan file; a candidate's name or number need only be unique within its
patient; label is 1 for an embolism, else 0. The lists `train_cv-1.csv`, `val_cv-1.csv`
and `test_cv-1.csv` (and of folds 2 and 3) may lie beside it, a patient per line below
the header FileName, as in the official repository; without them patients are divided
from `default_rng([seed, 19])`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks.base import PARTS, Case, Listing, Task
from models_genesis_tf.tasks.splits import keep_complete_split
from models_genesis_tf.tasks.table_rows import Row, read_rows

TASK = Task(
    code="ecc",
    title="pulmonary embolism false positive reduction",
    modality="CT",
    dimension=3,
    kind="classification",
    metric="auc",
    patch_size=(64, 64, 64),
    window="ct",
    spacing=None,
    how_to_get=(
        "PE-CAD is private; with candidates of your own, a folder with candidates.csv "
        "(columns file, patient, candidate, label) and the patches of 64x64x64 voxels "
        "in HU, .npy or scan files, that it names"
    ),
    data_set="pe",
)

_CLASSES = ("no embolism", "embolism")
_TABLE = "candidates.csv"
_COLUMNS = ("file", "patient", "candidate", "label")
_FOLDS = 3
_LISTS = {"train": "train", "valid": "val", "test": "test"}
_LIST_COLUMN = "FileName"
_VALID_SHARE = 4 / 78  # of the patients that are not tested
_STREAM = 19


def list_cases(folder: Path, seed: int = 0, fold: int = 1) -> Listing:
    """Finds the patches; none is opened.

    Args:
      folder: With the files as `TASK.how_to_get` says.
      seed: Of the division of patients, 0 or more.
      fold: Which of the three folds is tested, from 1.

    Returns:
      One case per patch in the table's order, named by its file.

    Raises:
      InputError: If the fold is none of three, files are missing, a row contradicts
        another or is not as described, or there are too few patients.
    """
    if not 1 <= fold <= _FOLDS:
        raise InputError(f"--fold is 1 to {_FOLDS}. Received: --fold={fold}")
    table = folder / _TABLE
    if not table.is_file():
        raise InputError(
            f"--data_dir holds the task's files: {TASK.how_to_get}. "
            f"Received: {folder} without {_TABLE}"
        )
    rows = read_rows(table, _COLUMNS)
    labels = _read_labels(rows)
    parts, division = _divide(folder, labels, seed, fold)
    cases = _make_cases(rows, labels, parts)
    kept, division = keep_complete_split(cases, division)
    candidates = {case.candidate: case.label for case in kept}
    notice = (
        f"{len(kept)} patches of {len(candidates)} candidates "
        f"({sum(candidates.values())} embolisms); {division}"
    )
    return Listing(kept, _CLASSES, None, notice)


def divide_patients(
    has_embolism: Mapping[str, bool], seed: int, fold: int
) -> dict[str, str]:
    """Divides patients into the parts of one of three folds.

    A fold tests a third of the patients; of the others 4 of 78 validate, and one at
    least. Patients with an embolism are spread evenly over folds and parts.

    Args:
      has_embolism: Of each patient, whether a candidate is one.
      seed: Of the division, 0 or more.
      fold: Which fold is tested, 1 to 3.

    Returns:
      The part of each patient.

    Raises:
      InputError: If fewer than three patients have an embolism.
    """
    names = sorted(has_embolism)
    shuffled = np.random.default_rng([seed, _STREAM]).permutation(len(names))
    # Patients without an embolism come last; the others are then dealt out evenly.
    order = [names[index] for index in shuffled]
    order.sort(key=lambda name: not has_embolism[name])  # equals stay shuffled
    if sum(has_embolism.values()) < _FOLDS:
        raise InputError(
            "a division into three folds takes three patients with an embolism. "
            f"Received: {sum(has_embolism.values())} of {len(names)} patients"
        )
    parts = dict.fromkeys(order[fold - 1 :: _FOLDS], "test")
    left = [name for name in order if name not in parts]
    count = max(1, round(_VALID_SHARE * len(left)))
    valid = {left[number * len(left) // count] for number in range(count)}
    for name in left:
        parts[name] = "valid" if name in valid else "train"
    return parts


def _candidate(row: Row) -> tuple[str, str]:
    return row.cell("patient"), row.cell("candidate")


def _read_labels(rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    """The label of each candidate."""
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.cell("label") not in ("0", "1"):
            raise row.error("a label is 0 or 1", f"label={row.cell('label')}")
        earlier = first.setdefault(_candidate(row), row)
        if earlier.cell("label") != row.cell("label"):
            raise row.error(
                "all patches of a candidate have one label, here that of row "
                f"{earlier.number}",
                f"candidate={'/'.join(_candidate(row))} label={row.cell('label')}",
            )
    return {candidate: int(row.cell("label")) for candidate, row in first.items()}


def _make_cases(
    rows: Sequence[Row],
    labels: Mapping[tuple[str, str], int],
    parts: Mapping[str, str],
) -> list[Case]:
    """The patches of patients that are in a part."""
    first: dict[Path, Row] = {}
    cases = []
    for row in rows:
        path, candidate = row.file("file"), _candidate(row)
        earlier = first.setdefault(path.resolve(), row)
        if earlier is not row:
            raise row.error(
                f"a patch is in one row, here in row {earlier.number}",
                f"file={row.cell('file')}",
            )
        patient, _ = candidate
        if patient not in parts:
            continue
        name = Path(row.cell("file")).as_posix()
        label, part = labels[candidate], parts[patient]
        cases.append(
            Case(name, (path,), label, patient, part, candidate="/".join(candidate))
        )
    return cases


def _divide(
    folder: Path, labels: Mapping[tuple[str, str], int], seed: int, fold: int
) -> tuple[dict[str, str], str]:
    """The part of each patient that is used, and how they were divided."""
    has_embolism: dict[str, bool] = {}
    for (patient, _), label in labels.items():
        has_embolism[patient] = has_embolism.get(patient, False) or label == 1
    lists = {part: folder / f"{name}_cv-{fold}.csv" for part, name in _LISTS.items()}
    if not any(path.is_file() for path in lists.values()):
        parts = divide_patients(has_embolism, seed, fold)
        return parts, f"fold {fold} of 3 folds of patients by chance with seed {seed}"
    listed = _read_lists(lists)
    parts = {name: listed[name] for name in has_embolism if name in listed}
    if not parts:
        raise InputError(
            f"the lists of fold {fold} name patients of {_TABLE}. "
            f"Received: {folder} with none of its {len(has_embolism)} patients listed"
        )
    division = (
        f"the listed fold {fold} ({len(has_embolism) - len(parts)} patients in no list "
        f"left out, {len(listed) - len(parts)} listed ones not there)"
    )
    return parts, division


def _read_lists(lists: Mapping[str, Path]) -> dict[str, str]:
    """The part of each patient in the lists of a fold."""
    listed: dict[str, str] = {}
    for part in PARTS:
        if not lists[part].is_file():
            raise InputError(
                f"a fold has three lists. Received: {lists[part].parent} without "
                f"{lists[part].name}"
            )
        for row in read_rows(lists[part], [_LIST_COLUMN]):
            patient = row.cell(_LIST_COLUMN)
            if patient in listed:
                raise row.error(
                    "a patient is listed once", f"{patient}, in {listed[patient]} too"
                )
            listed[patient] = part
    return listed
