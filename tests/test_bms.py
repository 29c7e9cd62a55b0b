"""BraTS's cases are found under the names of every year."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks import bms
from models_genesis_tf.tasks.base import PARTS
from models_genesis_tf.tasks.label_maps import to_classes
from models_genesis_tf.tasks.splits import split_cases

SCANS = ("flair", "t1", "t1ce", "t2", "seg")


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _write_case(folder: Path, name: str, scans=SCANS, suffix=".nii.gz") -> None:
    for scan in scans:
        _touch(folder / name / f"{name}_{scan}{suffix}")


def _write_old_case(folder: Path, first: int, truth="VSD.Brain_3more.XX.XX.OT") -> None:
    """A patient of BRATS-2, named as in `Image_Data/HG/0001`."""
    for number, scan in enumerate(("MR_Flair", "MR_T1", "MR_T1c", "MR_T2"), first):
        name = f"VSD.Brain.XX.O.{scan}"
        _touch(folder / name / f"{name}.{number}.mha")
    _touch(folder / truth / f"{truth}.6560.mha")


def _names(listing) -> list[str]:
    return [case.name for case in listing.cases]


def test_names_of_2018_with_all_scans_in_the_order_asked_for(tmp_path):
    _write_case(tmp_path / "HGG", "Brats18_CBICA_AXO_1")
    _write_case(tmp_path / "LGG", "Brats18_2013_0_1")
    listing = bms.list_cases(tmp_path, ("t2", "flair", "t1ce", "t1"))
    assert _names(listing) == ["Brats18_2013_0_1", "Brats18_CBICA_AXO_1"]
    low, high = listing.cases
    folder = tmp_path / "HGG" / "Brats18_CBICA_AXO_1"
    assert [path.name for path in high.images] == [
        f"Brats18_CBICA_AXO_1_{scan}.nii.gz" for scan in ("t2", "flair", "t1ce", "t1")
    ]
    assert high.label == folder / "Brats18_CBICA_AXO_1_seg.nii.gz"
    assert (low.patient, high.patient) == ("Brats18_2013_0", "Brats18_CBICA_AXO")
    assert {case.split for case in listing.cases} == {None}
    assert "no fold_1.csv" in listing.notice


def test_the_default_is_flair_alone(tmp_path):
    _write_case(tmp_path, "BraTS2021_00000")
    (case,) = bms.list_cases(tmp_path).cases
    assert [path.name for path in case.images] == ["BraTS2021_00000_flair.nii.gz"]
    assert case.patient == "BraTS2021_00000"


def test_the_oddly_named_label_map_of_2020(tmp_path):
    data = tmp_path / "MICCAI_BraTS2020_TrainingData"
    _write_case(data, "BraTS20_Training_001", suffix=".nii")
    _write_case(data, "BraTS20_Training_355", SCANS[:4], ".nii")
    odd = data / "BraTS20_Training_355" / "W39_1998.09.19_Segm.nii"
    _touch(odd)
    first, last = bms.list_cases(tmp_path, ("flair", "t1")).cases
    assert (last.name, last.label) == ("BraTS20_Training_355", odd)
    assert (first.patient, last.patient) == (first.name, last.name)


def test_names_of_2023_and_visits_of_one_patient(tmp_path):
    for name in ("BraTS-GLI-00000-000", "BraTS-GLI-00000-001", "BraTS-GLI-00002-000"):
        for scan in ("t1c", "t1n", "t2f", "t2w", "seg"):
            _touch(tmp_path / name / f"{name}-{scan}.nii.gz")
    listing = bms.list_cases(tmp_path, bms.MODALITIES)
    first = listing.cases[0]
    kinds = [path.name.removeprefix(f"{first.name}-") for path in first.images]
    assert kinds == [f"{scan}.nii.gz" for scan in ("t2f", "t1n", "t1c", "t2w")]
    patients = [case.patient for case in listing.cases]
    assert patients == ["BraTS-GLI-00000"] * 2 + ["BraTS-GLI-00002"]


def test_names_of_2013_whose_numbers_recur(tmp_path):
    images = tmp_path / "BRATS-2" / "Image_Data"
    _write_old_case(images / "HG" / "0001", 684)
    _write_old_case(images / "LG" / "0001", 700)
    _write_old_case(
        tmp_path / "BRATS-2" / "Synthetic_Data" / "HG" / "0001",
        865,
        truth="VSD.Gray_matter_of_neuraxis_5more.XX.O.OT",
    )
    listing = bms.list_cases(tmp_path, ("flair", "t1ce"))
    assert _names(listing) == ["HG_0001", "LG_0001"]
    flair, contrast = listing.cases[0].images
    assert flair.name == "VSD.Brain.XX.O.MR_Flair.684.mha"
    assert contrast.name == "VSD.Brain.XX.O.MR_T1c.686.mha"
    assert listing.cases[0].label.name == "VSD.Brain_3more.XX.XX.OT.6560.mha"
    assert "1 without label map passed over" in listing.notice


def test_names_of_2015_and_visits_of_one_patient(tmp_path):
    for visit, number in (("0109", 42325), ("0181", 42331)):
        patient = tmp_path / "HGG" / f"brats_tcia_pat153_{visit}"
        flair = f"VSD.Brain.XX.O.MR_Flair.{number - 9}"
        truth = f"VSD.Brain_3more.XX.O.OT.{number}"
        for name in (flair, truth):
            _touch(patient / name / f"{name}.mha")
    listing = bms.list_cases(tmp_path)
    assert _names(listing) == [
        *("HGG_brats_tcia_pat153_0109", "HGG_brats_tcia_pat153_0181")
    ]
    assert {case.patient for case in listing.cases} == {"HGG_brats_tcia_pat153"}


def test_all_that_is_labelled_is_whole_tumour(tmp_path):
    _write_case(tmp_path, "BraTS2021_00000")
    listing = bms.list_cases(tmp_path)
    assert listing.classes == ("background", "whole tumour")
    classes = to_classes(np.arange(5), listing.label_values)
    assert classes.tolist() == [0, 1, 1, 1, 1]


def test_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    for number in (7, 3, 5):
        _write_case(tmp_path / "data", f"BraTS2021_0000{number}")
    _write_old_case(tmp_path / "HG" / "0001", 684)
    first = bms.list_cases(tmp_path, bms.MODALITIES)
    find = Path.rglob
    monkeypatch.setattr(
        Path, "rglob", lambda self, name: reversed(list(find(self, name)))
    )
    assert bms.list_cases(tmp_path, bms.MODALITIES) == first


def test_unlabelled_sets_are_passed_over_and_counted(tmp_path):
    _write_case(tmp_path / "Training", "BraTS2021_00000")
    for number in range(3):
        _write_case(tmp_path / "Validation", f"BraTS2021_0100{number}", SCANS[:4])
    listing = bms.list_cases(tmp_path)
    assert _names(listing) == ["BraTS2021_00000"]
    assert "1 cases, 3 without label map passed over" in listing.notice


def _write_folds(folder: Path) -> list[list[str]]:
    """Three folds of 95 ids of 2018, one per line without a header."""
    folds = [[f"Brats18_TCIA{fold:02d}_{k}_1" for k in range(95)] for fold in (1, 2, 3)]
    for fold, ids in enumerate(folds, start=1):
        path = folder / f"fold_{fold}.csv"
        path.write_text("\n".join(ids) + "\n", encoding="utf-8")
    return folds


def test_fold_files_divide_as_the_released_code_does(tmp_path):
    folds = _write_folds(tmp_path)
    for name in sum(folds, []):
        _write_case(tmp_path / "HGG", name, ("flair", "seg"))
    listing = bms.list_cases(tmp_path)
    split = split_cases(listing.cases, seed=0)
    names = {part: {case.name for case in getattr(split, part)} for part in PARTS}
    sizes = {part: len(found) for part, found in names.items()}
    assert sizes == {"train": 167, "valid": 23, "test": 95}
    assert names["test"] == set(folds[2])
    shuffled = folds[0] + folds[1]
    Random(4).shuffle(shuffled)
    assert names["valid"] == set(shuffled[:23])
    assert len({case.patient for case in listing.cases}) == 285
    assert "the published split" in listing.notice


def test_cases_in_no_fold_and_ids_without_case_are_counted(tmp_path):
    folds = _write_folds(tmp_path)
    for name in [*folds[0], *folds[1], *folds[2][:4], "Brats18_CBICA_AXO_1"]:
        _write_case(tmp_path / "HGG", name, ("flair", "seg"))
    listing = bms.list_cases(tmp_path)
    assert len(listing.cases) == 194
    assert "1 cases in no fold left out, 91 ids of folds not there" in listing.notice
    split = split_cases(listing.cases, seed=0)
    assert len(split.test) == 4


def test_a_split_without_all_parts_is_not_used(tmp_path):
    folds = _write_folds(tmp_path)
    for name in folds[2]:
        _write_case(tmp_path / "HGG", name, ("flair", "seg"))
    listing = bms.list_cases(tmp_path)
    assert {case.split for case in listing.cases} == {None}
    assert "is not used (no case for train and valid)" in listing.notice


def _error(folder: Path, modalities=bms.DEFAULT_MODALITIES) -> str:
    with pytest.raises(InputError) as caught:
        bms.list_cases(folder, modalities)
    return str(caught.value)


@pytest.mark.parametrize(
    "modalities, message",
    [
        (
            ("flair", "t3"),
            "--modalities are out of flair,t1,t1ce,t2. Received: --modalities=flair,t3",
        ),
        (
            ("t1", "t1"),
            "--modalities names one scan or more, each once. "
            "Received: --modalities=t1,t1",
        ),
        (
            (),
            "--modalities names one scan or more, each once. Received: --modalities=",
        ),
    ],
)
def test_modalities_are_known_and_different(tmp_path, modalities, message):
    assert _error(tmp_path, modalities) == message


def test_a_folder_without_cases_says_where_to_get_them(tmp_path):
    _touch(tmp_path / "volume-0.nii")
    message = _error(tmp_path)
    assert "https://www.med.upenn.edu/sbia/brats2018/data.html" in message
    assert "<id>_seg.nii.gz" in message
    assert message.endswith(f"Received: {tmp_path} with 0 cases, none of them labelled")


def test_unlabelled_cases_alone_are_an_error(tmp_path):
    _write_case(tmp_path, "BraTS2021_01000", SCANS[:4])
    assert _error(tmp_path).endswith("with 1 cases, none of them labelled")


def test_a_case_without_a_scan_that_is_asked_for_is_named(tmp_path):
    _write_case(tmp_path, "BraTS2021_00000")
    _write_case(tmp_path, "BraTS2021_00002", ("flair", "t1", "seg"))
    assert len(bms.list_cases(tmp_path, ("flair", "t1")).cases) == 2
    assert _error(tmp_path, ("flair", "t1ce")) == (
        "case BraTS2021_00002: a case has each scan and its label map. "
        f"Received: {tmp_path / 'BraTS2021_00002'} without t1ce"
    )


def test_a_case_that_lost_its_label_map_is_named(tmp_path):
    """It lies among labelled ones, unlike those of the owner's validation set."""
    _write_case(tmp_path, "BraTS2021_00000")
    _write_case(tmp_path, "BraTS2021_00002", SCANS[:4])
    assert _error(tmp_path) == (
        "case BraTS2021_00002: a case has each scan and its label map. "
        f"Received: {tmp_path / 'BraTS2021_00002'} without seg; the owner's unlabelled "
        "cases go to a folder of their own"
    )


