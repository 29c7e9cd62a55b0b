"""Frames of the carotid become cases by the table beside them."""

from pathlib import Path

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks import iuc
from models_genesis_tf.tasks.base import PARTS
from models_genesis_tf.tasks.splits import split_cases

LABELS = ("roi", "bulb", "background")


def _write_set(folder: Path, rows, header="file,patient,label") -> Path:
    for name, *_ in rows:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    lines = [header, *(",".join(row) for row in rows)]
    (folder / "images.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def _rows(patients: int, frames: int = 4) -> list[tuple[str, str, str]]:
    return [
        (f"frames/{patient:02}_{frame}.png", f"P{patient}", LABELS[frame % 3])
        for patient in range(patients)
        for frame in range(frames)
    ]


def _error(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        iuc.list_cases(folder)
    return str(caught.value)


def test_rows_become_cases_of_three_classes(tmp_path):
    listing = iuc.list_cases(_write_set(tmp_path, _rows(2)))
    assert listing.classes == ("background", "bulb", "roi")
    assert listing.label_values is None
    first = listing.cases[0]
    assert first.name == "frames/00_0.png"
    assert first.images == (tmp_path / "frames/00_0.png",)
    assert (first.patient, first.split) == ("P0", None)
    assert [case.label for case in listing.cases] == [2, 1, 0, 2] * 2
    assert listing.notice == (
        "8 images of 2 patients; classes background (2), bulb (2), roi (4)"
    )


@pytest.mark.parametrize("seed", range(5))
def test_patients_are_divided_70_10_20_with_every_class_in_each_part(tmp_path, seed):
    listing = iuc.list_cases(_write_set(tmp_path, _rows(20)))
    split = split_cases(listing.cases, seed)
    parts = [getattr(split, part) for part in PARTS]
    patients = [{case.patient for case in part} for part in parts]
    assert [len(names) for names in patients] == [14, 2, 4]
    assert len(set.union(*patients)) == 20
    assert all({case.label for case in part} == {0, 1, 2} for part in parts)


def test_a_column_of_parts_divides(tmp_path):
    rows = [(*row, part) for row, part in zip(_rows(3, 1), PARTS, strict=True)]
    folder = _write_set(tmp_path, rows, "file,patient,label,split")
    assert [case.split for case in iuc.list_cases(folder).cases] == list(PARTS)


def test_a_folder_without_the_table_says_what_it_looks_like(tmp_path):
    message = _error(tmp_path)
    assert iuc.TASK.how_to_get in message
    assert message.endswith(f"Received: {tmp_path} without images.csv")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            ("b.png", "P1", "RoI"),
            "a label is one of background, bulb, roi. * label=RoI",
        ),
        (("b.png", "P1", ""), "a cell that is used is not empty. * label="),
        (("b.png", "", "roi"), "a cell that is used is not empty. * patient="),
        (
            ("a.png", "P2", "bulb"),
            "an image is in one row, here in row 2. * file=a.png",
        ),
    ],
)
def test_a_row_that_is_not_as_described_is_named(tmp_path, row, message):
    _write_set(tmp_path, [("a.png", "P1", "roi"), row])
    rule, received = message.split(" * ")
    table = tmp_path / "images.csv"
    assert _error(tmp_path) == f"{rule} Received: {table} row 3: {received}"


def test_an_image_that_is_not_there_and_a_missing_column_are_named(tmp_path):
    _write_set(tmp_path, _rows(1))
    (tmp_path / "frames/00_1.png").unlink()
    assert _error(tmp_path).endswith("row 3: file=frames/00_1.png")
    _write_set(tmp_path, _rows(1), "file,person,label")
    assert "a table has one column patient" in _error(tmp_path)
