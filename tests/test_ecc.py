"""Patches of embolism candidates become cases, divided in three folds of patients."""

import re
from pathlib import Path

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks import ecc
from models_genesis_tf.tasks.base import PARTS
from models_genesis_tf.tasks.splits import split_cases

HEADER = "file,patient,candidate,label"


def _write_set(folder: Path, rows) -> Path:
    """A table of `(file, patient, candidate, label)` and empty files."""
    for name, *_ in rows:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    lines = [HEADER, *(",".join(map(str, row)) for row in rows)]
    (folder / "candidates.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def _rows(patients: int, embolisms: int) -> list[tuple]:
    """Of each patient a false candidate of two patches, of some an embolism too."""
    rows = []
    for number in range(patients):
        name = f"Patient{number:05d}"
        rows += [(f"{name}/{k}.npy", name, "c1", 0) for k in range(2)]
        if number < embolisms:
            rows.append((f"{name}/embolism.npy", name, "c2", 1))
    return rows


def _write_lists(folder: Path, fold: int, **parts) -> None:
    for part in ("train", "val", "test"):
        lines = ["FileName", *parts.get(part, [])]
        path = folder / f"{part}_cv-{fold}.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _patients(listing) -> dict[str, set[str]]:
    split = split_cases(listing.cases, seed=0)
    return {part: {case.patient for case in getattr(split, part)} for part in PARTS}


def test_rows_become_cases_and_patches_of_a_candidate_share_its_name(tmp_path):
    rows = [
        ("patches/a.npy", "P1", "7", 1),
        ("patches/b.nii.gz", "P1", "7", 1),
        ("c.npy", "P1", "8", 0),
        ("d.npy", "P2", "7", 1),
        ("e.npy", "P3", "7", 1),
    ]
    listing = ecc.list_cases(_write_set(tmp_path, rows))
    assert [case.name for case in listing.cases] == [row[0] for row in rows]
    assert [case.candidate for case in listing.cases] == [
        *("P1/7", "P1/7", "P1/8", "P2/7", "P3/7")
    ]
    assert [case.label for case in listing.cases] == [1, 1, 0, 1, 1]
    assert [case.patient for case in listing.cases] == ["P1"] * 3 + ["P2", "P3"]
    assert listing.cases[1].images == (tmp_path / "patches" / "b.nii.gz",)
    assert listing.classes == ("no embolism", "embolism")
    assert "5 patches of 4 candidates (3 embolisms)" in listing.notice


def test_a_fold_of_117_patients_has_74_4_and_39(tmp_path):
    _write_set(tmp_path, _rows(117, 80))
    tested = []
    for fold in (1, 2, 3):
        patients = _patients(ecc.list_cases(tmp_path, seed=5, fold=fold))
        sizes = {part: len(names) for part, names in patients.items()}
        assert sizes == {"train": 74, "valid": 4, "test": 39}
        assert len(set.union(*patients.values())) == 117
        tested.append(patients["test"])
    assert len(set.union(*tested)) == 117


def test_embolisms_are_spread_evenly():
    for seed in range(5):
        has_embolism = {f"P{k}": k < 30 for k in range(90)}
        for fold in (1, 2, 3):
            parts = ecc.divide_patients(has_embolism, seed, fold)
            found = [parts[name] for name in has_embolism if has_embolism[name]]
            assert found.count("test") == 10
            assert found.count("valid") == 1
            assert list(parts.values()).count("valid") == 3


@pytest.mark.parametrize("patients", [3, 4, 5, 10, 30])
def test_every_part_has_an_embolism_however_few_patients(patients):
    has_embolism = {f"P{k}": k < 3 for k in range(patients)}
    for seed in range(10):
        for fold in (1, 2, 3):
            parts = ecc.divide_patients(has_embolism, seed, fold)
            assert {parts[f"P{k}"] for k in range(3)} == set(PARTS)
            assert parts.keys() == has_embolism.keys()


def test_the_division_follows_from_the_seed_alone():
    has_embolism = {f"P{k}": k % 2 == 0 for k in range(40)}
    backwards = dict(reversed(has_embolism.items()))
    first = ecc.divide_patients(has_embolism, 1, 2)
    assert ecc.divide_patients(backwards, 1, 2) == first
    assert ecc.divide_patients(has_embolism, 2, 2) != first


def test_lists_beside_the_table_divide_the_patients(tmp_path):
    _write_set(tmp_path, _rows(6, 6))
    names = [f"Patient{number:05d}" for number in range(6)]
    _write_lists(
        tmp_path, 2, train=names[:2] + ["Patient09999"], val=names[2:3], test=names[3:5]
    )
    listing = ecc.list_cases(tmp_path, fold=2)
    assert _patients(listing) == {
        "train": set(names[:2]),
        "valid": {names[2]},
        "test": set(names[3:5]),
    }
    assert "the listed fold 2 (1 patients in no list left out, 1 " in listing.notice
    assert "chance" not in listing.notice
    assert "by chance with seed 0" in ecc.list_cases(tmp_path, fold=1).notice


def test_lists_without_cases_for_a_part_are_not_used(tmp_path):
    _write_set(tmp_path, _rows(6, 6))
    names = [f"Patient{number:05d}" for number in range(6)]
    _write_lists(tmp_path, 1, train=names[:5], val=["Patient09999"], test=names[5:])
    listing = ecc.list_cases(tmp_path)
    assert {case.split for case in listing.cases} == {None}
    assert "is not used (no case for valid)" in listing.notice


def _error(folder: Path, **arguments) -> str:
    with pytest.raises(InputError) as caught:
        ecc.list_cases(folder, **arguments)
    return str(caught.value)


@pytest.mark.parametrize("fold", [0, 4])
def test_there_are_three_folds(tmp_path, fold):
    assert _error(tmp_path, fold=fold) == f"--fold is 1 to 3. Received: --fold={fold}"


def test_a_folder_without_the_table_says_what_it_looks_like(tmp_path):
    message = _error(tmp_path)
    assert "PE-CAD is private" in message
    assert "columns file, patient, candidate, label" in message
    assert message.endswith(f"Received: {tmp_path} without candidates.csv")


def test_a_table_without_a_column_is_an_error(tmp_path):
    (tmp_path / "candidates.csv").write_text("file,label\na,1\n", encoding="utf-8")
    assert "one column patient" in _error(tmp_path)


@pytest.mark.parametrize(
    "row, message",
    [
        (
            ("b.npy", "P1", "1", 0),
            "all patches of a candidate have one label, here that of row 2. "
            "Received: {table} row 3: candidate=P1/1 label=0",
        ),
        (
            ("b.npy", "P1", "2", 2),
            "a label is 0 or 1. Received: {table} row 3: label=2",
        ),
        (
            ("a.npy", "P2", "9", 0),
            "a patch is in one row, here in row 2. Received: {table} row 3: file=a.npy",
        ),
        (
            ("b.npy", "", "2", 0),
            "a cell that is used is not empty. Received: {table} row 3: patient=",
        ),
    ],
)
def test_a_row_that_contradicts_is_named(tmp_path, row, message):
    others = [(f"{k}.npy", f"P{k}", "1", 1) for k in (2, 3, 4)]
    _write_set(tmp_path, [("a.npy", "P1", "1", 1), row, *others])
    assert _error(tmp_path) == message.format(table=tmp_path / "candidates.csv")


def test_a_patch_that_is_not_there_is_named(tmp_path):
    _write_set(tmp_path, _rows(3, 3))
    (tmp_path / "Patient00001" / "0.npy").unlink()
    assert re.search(r"exist.*row 5: file=Patient00001/0.npy", _error(tmp_path))


def test_too_few_patients_with_an_embolism_are_an_error(tmp_path):
    _write_set(tmp_path, _rows(9, 2))
    assert _error(tmp_path) == (
        "a division into three folds takes three patients with an embolism. "
        "Received: 2 of 9 patients"
    )


def test_a_missing_list_is_an_error(tmp_path):
    _write_set(tmp_path, _rows(3, 3))
    (tmp_path / "test_cv-1.csv").write_text("FileName\nP\n", encoding="utf-8")
    assert _error(tmp_path) == (
        f"a fold has three lists. Received: {tmp_path} without train_cv-1.csv"
    )


def test_a_patient_in_two_lists_is_an_error(tmp_path):
    _write_set(tmp_path, _rows(3, 3))
    _write_lists(tmp_path, 1, train=["A"], val=["B"], test=["A"])
    assert _error(tmp_path) == (
        "a patient is listed once. "
        f"Received: {tmp_path / 'test_cv-1.csv'} row 2: A, in train too"
    )


def test_lists_of_other_patients_are_an_error(tmp_path):
    _write_set(tmp_path, _rows(3, 3))
    _write_lists(tmp_path, 1, train=["A"], val=["B"], test=["C"])
    assert _error(tmp_path) == (
        "the lists of fold 1 name patients of candidates.csv. "
        f"Received: {tmp_path} with none of its 3 patients listed"
    )
