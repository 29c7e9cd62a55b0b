"""NCC: which candidates are lung nodules, in LUNA16.

Ten folders, `subset0` to `subset9`, hold the 888 CTs, each `<SeriesInstanceUID>.mhd`
with its `.raw`; `candidates_V2.csv` holds 754,975 candidates in the columns seriesuid,
coordX, coordY, coordZ, class, of which 1,557 are nodules (class 1). `candidates.csv` is
an older set that the owner advises against, and `seg-lungs-LUNA16` holds masks of lungs
under the names of the CTs. [luna16.grand-challenge.org/Data] Coordinates are world
positions in mm, in the space of the `.mhd` headers; their readers give it in LPS (x to
the left, y to the back, z to the head) and heed flips in the TransformMatrix. [same
site, Tutorial; ITK, MetaImageIO]

Subsets 0-4 train, 5-6 validate, 7-9 test: 445, 178 and 265 CTs. [official repository,
keras/downstream_tasks/config.py; its author in ModelsGenesis issue 53] LUNA16 names no
patients, so a CT is a patient here; LIDC-IDRI, which it is taken from, has 1,018 CTs of
1,010 patients. [TCIA, LIDC-IDRI]

A patch is 32 mm a side, 64x64x32 voxels of 0.5, 0.5 and 1 mm. The released code takes
crops named 32x32x32 and a network input of 64x64x32 [config.py], and no more of them is
published. 32 mm also holds the largest nodule that LUNA16 annotates, of 32.27 mm
[annotations.csv], up to its rim.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.folders import files_below
from models_genesis_tf.tasks.base import Case, Listing, Task
from models_genesis_tf.tasks.splits import keep_complete_split
from models_genesis_tf.tasks.table_rows import Row, read_columns

TASK = Task(
    code="ncc",
    title="lung nodule false positive reduction",
    modality="CT",
    dimension=3,
    kind="classification",
    metric="auc",
    patch_size=(64, 64, 32),
    window="ct",
    spacing=(0.5, 0.5, 1.0),
    how_to_get=(
        "LUNA16, https://luna16.grand-challenge.org/Download: below one folder, "
        "subset0 to subset9 with a .mhd and a .raw file per CT, and candidates_V2.csv"
    ),
    data_set="luna16",
)

_CLASSES = ("no nodule", "nodule")
_TABLE = "candidates_V2.csv"
_COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "class")
_LABELS = {"0": 0, "1": 1}
_SUBSET = re.compile(r"subset(\d)")
_PARTS = ("train",) * 5 + ("valid",) * 2 + ("test",) * 3
_PUBLISHED = "the published split (subsets 0-4, 5-6, 7-9)"


def list_cases(folder: Path) -> Listing:
    """Finds the candidates; no scan is opened.

    Args:
      folder: With the files as `TASK.how_to_get` says, at any depth.

    Returns:
      One case per candidate in the table's order, named by its series and the number of
      its row (the header is row 1). Candidates of other series are left out where
      subsets are missing as a whole.

    Raises:
      InputError: If files are missing or a series is there twice, or a row is no
        candidate of a scan.
    """
    scans = _find_scans(folder)
    table = _find_table(folder)
    subsets = sorted({scan.subset for scan in scans.values()})
    complete = len(subsets) == len(_PARTS)
    cases, left_out = _read_cases(table, scans, complete)
    if not cases:
        raise InputError(
            f"{_TABLE} holds candidates of the scans. Received: {table} with "
            f"{left_out} rows of other series than the {len(scans)} in {folder}"
        )
    nodules = sum(case.label for case in cases)
    kept, division = keep_complete_split(cases, _PUBLISHED)
    notice = f"{len(kept)} candidates in {len(scans)} scans, {nodules} of them nodules"
    if not complete:
        notice += (
            f", {left_out} left out that belong to other scans "
            f"(subsets {', '.join(map(str, subsets))} are there)"
        )
    return Listing(kept, _CLASSES, None, f"{notice}; {division}")


class _Scan(NamedTuple):
    """A scan; its candidates share these objects."""

    uid: str
    images: tuple[Path]
    subset: int


def _find_scans(folder: Path) -> dict[str, _Scan]:
    """The scans in folders of subsets by series; masks of lungs lie elsewhere."""
    scans: dict[str, _Scan] = {}
    for path in files_below(folder):
        names = reversed(path.relative_to(folder).parts[:-1])
        subset = next(filter(None, map(_SUBSET.fullmatch, names)), None)
        if subset is None or path.suffix != ".mhd":
            continue
        scan = _Scan(path.stem, (path,), int(subset[1]))
        first = scans.setdefault(path.stem, scan)
        if first is not scan:
            raise InputError(
                f"a series lies in one place of the subsets. Received: {path.stem} in "
                f"{first.images[0].parent} and in {path.parent}"
            )
    if not scans:
        raise InputError(
            f"--data_dir holds the task's files: {TASK.how_to_get}. "
            f"Received: {folder} without .mhd files in folders of subsets"
        )
    return scans


def _find_table(folder: Path) -> Path:
    found = [path for path in files_below(folder) if path.name == _TABLE]
    if not found:
        raise InputError(
            f"--data_dir holds the task's files: {TASK.how_to_get}. "
            f"Received: {folder} without {_TABLE}"
        )
    if len(found) > 1:
        raise InputError(
            f"--data_dir holds one {_TABLE}. Received: {found[0]} and {found[1]}"
        )
    return found[0]


def _read_cases(
    table: Path, scans: Mapping[str, _Scan], complete: bool
) -> tuple[list[Case], int]:
    """The candidates of the scans, and how many of other series are left out."""
    cases = []
    left_out = 0
    for number, (uid, x, y, z, label) in read_columns(table, _COLUMNS):
        scan = scans.get(uid)
        if scan is None:
            if complete:
                raise _error(table, number, "a candidate has its scan's .mhd", uid)
            left_out += 1
            continue
        try:
            centre = (float(x), float(y), float(z))
        except ValueError:
            centre = (math.nan,) * 3
        if not math.isfinite(sum(centre)):
            rule = "coordinates are numbers in mm"
            raise _error(table, number, rule, ",".join((x, y, z)))
        if label not in _LABELS:
            raise _error(table, number, "a class is 0 or 1", f"class={label}")
        cases.append(
            Case(
                f"{scan.uid}_{number:06d}",
                scan.images,
                _LABELS[label],
                scan.uid,
                _PARTS[scan.subset],
                centre,
                series=scan.uid,
            )
        )
    return cases, left_out


def _error(table: Path, number: int, rule: str, received: str) -> InputError:
    return Row(table, number, {}).error(rule, received)
