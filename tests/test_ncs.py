"""Nodules of LIDC-IDRI become cases whose label maps lie on them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import read_volume, world_to_voxel
from models_genesis_tf.tasks import ncs
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.splits import split_cases

SPACING = (0.7, 0.8, 2.5)
ORIGIN = np.array([-20.0, 30.0, -400.0])
SIDES = (24, 20, 9)  # columns, rows, slices
BLOCK = (slice(5, 10), slice(11, 14), slice(3, 6))
AXIAL = np.eye(3)
FEET_FIRST = np.diag([-1.0, 1.0, -1.0])
PRONE = np.diag([-1.0, -1.0, 1.0])
TURNED = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
TILT = np.array(
    [[1, 0, 0], [0, np.cos(0.1), -np.sin(0.1)], [0, np.sin(0.1), np.cos(0.1)]]
)


def position(direction: np.ndarray, k: int) -> np.ndarray:
    return ORIGIN + k * SPACING[2] * direction[:, 2]


def write_ct(
    folder: Path,
    series: str,
    patient: str,
    direction: np.ndarray = AXIAL,
    modality: str = "CT",
) -> None:
    """Writes a dark CT with one bright block; file names fall as slices rise."""
    folder.mkdir(parents=True, exist_ok=True)
    array = np.full(SIDES, -1000, np.int16)
    array[BLOCK] = 50
    for k in range(SIDES[2]):
        plane = np.ascontiguousarray(array[:, :, k].T)
        image = sitk.JoinSeries(sitk.GetImageFromArray(plane))
        image.SetSpacing(SPACING)
        image.SetDirection(direction.ravel().tolist())
        image.SetOrigin(position(direction, k).tolist())
        cosines = direction[:, :2].T.ravel()
        tags = {
            "0008|0018": f"{series}.{k}",
            "0008|0060": modality,
            "0010|0020": patient,
            "0020|000d": "1.2.3",
            "0020|000e": series,
            "0020|0032": "\\".join(f"{at:.6f}" for at in position(direction, k)),
            "0020|0037": "\\".join(f"{part:.10f}" for part in cosines),
        }
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{99 - k}.dcm"))
        writer.Execute(image)


def around(block: Sequence[slice], series: str, direction: np.ndarray = AXIAL) -> str:
    """A nodule's XML: the corners of the outline just outside of a block."""
    columns, rows, slices = block
    left, right, top, low = columns.start - 1, columns.stop, rows.start - 1, rows.stop
    corners = [(left, top), (right, top), (right, low), (left, low)]
    edges = "".join(
        f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>"
        for x, y in corners
    )
    rois = "".join(
        f"<roi><imageZposition>{position(direction, k)[2]:.6f}</imageZposition>"
        f"<imageSOP_UID>{series}.{k}</imageSOP_UID><inclusion>TRUE</inclusion>"
        f"{edges}</roi>"
        for k in range(slices.start, slices.stop)
    )
    return f"<unblindedReadNodule><noduleID>n</noduleID>{rois}</unblindedReadNodule>"


def write_xml(path: Path, series: str, readers: Sequence[Sequence[str]]) -> None:
    sessions = "".join(
        f"<readingSession>{''.join(nodules)}</readingSession>" for nodules in readers
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader>'
        f"<SeriesInstanceUid>{series}</SeriesInstanceUid></ResponseHeader>"
        f"{sessions}</LidcReadMessage>",
        encoding="utf-8",
    )


def label_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """A case's label map and its image's array."""
    volume = read_volume(case.image)
    return case.label.read(case.image, volume), volume.array


@pytest.mark.parametrize("direction", [AXIAL, FEET_FIRST, PRONE, TURNED, TILT])
def test_the_label_lands_on_the_nodule_in_the_world(tmp_path, direction):
    write_ct(tmp_path / "ct", "1.2.7", "P1", direction)
    write_xml(
        tmp_path / "ct" / "069.xml", "1.2.7", [[around(BLOCK, "1.2.7", direction)]]
    )
    (case,) = ncs.list_cases(tmp_path).cases
    label, image = label_of(case)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label == 1, image == 50)
    middle = [(part.start + part.stop - 1) / 2 for part in BLOCK]
    expected = ORIGIN + direction @ (np.array(middle) * SPACING)
    np.testing.assert_allclose(case.centre, expected, atol=1e-3)
    volume = read_volume(case.image)
    place = world_to_voxel(case.centre, volume.origin, volume.direction, volume.spacing)
    box = np.argwhere(image == 50)
    middle = (box.min(axis=0) + box.max(axis=0)) / 2
    np.testing.assert_allclose(place, middle, atol=1e-3)


