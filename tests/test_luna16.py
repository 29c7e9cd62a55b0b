"""Phantoms lie on disk as LUNA16 does, complete or recognisably not."""

import itertools
import re

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.scan_folders import find_scans
from models_genesis_tf.imaging.volumes import read_volume
from models_genesis_tf.phantoms import chest, luna16
from models_genesis_tf.phantoms.chest import Chest, Nodule
from models_genesis_tf.phantoms.marker import is_complete, is_phantom
from tests.written_files import contents, read_rows

SMALL = (128, 128, 64)
PLACE = ("seriesuid", "coordX", "coordY", "coordZ")


@pytest.fixture
def blank_chests(monkeypatch):
    """Scans that take no time: noise with one nodule and two decoys."""

    def draw(rng, size):
        array = rng.integers(-1000, 400, (6, 5, 4)).astype(np.int16)
        nodules = (Nodule(rng.uniform(-50, 50, 3), rng.uniform(5, 20)),)
        return Chest(array, (2.0, 2.0, 3.0), nodules, rng.uniform(-50, 50, (2, 3)))

    monkeypatch.setattr(luna16, "draw_chest", draw)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Ten real cases."""
    folder = tmp_path_factory.mktemp("luna16")
    luna16.write(folder, 10, seed=3, size=SMALL)
    return folder


def _scans(folder) -> dict:
    """Paths of the scans by series UID."""
    return {path.stem: path for path in folder.glob("subset*/*.mhd")}


def _voxel(volume, row) -> tuple[int, ...]:
    world = np.array([float(row[name]) for name in PLACE[1:]])
    return tuple(np.round((world - volume.origin) / volume.spacing).astype(int))


def test_ten_cases_give_every_subset_one_scan_and_nothing_else(written):
    scans = _scans(written)
    assert len(scans) == 10
    expected = {"annotations.csv", "candidates_V2.csv", "phantom.json"}
    for subset, uid in zip(sorted(scans.values()), range(10), strict=True):
        assert subset.parent.name == f"subset{uid}"
        expected |= {f"subset{uid}/{subset.stem}.{end}" for end in ("mhd", "raw")}
    assert set(contents(written)) == expected


def test_a_scan_is_an_uncompressed_int16_raw_file_beside_its_header(written):
    for uid, path in _scans(written).items():
        lines = path.read_text().splitlines()
        header = dict(line.split(" = ", 1) for line in lines)
        assert header["ElementType"] == "MET_SHORT"
        assert header["CompressedData"] == "False"
        assert header["BinaryDataByteOrderMSB"] == "False"
        assert header["ElementDataFile"] == f"{uid}.raw"
        assert header["DimSize"] == "128 128 64"
        raw = np.fromfile(path.with_suffix(".raw"), "<i2")
        array = read_volume(path).array
        np.testing.assert_array_equal(raw.reshape(SMALL, order="F"), array)


def test_the_header_carries_the_geometry(written):
    origins = set()
    for path in _scans(written).values():
        volume = read_volume(path)
        assert volume.array.dtype == np.int16 and volume.array.shape == SMALL
        assert volume.spacing == pytest.approx((2.8125, 2.8125, 4.84375))
        assert volume.direction == (1, 0, 0, 0, 1, 0, 0, 0, 1)
        # The patient lies in the middle of the scanner, as in LUNA16.
        low = np.array((-190, -190, -340))
        assert ((low <= volume.origin) & (volume.origin <= low + (20, 20, 90))).all()
        origins.add(volume.origin)
    assert len(origins) == 10


def test_series_uids_are_uids_of_dicom(written, blank_chests, tmp_path):
    luna16.write(tmp_path, 40, seed=2**32 - 1)
    uids = set(_scans(written)) | set(_scans(tmp_path))
    assert len(uids) == 50
    for uid in uids:
        assert re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", uid)
        assert len(uid) <= 64
        # Below 2.25 stands a UUID as one number.
        assert uid.startswith("2.25.") and int(uid.split(".")[2]) < 2**128


def test_tables_have_the_columns_of_luna16_and_name_every_scan(written):
    annotations = read_rows(written / "annotations.csv")
    candidates = read_rows(written / "candidates_V2.csv")
    assert tuple(annotations[0]) == (*PLACE, "diameter_mm")
    assert tuple(candidates[0]) == (*PLACE, "class")
    scans = set(_scans(written))
    assert {row["seriesuid"] for row in annotations} == scans
    for kind in "01":  # each part of any split has both
        found = {row["seriesuid"] for row in candidates if row["class"] == kind}
        assert found == scans
    nodules = [[row[name] for name in PLACE] for row in annotations]
    positive = [[r[name] for name in PLACE] for r in candidates if r["class"] == "1"]
    assert positive == nodules
    diameters = [float(row["diameter_mm"]) for row in annotations]
    assert min(diameters) >= 5 and max(diameters) <= 22


def test_world_places_are_where_the_nodules_are(written, tmp_path, monkeypatch):
    monkeypatch.setattr(chest, "paint_ball", lambda *arguments: None)
    luna16.write(tmp_path, 4, seed=3, size=SMALL)  # the same without nodules
    rows = [
        row
        for row in read_rows(written / "annotations.csv")
        if row["seriesuid"] in _scans(tmp_path)
        and float(row["diameter_mm"]) > 7  # a voxel has 2.8 x 2.8 x 4.8 mm
    ]
    assert len(rows) >= 4
    gains = []
    for row in rows:
        volume = read_volume(_scans(written)[row["seriesuid"]])
        without = read_volume(_scans(tmp_path)[row["seriesuid"]])
        assert without.origin == volume.origin
        x, y, z = _voxel(volume, row)
        core = np.s_[x - 1 : x + 2, y - 1 : y + 2, z]
        assert np.median(without.array[core]) < -600
        gain = volume.array[core].astype(float) - without.array[core]
        gains.append(np.median(gain))
    assert min(gains) > 150 and np.median(gains) > 400


def test_decoys_lie_in_the_lungs_and_outside_of_every_annotated_nodule(written):
    nodules = read_rows(written / "annotations.csv")
    for uid, path in _scans(written).items():
        volume = read_volume(path)
        decoys = [
            row
            for row in read_rows(written / "candidates_V2.csv")
            if row["seriesuid"] == uid and row["class"] == "0"
        ]
        for row in decoys:  # in or at a vessel, with lung around it
            x, y, z = _voxel(volume, row)
            box = volume.array[x - 5 : x + 6, y - 5 : y + 6, z - 3 : z + 4]
            assert np.mean(box < -600) > 0.2
            assert box[4:7, 4:7, 2:5].max() > -500
        for row in decoys:
            place = np.array([float(row[name]) for name in PLACE[1:]])
            for nodule in nodules:
                if nodule["seriesuid"] == uid:
                    centre = [float(nodule[name]) for name in PLACE[1:]]
                    gap = np.linalg.norm(place - centre)
                    assert gap > float(nodule["diameter_mm"]) / 2


def test_the_extraction_takes_the_subsets_for_folds(written):
    scans = find_scans(written)
    assert sorted(scan.fold for scan in scans) == list(range(10))
    for scan in scans:
        assert scan.luna16 and scan.path == _scans(written)[scan.source]


def test_a_case_does_not_depend_on_how_many_there_are(written, tmp_path):
    luna16.write(tmp_path, 2, seed=3, size=SMALL)
    ten, two = contents(written), contents(tmp_path)
    scans = {name for name in two if name.startswith("subset")}
    assert {name.split("/")[0] for name in scans} == {"subset0", "subset1"}
    assert all(two[name] == ten[name] for name in scans)
    for table in ("annotations.csv", "candidates_V2.csv"):
        assert ten[table].startswith(two[table])  # in the order of the cases


def test_another_seed_gives_other_patients(written, tmp_path):
    luna16.write(tmp_path, 2, seed=4, size=SMALL)
    assert not set(_scans(tmp_path)) & set(_scans(written))
    for subset in ("subset0", "subset1"):
        (one,), (other,) = (
            list(folder.glob(f"{subset}/*.raw")) for folder in (written, tmp_path)
        )
        assert one.read_bytes() != other.read_bytes()


def test_case_k_goes_to_subset_k_mod_10(blank_chests, tmp_path):
    luna16.write(tmp_path / "many", 23)
    counts = [len(list(tmp_path.glob(f"many/subset{k}/*.mhd"))) for k in range(10)]
    assert counts == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    luna16.write(tmp_path / "few", 13)
    for uid, path in _scans(tmp_path / "few").items():
        assert _scans(tmp_path / "many")[uid].parent.name == path.parent.name


def test_the_size_changes_neither_uid_nor_subset(blank_chests, tmp_path):
    luna16.write(tmp_path / "one", 3, size=SMALL)
    luna16.write(tmp_path / "other", 3, size=(130, 140, 70))
    names = [set(contents(tmp_path / name)) for name in ("one", "other")]
    assert names[0] == names[1]


def _interrupt_at(monkeypatch, case: int) -> None:
    """Makes the drawing of a case fail as a pressed key would."""
    draw, number = luna16.draw_chest, itertools.count()

    def interrupted(rng, size):
        if next(number) >= case:
            raise KeyboardInterrupt
        return draw(rng, size)

    monkeypatch.setattr(luna16, "draw_chest", interrupted)


def test_an_interrupted_set_has_no_tables_and_is_completed_by_another_try(
    blank_chests, tmp_path, monkeypatch
):
    luna16.write(tmp_path / "whole", 12)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt_at(patch, 5)
        luna16.write(tmp_path / "broken", 12)
    assert not list(tmp_path.glob("broken/*.csv"))
    whole, broken = (contents(tmp_path / name) for name in ("whole", "broken"))
    assert not is_complete(tmp_path / "broken") and is_phantom(tmp_path / "broken")
    del broken["phantom.json"]
    assert len(broken) == 2 * 5
    assert all(broken[name] == whole[name] for name in broken)
    luna16.write(tmp_path / "broken", 12)
    assert contents(tmp_path / "broken") == whole


def test_tables_of_an_earlier_try_do_not_outlive_an_interruption(
    blank_chests, tmp_path, monkeypatch
):
    luna16.write(tmp_path, 3)
    _interrupt_at(monkeypatch, 4)
    with pytest.raises(KeyboardInterrupt):
        luna16.write(tmp_path, 8)
    assert not list(tmp_path.glob("*.csv"))
    assert not is_complete(tmp_path)


def test_a_set_can_be_enlarged(blank_chests, tmp_path):
    luna16.write(tmp_path / "large", 8)
    for cases in (3, 8):
        luna16.write(tmp_path / "small", cases)
        assert is_complete(tmp_path / "small")
    assert contents(tmp_path / "small") == contents(tmp_path / "large")


def test_scans_of_another_set_are_neither_mixed_in_nor_touched(blank_chests, tmp_path):
    luna16.write(tmp_path, 4, seed=1)
    before = contents(tmp_path)
    for cases, seed in ((4, 2), (3, 1)):  # other patients, and fewer than there are
        with pytest.raises(
            InputError, match="Received: .* with 4 cases of luna16, seed 1"
        ):
            luna16.write(tmp_path, cases, seed)
        assert contents(tmp_path) == before
    luna16.write(tmp_path, 4, seed=1)
    assert contents(tmp_path) == before


def test_tables_of_the_real_data_set_are_not_overwritten(blank_chests, tmp_path):
    table = tmp_path / "annotations.csv"
    table.write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.3.6.1,0,0,0,5\n")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"empty.*Received: .* with annotations\.csv"):
        luna16.write(tmp_path, 2)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("size", [(127, 128, 64), (128, 100, 64), (256, 256, 63)])
def test_a_size_that_shows_no_chest_is_refused(size, tmp_path):
    received = "x".join(map(str, size))
    with pytest.raises(InputError, match=f"128x128x64 .*Received: {received}"):
        luna16.write(tmp_path / "new", 1, size=size)
    assert not (tmp_path / "new").exists()
