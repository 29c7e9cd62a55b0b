"""Scans get the names that csv files carry, and folds that keep patients whole."""

import dataclasses

import numpy as np
import pytest

from models_genesis_tf.config import ScanChoice
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.scan_folders import find_scans, held_out
from tests.image_files import make_dicom


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_luna16_s_subsets_are_the_folds_and_its_series_the_names(tmp_path):
    _touch(tmp_path, *(f"subset{k}/1.3.6.{k}.mhd" for k in range(10)))
    _touch(tmp_path, "seg-lungs-LUNA16/1.3.6.0.mhd", "annotations.csv")
    scans = find_scans(tmp_path)
    assert [scan.source for scan in scans] == [f"1.3.6.{k}" for k in range(10)]
    assert [scan.fold for scan in scans] == list(range(10))
    assert all(scan.luna16 for scan in scans)
    (scan,) = find_scans(tmp_path / "subset7")
    assert scan.fold == 7 and scan.luna16


def test_elsewhere_names_are_paths_and_a_patient_s_scans_share_a_fold(tmp_path):
    names = [
        f"site/sub-{k:02}/ses-{visit}/sub-{k:02}_T1w"
        for k in range(40)
        for visit in "ab"
    ]
    _touch(tmp_path, *(f"{name}.nii.gz" for name in names))
    scans = find_scans(tmp_path)
    assert [scan.source for scan in scans] == names
    folds = np.array([scan.fold for scan in scans])
    np.testing.assert_array_equal(folds[::2], folds[1::2])
    assert set(folds) <= set(range(10)) and len(set(folds)) > 6
    assert not any(scan.luna16 for scan in scans)


def test_a_patient_s_fold_does_not_depend_on_the_others(tmp_path):
    _touch(tmp_path, *(f"p{k}.nii" for k in range(20)))
    folds = {scan.source: scan.fold for scan in find_scans(tmp_path)}
    for scan in find_scans(tmp_path, ScanChoice(exclude=("p1*",))):
        assert scan.fold == folds[scan.source]


def test_a_data_set_s_own_folder_does_not_put_all_scans_in_one_fold(tmp_path):
    _touch(tmp_path, *(f"BraTS_2018/Brats18_{k}/t1.nii" for k in range(40)))
    assert len({scan.fold for scan in find_scans(tmp_path)}) > 6


@pytest.mark.parametrize("filters", [{"include": ("q*",)}, {"exclude": ("*.nii",)}])
def test_a_folder_without_chosen_scans_is_an_error_that_names_it(tmp_path, filters):
    _touch(tmp_path, "p1.nii", "notes.txt")
    with pytest.raises(InputError, match=f"Received: --data_dir={tmp_path}"):
        find_scans(tmp_path, ScanChoice(**filters))


def _sources(folder, *options, **named) -> list[str]:
    return [scan.source for scan in find_scans(folder, *options, **named)]


def test_pictures_are_scans_where_they_are_wanted_and_keep_their_suffix(tmp_path):
    _touch(tmp_path, "a.nii.gz", "deep/b.png", "deep/c.JPG", "d.jpeg", "notes.txt")
    assert _sources(tmp_path) == ["a"]
    scans = find_scans(tmp_path, with_pictures=True)
    assert {scan.source: scan.picture for scan in scans} == {
        "a": False,
        "d.jpeg": True,
        "deep/b.png": True,
        "deep/c.JPG": True,
    }
    assert not any(scan.luna16 for scan in scans)
    assert _sources(
        tmp_path, with_pictures=True, choice=ScanChoice(include=("*.png",))
    ) == ["deep/b.png"]
    assert "a" not in _sources(
        tmp_path, with_pictures=True, choice=ScanChoice(exclude=("a.*",))
    )


def _write_dicom(folder, count: int, tags) -> None:
    folder.mkdir(parents=True)
    for k in range(count):
        pixels = np.full((4, 5), k, np.uint16)
        (folder / f"{k}.dcm").write_bytes(make_dicom(pixels, tags=tags))


def test_dicom_files_that_say_where_they_lie_are_a_series_and_others_pictures(
    tmp_path,
):
    lies = {
        (0x20, 0x32): ("DS", "0\\0\\0"),
        (0x20, 0x37): ("DS", "1\\0\\0\\0\\1\\0"),
        (0x28, 0x30): ("DS", "1\\1"),
    }
    _write_dicom(tmp_path / "ct", 3, lies)
    _write_dicom(tmp_path / "xrays", 2, {})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.dcm").write_bytes(b"no DICOM")
    scans = find_scans(tmp_path, with_pictures=True)
    assert {scan.source: scan.picture for scan in scans} == {
        "broken/x.dcm": True,
        "ct": False,
        "xrays/0.dcm": True,
        "xrays/1.dcm": True,
    }
    # Slices of a series that is left out are no pictures either.
    assert "ct/0.dcm" not in _sources(
        tmp_path, with_pictures=True, choice=ScanChoice(exclude=("ct",))
    )