def test_series_and_xml_find_each_other_wherever_they_lie(tmp_path):
    """Series by patient and study; the XML-only download has folders of its own."""
    write_ct(tmp_path / "LIDC" / "b" / "study" / "series", "1.2.8", "P2")
    write_ct(tmp_path / "LIDC" / "a" / "study" / "series", "1.2.7", "P1")
    write_ct(tmp_path / "LIDC" / "a" / "xray", "1.2.9", "P1", modality="CR")
    near = (slice(15, 18), slice(3, 6), slice(6, 8))
    nodules = [around(BLOCK, "1.2.7"), around(near, "1.2.7")]
    write_xml(tmp_path / "xml" / "157" / "158.xml", "1.2.7", [nodules, nodules[:1]])
    write_xml(tmp_path / "xml" / "157" / "159.xml", "1.2.7", [nodules, nodules[:1]])
    write_xml(tmp_path / "xml" / "185" / "1.xml", "1.2.8", [[around(BLOCK, "1.2.8")]])
    write_xml(tmp_path / "xml" / "185" / "2.xml", "7.7.7", [[around(BLOCK, "7.7.7")]])
    (tmp_path / "xml" / "185" / "3.xml").write_text(
        '<IdriReadMessage xmlns="http://www.nih.gov/idri"></IdriReadMessage>'
    )
    (tmp_path / "xml" / "185" / "._1.xml").write_bytes(b"\x00\x05\x16\x07")
    listing = ncs.list_cases(tmp_path)
    names = [case.name for case in listing.cases]
    assert names == ["P1_1.2.7_nodule_1", "P1_1.2.7_nodule_2", "P2_1.2.8_nodule_1"]
    assert [case.patient for case in listing.cases] == ["P1", "P1", "P2"]
    assert listing.classes == ("background", "nodule")
    assert listing.label_values == ((0,), (1,))
    assert "4 XML files of CTs, 1 of them without their series" in listing.notice
    assert "1 of a CT that had one; 3 nodules in 2 CTs, 0 left out" in listing.notice
    assert listing.cases[1].label.files() == (tmp_path / "xml" / "157" / "158.xml",)
    label, _ = label_of(listing.cases[1])
    assert label.sum() == label[near].sum() == 18


def test_nodules_of_few_readers_are_left_out_and_the_others_keep_names(tmp_path):
    write_ct(tmp_path / "ct", "1.2.7", "P1")
    high = (slice(15, 18), slice(3, 6), slice(6, 8))
    both, one = around(high, "1.2.7"), around(BLOCK, "1.2.7")
    write_xml(tmp_path / "1.xml", "1.2.7", [[both, one], [], [both]])
    assert len(ncs.list_cases(tmp_path).cases) == 2
    listing = ncs.list_cases(tmp_path, min_readers=2)
    assert [case.name for case in listing.cases] == ["P1_1.2.7_nodule_2"]
    assert "1 left out by --min_readers=2" in listing.notice
    with pytest.raises(InputError, match="--data_dir holds the task's files: .*TCIA"):
        ncs.list_cases(tmp_path, min_readers=3)


def test_half_of_the_readers_make_the_label(tmp_path):
    """Of three readers two agree on the block, and one draws it a slice higher."""
    write_ct(tmp_path / "ct", "1.2.7", "P1")
    higher = (*BLOCK[:2], slice(4, 7))
    drawn = [around(block, "1.2.7") for block in (BLOCK, higher, BLOCK)]
    write_xml(tmp_path / "1.xml", "1.2.7", [[nodule] for nodule in drawn])
    (case,) = ncs.list_cases(tmp_path).cases
    label, image = label_of(case)
    np.testing.assert_array_equal(label == 1, image == 50)
    assert case.label.identity() == "outlines 0,1,2 of at least 50% of their readers"


