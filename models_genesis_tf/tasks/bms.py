"""BMS: segmentation of the whole brain tumour in BraTS.

Skull-stripped MR scans of 240x240x155 voxels of 1 mm, four to a case and one label map
on the same grid. The whole tumour is all that is labelled: 1, 2 and 4 in 2017 to 2021,
1 to 4 until 2016, 1 to 3 from 2023 on. [med.upenn.edu/sbia/brats2018/tasks.html and
med.upenn.edu/cbica/brats2020/data.html; Menze et al., IEEE TMI 34, 2015]

A case has a folder; how its files are named differs by year:

- 2017 to 2021: `<id>_flair`, `_t1`, `_t1ce`, `_t2` and `_seg`, `.nii` or `.nii.gz`, ids
  such as Brats18_CBICA_AXO_1, BraTS20_Training_001 and BraTS2021_00000, until 2019
  below HGG and LGG. [official repository, BraTS/DataSet.py and BraTS/modalities.py] One
  label map of 2020, that of BraTS20_Training_355, is named `W39_1998.09.19_Segm.nii`.
- from 2023: `<id>-t2f`, `-t1n`, `-t1c`, `-t2w` and `-seg`, ids such as
  BraTS-GLI-00000-000, whose last number counts visits. [synapse.org, syn51156910]
- 2013 to 2016: `HG/0001/VSD.Brain.XX.O.MR_Flair/VSD.Brain.XX.O.MR_Flair.684.mha`, the
  same with MR_T1, MR_T1c and MR_T2, and `VSD.Brain_3more.XX.XX.OT` for the label map
  (in 2015 HGG or LGG, and `.O.OT.<number>`). Numbers of patients recur from HG to LG,
  so both are part of a case's name.

The released code tests `fold_3.csv`, an id per line; of folds 1 and 2 together,
shuffled by Python's generator of seed 4, the first eighth validates: 167, 23 and 95 of
the 285 cases of 2018. It crops 100x100x50 voxels of 1 mm and resizes them to 64x64x32
[keras/downstream_tasks/config.py], which is sampling at 1 / 0.64 = 1.5625 mm; whole
cases are resampled to that here and patches cut afterwards. Which of the four scans it
takes is not in it; its author speaks of FLAIR [ModelsGenesis issue 39].
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.folders import files_below
from models_genesis_tf.imaging.postprocessing import Postprocessing
from models_genesis_tf.tasks.base import Case, Listing, Task
from models_genesis_tf.tasks.name_lists import read_names
from models_genesis_tf.tasks.splits import keep_complete_split

TASK = Task(
    code="bms",
    title="brain tumour segmentation",
    modality="MR",
    dimension=3,
    kind="segmentation",
    metric="paper_iou",
    patch_size=(64, 64, 32),
    window="nonzero",
    spacing=(1.5625, 1.5625, 1.5625),
    how_to_get=(
        "BraTS 2018, https://www.med.upenn.edu/sbia/brats2018/data.html: below one "
        "folder, at any depth, a folder <id> per case with <id>_flair.nii.gz, "
        "<id>_t1.nii.gz, <id>_t1ce.nii.gz, <id>_t2.nii.gz and <id>_seg.nii.gz (other "
        "years' names are read too), and for the published split the official "
        "repository's fold_1.csv, fold_2.csv and fold_3.csv beside them"
    ),
    data_set="brats",
    # Gliomas are measurable from 10 mm on (RANO); that is the volume of such a ball.
    postprocessing=Postprocessing(min_size_mm3=math.pi / 6 * 10**3),
)
MODALITIES = ("flair", "t1", "t1ce", "t2")
DEFAULT_MODALITIES = ("flair",)

_CLASSES = ("background", "whole tumour")
_LABEL_VALUES = ((0,), (1, 2, 3, 4))
_LABEL = "seg"
_FOLDS = ("fold_1.csv", "fold_2.csv", "fold_3.csv")
_FOLD_SEED = 4
_PUBLISHED = "the published split (fold_3.csv tests)"
# What a file's name says it is, by year; `id` is the case's.
_NAMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<id>.+)_(?P<kind>flair|t1|t1ce|t2|seg)\.nii(\.gz)?",
        r"(?P<id>.+)-(?P<kind>t2f|t1n|t1c|t2w|seg)\.nii(\.gz)?",
        r"VSD\.Brain.*\.(?P<kind>MR_Flair|MR_T1|MR_T1c|MR_T2|OT)(\.\d+)?\.mha",
        r"W39_1998\.09\.19_(?P<kind>Segm)\.nii(\.gz)?",
    )
)
_KINDS = {
    **{kind: kind for kind in (*MODALITIES, _LABEL)},
    **{"t2f": "flair", "t1n": "t1", "t1c": "t1ce", "t2w": "t2"},
    **{"mr_flair": "flair", "mr_t1": "t1", "mr_t1c": "t1ce", "mr_t2": "t2"},
    **{"ot": _LABEL, "segm": _LABEL},
}
_YEAR = re.compile(r"brats\d*")
# Ids that end with the number of a visit: what is before it is the patient.
_VISIT = re.compile(r"(.*brats1[5-9]_.+|.*brats_.+_pat\d+|brats-\w+-\d+)[-_]\d+", re.I)


def list_cases(folder: Path, modalities: Sequence[str] = DEFAULT_MODALITIES) -> Listing:
    """Finds the labelled cases; no scan is opened.

    Args:
      folder: With the files as `TASK.how_to_get` says; of one year.
      modalities: Channels in this order, out of `MODALITIES`.

    Returns:
      One case per id, sorted. Where there are fold files, only those in them.

    Raises:
      InputError: If a modality is none or twice there, files are missing or there
        twice, or fold files name none of the cases.
    """
    check_modalities(modalities)
    found = _find_cases(folder)
    labelled = {place: case for place, case in found.items() if _LABEL in case.files}
    if not labelled:
        raise InputError(
            f"--data_dir holds the task's files: {TASK.how_to_get}. "
            f"Received: {folder} with {len(found)} cases, none of them labelled"
        )
    _check_labels(found, labelled)
    cases = _make_cases(labelled.values(), modalities)
    cases, division = _split(folder, cases)
    _check_one_year(cases)
    passed_over = len(found) - len(labelled)
    notice = f"{len(cases)} cases, {passed_over} without label map passed over"
    return Listing(cases, _CLASSES, _LABEL_VALUES, f"{notice}; {division}")


@dataclass(frozen=True)
class _Found:
    """The files of a case by modality, the label map among them."""

    name: str
    folder: Path
    files: dict[str, Path] = field(default_factory=dict)


def check_modalities(modalities: Sequence[str]) -> None:
    """Checks which scans of a case are asked for.

    Args:
      modalities: Channels in this order.

    Raises:
      InputError: If one is none of `MODALITIES`, or twice there, or there is none.
    """
    text = f"Received: --modalities={','.join(modalities)}"
    if not set(modalities) <= set(MODALITIES):
        raise InputError(f"--modalities are out of {','.join(MODALITIES)}. {text}")
    if not modalities or len(set(modalities)) < len(modalities):
        raise InputError(f"--modalities names one scan or more, each once. {text}")


def _find_cases(folder: Path) -> dict[tuple[Path, str], _Found]:
    """All cases by folder and id."""
    found: dict[tuple[Path, str], _Found] = {}
    for path in files_below(folder):
        match = next(filter(None, (one.fullmatch(path.name) for one in _NAMES)), None)
        if match is None:
            continue
        place, name = path.parent, match.groupdict().get("id")
        if name is None and place.name.upper().startswith("VSD."):
            place = place.parent  # each scan in a folder of its own
        if name is None:
            old = path.suffix == ".mha"
            name = f"{place.parent.name}_{place.name}" if old else place.name
        case = found.setdefault((place, name), _Found(name, place))
        kind = _KINDS[match["kind"].lower()]
        first = case.files.setdefault(kind, path)
        if first != path:
            raise InputError(
                f"case {name}: {kind} is there once. Received: {first} and {path}"
            )
    return found


def _check_labels(
    found: Mapping[tuple[Path, str], _Found],
    labelled: Mapping[tuple[Path, str], _Found],
) -> None:
    """Tells cases that lost their label map from the owner's unlabelled sets.

    Those lie in folders of their own, where no case has one.
    """
    sets = {case.folder.parent for case in labelled.values()}
    for place, case in found.items():
        if place not in labelled and case.folder.parent in sets:
            raise InputError(
                f"{_lacks(case, _LABEL)}; the owner's unlabelled cases go to a folder "
                "of their own"
            )


def _lacks(case: _Found, kind: str) -> InputError:
    return InputError(
        f"case {case.name}: a case has each scan and its label map. "
        f"Received: {case.folder} without {kind}"
    )


def _check_one_year(cases: Sequence[Case]) -> None:
    """The same patients are in the sets of several years, under other ids."""
    years = {match[0] for case in cases if (match := _YEAR.match(case.name.lower()))}
    if len(years) > 1:
        raise InputError(
            "a folder holds the BraTS of one year, for patients recur. "
            f"Received: {', '.join(sorted(years))}"
        )


def _make_cases(found: Sequence[_Found], modalities: Sequence[str]) -> list[Case]:
    first: dict[str, _Found] = {}
    cases = []
    for case in sorted(found, key=lambda case: (case.name, case.folder)):
        earlier = first.setdefault(case.name, case)
        if earlier is not case:
            raise InputError(
                f"a case is there once. Received: {case.name} in {earlier.folder} and "
                f"in {case.folder}"
            )
        for kind in modalities:
            if kind not in case.files:
                raise _lacks(case, kind)
        images = tuple(case.files[kind] for kind in modalities)
        visit = _VISIT.fullmatch(case.name)
        patient = visit[1] if visit else case.name
        cases.append(Case(case.name, images, case.files[_LABEL], patient, None))
    return cases


def _split(folder: Path, cases: Sequence[Case]) -> tuple[tuple[Case, ...], str]:
    """The cases that are used, with their parts where there are fold files."""
    paths = [folder / name for name in _FOLDS]
    if not any(path.is_file() for path in paths):
        return tuple(cases), f"no {_FOLDS[0]}, so the published split is not used"
    parts = _read_folds(paths)
    used = [
        dataclasses.replace(case, split=parts[case.name])
        for case in cases
        if case.name in parts
    ]
    if not used:
        raise InputError(
            "the fold files name cases that are there. "
            f"Received: {folder} with none of its {len(cases)} cases in them"
        )
    kept, division = keep_complete_split(used, _PUBLISHED)
    left_out = (
        f"{len(cases) - len(used)} cases in no fold left out, "
        f"{len(parts) - len(used)} ids of folds not there"
    )
    return kept, f"{division}, {left_out}"


def _read_folds(paths: Sequence[Path]) -> dict[str, str]:
    """The part of each id, as the released code deals them."""
    first: dict[str, Path] = {}
    folds = []
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"there are three fold files, {', '.join(_FOLDS)}. "
                f"Received: {path.parent} without {path.name}"
            )
        ids = read_names(path)
        for name in ids:
            if name in first:
                raise InputError(
                    f"an id is in one fold, once. Received: {name} in "
                    f"{first[name].name} and in {path}"
                )
            first[name] = path
        folds.append(ids)
    training = folds[0] + folds[1]
    Random(_FOLD_SEED).shuffle(training)
    count = len(training) // 8
    return {
        **dict.fromkeys(training[:count], "valid"),
        **dict.fromkeys(training[count:], "train"),
        **dict.fromkeys(folds[2], "test"),
    }
