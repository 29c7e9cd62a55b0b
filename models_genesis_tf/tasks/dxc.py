"""DXC: which diseases a chest X-ray shows, in the NIH's ChestX-ray.

`Data_Entry_2017.csv` (also `Data_Entry_2017_v2020.csv`) has a row for each of 112,120
images of 30,805 patients: "Image Index" is the file's name, "Finding Labels" the
findings with | between, or "No Finding", "Patient ID" the patient. Images are PNG files
of 1024x1024 pixels, packed in twelve archives. `train_val_list.txt` and `test_list.txt`
name 86,524 and 25,596 of them, a patient's all in one.
[nihcc.app.box.com/v/ChestXray-NIHCC] Labels were mined from reports.

The published task is of eight diseases, those of ChestX-ray8; the release of 112,120
images has fourteen. Which division it used, and how large the images were, is not
published. [paper_facts 5.7] So the owner's test list is kept, and of the other list
every eighth patient by chance, from `default_rng([seed, 25])`, validates.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.folders import walk
from models_genesis_tf.imaging.images import IMAGE_SUFFIXES
from models_genesis_tf.tasks.base import Case, Listing, Task
from models_genesis_tf.tasks.name_lists import read_names
from models_genesis_tf.tasks.splits import keep_complete_split
from models_genesis_tf.tasks.table_rows import Row, read_columns

FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration"),
    *("Mass", "Nodule", "Pneumonia", "Pneumothorax"),  # these eight are ChestX-ray8's
    *("Consolidation", "Edema", "Emphysema", "Fibrosis"),
    *("Pleural_Thickening", "Hernia"),
)
LABELS = (8, 14)
TASK = Task(
    code="dxc",
    title="chest X-ray diagnosis",
    modality="X-ray",
    dimension=2,
    kind="classification",
    metric="auc_mean",
    patch_size=(224, 224, 1),
    window="0,255",
    spacing=None,
    how_to_get=(
        "NIH ChestX-ray, https://nihcc.app.box.com/v/ChestXray-NIHCC: in one folder, "
        "Data_Entry_2017_v2020.csv, train_val_list.txt, test_list.txt and, at any "
        "depth, the images"
    ),
    data_set="chestxray",
    multi_label=True,
)

_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
_NO_FINDING = "No Finding"
_LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
_VALID_EVERY = 8
_STREAM = 25


def list_cases(folder: Path, seed: int = 0, labels: int = 8) -> Listing:
    """Finds the images that are there; none is opened.

    Args:
      folder: With the files as `TASK.how_to_get` says.
      seed: Of the choice of validation patients, 0 or more.
      labels: How many of `FINDINGS` are learned, 8 or 14; others are no finding.

    Returns:
      One case per image in the table's order, named by its file without suffix. Images
      that are not there or stand in neither list are left out.

    Raises:
      InputError: If files are missing or twice there, a row names an unknown finding,
        or a patient is in both lists.
    """
    check_labels(labels)
    table = _find_table(folder)
    rows = _read_table(table, labels)
    paths = _find_images(folder)
    parts, division = _divide(folder, rows, seed)
    there = [name for name in rows if name in paths]
    used = there if parts is None else [name for name in there if name in parts]
    if not used:
        unlisted = ", which are in neither list" if there else ""
        raise InputError(
            f"--data_dir holds the task's files: {TASK.how_to_get}. Received: {folder} "
            f"with {len(there)} of the {len(rows)} images of {table.name}{unlisted}"
        )
    cases: tuple[Case, ...] = tuple(
        Case(Path(name).stem, (paths[name],), *rows[name], parts and parts[name])
        for name in used
    )
    if parts is not None:
        cases, division = keep_complete_split(cases, division)
    left_out = {
        "not there": len(rows) - len(there),
        "in neither list": len(there) - len(used),
    }
    notice = f"{len(used)} of {len(rows)} images"
    notice += "".join(f", {n} left out, {why}" for why, n in left_out.items() if n)
    notice = "; ".join(filter(None, (notice, _count_findings(cases), division)))
    return Listing(cases, FINDINGS[:labels], None, notice)


def check_labels(labels: int) -> None:
    """Checks the value of --labels.

    Args:
      labels: The value.

    Raises:
      InputError: If it is none of `LABELS`.
    """
    if labels not in LABELS:
        raise InputError(
            f"--labels is {' or '.join(map(str, LABELS))}. Received: --labels={labels}"
        )


def _find_table(folder: Path) -> Path:
    found = [folder / name for name in _TABLES if (folder / name).is_file()]
    if not found:
        raise InputError(
            f"--data_dir holds the task's files: {TASK.how_to_get}. "
            f"Received: {folder} without {_TABLES[0]}"
        )
    if len(found) > 1:
        raise InputError(
            "--data_dir holds one table. "
            f"Received: {folder} with {' and '.join(_TABLES)}"
        )
    return found[0]


def _read_table(table: Path, labels: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """The label and the patient of each image by the name of its file."""
    label_of: dict[str, tuple[int, ...]] = {}  # few texts, which rows repeat
    rows: dict[str, tuple[tuple[int, ...], str]] = {}
    for number, cells in read_columns(table, _COLUMNS):
        name, text, patient = cells
        if name in rows or not all(cells):
            rule = "an image is in one row, with its findings and its patient"
            raise Row(table, number, {}).error(rule, ",".join(cells))
        if text not in label_of:
            label_of[text] = _read_label(Row(table, number, {}), text, labels)
        rows[name] = label_of[text], patient
    return rows


def _read_label(row: Row, text: str, labels: int) -> tuple[int, ...]:
    found = [] if text == _NO_FINDING else text.split("|")
    for name in found:
        if name not in FINDINGS:
            raise row.error(
                f"a finding is one of {', '.join(FINDINGS)}, or else the row says "
                f"{_NO_FINDING}",
                text,
            )
    return tuple(int(name in found) for name in FINDINGS[:labels])


def _find_images(folder: Path) -> dict[str, Path]:
    """Where each picture below a folder lies, by its name."""
    paths: dict[str, Path] = {}
    for parent, names in walk(folder):
        for name in names:
            if name.lower().endswith(IMAGE_SUFFIXES):
                path = parent / name
                first = paths.setdefault(name, path)
                if first is not path:
                    raise InputError(
                        "an image lies in one place below --data_dir. "
                        f"Received: {first} and {path}"
                    )
    return paths


def _divide(
    folder: Path, rows: Mapping[str, tuple[tuple[int, ...], str]], seed: int
) -> tuple[dict[str, str] | None, str]:
    """The part of each image that is in a list, and how patients were divided."""
    lists = {part: folder / name for part, name in _LISTS.items()}
    missing = [path.name for path in lists.values() if not path.is_file()]
    if len(missing) == len(lists):
        return None, ""
    if missing:
        raise InputError(
            f"a division has two lists. Received: {folder} without {missing[0]}"
        )
    listed = {part: set(read_names(path)) for part, path in lists.items()}
    part_of: dict[str, str] = {}
    for name, (_, patient) in rows.items():
        for part, names in listed.items():
            if name in names and part_of.setdefault(patient, part) != part:
                raise InputError(
                    "all images of a patient are in one list. Received: patient "
                    f"{patient} in both (image {name})"
                )
    training = sorted(patient for patient, part in part_of.items() if part == "train")
    order = np.random.default_rng([seed, _STREAM]).permutation(len(training))
    count = max(1, round(len(training) / _VALID_EVERY))
    part_of |= {training[index]: "valid" for index in order[:count]}
    parts = {
        name: part_of[patient]
        for name, (_, patient) in rows.items()
        if any(name in names for names in listed.values())
    }
    division = (
        f"the published test list, and of the other list's patients one in "
        f"{_VALID_EVERY} validates, by chance with seed {seed}"
    )
    return parts, division


def _count_findings(cases: Sequence[Case]) -> str:
    counts = np.sum([case.label for case in cases], axis=0).tolist()
    return ", ".join(map("{} ({})".format, FINDINGS, counts))
