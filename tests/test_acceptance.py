"""The rules of acceptance do what they say; chest_ct is the official rule exactly."""

import dataclasses

import numpy as np
import pytest

from models_genesis_tf.config import CubeConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import acceptance
from models_genesis_tf.imaging.volumes import read_volume
from models_genesis_tf.phantoms.chest import draw_chest

SMALL = (16, 16, 8)
CHEST = CubeConfig(acceptance="chest_ct")
FOREGROUND = CubeConfig(acceptance="foreground", cube_size=(32, 32, 32))
SLICES = CubeConfig(cube_size=(64, 64, 1))


def _literal_score(window: np.ndarray) -> float:
    """The released code's score, loop by loop: `(x, y, depth + 3)` in HU."""
    values = ((np.clip(window.astype(float), -1000, 1000) + 1000) / 2000).tolist()
    score = 0.0
    for plane in values:
        for column in plane:
            for z in range(len(column) - 3):
                first = 2
                for ahead in range(3):
                    if column[z + ahead] >= 0.425:
                        first = ahead
                        break
                score += 1 - first / 2
    return score


def _draw_windows(array, size, count, rng):
    """Windows with the look-ahead of three slices, at places the rule allows."""
    config = CubeConfig(acceptance="chest_ct", cube_size=size)
    rule = acceptance.make_rule(array, config)
    for _ in range(count):
        x, y, z = rng.integers(rule.first, rule.last, endpoint=True)
        yield rule, array[x : x + size[0], y : y + size[1], z : z + size[2] + 3]


def _count_accepted(windows, size) -> int:
    """Asserts that fast and literal agree on every window; counts those taken."""
    accepted = 0
    for rule, window in windows:
        literal = _literal_score(window)
        assert acceptance.chest_score(window >= rule.threshold, size[2]) == literal
        verdict = literal <= 0.15 * np.prod(size)
        assert acceptance.accepts(rule, window, size[2]) == verdict
        accepted += verdict
    return accepted


@pytest.fixture(scope="module")
def chest_ct(shared_data) -> np.ndarray:
    return read_volume(shared_data / "lidc_ct" / "LIDC-IDRI-0001.nii.gz").array


@pytest.fixture(scope="module")
def phantom() -> np.ndarray:
    return draw_chest(np.random.default_rng(1), (128, 128, 64)).array


def test_the_literal_loop_and_the_fast_rule_agree_on_windows_of_a_real_ct(
    chest_ct, rng
):
    accepted = _count_accepted(_draw_windows(chest_ct, SMALL, 1000, rng), SMALL)
    assert 200 < accepted < 800
    official = CHEST.cube_size
    accepted = _count_accepted(_draw_windows(chest_ct, official, 10, rng), official)
    assert 0 < accepted < 10


def test_the_literal_loop_and_the_fast_rule_agree_on_windows_of_a_phantom(phantom, rng):
    accepted = _count_accepted(_draw_windows(phantom, SMALL, 300, rng), SMALL)
    assert 30 < accepted < 270


def _scan_of(shape, value=-1000) -> np.ndarray:
    """A scan of one value that takes no memory."""
    return np.broadcast_to(np.int16(value), shape)


def test_windows_of_a_512_scan_start_at_100_to_347_and_from_30_slices_on():
    rule = acceptance.make_rule(_scan_of((512, 512, 133)), CHEST)
    assert rule.first == (100, 100, 30)
    assert rule.last == (347, 347, 133 - 32 - 3 - 1 - 30)
    assert rule.threshold == -150 and rule.min_tissue == 0 and rule.notice == ""


def test_scans_of_fewer_than_96_slices_are_refused():
    rule = acceptance.make_rule(_scan_of((512, 512, 96)), CHEST)
    assert rule.first[2] == rule.last[2] == 30
    with pytest.raises(InputError, match="96 or more. Received: 95"):
        acceptance.make_rule(_scan_of((512, 512, 95)), CHEST)


def test_borders_shrink_in_proportion_with_a_notice():
    rule = acceptance.make_rule(_scan_of((256, 320, 128)), CHEST)
    assert rule.first == (50, 50, 15)
    assert rule.last == (256 - 64 - 1 - 50, 320 - 64 - 1 - 50, 128 - 36 - 15)
    assert "shrink to 50 and 15 voxels" in rule.notice


def test_a_scan_with_no_room_between_the_borders_is_refused_by_its_axis():
    with pytest.raises(InputError, match="along x.*Received: 80"):
        acceptance.make_rule(_scan_of((80, 80, 200)), CHEST)


def test_empty_air_is_accepted_and_pure_tissue_rejected():
    rule = acceptance.make_rule(_scan_of((512, 512, 133)), CHEST)
    assert acceptance.accepts(rule, _scan_of((64, 64, 33)), 32)
    assert not acceptance.accepts(rule, _scan_of((64, 64, 33), 40), 32)


