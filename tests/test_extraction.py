"""Extraction gives the same files however it is divided, stopped and resumed."""

import concurrent.futures
import csv
import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.config import CubeConfig, ScanChoice
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import extraction
from models_genesis_tf.experiments.extraction import extract_cubes
from models_genesis_tf.experiments.scan_folders import find_scans
from models_genesis_tf.imaging.cube_files import open_cubes
from models_genesis_tf.imaging.volumes import new_volume, read_volume, write_volume
from models_genesis_tf.phantoms import luna16
from models_genesis_tf.phantoms.marker import is_phantom, marked
from tests.image_files import GREY, make_dicom, make_png

CONFIG = CubeConfig(
    cube_size=(16, 16, 8), cubes_per_volume=4, acceptance="none", window="ct"
)
in_process = functools.partial(extract_cubes, config=CONFIG, num_workers=1)


def _write_scan(path: Path, seed: int, shape=(24, 22, 16)) -> None:
    array = np.random.default_rng(seed).integers(-1200, 1500, shape).astype(np.int16)
    volume = new_volume(array, (0.7, 0.8, 2.5), (-80, -70, 5))
    write_volume(path, array, volume)


@pytest.fixture
def scans(tmp_path) -> Path:
    """Twelve scans of twelve patients in several folds and formats."""
    suffixes = (".nii.gz", ".mhd", ".nrrd")
    for k in range(12):
        _write_scan(tmp_path / "scans" / f"p{k}{suffixes[k % 3]}", k)
    return tmp_path / "scans"


def _contents(folder: Path) -> dict[str, bytes]:
    """Names and bytes of all cube files and their tables, hidden files included."""
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if "bat_" in path.name
    }


def _rows(folder: Path, pattern: str) -> list[dict[str, str]]:
    rows = []
    for path in sorted(folder.glob(pattern)):
        with path.open(newline="") as stream:
            rows += csv.DictReader(stream)
    return rows


def _skipped(folder: Path) -> dict[str, str]:
    return {row["source"]: row["reason"] for row in _rows(folder, "skipped*.csv")}


def test_each_cube_is_the_windowed_crop_that_its_row_names(scans, tmp_path):
    files = in_process(scans, tmp_path / "cubes")
    seen = set()
    for path in files:
        cubes = np.load(path)
        assert cubes.dtype == np.float32 and cubes.shape[1:] == CONFIG.cube_size
        rows = _rows(path.parent, f"{path.stem}.csv")
        assert len(rows) == len(cubes)
        for number, (cube, row) in enumerate(zip(cubes, rows, strict=True)):
            (scan,) = scans.glob(f"{row['source']}.[nm]*")
            x, y, z = (int(row[axis]) for axis in "xyz")
            box = read_volume(scan).array[x : x + 16, y : y + 16, z : z + 8]
            expected = (np.clip(box.astype(float), -1000, 1000) + 1000) / 2000
            np.testing.assert_allclose(cube, expected, atol=1e-6)
            assert int(row["row"]) == number and row["dataset"] == "other"
            spacing = [float(row[f"spacing_{axis}"]) for axis in "xyz"]
            np.testing.assert_allclose(spacing, (0.7, 0.8, 2.5), rtol=1e-6)
            assert 0 <= float(row["tissue_fraction"]) <= 1
            seen.add((row["source"], x, y, z))
    assert len(seen) == 12 * CONFIG.cubes_per_volume  # no cube twice


def test_files_are_named_by_count_size_and_fold(scans, tmp_path):
    files = in_process(scans, tmp_path / "cubes")
    folds = sorted({scan.fold for scan in find_scans(scans)})
    assert [path.name for path in files] == [
        f"bat_4_s_16x16x8_{fold}.npy" for fold in folds
    ]
    assert len(open_cubes(tmp_path / "cubes")) == 48


