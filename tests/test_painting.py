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

SHAPE, SLICE, IMAGE = (64, 64, 32, 1), (64, 64, 1), (224, 224, 1)
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


def _draw_many(draw, config, rng, draws=DRAWS, shape=SHAPE) -> list[tuple]:
    constant = TransformConfig(**vars(config) | {"inpainting_fill": "constant"})
    constant = TransformConfig(**vars(constant) | {"outpainting_fill": "constant"})
    return [draw(shape, rng, constant).windows for _ in range(draws)]


def _assert_sizes_and_places(windows: list, shape, ranges) -> None:
    """Asserts uniform sizes in the ranges, with a margin of 3 and no more."""
    sizes = np.array([_lengths(window) for window in windows])
    assert sizes.shape[1] == len(shape) - 1
    for axis, (low, high) in enumerate(ranges):
        assert set(sizes[:, axis]) == set(range(low, high + 1))
        spread = (high - low + 1) / np.sqrt(12)
        error = 4.5 * spread / np.sqrt(len(sizes))
        assert sizes[:, axis].mean() == pytest.approx((low + high) / 2, abs=error)
        assert min(window[axis].start for window in windows) == 3
        assert max(window[axis].stop for window in windows) == shape[axis] - 3


def _exact_share(shape, ranges, counts: dict[int, float], margin: int = 3) -> float:
    """Share of voxels under windows, from their definition.

    Args:
      shape: Of the cube, with channels.
      ranges: Smallest and largest size along each axis.
      counts: Chance of each number of windows.
      margin: Voxels between windows and the border.
    """
    under = np.ones(shape[:-1])  # chance that one window covers a voxel
    for axis, (low, high) in enumerate(ranges):
        chances = np.zeros(shape[axis])
        for size in range(low, high + 1):
            starts = shape[axis] - 2 * margin - size + 1
            over = np.convolve(np.ones(starts), np.ones(size)) / starts
            chances[margin : shape[axis] - margin] += over / (high - low + 1)
        under *= chances.reshape([-1 if k == axis else 1 for k in range(under.ndim)])
    return sum(share * np.mean(1 - (1 - under) ** k) for k, share in counts.items())


@pytest.mark.parametrize(
    ("shape", "ranges"),
    [
        (SHAPE, ((10, 21), (10, 21), (5, 10))),
        (SLICE, ((10, 21), (10, 21))),
        (IMAGE, ((37, 74), (37, 74))),
    ],
)
def test_inner_windows_have_the_official_number_sizes_and_places(shape, ranges, rng):
    drawn = _draw_many(draw_inpainting, OFFICIAL, rng, shape=shape)
    counts = np.bincount([len(windows) for windows in drawn], minlength=6) / DRAWS
    # P(k windows) = 0.95^k * 0.05 for k < 5 and 0.95^5 for five.
    exact = np.append(0.05 * 0.95 ** np.arange(5), 0.95**5)
    np.testing.assert_allclose(counts, exact, atol=4.5 * np.sqrt(0.25 / DRAWS))
    windows = [window for windows in drawn for window in windows]
    _assert_sizes_and_places(windows, shape, ranges)
    shares = [_covered(windows, shape).mean() for windows in drawn[:1500]]
    error = 4.5 * np.std(shares) / np.sqrt(len(shares))
    share = _exact_share(shape, ranges, dict(enumerate(exact)))
    assert np.mean(shares) == pytest.approx(share, abs=error)


def test_inner_painting_covers_the_published_share(rng):
    drawn = _draw_many(draw_inpainting, OFFICIAL, rng)
    shares = np.array([_covered(windows).mean() for windows in drawn])
    assert shares.mean() == pytest.approx(0.055, abs=0.002)
    assert shares.max() < 0.11
    assert (shares == 0).mean() == pytest.approx(0.05, abs=0.013)


@pytest.mark.parametrize(
    ("shape", "ranges"),
    [
        (SHAPE, ((28, 37), (28, 37), (14, 19))),
        (SLICE, ((28, 37), (28, 37))),
        (IMAGE, ((96, 128), (96, 128))),
    ],
)
def test_outer_windows_have_the_official_sizes_and_places(shape, ranges, rng):
    drawn = _draw_many(draw_outpainting, OFFICIAL, rng, shape=shape)
    counts = np.bincount([len(windows) for windows in drawn], minlength=6) / DRAWS
    exact = np.array([0, 0.05, 0.05 * 0.95, 0.05 * 0.95**2, 0.05 * 0.95**3, 0.95**4])
    np.testing.assert_allclose(counts, exact, atol=4.5 * np.sqrt(0.25 / DRAWS))
    windows = [window for windows in drawn for window in windows]
    _assert_sizes_and_places(windows, shape, ranges)
    shares = [_covered(windows, shape).mean() for windows in drawn[:1500]]
    error = 4.5 * np.std(shares) / np.sqrt(len(shares))
    share = _exact_share(shape, ranges, dict(enumerate(exact)))
    assert np.mean(shares) == pytest.approx(share, abs=error)


def test_outer_painting_covers_the_published_share(rng):
    drawn = _draw_many(draw_outpainting, OFFICIAL, rng, 12_000)
    shares = np.array([1 - _covered(windows).mean() for windows in drawn])
    assert shares.mean() == pytest.approx(0.68, abs=0.01)
    assert np.quantile(shares, 0.05) == pytest.approx(0.60, abs=0.01)
    # One draw in twenty keeps a single window and covers far more than the others do:
    # this quantile lies in the gap, where few draws are, and is the least exact.
    assert np.quantile(shares, 0.95) == pytest.approx(0.82, abs=0.02)
    assert shares.min() > 0.50 and shares.max() < 0.92


@pytest.mark.parametrize(
    ("shape", "inside", "outside"),
    [(SHAPE, 15**3 / 131072, 0.69), (SLICE, 15**2 / 4096, 1 - (49 / 64) ** 2)],
)
def test_the_release_of_2019_paints_one_window_of_ten_to_twenty_voxels(
    shape, inside, outside, rng
):
    inner = _draw_many(draw_inpainting, MICCAI, rng, 1500, shape)
    assert {len(windows) for windows in inner} == {1}
    sizes = np.array([_lengths(windows[0]) for windows in inner])
    assert sizes.min() == 10 and sizes.max() == 20
    shares = [_covered(windows, shape).mean() for windows in inner]
    assert np.mean(shares) == pytest.approx(inside, abs=0.002)
    outer = _draw_many(draw_outpainting, MICCAI, rng, 1500, shape)
    assert {len(windows) for windows in outer} == {1}
    shares = [1 - _covered(windows, shape).mean() for windows in outer]
    assert np.mean(shares) == pytest.approx(outside, abs=0.01)


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


@pytest.mark.parametrize("shape", [(64, 64, 32, 2), (224, 224, 2)])
def test_noise_is_uniform_and_differs_between_channels_as_each_preset_says(shape, rng):
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
