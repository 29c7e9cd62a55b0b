"""Phantoms lie on disk as LIDC-IDRI does, and their outlines on the nodules."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import read_volume, world_to_voxel
from models_genesis_tf.phantoms import lidc
from models_genesis_tf.phantoms.marker import is_complete, is_phantom
from tests.written_files import contents, read_rows

SMALL = (80, 80, 40)
SPACE = {"nih": "http://www.nih.gov"}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Twelve real cases."""
    folder = tmp_path_factory.mktemp("lidc")
    lidc.write(folder, 12, seed=3, size=SMALL)
    return folder


def _rows(folder: Path) -> list[dict[str, str]]:
    return read_rows(folder / "nodules.csv")


def _series(folder: Path) -> list[Path]:
    return sorted({path.parent for path in folder.rglob("*.dcm")})


def _xml(series: Path):
    (path,) = series.glob("*.xml")
    return ElementTree.parse(path).getroot()


def test_a_series_is_patient_study_series_with_slices_and_one_xml_file(written):
    folders = _series(written)
    assert len(folders) == 12
    names = set()
    for series in folders:
        patient, study, _ = series.relative_to(written).parts
        assert patient.startswith("LIDC-IDRI-00") and study.startswith("01-01-2000-")
        assert len(list(series.glob("*.dcm"))) == SMALL[2]
        names |= {path.name for path in series.glob("*.xml")}
        assert len(list(series.iterdir())) == SMALL[2] + 1
    assert names == {f"{number:03d}.xml" for number in range(1, 13)}
    inside = {path.name for path in written.iterdir() if path.is_file()}
    assert inside == {"nodules.csv", "phantom.json"}
    assert is_complete(written) and all(is_phantom(series) for series in folders)


def test_the_eleventh_scan_is_the_second_one_of_the_tenth_patient(written):
    patients = [series.relative_to(written).parts[0] for series in _series(written)]
    expected = [f"LIDC-IDRI-{number:04d}" for number in range(1, 12)]
    assert patients == sorted([*expected, "LIDC-IDRI-0010"])
    first, second = [s for s in _series(written) if "LIDC-IDRI-0010" in s.parts]
    one, other = read_volume(first), read_volume(second)
    assert one.spacing == pytest.approx(other.spacing)
    assert (one.array != other.array).any()


def test_headers_agree_with_folders_and_xml(written):
    for series in _series(written):
        image = sitk.ReadImage(str(series / "1-001.dcm"))
        patient = series.relative_to(written).parts[0]
        assert image.GetMetaData("0010|0020").strip() == patient
        header = _xml(series).find("nih:ResponseHeader", SPACE)
        uid = image.GetMetaData("0020|000e").strip()
        assert header.find("nih:SeriesInstanceUid", SPACE).text == uid
        assert series.name.endswith(uid[-5:])


def _slices(series: Path) -> dict[str, float]:
    """Height of every slice by its UID."""
    slices = {}
    for path in series.glob("*.dcm"):
        image = sitk.ReadImage(str(path))
        uid = image.GetMetaData("0008|0018").strip()
        slices[uid] = float(image.GetMetaData("0020|0032").split("\\")[2])
    return slices


def test_every_mark_names_a_slice_of_the_series_and_its_height(written):
    for series in _series(written)[:3]:
        slices = _slices(series)
        marks = _xml(series).findall(".//nih:imageSOP_UID/..", SPACE)
        assert marks
        for mark in marks:
            height = float(mark.find("nih:imageZposition", SPACE).text)
            uid = mark.find("nih:imageSOP_UID", SPACE).text
            assert slices[uid] == pytest.approx(height, abs=1e-6)


def _outline_centre(nodule, volume) -> np.ndarray:
    """World mm of the middle of a reader's outlines."""
    points = []
    for roi in nodule.findall("nih:roi", SPACE):
        height = float(roi.find("nih:imageZposition", SPACE).text)
        for edge in roi.findall("nih:edgeMap", SPACE):
            column, row = (int(part.text) for part in edge)
            x = volume.origin[0] + column * volume.spacing[0]
            y = volume.origin[1] + row * volume.spacing[1]
            points.append((x, y, height))
    points = np.array(points)
    return (points.min(0) + points.max(0)) / 2


def test_outlines_lie_around_the_nodules_of_the_table(written):
    rows, offsets = _rows(written), []
    assert list(rows[0]) == [
        "patient",
        "seriesuid",
        "coordX",
        "coordY",
        "coordZ",
        "diameter_mm",
    ]
    for series in _series(written):
        uid = _xml(series).find("nih:ResponseHeader/nih:SeriesInstanceUid", SPACE).text
        volume = read_volume(series)
        own = [row for row in rows if row["seriesuid"] == uid]
        truth = [[float(row[f"coord{axis}"]) for axis in "XYZ"] for row in own]
        met = set()
        for nodule in _xml(series).findall(".//nih:unblindedReadNodule", SPACE):
            if nodule.find("nih:characteristics", SPACE) is None:
                continue
            centre = _outline_centre(nodule, volume)
            distance = np.linalg.norm(np.subtract(truth, centre), axis=1)
            nearest = int(distance.argmin())
            assert distance[nearest] < 0.5 * float(own[nearest]["diameter_mm"])
            offsets.append(centre - truth[nearest])
            met.add(nearest)
        assert met == set(range(len(own)))  # every nodule has a reader
    assert (np.abs(np.mean(offsets, axis=0)) < 0.5).all()  # mm


def test_the_table_gives_world_coordinates_of_tissue_in_the_lung(written):
    values = []
    for series in _series(written):
        volume = read_volume(series)
        uid = _xml(series).find("nih:ResponseHeader/nih:SeriesInstanceUid", SPACE).text
        for row in _rows(written):
            if row["seriesuid"] == uid:
                world = [float(row[f"coord{axis}"]) for axis in "XYZ"]
                place = world_to_voxel(
                    world, volume.origin, volume.direction, volume.spacing
                )
                values.append(volume.array[tuple(np.round(place).astype(int))])
    assert np.mean(np.greater(values, -100)) > 0.85  # some are hollow
    assert len(values) >= 12


def test_cases_do_not_depend_on_their_number_but_on_the_seed(written, tmp_path):
    lidc.write(tmp_path / "two", 2, seed=3, size=SMALL)
    whole = contents(written)
    for name, content in contents(tmp_path / "two").items():
        if name.endswith((".dcm", ".xml")):
            assert whole[name] == content
    lidc.write(tmp_path / "other", 1, seed=4, size=SMALL)
    uids = {row["seriesuid"] for row in _rows(written)}
    assert uids.isdisjoint(row["seriesuid"] for row in _rows(tmp_path / "other"))


def test_scans_too_small_for_nodules_are_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        lidc.write(tmp_path / "small", 1, size=(80, 79, 40))
    assert str(caught.value) == (
        "a phantom has 80x80x40 voxels or more. Received: 80x79x40"
    )
    assert not (tmp_path / "small").exists()


def test_scans_of_two_sizes_are_not_mixed_in_a_folder(tmp_path):
    lidc.write(tmp_path, 1, size=SMALL)
    with pytest.raises(InputError, match="empty folder.* with 1 cases of lidc_80x"):
        lidc.write(tmp_path, 1)


def test_other_files_are_not_mixed_with_phantoms(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="phantoms go to an empty folder"):
        lidc.write(tmp_path, 1, size=SMALL)