def test_the_identity_tells_the_nodules_of_a_file_apart(tmp_path):
    write_ct(tmp_path / "ct", "1.2.7", "P1")
    high = (slice(15, 18), slice(3, 6), slice(6, 8))
    nodules = [around(BLOCK, "1.2.7"), around(high, "1.2.7")]
    write_xml(tmp_path / "1.xml", "1.2.7", [nodules])
    identities = [case.label.identity() for case in ncs.list_cases(tmp_path).cases]
    assert len(set(identities)) == 2
    assert not any(str(tmp_path) in identity for identity in identities)


def test_an_outline_on_a_slice_that_the_series_lacks_is_refused(tmp_path):
    write_ct(tmp_path / "ct", "1.2.7", "P1")
    beyond = (*BLOCK[:2], slice(7, 11))
    write_xml(tmp_path / "1.xml", "1.2.7", [[around(beyond, "1.2.7")]])
    (case,) = ncs.list_cases(tmp_path).cases
    with pytest.raises(InputError) as caught:
        label_of(case)
    assert str(caught.value) == (
        "each outline lies on a slice of its series. Received: "
        f"{tmp_path / '1.xml'} with slice 1.2.7.9, which {tmp_path / 'ct'} lacks"
    )


def test_a_ct_that_lacks_a_slice_is_left_out_and_the_others_stay(tmp_path):
    """No outline is on the slice, but the stack is uneven; where it lies is unknown."""
    for number in range(3):
        series = f"1.2.{number}"
        write_ct(tmp_path / series, series, f"P{number}")
        write_xml(tmp_path / f"{number}.xml", series, [[around(BLOCK, series)]])
    (tmp_path / "1.2.1" / "92.dcm").unlink()  # slice 7 of 9; the block ends at 5
    listing = ncs.list_cases(tmp_path)
    assert [case.patient for case in listing.cases] == ["P0", "P2"]
    left_out = "1 CTs left out, the first of them: the slices of a DICOM series lie at"
    assert left_out in listing.notice and "1.2.1" in listing.notice


@pytest.mark.parametrize("bad", ["-1", "99999999999"])
def test_a_point_outside_of_any_slice_is_damage(tmp_path, bad):
    write_ct(tmp_path / "ct", "1.2.7", "P1")
    nodule = around(BLOCK, "1.2.7").replace("<xCoord>4<", f"<xCoord>{bad}<")
    assert bad in nodule
    write_xml(tmp_path / "1.xml", "1.2.7", [[nodule]])
    with pytest.raises(InputError, match=rf"1.xml \(coordinate {bad}\)"):
        ncs.list_cases(tmp_path)


def test_an_outline_beyond_its_slice_is_refused(tmp_path):
    write_ct(tmp_path / "ct", "1.2.7", "P1")
    beyond = (slice(20, 30), *BLOCK[1:])
    write_xml(tmp_path / "1.xml", "1.2.7", [[around(beyond, "1.2.7")]])
    (case,) = ncs.list_cases(tmp_path).cases
    with pytest.raises(InputError, match="lie within their slices.*beyond 24x20x9"):
        label_of(case)


