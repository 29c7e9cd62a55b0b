"""Real files of LIDC-IDRI and LUNA16, which no writer of ours has touched."""

import lzma
from pathlib import Path

import numpy as np
import pytest

from models_genesis_tf.imaging.volumes import read_volume, write_volume
from models_genesis_tf.tasks import ncc
from models_genesis_tf.tasks.case_arrays import Preparation
from models_genesis_tf.tasks.lidc_nodules import cluster_outlines, consensus
from models_genesis_tf.tasks.lidc_xml import LidcReading, is_ct_reading, read_outlines
from models_genesis_tf.tasks.preparation import prepare_case

XML = Path(__file__).parent / "data" / "lidc_idri_0002.xml.xz"
# Of the CT of LIDC-IDRI-0002, from its headers.
SHAPE = (512, 512, 261)
SPACING = (0.681641, 0.681641, 1.25)
LOWEST_SLICE = -334.5  # mm
# LUNA16's annotation of LIDC-IDRI-0001, as its owner distributes it.
SERIES = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"
NODULE = (56.20840547, 86.34341278, -115.8675792)


@pytest.fixture(scope="module")
def reading(tmp_path_factory) -> LidcReading:
    path = tmp_path_factory.mktemp("lidc") / "071.xml"
    path.write_bytes(lzma.decompress(XML.read_bytes()))
    assert is_ct_reading(path)
    return read_outlines(path)


def _votes(reading: LidcReading) -> np.ndarray:
    """How many readers enclose each voxel of the CT."""
    votes = np.zeros(SHAPE, np.uint8)
    for reader in {outline.reader for outline in reading.outlines}:
        own = np.zeros(SHAPE, bool)
        for outline in reading.outlines:
            if outline.reader == reader:
                for uid, pixels in outline.pixels.items():
                    height = outline.heights[uid] - LOWEST_SLICE
                    own[(*pixels.T, round(height / SPACING[2]))] = True
        votes += own
    return votes


def test_the_readers_of_a_real_file_agree_where_others_found_them_to(reading):
    """Numbers of voxels and their box are those of a count that was made elsewhere."""
    assert reading.series_uid.endswith(".619372068417051974713149104919")
    votes = _votes(reading)
    assert np.bincount(votes.ravel())[1:].tolist() == [5558, 8694]
    places = np.argwhere(votes)
    assert places.min(axis=0).tolist() == [325, 335, 171]
    assert places.max(axis=0).tolist() == [372, 377, 198]
    (nodule,) = cluster_outlines(reading.outlines, SPACING[:2], SPACING[2])
    assert len({outline.reader for outline in nodule}) == 2
    # Half of two readers is one, so the consensus is what either encloses.
    assert sum(map(len, consensus(nodule).values())) == 5558 + 8694


@pytest.mark.slow
def test_votes_of_a_real_ct_are_those_of_its_xml_voxel_by_voxel(reading, shared_data):
    path = shared_data / "lidc_ct" / "LIDC-IDRI-0002_nodule_votes.nii.gz"
    np.testing.assert_array_equal(_votes(reading), read_volume(path).array)


@pytest.mark.slow
def test_a_real_annotation_of_luna16_lies_in_the_nodule_of_its_ct(
    shared_data, tmp_path
):
    """The image is the number of readers that marked each voxel: there, all four."""
    path = shared_data / "lidc_ct" / "LIDC-IDRI-0001_nodule_votes.nii.gz"
    votes = read_volume(path)
    write_volume(tmp_path / "subset0" / f"{SERIES}.mhd", votes.array, votes)
    place = ",".join(map(str, NODULE))
    (tmp_path / "candidates_V2.csv").write_text(
        f"seriesuid,coordX,coordY,coordZ,class\n{SERIES},{place},1\n", encoding="utf-8"
    )
    (case,) = ncc.list_cases(tmp_path).cases
    prepared = prepare_case(case, Preparation("0,4"), tmp_path / "cache")
    assert prepared.centre == pytest.approx((316.0, 367.0, 89.7), abs=0.1)
    patch = prepared.central_patch((8, 8, 4), (1.0, 1.0, 1.0))
    assert patch.min() == 1
    assert not prepared.central_patch((64, 64, 32), (0.5, 0.5, 1.0)).all()
