"""Windows map a stated range of any scan to [0, 1] as float32."""

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import windows


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("ct", -1000, 1000),
        ("mr", 0, 4000),
        ("-160,240", -160, 240),
        ("0.5,1e3", 0.5, 1000),
        (" -5 , 5 ", -5, 5),
    ],
)
def test_a_window_has_the_stated_range(text, low, high):
    window = windows.parse_window(text)
    assert window.name == text
    assert (window.low, window.high) == (low, high)
    assert windows.intensity_range(np.zeros((2, 2, 2)), window) == (low, high)


@pytest.mark.parametrize(
    "text", ["a,b", "5,1", "5,5", "1", "1,2,3", "", ",", "nan,1", "0,inf", "CT"]
)
def test_a_window_that_is_no_range_is_refused(text):
    with pytest.raises(InputError, match="two rising numbers low,high") as caught:
        windows.parse_window(text)
    assert str(caught.value).endswith(f"Received: --window={text}")
    assert "ct, mr, percentile" in str(caught.value)


def test_a_percentile_window_is_0_5_to_99_5_percent_of_each_scan(rng):
    window = windows.parse_window("percentile")
    ramp = rng.permutation(np.arange(1001.0)).reshape(7, 11, 13)
    assert windows.intensity_range(ramp, window) == pytest.approx((5, 995))
    low, high = windows.intensity_range(ramp * 10 - 3, window)
    assert (low, high) == pytest.approx((47, 9947))


def test_outliers_do_not_move_a_percentile_window(rng):
    window = windows.parse_window("percentile")
    scan = rng.normal(100, 10, (20, 20, 20))
    spoilt = scan.copy()
    spoilt[0, 0, :5] = 1e6
    low, high = windows.intensity_range(scan, window)
    assert windows.intensity_range(spoilt, window) == pytest.approx((low, high), abs=2)


def test_a_large_scan_is_sampled_along_each_axis_for_its_percentiles():
    ramp = np.broadcast_to(np.arange(300.0)[:, None, None], (300, 300, 100))
    sample = windows.sample_voxels(ramp)
    assert sample.shape == (150, 150, 50)  # 9 million voxels, every second along x
    assert np.shares_memory(sample, ramp)
    low, high = windows.intensity_range(ramp, windows.parse_window("percentile"))
    assert (low, high) == pytest.approx((1.5, 297.5), abs=2)


def test_a_small_scan_is_taken_whole(rng):
    scan = rng.random((100, 100, 200))
    assert windows.sample_voxels(scan).shape == scan.shape


@pytest.mark.parametrize("value", [0, -1024, 7.5])
def test_a_constant_scan_has_no_percentile_window(value):
    with pytest.raises(InputError, match="more than one intensity") as caught:
        windows.intensity_range(
            np.full((4, 4, 4), value), windows.parse_window("percentile")
        )
    assert f"Received: {value} to {value}" in str(caught.value)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32, np.float64])
def test_hounsfield_units_map_linearly_and_clip(kind):
    units = np.array([-32768, -1024, -1000, -500, 0, 250, 1000, 3071, 32767], kind)
    unit = windows.scale_to_unit(units, -1000, 1000)
    assert unit.dtype == np.float32
    np.testing.assert_array_equal(unit, [0, 0, 0, 0.25, 0.5, 0.625, 1, 1, 1])


def test_small_integer_types_do_not_overflow():
    bytes_ = np.array([0, 100, 255], np.uint8)
    np.testing.assert_allclose(
        windows.scale_to_unit(bytes_, -1000, 1000), [0.5, 0.55, 0.6275], rtol=1e-6
    )
    words = np.array([-32768, 0, 32767], np.int16)
    np.testing.assert_allclose(
        windows.scale_to_unit(words, -32768, 32767), [0, 32768 / 65535, 1], rtol=1e-6
    )
    unsigned = np.array([0, 1000, 65535], np.uint16)
    np.testing.assert_allclose(
        windows.scale_to_unit(unsigned, 2000, 66000), [0, 0, 63535 / 64000], rtol=1e-6
    )


def test_every_value_of_a_scan_lands_in_0_to_1_in_its_order(rng):
    scan = rng.normal(0, 2000, (8, 9, 10))
    unit = windows.scale_to_unit(scan, -160, 240)
    assert unit.shape == scan.shape
    assert unit.min() == 0
    assert unit.max() == 1
    inside = np.clip((scan + 160) / 400, 0, 1)
    np.testing.assert_allclose(unit, inside, atol=1e-6)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_scaling_leaves_its_argument_alone(rng, kind):
    scan = rng.integers(-900, 900, (4, 5, 6)).astype(kind)
    before = scan.copy()
    scan.flags.writeable = False
    unit = windows.scale_to_unit(scan, -1000, 1000)
    assert not np.shares_memory(unit, scan)
    np.testing.assert_array_equal(scan, before)


def test_the_window_of_a_brain_is_taken_over_voxels_that_are_not_0(rng):
    scan = rng.integers(100, 900, (12, 12, 12)).astype(np.int16)
    scan[:4] = 0
    window = windows.parse_window("nonzero")
    found = windows.intensity_range(scan, window)
    assert found == tuple(np.percentile(scan[4:], (0.5, 99.5)))
    unit = windows.scale_to_unit(scan, *found)
    assert not unit[:4].any() and unit[4:].mean() > 0.4
    with pytest.raises(InputError, match="more than one intensity. Received: 0 to 0"):
        windows.intensity_range(np.zeros((4, 4, 4)), window)