def test_a_smallest_share_of_tissue_mends_empty_air():
    config = CubeConfig(acceptance="chest_ct", min_tissue=0.02)
    rule = acceptance.make_rule(_scan_of((512, 512, 133)), config)
    window = np.full((10, 10, 3), -1000, np.int16)
    assert not acceptance.accepts(rule, window, 2)
    window[0, :4, 0] = 40  # 4 of 200 voxels
    assert acceptance.accepts(rule, window, 2)
    window[0, 0, 0] = -1000
    assert not acceptance.accepts(rule, window, 2)


def test_exactly_15_percent_is_still_accepted():
    rule = acceptance.make_rule(_scan_of((512, 512, 133)), CHEST)
    window = np.full((10, 10, 3), -1000, np.int16)
    window[:3, :, 0] = 40  # the first slice has none below: 30 of 200 voxels
    assert acceptance.accepts(rule, window, 2)
    window[3, 0, 0] = 40
    assert not acceptance.accepts(rule, window, 2)


def test_tissue_counts_one_and_the_voxel_below_it_half():
    tissue = np.zeros((4, 5, 9), bool)
    assert acceptance.chest_score(tissue, 6) == 0
    tissue[:, :, 3] = True
    assert acceptance.chest_score(tissue, 6) == 20 * 1.5
    tissue[:, :, 3], tissue[:, :, 6] = False, True  # the first slice past the cube
    assert acceptance.chest_score(tissue, 6) == 20 * 0.5
    tissue[:, :, 6], tissue[:, :, 7] = False, True
    assert acceptance.chest_score(tissue, 6) == 0
    assert acceptance.chest_score(np.ones((4, 5, 9), bool), 6) == 4 * 5 * 6


def test_tissue_begins_at_minus_150_hu():
    rule = acceptance.make_rule(_scan_of((512, 512, 133)), CHEST)
    cube = np.array([-151, -150, -149, 3000], np.int16)
    assert acceptance.tissue_fraction(rule, cube) == 0.75


def test_auto_is_chest_ct_for_chests_and_luna16_and_else_foreground(
    shared_data, chest_ct, phantom
):
    auto = CubeConfig(cube_size=(32, 32, 16))
    assert acceptance.make_rule(chest_ct, CubeConfig()).name == "chest_ct"
    assert acceptance.make_rule(phantom, auto).name == "chest_ct"
    too_short = chest_ct[:, :, :90]
    assert acceptance.make_rule(too_short, CubeConfig()).name == "foreground"
    with pytest.raises(InputError, match="chest_ct"):
        acceptance.make_rule(too_short, CubeConfig(), luna16=True)
    others = sorted((shared_data / "sarcoma_ct" / "images").iterdir())
    others += sorted((shared_data / "hippocampus" / "images").iterdir())[:3]
    for path in others:
        assert acceptance.make_rule(read_volume(path).array, auto).name == "foreground"


def test_auto_for_slices_is_lungs_for_chests_none_for_pictures_and_else_foreground(
    shared_data, chest_ct, phantom, rng
):
    for chest in (chest_ct, phantom, chest_ct[:, :, 60:90]):  # however few slices
        assert acceptance.make_rule(chest, SLICES).name == "chest_slices"
    sarcoma = sorted((shared_data / "sarcoma_ct" / "images").iterdir())[0]
    assert acceptance.make_rule(read_volume(sarcoma).array, SLICES).name == "foreground"
    assert acceptance.make_rule(phantom[:, :, :9], SLICES, True).name == "chest_slices"
    picture = rng.integers(0, 256, (50, 40, 1)).astype(np.uint8)
    rule = acceptance.make_rule(picture, SLICES)
    assert (rule.name, rule.size, rule.first, rule.last) == (
        "none",
        (50, 40, 1),
        (0, 0, 0),
        (0, 0, 0),
    )
    assert acceptance.accepts(rule, np.zeros_like(picture), 1)


def test_windows_of_slices_are_whole_slices_without_borders():
    for acceptance_name in ("chest_ct", "foreground", "none"):
        config = dataclasses.replace(SLICES, acceptance=acceptance_name)
        rule = acceptance.make_rule(_scan_of((300, 200, 7)), config)
        assert rule.size == (300, 200, 1) and rule.notice == ""
        assert rule.first == (0, 0, 0) and rule.last == (0, 0, 6)


def test_a_chest_slice_holds_a_fifth_of_lung_in_the_middle_half_in_plane():
    config = dataclasses.replace(SLICES, acceptance="chest_ct")
    rule = acceptance.make_rule(_scan_of((40, 40, 3)), config)
    window = np.full((40, 40, 1), 40, np.int16)
    window[:10], window[30:] = -800, -800  # beside the middle half
    window[10:14, 10:30] = -800  # 4 of its 20 rows
    assert acceptance.lung_fraction(window) == 0.2
    assert acceptance.accepts(rule, window, 1)
    window[10, 10] = -950  # air
    assert not acceptance.accepts(rule, window, 1)
    window[10, 10] = -500  # no lung any more
    assert not acceptance.accepts(rule, window, 1)
    window[10, 10] = -949
    assert acceptance.accepts(rule, window, 1)
    strict = dataclasses.replace(config, min_tissue=0.9)
    rule = acceptance.make_rule(_scan_of((40, 40, 3)), strict)
    assert not acceptance.accepts(rule, window, 1)