def test_the_sets_of_two_years_are_not_mixed(tmp_path):
    """Their patients recur under other ids, which would put one in two parts."""
    _write_case(tmp_path, "Brats18_CBICA_AAA_1")
    _write_case(tmp_path, "BraTS19_CBICA_AAA_1")
    assert "BraTS of one year, for patients recur. Received: brats18, brats19" in (
        _error(tmp_path)
    )


def test_a_fold_file_that_is_no_text_is_an_error(tmp_path):
    _write_case(tmp_path, "BraTS2021_00000")
    (tmp_path / "fold_1.csv").write_bytes("BraTS2021_00000".encode("utf-16"))
    assert "a list has a name on each line, in UTF-8. Received: " in _error(tmp_path)


def test_a_scan_that_is_there_twice_is_an_error(tmp_path):
    _write_case(tmp_path, "BraTS2021_00000")
    _write_case(tmp_path, "BraTS2021_00000", ("flair",), ".nii")
    assert "case BraTS2021_00000: flair is there once. Received: " in _error(tmp_path)


def test_a_case_that_is_there_twice_is_an_error(tmp_path):
    _write_case(tmp_path / "a", "BraTS2021_00000")
    _write_case(tmp_path / "b", "BraTS2021_00000")
    assert "a case is there once. Received: BraTS2021_00000 in " in _error(tmp_path)


def test_a_missing_fold_file_is_an_error(tmp_path):
    _write_case(tmp_path, "Brats18_CBICA_AXO_1")
    _write_folds(tmp_path)
    (tmp_path / "fold_2.csv").unlink()
    assert _error(tmp_path) == (
        "there are three fold files, fold_1.csv, fold_2.csv, fold_3.csv. "
        f"Received: {tmp_path} without fold_2.csv"
    )


def test_an_id_in_two_folds_is_an_error(tmp_path):
    _write_case(tmp_path, "Brats18_CBICA_AXO_1")
    for fold, name in enumerate(("A", "B", "A"), start=1):
        (tmp_path / f"fold_{fold}.csv").write_text(name, encoding="utf-8")
    assert _error(tmp_path) == (
        "an id is in one fold, once. "
        f"Received: A in fold_1.csv and in {tmp_path / 'fold_3.csv'}"
    )


def test_folds_of_other_cases_are_an_error(tmp_path):
    _write_case(tmp_path, "Brats18_CBICA_AXO_1")
    _write_folds(tmp_path)
    assert _error(tmp_path) == (
        "the fold files name cases that are there. "
        f"Received: {tmp_path} with none of its 1 cases in them"
    )
