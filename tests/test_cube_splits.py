"""Cubes train or validate, never both, and no patient is in two parts."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.cube_files import CubeSet
from models_genesis_tf.imaging.cube_splits import split_cubes

DEPTH = 32


def _cube_set(rows, provenance=True, per_volume=32) -> CubeSet:
    """A set of `(source, fold, z, dataset)` rows that rise by fold; no files."""
    sources, folds, starts, datasets = map(np.array, zip(*rows, strict=True))
    present = np.unique(folds)
    cube = np.zeros((1, 64, 64, DEPTH), np.float16)
    return CubeSet(
        tuple(Path(f"bat_{per_volume}_s_64x64x{DEPTH}_{k}.npy") for k in present),
        tuple(np.broadcast_to(cube, (n, 64, 64, DEPTH)) for n in _counts(folds)),
        sources,
        folds,
        starts,
        datasets,
        provenance,
    )


def _counts(folds):
    return np.unique(folds, return_counts=True)[1]


def _luna16(folds, cubes=3):
    rows = [(f"1.2.{fold}", fold, 9, "luna16") for fold in folds for _ in range(cubes)]
    return _cube_set(rows)


def _foreign(folds, cubes=3, per_volume=32):
    rows = [(f"bat_{fold}", fold, -1, "") for fold in folds for _ in range(cubes)]
    return _cube_set(rows, provenance=False, per_volume=per_volume)


def _folds(cubes, part) -> set[int]:
    return set(cubes.folds[part].tolist())


def _assert_apart(split):
    assert len(split.train) and len(split.valid)
    assert not set(split.train.tolist()) & set(split.valid.tolist())
    for part in (split.train, split.valid):
        assert (np.diff(part) > 0).all()


def test_luna16_trains_on_folds_0_to_4_and_validates_on_5_and_6():
    cubes = _luna16(range(10))
    split = split_cubes(cubes)
    _assert_apart(split)
    assert _folds(cubes, split.train) == {0, 1, 2, 3, 4}
    assert _folds(cubes, split.valid) == {5, 6}
    assert len(split.train) == 15 and len(split.valid) == 6


@pytest.mark.parametrize("folds", [(0, 1, 7), (5, 6, 8, 9), (0, 1, 2, 3, 7, 8, 9)])
def test_luna16_s_test_folds_stay_out_where_a_published_part_is_empty(folds):
    cubes = _luna16(folds)
    split = split_cubes(cubes)
    _assert_apart(split)
    used = _folds(cubes, np.concatenate([split.train, split.valid]))
    assert used == set(folds) - {7, 8, 9}
    assert "one patient in five" in split.notice


def test_luna16_s_test_folds_alone_have_to_be_asked_for():
    cubes = _luna16((7, 9))
    with pytest.raises(InputError, match="7,8,9 of LUNA16 are kept for testing"):
        split_cubes(cubes)
    split = split_cubes(cubes, train_folds=(7,), valid_folds=(9,))
    assert _folds(cubes, split.train) == {7} and _folds(cubes, split.valid) == {9}


def test_luna16_s_test_folds_stay_out_among_other_data():
    rows = [("1.2.3", 7, 9, "luna16"), ("p1", 7, 9, "other")]
    rows += [("p2", 8, 9, "other"), ("1.2.4", 9, 9, "luna16")]
    split = split_cubes(_cube_set(rows))
    _assert_apart(split)
    assert sorted([*split.train, *split.valid]) == [1, 2]


def test_named_folds_are_taken_and_the_rest_goes_to_the_other_part():
    cubes = _luna16(range(10))
    split = split_cubes(cubes, train_folds=(0, 1), valid_folds=(8,))
    assert _folds(cubes, split.train) == {0, 1} and _folds(cubes, split.valid) == {8}
    split = split_cubes(cubes, train_folds=(0, 1))
    assert _folds(cubes, split.valid) == {2, 3, 4, 5, 6}  # 7-9 were not asked for
    split = split_cubes(cubes, valid_folds=(0,))
    assert _folds(cubes, split.train) == {1, 2, 3, 4, 5, 6}
    other = _cube_set([(f"p{fold}", fold, 0, "other") for fold in range(10)])
    split = split_cubes(other, train_folds=(0,))
    assert _folds(other, split.valid) == set(range(1, 10))


def test_a_fold_cannot_be_in_both_parts():
    with pytest.raises(InputError, match="--train_folds=0,1 --valid_folds=1,2"):
        split_cubes(_luna16(range(10)), (0, 1), (1, 2))


@pytest.mark.parametrize(
    "named", [((99,), None), (None, (99,)), ((0, 1, 2), None), ((0,), (99,))]
)
def test_named_folds_that_leave_a_part_empty_are_refused(named):
    with pytest.raises(InputError, match="here 0,1,2. Received"):
        split_cubes(_luna16(range(3)), *named)


def test_one_patient_in_five_validates_and_at_least_one():
    for patients, expected in ((2, 1), (5, 1), (10, 2), (50, 10)):
        rows = [(f"p{k}", k % 10, z, "other") for k in range(patients) for z in (0, 9)]
        rows.sort(key=lambda row: row[1])
        cubes = _cube_set(rows)
        split = split_cubes(cubes)
        _assert_apart(split)
        assert len(split.train) + len(split.valid) == len(cubes)
        assert len(set(cubes.sources[split.valid].tolist())) == expected


def _random_scan(rng) -> tuple[str, str]:
    """Name and patient of a scan, named in one of the usual ways."""
    number, visit = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    ways = (
        f"sub-{number:02}/ses-{visit}/anat/sub-{number:02}_ses-{visit}_T1w",
        f"sub-{number:02}_ses-{visit}_T1w",
        f"LIDC-IDRI-{number:04}/0{visit}-01-2000/series_{int(rng.integers(9))}",
        f"subset{visit}/patient{number}/ct",
        f"case_{number:03}_{visit:04}",
        f"case_{number:03}_{('t1', 't2', 'flair')[visit - 1]}",
    )
    way = int(rng.integers(len(ways)))
    # A patient is known by what all names of one kind share: bids, lidc, ...
    kind = ("bids", "bids", "lidc", "folder", "case", "case")[way]
    return ways[way], f"{kind} {number}"


def test_no_patient_is_ever_in_two_parts(rng):
    several = 0
    for _ in range(300):
        scans = [_random_scan(rng) for _ in range(int(rng.integers(2, 20)))]
        patients = np.array([patient for _, patient in scans])
        if len(set(patients.tolist())) == 1:
            continue
        several += 1
        split = split_cubes(_cube_set([(name, 0, 0, "other") for name, _ in scans]))
        _assert_apart(split)
        assert not set(patients[split.train]) & set(patients[split.valid])
    assert several > 200


def test_the_split_does_not_depend_on_the_order_of_cubes(rng):
    names = [f"p{k}" for k in range(12)]
    chosen = []
    for _ in range(3):
        cubes = _cube_set([(name, 0, 0, "other") for name in rng.permutation(names)])
        chosen.append(set(cubes.sources[split_cubes(cubes).valid].tolist()))
    assert chosen[0] == chosen[1] == chosen[2]


def test_visits_and_modalities_of_a_patient_stay_together():
    sources = [
        f"sub-{k}/ses-{visit}/anat/sub-{k}_ses-{visit}_{kind}"
        for k in range(1, 4)
        for visit in (1, 2)
        for kind in ("T1w", "T2w")
    ]
    cubes = _cube_set([(source, 0, 0, "other") for source in sources])
    split = split_cubes(cubes)
    _assert_apart(split)
    validating = {source[:5] for source in cubes.sources[split.valid].tolist()}
    assert len(validating) == 1 and len(split.valid) == 4


def test_patients_below_a_data_set_s_own_folder_stay_together():
    sources = [
        f"BraTS_2018/HGG/Brats18_{k}/Brats18_{k}_{kind}"
        for k in ("a1", "b2", "c3")
        for kind in ("t1", "t2", "flair")
    ]
    cubes = _cube_set([(source, 0, 0, "other") for source in sources])
    split = split_cubes(cubes)
    _assert_apart(split)
    validating = {source.split("/")[2] for source in cubes.sources[split.valid]}
    assert len(validating) == 1 and len(split.valid) == 3


def test_several_scans_of_a_single_patient_are_divided_by_scan_with_a_notice():
    rows = [(f"P1/scan_{k}/ct", 3, z, "other") for k in range(5) for z in (0, 40)]
    cubes = _cube_set(rows)
    split = split_cubes(cubes)
    _assert_apart(split)
    train, valid = (
        set(cubes.sources[part].tolist()) for part in (split.train, split.valid)
    )
    assert not train & valid and len(valid) == 1


def test_a_single_scan_is_divided_along_z_with_a_gap_of_one_cube(rng):
    starts = rng.integers(30, 196, 32)
    cubes = _cube_set([("scan", 0, z, "other") for z in starts])
    split = split_cubes(cubes)
    _assert_apart(split)
    last_slice = starts[split.train].max() + DEPTH  # the first one not in training
    assert starts[split.valid].min() - last_slice >= DEPTH
    assert "gap of one cube" in split.notice
    assert len(split.train) > len(split.valid)


def test_the_gap_is_one_cube_to_the_slice():
    rows = [("scan", 0, z, "luna16") for z in (0, 0, 0, 0, 2 * DEPTH)]
    split = split_cubes(_cube_set(rows))
    assert split.train.tolist() == [0, 1, 2, 3] and split.valid.tolist() == [4]
    assert "gap of one cube" in split.notice
    rows[4] = ("scan", 0, 2 * DEPTH - 1, "luna16")
    assert "no gap" in split_cubes(_cube_set(rows)).notice


def test_a_short_scan_is_divided_without_a_gap_but_never_overlaps():
    starts = np.array([0, 1, 2, 3, 20, DEPTH + 2, DEPTH + 3])
    split = split_cubes(_cube_set([("scan", 0, z, "other") for z in starts]))
    _assert_apart(split)
    assert starts[split.train].max() + DEPTH <= starts[split.valid].min()
    assert "no gap" in split.notice
    assert split.train.tolist() == [0, 1, 2, 3] and split.valid.tolist() == [6]


def test_a_scan_whose_cubes_all_overlap_cannot_be_divided():
    rows = [("scan", 0, z, "other") for z in range(DEPTH)]
    with pytest.raises(InputError, match="Received: 32 overlapping cubes"):
        split_cubes(_cube_set(rows))


def test_official_files_are_divided_by_luna16_s_fold_numbers():
    cubes = _foreign(range(10))
    split = split_cubes(cubes)
    assert _folds(cubes, split.train) == {0, 1, 2, 3, 4}
    assert _folds(cubes, split.valid) == {5, 6}


def test_of_other_files_without_csv_the_last_validates():
    cubes = _foreign((0, 1, 3))
    split = split_cubes(cubes)
    assert _folds(cubes, split.train) == {0, 1} and _folds(cubes, split.valid) == {3}
    assert "bat_32_s_64x64x32_3.npy validates" in split.notice


def test_of_a_single_file_without_csv_no_scan_is_cut_in_two():
    cubes = _foreign((2,), cubes=50, per_volume=4)
    split = split_cubes(cubes)
    _assert_apart(split)
    assert len(split.valid) == 10 and split.valid[-1] == 49
    # Up to 4 cubes in a row are of one scan: 3 left out keep any two parts apart.
    assert split.valid[0] - split.train[-1] == 4
    assert "3 left out" in split.notice


def test_a_single_short_file_without_csv_says_that_it_may_be_one_scan():
    split = split_cubes(_foreign((2,), cubes=5))
    assert split.train.tolist() == [0, 1, 2, 3] and split.valid.tolist() == [4]
    assert "perhaps of one scan" in split.notice


def test_one_cube_cannot_be_divided():
    with pytest.raises(InputError, match="two cubes or more. Received: 1"):
        split_cubes(_foreign((0,), cubes=1))
    with pytest.raises(InputError, match="Received: 1 overlapping"):
        split_cubes(_cube_set([("scan", 0, 3, "other")]))


def test_the_patients_that_validate_are_the_same_on_every_machine():
    names = [f"p{k}" for k in range(12)]
    split = split_cubes(_cube_set([(name, 0, 0, "other") for name in names]))
    hashed = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert {names[k] for k in split.valid} == set(hashed[:2])