def test_cubes_of_phantoms_are_marked_before_the_first_is_written(scans, tmp_path):
    in_process(scans, tmp_path / "real")
    assert not is_phantom(tmp_path / "real")
    with marked(tmp_path / "set", "luna16", 12, 0):
        scans.rename(tmp_path / "set" / "scans")
    with pytest.raises(InputError, match="gave a cube"):  # too large to be cut
        extract_cubes(
            tmp_path / "set" / "scans",
            tmp_path / "cubes",
            dataclasses.replace(CONFIG, cube_size=(64, 64, 64)),
            num_workers=1,
        )
    assert is_phantom(tmp_path / "cubes")


def test_two_workers_write_the_same_bytes_as_one(scans, tmp_path):
    in_process(scans, tmp_path / "one")
    extract_cubes(scans, tmp_path / "two", CONFIG, num_workers=2)
    assert _contents(tmp_path / "one") == _contents(tmp_path / "two")


def test_the_order_in_which_scans_were_written_changes_nothing(scans, tmp_path):
    in_process(scans, tmp_path / "one")
    other = tmp_path / "other" / "scans"
    for path in sorted(scans.iterdir(), reverse=True):
        other.mkdir(parents=True, exist_ok=True)
        (other / path.name).write_bytes(path.read_bytes())
    in_process(other, tmp_path / "two")
    assert _contents(tmp_path / "one") == _contents(tmp_path / "two")


def test_a_scan_s_places_do_not_depend_on_the_other_scans(scans, tmp_path):
    in_process(scans, tmp_path / "all")
    in_process(scans, tmp_path / "some", choice=ScanChoice(("p1*",)))

    def places(folder):
        return {
            (row["source"], row["x"], row["y"], row["z"])
            for row in _rows(folder, "bat_*.csv")
            if row["source"].startswith("p1")
        }

    assert len(places(tmp_path / "some")) == 3 * 4
    assert places(tmp_path / "some") == places(tmp_path / "all")


def test_the_union_of_the_shards_is_the_whole(scans, tmp_path):
    (scans / "broken.nii").write_bytes(b"no header")
    in_process(scans, tmp_path / "whole")
    shares = [in_process(scans, tmp_path / "shards", shard=(k, 3)) for k in range(3)]
    assert _contents(tmp_path / "whole") == _contents(tmp_path / "shards")
    names = [path.name for share in shares for path in share]
    assert len(names) == len(set(names)) and all(shares)
    assert _skipped(tmp_path / "whole") == _skipped(tmp_path / "shards")


def test_a_shard_beyond_the_last_fold_has_nothing_to_do(scans, tmp_path):
    assert in_process(scans, tmp_path / "cubes", shard=(11, 12)) == []


def test_only_the_folds_asked_for_are_cut(scans, tmp_path):
    first, second, *_ = sorted({scan.fold for scan in find_scans(scans)})
    files = in_process(scans, tmp_path / "cubes", folds=(second,))
    assert [path.name for path in files] == [f"bat_4_s_16x16x8_{second}.npy"]
    with pytest.raises(InputError, match=f"here {first},.*Received: --folds=99"):
        in_process(scans, tmp_path / "cubes", folds=(99,))


@pytest.fixture
def count_reads(monkeypatch) -> list[str]:
    """Names of the scans that are read from now on."""
    read = []

    def recording(path):
        read.append(path.name)
        return read_volume(path)

    monkeypatch.setattr(extraction.volumes, "read_volume", recording)
    return read


def test_a_finished_fold_is_not_done_again(scans, tmp_path, count_reads, capsys):
    cubes = tmp_path / "cubes"
    files = in_process(scans, cubes)
    assert len(count_reads) == 12
    before, times = _contents(cubes), [path.stat().st_mtime_ns for path in files]
    assert in_process(scans, cubes) == files
    assert len(count_reads) == 12
    assert [path.stat().st_mtime_ns for path in files] == times
    assert f"{len(files)} of {len(files)} cube files are complete" in (
        capsys.readouterr().out
    )
    files[1].unlink()
    in_process(scans, cubes)
    assert _contents(cubes) == before
    again = [
        scan for scan in find_scans(scans) if files[1].stem.endswith(f"_{scan.fold}")
    ]
    assert count_reads[12:] == [scan.path.name for scan in again]