def test_the_slices_of_a_real_chest_that_are_taken_are_those_of_the_lungs(chest_ct):
    rule = acceptance.make_rule(chest_ct, SLICES)
    taken = [
        acceptance.accepts(rule, chest_ct[:, :, z : z + 1], 1)
        for z in range(chest_ct.shape[2])
    ]
    places = np.flatnonzero(taken)
    assert len(places) == places[-1] - places[0] + 1  # one stretch
    assert 0.4 < np.mean(taken) < 0.7
    assert not taken[0] and not taken[-1]


def test_a_scan_is_ct_where_air_lies_far_below_zero(chest_ct, rng):
    assert acceptance.is_ct(chest_ct)
    assert not acceptance.is_ct(rng.uniform(-5, 4000, (20, 20, 20)))


def _slow_otsu(values: np.ndarray) -> float:
    """The cut of 256 bins with the largest variance between the classes."""
    counts, edges = np.histogram(values, 256)
    middles = (edges[:-1] + edges[1:]) / 2
    best, cut = -1.0, 0.0
    for k in range(1, 256):
        below, above = counts[:k].sum(), counts[k:].sum()
        if below and above:
            gap = (counts[:k] @ middles[:k]) / below - (
                counts[k:] @ middles[k:]
            ) / above
            if below * above * gap**2 > best:
                best, cut = below * above * gap**2, edges[k]
    return cut


def test_foreground_cuts_at_otsu_s_threshold_and_outliers_do_not_rule_it(rng):
    array = rng.normal(100, 12, (40, 40, 40))
    array[:20] = rng.normal(300, 30, (20, 40, 40))
    array[0, 0, :3] = 1e6
    low, high = np.percentile(array, (0.5, 99.5))
    rule = acceptance.make_rule(array, FOREGROUND)
    bins = (high - low) / 256
    slow = _slow_otsu(np.clip(array, low, high))
    assert rule.threshold == pytest.approx(slow, abs=1.5 * bins)


def test_foreground_has_no_borders_and_takes_a_fifth_or_more(rng):
    array = rng.integers(0, 2, (40, 50, 35)) * 100
    rule = acceptance.make_rule(array, FOREGROUND)
    assert rule.first == (0, 0, 0) and rule.last == (8, 18, 3)
    assert 0 < rule.threshold <= 100
    window = np.zeros((10, 10, 10), int)
    window[:2] = 100
    assert acceptance.accepts(rule, window, 10)
    window[0, 0, 0] = 0
    assert not acceptance.accepts(rule, window, 10)


def test_the_smallest_share_of_foreground_can_be_chosen(rng):
    array = rng.integers(0, 2, (32, 32, 32)) * 100
    window = np.zeros((10, 10, 10), int)
    window[:2] = 100
    for least, verdict in ((0.0, True), (0.2, True), (0.21, False)):
        config = CubeConfig(
            acceptance="foreground", cube_size=(32, 32, 32), min_tissue=least
        )
        rule = acceptance.make_rule(array, config)
        assert acceptance.accepts(rule, window, 10) == verdict


def test_none_accepts_air_and_tissue_alike():
    config = CubeConfig(acceptance="none", cube_size=(32, 32, 32), min_tissue=0.5)
    rule = acceptance.make_rule(np.zeros((40, 40, 40)), config)
    assert rule.first == (0, 0, 0) and rule.last == (8, 8, 8)
    assert acceptance.accepts(rule, np.zeros((32, 32, 32)), 32)
    assert acceptance.accepts(rule, np.ones((32, 32, 32)), 32)


def test_a_scan_of_one_intensity_has_no_foreground():
    array = _scan_of((40, 40, 40))
    rule = acceptance.make_rule(array, FOREGROUND)
    assert not acceptance.accepts(rule, array[:32, :32, :32], 32)


@pytest.mark.parametrize(("side", "start"), [(32, 0), (31, 0), (28, -2), (22, -5)])
def test_a_short_side_is_padded_evenly(rng, side, start):
    rule = acceptance.make_rule(rng.random((40, 32, side)), FOREGROUND)
    assert rule.first == (0, 0, start) and rule.last == (8, 0, start)


def test_a_side_shorter_than_the_padding_allows_is_refused(rng):
    with pytest.raises(InputError, match="1.5 times.*20 voxels along z.*of 32"):
        acceptance.make_rule(rng.random((40, 40, 20)), FOREGROUND)
