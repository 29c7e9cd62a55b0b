"""A series of DICOM files says what it is and gives back the volume."""

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.imaging.volumes import new_volume, read_volume
from models_genesis_tf.phantoms.dicom_series import SeriesNames, draw_uid, write_series

SPACING, ORIGIN = (0.7, 1.3, 2.5), (-41.5, 12.25, -230.75)
NAMES = SeriesNames("P1", "2.25.11", "2.25.12", "2.25.13", 31, ["2.25.1", "2.25.2"])


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.integers(-1024, 3072, (5, 4, 2)).astype(np.int16)
    array[0, 0, 0], array[1, 0, 0] = -1024, 3071
    write_series(tmp_path, new_volume(array, SPACING, ORIGIN), NAMES)
    return tmp_path, array


def test_values_and_geometry_come_back(written):
    folder, array = written
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.array, array)
    assert volume.spacing == pytest.approx(SPACING)
    assert volume.origin == pytest.approx(ORIGIN)
    assert volume.direction == (1, 0, 0, 0, 1, 0, 0, 0, 1)


def test_a_file_is_a_slice_counted_from_the_head(written):
    folder, array = written
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["1-001.dcm", "1-002.dcm"]
    for name, row in zip(names, (1, 0), strict=True):
        image = sitk.ReadImage(str(folder / name))
        plane = sitk.GetArrayFromImage(image)[0]  # rows are y, columns are x
        np.testing.assert_array_equal(plane, array[:, :, row].T)
        tags = {key: image.GetMetaData(key).strip() for key in image.GetMetaDataKeys()}
        assert tags["0008|0018"] == NAMES.slices[row]
        assert tags["0020|0013"] == name[4]
        position = [float(part) for part in tags["0020|0032"].split("\\")]
        assert position == [-41.5, 12.25, -230.75 + 2.5 * row]


def test_files_carry_the_tags_of_a_ct(written):
    image = sitk.ReadImage(str(written[0] / "1-001.dcm"))
    tags = {key: image.GetMetaData(key).strip() for key in image.GetMetaDataKeys()}
    expected = {
        "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
        "0008|0060": "CT",
        "0010|0020": "P1",
        "0020|000d": "2.25.11",
        "0020|000e": "2.25.12",
        "0020|0052": "2.25.13",
        "0020|0011": "31",
        "0020|0037": "1\\0\\0\\0\\1\\0",
        "0028|1052": "-1024",
        "0028|1053": "1",
        "0028|0103": "1",
        "0028|0010": "4",
        "0028|0011": "5",
    }
    assert {key: tags[key] for key in expected} == expected
    # Pixel spacing names the distance of rows first.
    assert [float(part) for part in tags["0028|0030"].split("\\")] == [1.3, 0.7]
    assert float(tags["0018|0050"]) == 2.5


def test_bytes_do_not_depend_on_what_the_process_has_read_before(tmp_path):
    script = """
import pathlib, sys
import numpy as np
from models_genesis_tf.imaging.volumes import new_volume, read_volume
from models_genesis_tf.phantoms.dicom_series import SeriesNames, write_series
names = SeriesNames("P", "2.25.11", "2.25.12", "2.25.13", 1, ["2.25.1", "2.25.2"])
volume = new_volume(np.zeros((4, 4, 2), np.int16), (0.7, 1.3, 2.13))
written = []
for _ in range(2):
    folder = pathlib.Path(sys.argv[1])
    write_series(folder, volume, names)
    written.append([path.read_bytes() for path in sorted(folder.glob("*.dcm"))])
    read_volume(folder)
assert written[0] == written[1]
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    subprocess.run(command, check=True)  # a process that has read nothing yet


def test_uids_are_numbers_of_128_bits_below_2_25():
    rng = np.random.default_rng(0)
    uids = {draw_uid(rng) for _ in range(50)}
    assert len(uids) == 50
    for uid in uids:
        root, branch, number = uid.split(".")
        assert (root, branch) == ("2", "25") and int(number) < 2**128
        assert not number.startswith("0") and len(uid) <= 64
