"""The NIH's table and lists become cases of several findings, divided by patient."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks import dxc
from models_genesis_tf.tasks.base import PARTS
from models_genesis_tf.tasks.splits import draw_subset, split_cases

# The form of the owner's files, typed by hand; the header names more columns than
# there are, for its brackets hold commas, and ends with one without a name.
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
    "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
REST = "58,M,PA,2682,2749,0.143,0.143"
FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule"),
    *("Pneumonia", "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis"),
    *("Pleural_Thickening", "Hernia"),
)


def _line(name: str, findings: str, patient: str) -> str:
    return f"{name},{findings},{name[9:12]},{patient},{REST},"


def _write_set(folder: Path, rows, lists=None, table="Data_Entry_2017.csv") -> Path:
    """Writes the table, empty images in folders of two, and lists if there are any."""
    lines = [HEADER, *(_line(*row) for row in rows)]
    (folder / table).write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    for number, (name, *_) in enumerate(rows):
        path = folder / f"images_{number // 2 + 1:03}" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name, images in (lists or {}).items():
        (folder / f"{name}.txt").write_text("\n".join(images), encoding="utf-8")
    return folder


def _rows(patients: int, images: int = 2) -> list[tuple[str, str, str]]:
    return [
        (f"{patient:08}_{image:03}.png", FINDINGS[patient % 14], str(patient))
        for patient in range(1, patients + 1)
        for image in range(images)
    ]


def _lists(rows, tested: int) -> dict[str, list[str]]:
    """Patients up to a number are tested."""
    return {
        "test_list": [name for name, _, patient in rows if int(patient) <= tested],
        "train_val_list": [name for name, _, patient in rows if int(patient) > tested],
    }


def _patients(cases) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for case in cases:
        found.setdefault(case.split, set()).add(case.patient)
    return found


def _error(folder: Path, **settings) -> str:
    with pytest.raises(InputError) as caught:
        dxc.list_cases(folder, **settings)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("table", ["Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv"])
def test_the_owners_rows_become_cases(tmp_path, table):
    rows = [
        ("00000001_000.png", "Cardiomegaly", "1"),
        ("00000001_001.png", "Cardiomegaly|Emphysema", "1"),
        ("00000002_000.png", "No Finding", "2"),
        ("00000003_000.png", "Hernia", "3"),
        ("00000004_000.png", "Pneumothorax|Atelectasis|Mass", "4"),
    ]
    listing = dxc.list_cases(_write_set(tmp_path, rows, table=table))
    assert listing.classes == FINDINGS[:8] and listing.label_values is None
    assert [case.label for case in listing.cases] == [
        (0, 1, 0, 0, 0, 0, 0, 0),
        (0, 1, 0, 0, 0, 0, 0, 0),
        (0,) * 8,
        (0,) * 8,
        (1, 0, 0, 0, 1, 0, 0, 1),
    ]
    second = listing.cases[1]
    assert (second.name, second.patient, second.split) == ("00000001_001", "1", None)
    assert second.images == (tmp_path / "images_001/images/00000001_001.png",)
    assert all(case.is_classified for case in listing.cases)
    fourteen = dxc.list_cases(tmp_path, labels=14)
    assert fourteen.classes == FINDINGS == dxc.FINDINGS
    assert [sum(case.label) for case in fourteen.cases] == [1, 2, 0, 1, 3]
    assert fourteen.cases[1].label[FINDINGS.index("Emphysema")] == 1
    assert "Cardiomegaly (2)" in listing.notice and "Mass (1)" in listing.notice
    assert "Hernia" not in listing.notice and "Hernia (1)" in fourteen.notice
    assert listing.notice.startswith("5 of 5 images; Atelectasis (1)")


def test_the_test_list_is_kept_and_patients_of_the_other_validate(tmp_path):
    rows = _rows(50, images=3)
    folder = _write_set(tmp_path, rows, _lists(rows, tested=10))
    validating = []
    for seed in range(4):
        listing = dxc.list_cases(folder, seed)
        patients = _patients(listing.cases)
        assert {part: len(names) for part, names in patients.items()} == {
            "train": 35,
            "valid": 5,
            "test": 10,
        }
        assert patients["test"] == {str(number) for number in range(1, 11)}
        assert len(set.union(*patients.values())) == 50
        assert Counter(case.split for case in listing.cases)["valid"] == 15
        assert f"one in 8 validates, by chance with seed {seed}" in listing.notice
        validating.append(frozenset(patients["valid"]))
    assert len(set(validating)) == 4
    assert dxc.list_cases(folder, 0).cases == dxc.list_cases(folder, 0).cases
    split = split_cases(listing.cases, 3)
    assert [len(getattr(split, part)) for part in PARTS] == [105, 15, 30]


def test_who_validates_does_not_depend_on_which_images_are_there(tmp_path):
    rows = _rows(40)
    folder = _write_set(tmp_path, rows, _lists(rows, tested=8))
    before = _patients(dxc.list_cases(folder, 1).cases)
    for path in list(folder.rglob("*_001.png")):
        path.unlink()
    listing = dxc.list_cases(folder, 1)
    assert _patients(listing.cases) == before
    assert listing.notice.startswith("40 of 80 images, 40 left out, not there; ")


def test_images_in_neither_list_are_left_out_and_counted(tmp_path):
    rows = _rows(20)
    lists = _lists(rows, tested=4)
    dropped = lists["train_val_list"].pop()
    listing = dxc.list_cases(_write_set(tmp_path, rows, lists))
    assert Path(dropped).stem not in {case.name for case in listing.cases}
    assert listing.notice.startswith("39 of 40 images, 1 left out, in neither list; ")


def test_without_lists_patients_are_divided_by_chance(tmp_path):
    listing = dxc.list_cases(_write_set(tmp_path, _rows(200)), labels=14)
    assert {case.split for case in listing.cases} == {None}
    split = split_cases(listing.cases, 5)
    sizes = [len({case.patient for case in getattr(split, part)}) for part in PARTS]
    assert sizes == [140, 20, 40]
    for part in (split.train, split.valid, split.test):
        assert np.sum([case.label for case in part], axis=0).min() > 0


def test_a_part_of_which_nothing_is_there_ends_the_published_split(tmp_path):
    rows = _rows(20)
    folder = _write_set(tmp_path, rows, _lists(rows, tested=4))
    for name in _lists(rows, tested=4)["test_list"]:
        next(folder.rglob(name)).unlink()
    listing = dxc.list_cases(folder)
    assert {case.split for case in listing.cases} == {None}
    assert listing.notice.endswith("is not used (no case for test)")


def test_a_subset_keeps_a_case_of_every_finding(tmp_path):
    rows = _rows(200)
    listing = dxc.list_cases(_write_set(tmp_path, rows), labels=14)
    for trial in range(3):
        small = draw_subset(listing.cases, 0.01, 0, trial)
        assert np.sum([case.label for case in small], axis=0).min() > 0
        assert len({case.patient for case in small}) == 14


@pytest.mark.parametrize(
    ("findings", "rule"),
    [
        ("Cardiomegaly|Tumour", "a finding is one of Atelectasis, Cardiomegaly, "),
        ("No Finding|Mass", "a finding is one of Atelectasis, Cardiomegaly, "),
        ("mass", "a finding is one of Atelectasis, Cardiomegaly, "),
        ("", "an image is in one row, with its findings and its patient"),
    ],
)
def test_findings_that_are_not_known_are_named_with_their_row(tmp_path, findings, rule):
    rows = [*_rows(2, 1), ("00000009_000.png", findings, "9")]
    message = _error(_write_set(tmp_path, rows))
    assert message.startswith(rule)
    assert f"Received: {tmp_path / 'Data_Entry_2017.csv'} row 4: " in message
    assert findings in message.split(" row 4: ")[1]


def test_rows_that_contradict_are_named(tmp_path):
    rows = [*_rows(2, 1), ("00000001_000.png", "Mass", "7")]
    table = tmp_path / "Data_Entry_2017.csv"
    assert _error(_write_set(tmp_path, rows)) == (
        "an image is in one row, with its findings and its patient. "
        f"Received: {table} row 4: 00000001_000.png,Mass,7"
    )
    table.write_text(f"{HEADER}\n00000001_000.png,Mass\n", encoding="utf-8")
    assert f"a row has 11 cells. Received: {table} row 2: " in _error(tmp_path)
    table.write_text("Image Index,Patient ID\n", encoding="utf-8")
    assert "has the columns Image Index,Finding Labels,Patient ID" in _error(tmp_path)
    table.write_bytes(b"\xff\xfe")
    assert "is a csv file in UTF-8" in _error(tmp_path)


def test_rows_may_lack_the_column_without_a_name(tmp_path):
    lines = [HEADER, *(_line(*row).rstrip(",") for row in _rows(2))]
    _write_set(tmp_path, _rows(2))
    (tmp_path / "Data_Entry_2017.csv").write_text("\n".join(lines), encoding="utf-8")
    assert len(dxc.list_cases(tmp_path).cases) == 4


def test_missing_files_are_named(tmp_path):
    assert _error(tmp_path).endswith(f"{tmp_path} without Data_Entry_2017_v2020.csv")
    rows = _rows(4)
    folder = _write_set(tmp_path, rows, {"test_list": [rows[0][0]]})
    assert _error(folder) == (
        f"a division has two lists. Received: {folder} without train_val_list.txt"
    )
    (folder / "train_val_list.txt").write_text("other.png\n", encoding="utf-8")
    (folder / "test_list.txt").write_text("", encoding="utf-8")
    message = _error(folder)
    assert dxc.TASK.how_to_get in message
    assert message.endswith(
        "with 8 of the 8 images of Data_Entry_2017.csv, which are in neither list"
    )
    for path in folder.rglob("*.png"):
        path.unlink()
    assert _error(folder).endswith("with 0 of the 8 images of Data_Entry_2017.csv")
    (folder / "test_list.txt").write_bytes(b"\xff\xfe")
    assert "a list has a name on each line, in UTF-8" in _error(folder)
    (folder / "Data_Entry_2017_v2020.csv").touch()
    assert "--data_dir holds one table. " in _error(folder)


def test_a_patient_or_an_image_in_both_lists_is_an_error(tmp_path):
    rows = _rows(6)
    lists = _lists(rows, tested=2)
    lists["test_list"].append(lists["train_val_list"].pop())
    assert _error(_write_set(tmp_path, rows, lists)) == (
        "all images of a patient are in one list. "
        "Received: patient 6 in both (image 00000006_001.png)"
    )
    lists = _lists(rows, tested=2)
    lists["test_list"].append(lists["train_val_list"][0])
    assert "Received: patient 3 in both" in _error(_write_set(tmp_path, rows, lists))


def test_an_image_in_two_places_is_an_error(tmp_path):
    _write_set(tmp_path, _rows(2))
    (tmp_path / "resized").mkdir()
    (tmp_path / "resized/00000001_000.png").touch()
    assert _error(tmp_path) == (
        "an image lies in one place below --data_dir. "
        f"Received: {tmp_path / 'images_001/images/00000001_000.png'} and "
        f"{tmp_path / 'resized/00000001_000.png'}"
    )


@pytest.mark.parametrize("labels", [0, 9, 15])
def test_there_are_8_labels_or_14(tmp_path, labels):
    message = _error(tmp_path, labels=labels)
    assert message == f"--labels is 8 or 14. Received: --labels={labels}"


def test_the_whole_release_is_listed_from_one_walk(tmp_path, monkeypatch):
    """112,120 rows; the folders' contents are made up, for their files take longer."""
    rows = _rows(28_030, images=4)
    lists = _lists(rows, tested=6_400)
    _write_set(tmp_path, rows[:2], lists)
    lines = [HEADER, *(_line(*row) for row in rows)]
    (tmp_path / "Data_Entry_2017.csv").write_text("\n".join(lines), encoding="utf-8")
    below = [(tmp_path / "images", [name for name, *_ in rows])]
    walks = []
    monkeypatch.setattr(dxc, "walk", lambda folder: walks.append(folder) or iter(below))
    listing = dxc.list_cases(tmp_path)
    assert len({case.name for case in listing.cases}) == 112_120
    assert walks == [tmp_path]
