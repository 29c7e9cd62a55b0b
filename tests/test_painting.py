"""Painting covers the published share of a cube and nothing outside its windows."""

import numpy as np
import pytest

from models_genesis_tf.config import TRANSFORM_PRESETS, TransformConfig
from models_genesis_tf.transforms.painting import (
    Painting,
    apply_painting,
    draw_inpainting,
    draw_outpainting,
    inpainting,
    outpainting,
)

SHAPE = (64, 64, 32, 1)
OFFICIAL = TRANSFORM_PRESETS["official"]
MICCAI = TRANSFORM_PRESETS["miccai2019"]
DRAWS = 4000


def _covered(windows, shape=SHAPE) -> np.ndarray:
    covered = np.zeros(shape[:-1], bool)
    for window in windows:
        covered[window] = True
    return covered


def _lengths(window) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in window)


def _draw_many(draw, config, rng, draws=DRAWS) -> list[tuple]:
    constant = TransformConfig(**vars(config) | {"inpainting_fill": "constant"})
    constant = TransformConfig(**vars(constant) | {"outpainting_fill": "constant"})
    return [draw(SHAPE, rng, constant).windows for _ in range(draws)]


def test_inner_windows_have_the_official_number_sizes_and_places(rng):
    drawn = _draw_many(draw_inpainting, OFFICIAL, rng)
    counts = np.bincount([len(windows) for windows in drawn], minlength=6) / DRAWS
    # P(k windows) = 0.95^k * 0.05 for k < 5 and 0.95^5 for five.
    exact = np.append(0.05 * 0.95 ** np.arange(5), 0.95**5)
    np.testing.assert_allclose(counts, exact, atol=4.5 * np.sqrt(0.25 / DRAWS))
    windows = [window for windows in drawn for window in windows]
    sizes = np.array([_lengths(window) for window in windows])
    for axis, (low, high) in enumerate(((10, 21), (10, 21), (5, 10))):
        assert set(sizes[:, axis]) == set(range(low, high + 1))
        assert sizes[:, axis].mean() == pytest.approx((low + high) / 2, abs=0.15)
        side = SHAPE[axis]
        starts = [window[axis].start for window in windows]
        stops = [window[axis].stop for window in windows]
        assert min(starts) == 3 and max(stops) == side - 3


def test_inner_painting_covers_the_published_share(rng):
    drawn = _draw_many(draw_inpainting, OFFICIAL, rng)
    shares = np.array([_covered(windows).mean() for windows in drawn])
    assert shares.mean() == pytest.approx(0.055, abs=0.002)
    assert shares.max() < 0.11
    assert (shares == 0).mean() == pytest.approx(0.05, abs=0.013)


def test_outer_windows_have_the_official_sizes_and_places(rng):
    drawn = _draw_many(draw_outpainting, OFFICIAL, rng)
    counts = np.bincount([len(windows) for windows in drawn], minlength=6) / DRAWS
    exact = np.array([0, 0.05, 0.05 * 0.95, 0.05 * 0.95**2, 0.05 * 0.95**3, 0.95**4])
    np.testing.assert_allclose(counts, exact, atol=4.5 * np.sqrt(0.25 / DRAWS))
    windows = [window for windows in drawn for window in windows]
    sizes = np.array([_lengths(window) for window in windows])
    for axis, (low, high) in enumerate(((28, 37), (28, 37), (14, 19))):
        assert set(sizes[:, axis]) == set(range(low, high + 1))
        assert min(window[axis].start for window in windows) == 3
        assert max(window[axis].stop for window in windows) == SHAPE[axis] - 3


def test_outer_painting_covers_the_published_share(rng):
    drawn = _draw_many(draw_outpainting, OFFICIAL, rng, 12_000)
    shares = np.array([1 - _covered(windows).mean() for windows in drawn])
    assert shares.mean() == pytest.approx(0.68, abs=0.01)
    assert np.quantile(shares, 0.05) == pytest.approx(0.60, abs=0.01)
    # One draw in twenty keeps a single window and covers far more than the others do:
    # this quantile lies in the gap, where few draws are, and is the least exact.
    assert np.quantile(shares, 0.95) == pytest.approx(0.82, abs=0.02)
    assert shares.min() > 0.50 and shares.max() < 0.92


def test_the_release_of_2019_paints_one_window_of_ten_to_twenty_voxels(rng):
    inner = _draw_many(draw_inpainting, MICCAI, rng, 1500)
    assert {len(windows) for windows in inner} == {1}
    sizes = np.array([_lengths(windows[0]) for windows in inner])
    assert sizes.min() == 10 and sizes.max() == 20
    shares = [_covered(windows).mean() for windows in inner]
    assert np.mean(shares) == pytest.approx(15**3 / 131072, abs=0.001)
    outer = _draw_many(draw_outpainting, MICCAI, rng, 1500)
    assert {len(windows) for windows in outer} == {1}
    shares = [1 - _covered(windows).mean() for windows in outer]
    assert np.mean(shares) == pytest.approx(0.69, abs=0.01)


@pytest.mark.parametrize("fill", ["noise", "constant"])
@pytest.mark.parametrize(
    "shape", [(8, 8, 2), (30, 20, 1), (8, 8, 8, 1), (24, 20, 16, 4)]
)
def test_nothing_outside_inner_windows_and_inside_outer_ones_changes(fill, shape, rng):
    config = TransformConfig(inpainting_fill=fill, outpainting_fill=fill)
    cube = 2 + rng.random(shape, np.float32)  # no paint looks like it
    before = cube.copy()
    cube.flags.writeable = False
    for draw, outer in ((draw_inpainting, False), (draw_outpainting, True)):
        for _ in range(20):
            painting = draw(shape, rng, config)
            painted = apply_painting(cube, painting)
            covered = _covered(painting.windows, shape)
            kept = covered if outer else ~covered
            np.testing.assert_array_equal(painted[kept], cube[kept])
            paint = painted[~kept]
            assert paint.size == 0 or (paint.min() >= 0 and paint.max() < 1)
            if fill == "constant" and paint.size:
                assert len(np.unique(paint)) == 1
            assert painted.dtype == np.float32 and painted.shape == shape
            assert not outer or covered.any()
    np.testing.assert_array_equal(cube, before)


def test_noise_is_uniform_and_differs_between_channels_as_each_preset_says(rng):
    shape = (64, 64, 32, 2)
    cube = np.full(shape, 2.0, np.float32)
    painted = outpainting(cube, rng, OFFICIAL)
    noise = painted[painted < 2]
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert noise.var() == pytest.approx(1 / 12, abs=0.002)
    for preset, shared in (("default", False), ("official", True)):
        config = TRANSFORM_PRESETS[preset]
        painted = inpainting(cube, np.random.default_rng(5), config)
        first, second = painted[..., 0], painted[..., 1]
        assert (first < 2).any()
        assert np.array_equal(first, second) == shared


def test_later_windows_of_the_same_paint_add_up():
    cube = np.zeros((4, 4, 1), np.float32)
    windows = ((slice(0, 2), slice(0, 2)), (slice(1, 3), slice(1, 3)))
    paint = np.ones((1, 1, 1), np.float32)
    inner = apply_painting(cube, Painting(windows, False, paint))
    outer = apply_painting(cube, Painting(windows, True, paint))
    expected = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(inner[..., 0], expected)
    np.testing.assert_array_equal(outer[..., 0], 1 - expected)
