"""LUNA16's candidates become cases as its owner and the official split say."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import read_volume
from models_genesis_tf.tasks import ncc
from models_genesis_tf.tasks.base import PARTS
from models_genesis_tf.tasks.case_arrays import voxel_of
from models_genesis_tf.tasks.splits import split_cases

UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.100225287222365663678666836860"
# The form of the owner's file, typed by hand.
TABLE = f"""seriesuid,coordX,coordY,coordZ,class
{UID},68.42,-74.48,-288.7,0
{UID},-95.20936148,-91.80940617,-377.42635114,0
{UID},-128.6994211,-175.3192718,-298.3875064,1
"""


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _write_set(folder: Path, counts=(1,) * 10, table=None) -> Path:
    """Scans named after subset and number, each with two candidates."""
    names = [
        (subset, f"1.2.{subset}.{number}")
        for subset, count in enumerate(counts)
        for number in range(count)
    ]
    for subset, uid in names:
        _touch(folder / f"subset{subset}" / f"{uid}.mhd")
        _touch(folder / f"subset{subset}" / f"{uid}.raw")
    rows = [f"{uid},1.5,-2,{k},{k}" for _, uid in names for k in (0, 1)]
    text = "\n".join(["seriesuid,coordX,coordY,coordZ,class", *rows, ""])
    (folder / "candidates_V2.csv").write_text(
        text if table is None else table, encoding="utf-8"
    )
    return folder


def test_the_owners_rows_become_cases(tmp_path):
    _touch(tmp_path / "subset0" / f"{UID}.mhd")
    _touch(tmp_path / "CSVFILES" / "candidates_V2.csv")
    table = tmp_path / "CSVFILES" / "candidates_V2.csv"
    table.write_text(TABLE, encoding="utf-8")
    listing = ncc.list_cases(tmp_path)
    assert listing.classes == ("no nodule", "nodule")
    assert listing.label_values is None
    first, _, last = listing.cases
    assert first.name == f"{UID}_000002"  # the header is row 1
    assert first.images == (tmp_path / "subset0" / f"{UID}.mhd",)
    assert (first.label, last.label) == (0, 1)
    assert first.patient == first.series == UID
    assert last.centre == (-128.6994211, -175.3192718, -298.3875064)
    assert last.name == f"{UID}_000004"


def test_columns_may_come_in_any_order_with_others_and_windows_line_ends(tmp_path):
    table = f"class,coordZ,seriesuid,coordX,more,coordY\r\n1,3,{UID},1,x,2\r\n"
    _touch(tmp_path / "subset0" / f"{UID}.mhd")
    (tmp_path / "candidates_V2.csv").write_bytes(table.encode("utf-8-sig"))
    (case,) = ncc.list_cases(tmp_path).cases
    assert (case.centre, case.label) == ((1.0, 2.0, 3.0), 1)


def test_published_split_has_445_178_and_265_scans(tmp_path):
    _write_set(tmp_path, counts=(89,) * 8 + (88,) * 2)
    listing = ncc.list_cases(tmp_path)
    split = split_cases(listing.cases, seed=0)
    scans = {part: {case.patient for case in getattr(split, part)} for part in PARTS}
    sizes = {part: len(found) for part, found in scans.items()}
    assert sizes == {"train": 445, "valid": 178, "test": 265}
    assert not scans["train"] & scans["valid"] | scans["test"] & scans["train"]
    assert not scans["valid"] & scans["test"]
    assert {uid.split(".")[2] for uid in scans["valid"]} == {"5", "6"}
    assert {uid.split(".")[2] for uid in scans["test"]} == {"7", "8", "9"}
    assert "1776 candidates in 888 scans, 888 of them nodules" in listing.notice
    assert "the published split" in listing.notice


def test_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    first = ncc.list_cases(_write_set(tmp_path, counts=(3,) * 10))
    find = Path.rglob
    monkeypatch.setattr(
        Path, "rglob", lambda self, name: reversed(list(find(self, name)))
    )
    assert ncc.list_cases(tmp_path) == first


def test_files_may_lie_deeper_and_masks_of_lungs_are_passed_over(tmp_path):
    _write_set(tmp_path / "LUNA16" / "data")
    (tmp_path / "LUNA16" / "data" / "subset0").rename(tmp_path / "moved")
    (tmp_path / "subset0").mkdir()
    (tmp_path / "moved").rename(tmp_path / "subset0" / "subset0")
    _touch(tmp_path / "LUNA16" / "seg-lungs-LUNA16" / "1.2.0.0.mhd")
    _touch(tmp_path / "subset0" / "subset0" / "._1.2.0.0.mhd")
    cases = ncc.list_cases(tmp_path).cases
    assert len(cases) == 20
    assert cases[0].image.parent == tmp_path / "subset0" / "subset0"


def test_without_some_subsets_their_candidates_are_left_out_and_counted(tmp_path):
    _write_set(tmp_path)
    for subset in (3, 9):
        (tmp_path / f"subset{subset}" / f"1.2.{subset}.0.mhd").unlink()
    listing = ncc.list_cases(tmp_path)
    assert len(listing.cases) == 16
    assert "4 left out that belong to other scans" in listing.notice
    assert "subsets 0, 1, 2, 4, 5, 6, 7, 8 are there" in listing.notice
    assert {case.split for case in listing.cases} == set(PARTS)


def test_a_split_without_all_parts_is_not_used(tmp_path):
    _write_set(tmp_path, counts=(3, 1))
    listing = ncc.list_cases(tmp_path)
    assert {case.split for case in listing.cases} == {None}
    assert "is not used (no case for valid and test)" in listing.notice
    split = split_cases(listing.cases, seed=0)
    parts = [{case.patient for case in getattr(split, part)} for part in PARTS]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 4


def test_a_candidate_of_no_scan_is_an_error_where_all_subsets_are_there(tmp_path):
    _write_set(tmp_path)
    table = tmp_path / "candidates_V2.csv"
    with table.open("a", encoding="utf-8") as stream:
        stream.write("9.9.9,1,2,3,0\n")
    with pytest.raises(InputError) as caught:
        ncc.list_cases(tmp_path)
    assert str(caught.value) == (
        f"a candidate has its scan's .mhd. Received: {table} row 22: 9.9.9"
    )


@pytest.mark.parametrize(
    "row, rule",
    [
        ("1.2.0.0,1,2,3,2", "a class is 0 or 1. Received: {table} row 2: class=2"),
        ("1.2.0.0,1,2,3,", "a class is 0 or 1. Received: {table} row 2: class="),
        (
            "1.2.0.0,1,two,3,0",
            "coordinates are numbers in mm. Received: {table} row 2: 1,two,3",
        ),
        (
            "1.2.0.0,1,2,nan,0",
            "coordinates are numbers in mm. Received: {table} row 2: 1,2,nan",
        ),
        ("1.2.0.0,1,2", "a row has 5 cells. Received: {table} row 2: 1.2.0.0,1,2"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, row, rule):
    table = tmp_path / "candidates_V2.csv"
    _write_set(tmp_path, table=f"seriesuid,coordX,coordY,coordZ,class\n{row}\n")
    with pytest.raises(InputError) as caught:
        ncc.list_cases(tmp_path)
    assert str(caught.value) == rule.format(table=table)


def test_rows_are_counted_over_blank_lines(tmp_path):
    _write_set(
        tmp_path, table="seriesuid,coordX,coordY,coordZ,class\n\n1.2.0.0,1,2,3,0"
    )
    (case,) = ncc.list_cases(tmp_path).cases
    assert case.name == "1.2.0.0_000003"


def test_a_table_without_a_column_is_an_error(tmp_path):
    _write_set(tmp_path, table="seriesuid,coordX,coordY,coordZ,diameter_mm\n")
    rule = "candidates_V2.csv has the columns seriesuid,coordX,coordY,coordZ,class"
    with pytest.raises(InputError, match=f"^{rule}. Received: .* row 1: seriesuid,"):
        ncc.list_cases(tmp_path)


def test_a_table_that_is_no_text_is_an_error(tmp_path):
    _write_set(tmp_path)
    (tmp_path / "candidates_V2.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="candidates_V2.csv is a csv file in UTF-8"):
        ncc.list_cases(tmp_path)


def test_a_table_of_other_scans_alone_is_an_error(tmp_path):
    _write_set(
        tmp_path,
        counts=(1,),
        table="seriesuid,coordX,coordY,coordZ,class\n9.9,1,2,3,0\n",
    )
    rule = (
        "candidates of the scans. Received: .* with 1 rows of other series than the 1"
    )
    with pytest.raises(InputError, match=rule):
        ncc.list_cases(tmp_path)


def test_a_folder_without_the_files_says_where_to_get_them(tmp_path):
    with pytest.raises(InputError, match="https://luna16.*without .mhd files"):
        ncc.list_cases(tmp_path)
    _touch(tmp_path / "subset0" / "1.2.mhd")
    with pytest.raises(InputError, match="https://luna16.*without candidates_V2.csv"):
        ncc.list_cases(tmp_path)


def test_a_series_in_two_subsets_is_an_error(tmp_path):
    _write_set(tmp_path)
    _touch(tmp_path / "subset4" / "1.2.0.0.mhd")
    rule = "a series lies in one place of the subsets. Received: 1.2.0.0 in .*subset0"
    with pytest.raises(InputError, match=f"{rule} and in .*subset4"):
        ncc.list_cases(tmp_path)


def test_two_tables_are_an_error(tmp_path):
    _write_set(tmp_path)
    _touch(tmp_path / "CSVFILES" / "candidates_V2.csv")
    with pytest.raises(InputError, match="--data_dir holds one candidates_V2.csv"):
        ncc.list_cases(tmp_path)


def test_a_patch_covers_32_mm():
    sides = np.multiply(ncc.TASK.patch_size, ncc.TASK.spacing)
    assert sides.tolist() == [32.0, 32.0, 32.0]


def test_a_case_takes_less_than_a_kilobyte(tmp_path):
    """All 754,975 have to fit beside the network."""
    _write_set(tmp_path, counts=(200,) * 10)
    tracemalloc.start()
    listing = ncc.list_cases(tmp_path)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(listing.cases) < 1000
    shared = {id(case.images) for case in listing.cases}
    assert len(shared) == len(listing.cases) / 2


def test_a_candidate_lands_on_its_voxel_in_a_header_with_flips(tmp_path):
    """A header typed after LUNA16's, whose x and y run against the world's."""
    path = tmp_path / "subset0" / f"{UID}.mhd"
    path.parent.mkdir()
    path.write_text(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\n"
        "BinaryDataByteOrderMSB = False\nCompressedData = False\n"
        "TransformMatrix = -1 0 0 0 -1 0 0 0 1\nOffset = 30.5 20.25 -100\n"
        "CenterOfRotation = 0 0 0\nAnatomicalOrientation = LPI\n"
        "ElementSpacing = 0.5 0.75 2.5\nDimSize = 8 6 4\nElementType = MET_SHORT\n"
        f"ElementDataFile = {UID}.raw\n",
        encoding="utf-8",
    )
    stored = np.zeros((4, 6, 8), "<i2")  # z, y, x
    stored[2, 1, 5] = 700
    path.with_suffix(".raw").write_bytes(stored.tobytes())
    # Offset plus matrix times index times spacing, by hand.
    world = (30.5 - 5 * 0.5, 20.25 - 1 * 0.75, -100 + 2 * 2.5)
    table = "seriesuid,coordX,coordY,coordZ,class\n{},{},{},{},1\n"
    (tmp_path / "candidates_V2.csv").write_text(
        table.format(UID, *world), encoding="utf-8"
    )
    (case,) = ncc.list_cases(tmp_path).cases
    image = sitk.ReadImage(str(case.image))
    assert image.TransformPhysicalPointToIndex(case.centre) == (5, 1, 2)
    volume = read_volume(case.image)
    voxel = voxel_of(
        case.centre,
        volume.origin,
        volume.direction,
        volume.spacing,
        volume.array.shape,
    )
    np.testing.assert_allclose(voxel, np.round(voxel), atol=1e-9)
    assert volume.array[tuple(np.round(voxel).astype(int))] == 700