def test_the_visits_of_a_patient_share_a_fold_whatever_their_archive(tmp_path):
    names = [
        f"images_{archive:03}/images/{patient:08}_{archive:03}.png"
        for patient in range(1, 40)
        for archive in (1, 2)
    ]
    _touch(tmp_path, *names)
    folds = {
        scan.source: scan.fold for scan in find_scans(tmp_path, with_pictures=True)
    }
    assert len(folds) == len(names) and len(set(folds.values())) > 6
    for first, second in zip(names[::2], names[1::2], strict=True):
        assert folds[first] == folds[second]


def test_pictures_on_the_owner_s_test_list_are_left_out(tmp_path):
    _touch(tmp_path, *(f"images/0000000{k}_000.png" for k in range(5)))
    assert held_out(tmp_path) == frozenset()
    (tmp_path / "test_list.txt").write_text("00000001_000.png\n00000004_000.png\n")
    assert held_out(tmp_path) == {"00000001_000.png", "00000004_000.png"}
    below = tmp_path / "images_001" / "images"
    below.mkdir(parents=True)
    assert held_out(below) == held_out(tmp_path)
    names = (tmp_path / "test_list.txt").read_text(encoding="utf-8")
    (tmp_path / "test_list.txt").write_text(names, encoding="utf-8-sig")
    assert held_out(below) == {"00000001_000.png", "00000004_000.png"}
    left = [f"0000000{k}_000.png" for k in (0, 2, 3)]
    assert _sources(tmp_path / "images", with_pictures=True) == left
    assert _sources(tmp_path, with_pictures=True) == [f"images/{name}" for name in left]
    (tmp_path / "test_list.txt").write_bytes(b"\xff\xfe0")
    with pytest.raises(InputError, match=r"name on each line, .*test_list\.txt"):
        held_out(below)


def test_the_error_names_the_formats_of_pictures_where_they_count(tmp_path):
    with pytest.raises(InputError, match=r"\(.*\) or cube files") as caught:
        find_scans(tmp_path)
    assert ".png" not in str(caught.value)
    with pytest.raises(InputError, match=r"pictures \(.png, .jpg, .jpeg, .dcm\) or"):
        find_scans(tmp_path, with_pictures=True)


def _manifest(folder, text: str):
    path = folder / "cases.csv"
    path.write_text(text, encoding="utf-8")
    return ScanChoice(manifest=path)


def test_of_a_manifest_only_images_that_train_are_taken(tmp_path):
    _touch(tmp_path, *(f"{part}/p{k}.nii" for part in ("x", "y") for k in range(4)))
    rows = ["x/p0.nii,train", "x/p1.nii,valid", "y/p2.nii,train", "y/p3.nii,test"]
    choice = _manifest(tmp_path, "\n".join(["image,split", *rows]))
    assert [scan.source for scan in find_scans(tmp_path, choice)] == ["x/p0", "y/p2"]
    choice = dataclasses.replace(choice, exclude=("p2*",))
    assert [scan.source for scan in find_scans(tmp_path, choice)] == ["x/p0"]
    folds = {scan.source: scan.fold for scan in find_scans(tmp_path)}
    assert all(folds[scan.source] == scan.fold for scan in find_scans(tmp_path, choice))


def test_a_manifest_without_parts_takes_all_of_its_images(tmp_path):
    _touch(tmp_path, "a.nii", "b.nii", "c.png", "d.png")
    choice = _manifest(tmp_path, "image,label\na.nii,0\nc.png,1\n")
    assert [scan.source for scan in find_scans(tmp_path, choice)] == ["a"]
    sources = [scan.source for scan in find_scans(tmp_path, choice, True)]
    assert sources == ["a", "c.png"]


def test_a_manifest_of_other_images_is_refused(tmp_path):
    _touch(tmp_path, "in/a.nii", "out/b.nii")
    choice = _manifest(tmp_path, "image\nin/a.nii\nout/b.nii\n")
    message = r"images of --manifest lie in --data_dir=.*Received: .*row 3: image=out/b"
    with pytest.raises(InputError, match=message):
        find_scans(tmp_path / "in", choice)
    choice = _manifest(tmp_path, "image,split\nin/a.nii,test\n")
    with pytest.raises(InputError, match="--include, --exclude and --manifest let"):
        find_scans(tmp_path / "in", choice)


def test_a_glob_with_a_slash_chooses_by_the_path(tmp_path):
    _touch(
        tmp_path, *(f"{part}/p{k}.nii" for part in ("images", "labels") for k in "12")
    )
    assert _sources(tmp_path, ScanChoice(("images/*",))) == ["images/p1", "images/p2"]
    assert _sources(tmp_path, ScanChoice((), ("labels/*", "*1.nii"))) == ["images/p2"]
