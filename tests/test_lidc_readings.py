"""Readers differ, and the XML file says what they marked in LIDC-IDRI's words."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from models_genesis_tf.phantoms.dicom_series import SeriesNames
from models_genesis_tf.phantoms.lidc_readings import (
    Reading,
    draw_readings,
    write_readings,
)
from models_genesis_tf.phantoms.thorax import Nodule, Thorax

SPACE = {"nih": "http://www.nih.gov"}
NAMES = SeriesNames("P", "2.25.7", "2.25.8", "2.25.9", 1, ["2.25.10", "2.25.11"])
NOBODY = Reading((), np.zeros((0, 3)), np.zeros((0, 3)))


def _ball(centre, radius: float) -> np.ndarray:
    grid = np.stack(np.mgrid[:60, :60, :30], -1)
    distance = np.linalg.norm((grid - centre) * (1, 1, 2), axis=-1)
    return np.clip(radius - distance + 0.5, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def thorax() -> Thorax:
    """A scan with two nodules."""
    covers = [_ball((18, 20, 10), 6.0), _ball((40, 38, 18), 8.0)]
    covers[1] -= _ball((40, 38, 18), 3.0)
    nodules = tuple(Nodule(cover, (1.0, 1.0, 2.0)) for cover in covers)
    points = np.array([(5.0, 6.0, 7.0), (50.2, 9.9, 20.0)])
    array = np.zeros((60, 60, 30), np.int16)
    return Thorax(array, (1.0, 1.0, 2.0), nodules, points, points[::-1])


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def _regions_of(thorax: Thorax, number: int, seed: int) -> list[np.ndarray]:
    """What the readers marked of one nodule."""
    readings = draw_readings(np.random.default_rng(seed), thorax)
    assert len(readings) == 4
    truth = thorax.nodules[number].mask
    return [r for one in readings for r in one.regions if (r & truth).any()]


def test_one_to_four_readers_mark_a_nodule_most_often_all(thorax):
    counts = [len(_regions_of(thorax, 0, seed)) for seed in range(40)]
    assert set(counts) == {1, 2, 3, 4}
    assert 0.3 < np.mean(np.equal(counts, 4)) < 0.7


def test_readers_differ_but_half_of_them_agree_on_the_truth(thorax):
    for number in (0, 1):
        truth = thorax.nodules[number].mask
        differ, shares = 0, []
        for seed in range(20):
            regions = _regions_of(thorax, number, seed)
            shares += [_overlap(region, truth) for region in regions]
            differ += len({region.tobytes() for region in regions}) > 1
            consensus = np.mean(regions, axis=0) >= 0.5
            assert _overlap(consensus, truth) > 0.55
        assert differ > 12
        assert np.mean(shares) > 0.75 and min(shares) < 0.8


def test_readers_leave_out_a_cavity(thorax):
    regions = _regions_of(thorax, 1, 0)
    assert not any(region[40, 38, 18] for region in regions)


def test_readers_list_nodules_in_orders_of_their_own(thorax):
    orders = set()
    for seed in range(20):
        for reading in draw_readings(np.random.default_rng(seed), thorax):
            if len(reading.regions) == 2:
                orders.add(bool(reading.regions[0][18, 20, 10]))
    assert orders == {True, False}


def _written(path, readings):
    rng = np.random.default_rng(0)
    write_readings(path, readings, NAMES, (-7.5, -5.0), rng)
    return ElementTree.parse(path).getroot()


def _text(parent, name: str) -> str:
    return parent.find(f"nih:{name}", SPACE).text


def _points(roi) -> list[tuple[int, int]]:
    return [
        (int(_text(edge, "xCoord")), int(_text(edge, "yCoord")))
        for edge in roi.findall("nih:edgeMap", SPACE)
    ]


def test_the_root_and_the_header_name_the_series(tmp_path):
    root = _written(tmp_path / "001.xml", [NOBODY] * 4)
    assert root.tag == "{http://www.nih.gov}LidcReadMessage"
    header = root.find("nih:ResponseHeader", SPACE)
    assert _text(header, "SeriesInstanceUid") == "2.25.8"
    assert _text(header, "StudyInstanceUID") == "2.25.7"
    assert len(root.findall("nih:readingSession", SPACE)) == 4
    text = (tmp_path / "001.xml").read_text(encoding="utf-8")
    assert text.startswith("<?xml") and 'xmlns="http://www.nih.gov"' in text


def test_a_nodule_is_outlined_just_outside_with_column_and_row(tmp_path):
    region = np.zeros((20, 16, 2), bool)
    region[8:11, 5:7, 1] = True  # columns 8 to 10, rows 5 and 6, second slice
    reading = Reading((region,), NOBODY.specks, NOBODY.others)
    root = _written(tmp_path / "001.xml", [NOBODY, reading])
    (nodule,) = root.findall(".//nih:unblindedReadNodule", SPACE)
    assert _text(nodule, "noduleID")
    ratings = nodule.find("nih:characteristics", SPACE)
    assert len(ratings) == 9 and 1 <= int(_text(ratings, "malignancy")) <= 5
    (roi,) = nodule.findall("nih:roi", SPACE)
    assert _text(roi, "imageSOP_UID") == "2.25.11"
    assert float(_text(roi, "imageZposition")) == -5.0
    assert _text(roi, "inclusion") == "TRUE"
    points = _points(roi)
    assert points[0] == points[-1] and len(points) == 11
    beside = {(7, 5), (7, 6), (11, 5), (11, 6)}
    assert set(points) == beside | {(x, y) for x in (8, 9, 10) for y in (4, 7)}


def test_a_hole_is_a_roi_that_is_not_included(tmp_path):
    region = np.zeros((20, 16, 2), bool)
    region[4:13, 3:12, 0] = True
    region[7:10, 6:9, 0] = False
    reading = Reading((region,), NOBODY.specks, NOBODY.others)
    root = _written(tmp_path / "001.xml", [reading])
    rois = root.findall(".//nih:roi", SPACE)
    assert [_text(roi, "inclusion") for roi in rois] == ["TRUE", "FALSE"]
    assert {_text(roi, "imageSOP_UID") for roi in rois} == {"2.25.10"}


def test_small_nodules_are_single_points_and_others_are_loci(tmp_path):
    reading = Reading((), np.array([(3.4, 5.6, 1.0)]), np.array([(9.0, 2.0, 0.0)]))
    root = _written(tmp_path / "001.xml", [reading])
    (nodule,) = root.findall(".//nih:unblindedReadNodule", SPACE)
    assert nodule.find("nih:characteristics", SPACE) is None
    (roi,) = nodule.findall("nih:roi", SPACE)
    assert _points(roi) == [(3, 6)] and _text(roi, "imageSOP_UID") == "2.25.11"
    (other,) = root.findall(".//nih:nonNodule", SPACE)
    assert _text(other, "nonNoduleID") and _text(other, "imageSOP_UID") == "2.25.10"
    assert float(_text(other, "imageZposition")) == -7.5
    locus = other.find("nih:locus", SPACE)
    assert (_text(locus, "xCoord"), _text(locus, "yCoord")) == ("9", "2")