def test_an_interrupted_run_leaves_whole_folds_only_and_resumes(
    scans, tmp_path, monkeypatch
):
    in_process(scans, tmp_path / "whole")
    (scans / "p12.nii").write_bytes(b"no header")
    first, *_ = sorted({scan.fold for scan in find_scans(scans)})
    order = sorted(find_scans(scans), key=lambda scan: scan.fold)
    last = [scan.source for scan in order if scan.source != "p12"][-1]
    real = extraction.cube_sampling.sample_cubes

    def failing(volume, config, source, is_luna16):
        if source == last:
            raise KeyboardInterrupt
        return real(volume, config, source, is_luna16)

    with monkeypatch.context() as patch:
        patch.setattr(extraction.cube_sampling, "sample_cubes", failing)
        with pytest.raises(KeyboardInterrupt):
            in_process(scans, tmp_path / "cubes")
    whole, found = _contents(tmp_path / "whole"), _contents(tmp_path / "cubes")
    unfinished = f"_{order[-1].fold}"
    assert not any(Path(name).stem.endswith(unfinished) for name in found)
    assert found.items() < whole.items() and f"bat_4_s_16x16x8_{first}.npy" in found
    in_process(scans, tmp_path / "cubes")
    assert _contents(tmp_path / "cubes") == whole
    assert set(_skipped(tmp_path / "cubes")) == {"p12"}


def test_skipped_scans_stay_on_record_when_other_folds_are_cut_later(scans, tmp_path):
    (scans / "p0.nii.gz").write_bytes(b"no gzip")
    fold = next(scan.fold for scan in find_scans(scans) if scan.source == "p0")
    others = sorted({scan.fold for scan in find_scans(scans)} - {fold})
    _write_scan(scans / "p0_0001.nii", 77)  # the same patient, the same fold
    in_process(scans, tmp_path / "cubes", folds=(fold,))
    in_process(scans, tmp_path / "cubes", folds=others)
    assert set(_skipped(tmp_path / "cubes")) == {"p0"}


def test_a_repaired_scan_leaves_the_record_once_its_fold_is_cut(tmp_path):
    for k in range(3):
        _write_scan(tmp_path / "scans" / f"q{k}.nii", k)
    good = (tmp_path / "scans" / "q1.nii").read_bytes()
    (tmp_path / "scans" / "q1.nii").write_bytes(good[:500])
    in_process(tmp_path / "scans", tmp_path / "cubes")
    assert set(_skipped(tmp_path / "cubes")) == {"q1"}
    (tmp_path / "scans" / "q1.nii").write_bytes(good)
    for path in (tmp_path / "cubes").glob("bat_*.npy"):
        path.unlink()
    in_process(tmp_path / "scans", tmp_path / "cubes")
    assert _skipped(tmp_path / "cubes") == {}


def test_scans_added_to_a_finished_fold_are_named(scans, tmp_path, capsys):
    files = in_process(scans, tmp_path / "cubes")
    old = find_scans(scans)[0]
    _write_scan(scans / f"{old.source}_0001.nii", 5)  # the same patient
    before = _contents(tmp_path / "cubes")
    in_process(scans, tmp_path / "cubes")
    assert _contents(tmp_path / "cubes") == before
    (path,) = (path for path in files if path.stem.endswith(f"_{old.fold}"))
    expected = f"{path.name} is older than 1 of its scans, such as {old.source}_0001"
    assert expected in capsys.readouterr().out