def test_a_damaged_xml_is_refused_by_name(tmp_path):
    write_ct(tmp_path / "ct", "1.2.7", "P1")
    path = tmp_path / "1.xml"
    write_xml(path, "1.2.7", [[around(BLOCK, "1.2.7")]])
    path.write_text(path.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    with pytest.raises(InputError, match=f"whole LIDC-IDRI XML. Received: {path}"):
        ncs.list_cases(tmp_path)


def test_a_folder_without_the_files_is_told_how_to_get_them(tmp_path):
    with pytest.raises(InputError, match="10.7937/K9/TCIA.2015.LO9QL9SX") as caught:
        ncs.list_cases(tmp_path)
    assert "with 0 XML files of CTs" in str(caught.value)
    assert "\n" not in str(caught.value)
    write_xml(tmp_path / "1.xml", "1.2.7", [[around(BLOCK, "1.2.7")]])
    with pytest.raises(InputError, match="with 1 XML files of CTs, 1 of them without"):
        ncs.list_cases(tmp_path)


def test_scans_are_divided_as_published_and_by_patient():
    """1,018 CTs of 1,010 patients, eight of whom have two."""
    scans = [(f"uid{k}", f"patient{k % 1010}") for k in range(1018)]
    parts = ncs.divide_scans(scans, seed=0)
    counts = Counter(parts.values())
    assert sum(counts.values()) == 1018
    assert abs(counts["train"] - 510) <= 1
    assert abs(counts["valid"] - 100) <= 1
    assert abs(counts["test"] - 408) <= 2
    assert all(parts[f"uid{k}"] == parts[f"uid{k + 1010}"] for k in range(8))
    assert parts == ncs.divide_scans(scans[::-1], seed=0)
    assert parts != ncs.divide_scans(scans, seed=1)


@pytest.mark.parametrize("number", [3, 4, 10])
def test_few_scans_still_make_three_parts(number):
    parts = ncs.divide_scans([(f"{k}", f"{k}") for k in range(number)], seed=3)
    expected = {3: (1, 1, 1), 4: (2, 1, 1), 10: (5, 1, 4)}[number]
    counts = Counter(parts.values())
    assert tuple(counts[part] for part in ("train", "valid", "test")) == expected


def test_parts_are_those_of_the_scans(tmp_path):
    for k in range(4):
        write_ct(tmp_path / f"ct{k}", f"1.2.{k}", f"P{k}")
        write_xml(tmp_path / f"{k}.xml", f"1.2.{k}", [[around(BLOCK, f"1.2.{k}")]])
    listing = ncs.list_cases(tmp_path, seed=5)
    parts = ncs.divide_scans([(f"1.2.{k}", f"P{k}") for k in range(4)], seed=5)
    assert [case.split for case in listing.cases] == [
        parts[f"1.2.{k}"] for k in range(4)
    ]
    assert "divided 510/100/408 of 1,018 by chance with seed 5" in listing.notice
    split = split_cases(listing.cases, seed=5)
    assert (len(split.train), len(split.valid), len(split.test)) == (2, 1, 1)


def test_a_part_without_nodules_leaves_the_division_to_others(tmp_path):
    for k in range(2):
        write_ct(tmp_path / f"ct{k}", f"1.2.{k}", f"P{k}")
        write_xml(tmp_path / f"{k}.xml", f"1.2.{k}", [[around(BLOCK, f"1.2.{k}")]])
    listing = ncs.list_cases(tmp_path)
    assert [case.split for case in listing.cases] == [None, None]
    assert "is not used" in listing.notice


def write_arrays(folder: Path, shape: tuple[int, ...] = (64, 64, 32)) -> None:
    for rows, part in ((3, "train"), (2, "valid"), (1, "test")):
        for kind in ("x", "m"):
            array = np.zeros((rows, *shape), np.float32)
            np.save(folder / f"{kind}_{part}_64x64x32.npy", array)


@pytest.mark.parametrize("shape", [(64, 64, 32), (1, 64, 64, 32), (64, 64, 32, 1)])
def test_the_official_arrays_are_cases_by_row(tmp_path, shape):
    write_arrays(tmp_path, shape)
    listing = ncs.list_cases(tmp_path)
    assert [(case.name, case.split, case.row) for case in listing.cases] == [
        ("train_0000", "train", 0),
        ("train_0001", "train", 1),
        ("train_0002", "train", 2),
        ("valid_0000", "valid", 0),
        ("valid_0001", "valid", 1),
        ("test_0000", "test", 0),
    ]
    last = listing.cases[-1]
    assert last.images == (tmp_path / "x_test_64x64x32.npy",)
    assert last.label == tmp_path / "m_test_64x64x32.npy"
    assert last.patient == last.name
    assert last.centre is None
    assert listing.label_values == ((0,), (1,))


def test_official_arrays_that_do_not_fit_are_refused(tmp_path):
    write_arrays(tmp_path)
    np.save(tmp_path / "m_valid_64x64x32.npy", np.zeros((3, 64, 64, 32), np.uint8))
    with pytest.raises(InputError, match=r"\(2, 64, 64, 32\) and m_valid.*\(3, 64"):
        ncs.list_cases(tmp_path)
    (tmp_path / "m_valid_64x64x32.npy").unlink()
    with pytest.raises(InputError, match="without m_valid_64x64x32.npy"):
        ncs.list_cases(tmp_path)
    write_arrays(tmp_path, (32, 64, 64))
    with pytest.raises(InputError, match="a crop of 64x64x32 in each row"):
        ncs.list_cases(tmp_path)
    with pytest.raises(InputError, match="goes with XML files"):
        ncs.list_cases(tmp_path, min_readers=2)
