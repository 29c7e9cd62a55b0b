"""Scans get the names that csv files carry, and folds that keep patients whole."""

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.scan_folders import find_scans


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
    for scan in find_scans(tmp_path, exclude=["p1*"]):
        assert scan.fold == folds[scan.source]


def test_a_data_set_s_own_folder_does_not_put_all_scans_in_one_fold(tmp_path):
    _touch(tmp_path, *(f"BraTS_2018/Brats18_{k}/t1.nii" for k in range(40)))
    assert len({scan.fold for scan in find_scans(tmp_path)}) > 6


@pytest.mark.parametrize("filters", [{"include": ["q*"]}, {"exclude": ["*.nii"]}])
def test_a_folder_without_chosen_scans_is_an_error_that_names_it(tmp_path, filters):
    _touch(tmp_path, "p1.nii", "notes.txt")
    with pytest.raises(InputError, match=f"Received: --data_dir={tmp_path}"):
        find_scans(tmp_path, **filters)