def test_other_settings_in_the_same_folder_are_refused_by_name(scans, tmp_path):
    in_process(scans, tmp_path / "cubes")
    before = _contents(tmp_path / "cubes")
    other = dataclasses.replace(CONFIG, seed=3, window="mr")
    with pytest.raises(InputError) as caught:
        extract_cubes(scans, tmp_path / "cubes", other, num_workers=1)
    message = str(caught.value)
    assert "holds window=ct, seed=0. Received: window=mr, seed=3" in message
    with pytest.raises(InputError, match=r"Received: exclude=\['p1\*'\]"):
        in_process(scans, tmp_path / "cubes", choice=ScanChoice((), ("p1*",)))
    assert _contents(tmp_path / "cubes") == before


def _write_bad_scans(folder: Path) -> dict[str, str]:
    """Bad scans of several kinds; gives what the reason of each has to say."""
    _write_scan(folder / "cut.nii.gz", 1)
    whole = (folder / "cut.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    _write_scan(folder / "no_raw.mhd", 2)
    (folder / "no_raw.raw").unlink()
    sitk.WriteImage(sitk.Image(20, 20, sitk.sitkInt16), str(folder / "flat.nii"))
    array = np.zeros((24, 24, 16), np.float32)
    array[3, 4, 5] = np.nan
    write_volume(folder / "nan.nrrd", array, new_volume(array, (1, 1, 1)))
    _write_scan(folder / "thin.nii", 3, (24, 24, 5))
    return {
        "cut": "bytes of voxels",
        "no_raw": "no_raw.raw",
        "flat": "3D",
        "nan": "NaN",
        "thin": "5 voxels along z",
    }


def test_bad_scans_are_skipped_with_their_reasons_and_the_run_goes_on(tmp_path, capsys):
    folder = tmp_path / "scans"
    _write_scan(folder / "good.nii.gz", 0)
    reasons = _write_bad_scans(folder)
    (path,) = in_process(folder, tmp_path / "cubes")
    assert len(np.load(path)) == 4
    skipped = _skipped(tmp_path / "cubes")
    assert set(skipped) == set(reasons)
    for source, part in reasons.items():
        assert part in skipped[source] and "\n" not in skipped[source], source
    assert "5 skipped, see " in capsys.readouterr().out


def test_a_scan_of_20_slices_is_skipped_under_every_rule_that_cannot_fill_it(tmp_path):
    _write_scan(tmp_path / "scans" / "thin.nii", 0, (200, 200, 20))
    for acceptance, reason in (
        ("chest_ct", "along z; with them a cube of 32.*Received: 20"),
        ("foreground", "padded up to 1.5 times.*20 voxels along z"),
    ):
        config = CubeConfig(acceptance=acceptance)
        folder = tmp_path / acceptance
        with pytest.raises(InputError, match=f"no scan of .*thin: .*{reason}"):
            extract_cubes(tmp_path / "scans", folder, config, num_workers=1)
        assert set(_skipped(folder)) == {"thin"}
        assert _contents(folder) == {}


def test_a_scan_of_22_slices_is_padded_under_foreground(tmp_path):
    _write_scan(tmp_path / "scans" / "thin.nii", 0, (70, 64, 22))
    config = CubeConfig(acceptance="foreground", cubes_per_volume=3)
    (path,) = extract_cubes(tmp_path / "scans", tmp_path / "cubes", config)
    assert {row["z"] for row in _rows(path.parent, "bat_*.csv")} == {"-5"}
    cubes = np.load(path)
    assert (cubes[..., :5] == 0).all() and (cubes[..., 27:] == 0).all()


def test_luna16_s_layout_gives_its_folds_its_series_and_the_official_rule(
    tmp_path, capsys
):
    luna16.write(tmp_path / "scans", 2, size=(128, 128, 64))
    config = CubeConfig(cube_size=(16, 16, 8), cubes_per_volume=5)
    files = extract_cubes(tmp_path / "scans", tmp_path / "cubes", config, num_workers=1)
    assert [path.name for path in files] == [
        f"bat_5_s_16x16x8_{fold}.npy" for fold in (0, 1)
    ]
    for fold, path in enumerate(files):
        (scan,) = (tmp_path / "scans" / f"subset{fold}").glob("*.mhd")
        rows = _rows(path.parent, f"{path.stem}.csv")
        assert {row["source"] for row in rows} == {scan.stem}
        assert {row["dataset"] for row in rows} == {"luna16"}
        assert all(float(row["tissue_fraction"]) <= 0.15 for row in rows)
    printed = capsys.readouterr().out
    assert "2 scans: rule chest_ct, window ct" in printed
    assert "2 scans: smaller than 512 voxels in plane: the borders" in printed


def test_cubes_of_a_manifest_are_not_mixed_with_those_of_another(scans, tmp_path):
    manifest = tmp_path / "scans" / "cases.csv"
    manifest.write_text("image,split\np1.mhd,train\np2.nrrd,test\n", encoding="utf-8")
    choice = ScanChoice(manifest=manifest)
    (path,) = in_process(scans, tmp_path / "cubes", choice=choice)
    assert {row["source"] for row in _rows(path.parent, "bat_*.csv")} == {"p1"}
    manifest.write_text("image,split\np1.mhd,train\np2.nrrd,train\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds manifest=.* Received: manifest="):
        in_process(scans, tmp_path / "cubes", choice=choice)
    with pytest.raises(InputError, match="Received: manifest=None"):
        in_process(scans, tmp_path / "cubes")


def test_resampled_scans_give_the_new_spacing(scans, tmp_path):
    config = dataclasses.replace(CONFIG, spacing=(0.7, 0.8, 1.25))
    choice = ScanChoice(include=("p1.*",))
    extract_cubes(scans, tmp_path / "cubes", config, choice, num_workers=1)
    rows = _rows(tmp_path / "cubes", "bat_*.csv")
    assert {row["spacing_z"] for row in rows} == {"1.25"}
    assert max(int(row["z"]) for row in rows) > 16 - 8


SLICES = dataclasses.replace(CONFIG, cube_size=(64, 32, 1))


def test_slices_of_scans_have_files_and_rows_as_cubes_have(scans, tmp_path, capsys):
    files = extract_cubes(scans, tmp_path / "slices", SLICES, num_workers=1)
    folds = sorted({scan.fold for scan in find_scans(scans)})
    assert [path.name for path in files] == [
        f"bat_4_s_64x32x1_{fold}.npy" for fold in folds
    ]
    found = open_cubes(tmp_path / "slices")
    assert len(found) == 48 and found.cube_shape == (64, 32, 1, 1)
    assert found.has_provenance and set(found.datasets) == {"other"}
    rows = _rows(tmp_path / "slices", "bat_*.csv")
    assert {(row["x"], row["y"]) for row in rows} == {("0", "0")}
    assert len({(row["source"], row["z"]) for row in rows}) == 48
    spacings = {tuple(float(row[f"spacing_{axis}"]) for axis in "xyz") for row in rows}
    expected = (0.7 * 24 / 64, 0.8 * 22 / 32, 2.5)
    np.testing.assert_allclose(list(spacings), [expected] * len(spacings), rtol=1e-6)
    assert "12 scans: rule none, window ct" in capsys.readouterr().out


def test_two_workers_write_the_same_slices_as_one(scans, tmp_path):
    for workers in (1, 2):
        extract_cubes(scans, tmp_path / f"{workers}", SLICES, num_workers=workers)
    assert _contents(tmp_path / "1") == _contents(tmp_path / "2")


def _write_pictures(folder: Path) -> dict[str, np.ndarray]:
    """Pictures in two formats and folders, each `(x, y)` of 8 bits by its source."""
    rng = np.random.default_rng(3)
    pictures = {
        f"{folder.name}/{name}": rng.integers(0, 256, (64, 32)).astype(np.uint8)
        for name in ("a_1.png", "a_2.png", "deep/b.dcm")
    }
    for source, picture in pictures.items():
        path = folder.parent / source
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            rows = [row.tobytes() for row in picture.T]
            path.write_bytes(make_png(rows, 64, 8, GREY))
        else:
            path.write_bytes(make_dicom(np.ascontiguousarray(picture.T)))
    return pictures


def test_each_picture_becomes_one_slice(tmp_path, capsys):
    pictures = _write_pictures(tmp_path / "data" / "xrays")
    broken = tmp_path / "data" / "xrays" / "broken.png"
    broken.write_bytes((tmp_path / "data" / "xrays" / "a_1.png").read_bytes()[:-30])
    config = dataclasses.replace(SLICES, acceptance="auto", window="0,255")
    files = extract_cubes(tmp_path / "data", tmp_path / "slices", config, num_workers=1)
    images = np.concatenate([np.load(path) for path in files])
    rows = [row for path in files for row in _rows(path.parent, f"{path.stem}.csv")]
    assert {row["source"] for row in rows} == set(pictures)
    for image, row in zip(images, rows, strict=True):
        expected = pictures[row["source"]] / 255
        np.testing.assert_allclose(image[..., 0], expected, atol=1e-6)
        assert (row["x"], row["y"], row["z"]) == ("0", "0", "0")
    printed = capsys.readouterr().out
    assert "3 scans: rule none, window 0,255" in printed
    assert "fewer" not in printed  # than the four wanted of a scan
    assert set(_skipped(tmp_path / "slices")) == {"xrays/broken.png"}
    assert "test_list" not in printed


def test_pictures_are_no_scans_where_cubes_are_cut(tmp_path):
    _write_pictures(tmp_path / "data" / "xrays")
    _write_scan(tmp_path / "data" / "scan.nii", 0)
    in_process(tmp_path / "data", tmp_path / "cubes", choice=ScanChoice((), ("deep",)))
    assert {row["source"] for row in _rows(tmp_path / "cubes", "bat*.csv")} == {"scan"}


def test_pictures_that_are_left_out_are_counted(tmp_path, capsys):
    pictures = _write_pictures(tmp_path / "data" / "xrays")
    (tmp_path / "data" / "test_list.txt").write_text("a_2.png\n")
    extract_cubes(tmp_path / "data", tmp_path / "slices", SLICES, num_workers=1)
    rows = _rows(tmp_path / "slices", "bat_*.csv")
    assert {row["source"] for row in rows} == set(pictures) - {"xrays/a_2.png"}
    assert "test_list.txt names 1 picture, left out" in capsys.readouterr().out


def test_a_folder_of_scans_that_give_no_slice_names_the_reason(tmp_path):
    flat = new_volume(np.full((24, 22, 16), 40, np.int16), (1, 1, 1))
    write_volume(tmp_path / "scans" / "flat.nii", flat.array, flat)
    config = dataclasses.replace(SLICES, acceptance="chest_ct")
    with pytest.raises(InputError, match="gave a slice. Received: flat: no window was"):
        extract_cubes(tmp_path / "scans", tmp_path / "slices", config, num_workers=1)


class _BrokenPool:
    """A pool whose workers were killed."""

    def __init__(self, workers, mp_context):
        del workers, mp_context

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def submit(self, function, item):
        future = concurrent.futures.Future()
        future.set_exception(concurrent.futures.process.BrokenProcessPool("killed"))
        return future


def test_a_killed_worker_is_an_error_that_names_the_flag(scans, tmp_path, monkeypatch):
    monkeypatch.setattr(
        extraction.concurrent.futures, "ProcessPoolExecutor", _BrokenPool
    )
    with pytest.raises(InputError, match="--num_workers.*Received: 3 workers"):
        extract_cubes(scans, tmp_path / "cubes", CONFIG, num_workers=3)
    assert _contents(tmp_path / "cubes") == {}
