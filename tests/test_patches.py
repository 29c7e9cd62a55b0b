"""Patches lie where they should, hold what they should and are padded outside."""

import itertools

import numpy as np
import pytest
from scipy import ndimage, stats

from models_genesis_tf.imaging.patches import (
    box_around,
    centre_patch_start,
    cut_patch,
    draw_patch_start,
    random_flips,
    sample_around,
)


def _count(starts: list) -> dict:
    places, counts = np.unique(starts, axis=0, return_counts=True)
    return dict(zip(map(tuple, places.tolist()), counts, strict=True))


def _slow_cut(array, start, patch_size, fill):
    """Voxel by voxel."""
    patch = np.empty((*patch_size, *array.shape[3:]), array.dtype)
    for index in itertools.product(*map(range, patch_size)):
        place = tuple(np.add(start, index))
        inside = all(0 <= p < s for p, s in zip(place, array.shape, strict=False))
        patch[index] = array[place] if inside else fill
    return patch


def test_starts_are_uniform_over_all_places_where_the_patch_fits(rng):
    counts = _count(
        [draw_patch_start((6, 4, 5), (4, 4, 2), rng) for _ in range(12_000)]
    )
    assert set(counts) == set(itertools.product(range(3), [0], range(4)))
    assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_voxels_and_the_places_that_contain_them_are_uniform(rng):
    shape, patch_size = (7, 5, 3), (3, 2, 4)
    voxels = np.array([[0, 4, 1], [3, 2, 0], [6, 0, 2]])
    # z is shorter than the patch: -1. Elsewhere: the places that hold each voxel.
    places = [
        list(itertools.product([0], [3], [-1])),
        list(itertools.product([1, 2, 3], [1, 2], [-1])),
        list(itertools.product([4], [0], [-1])),
    ]
    shares = {place: 1 / 3 / len(some) for some in places for place in some}
    draws = 12_000
    counts = _count(
        [draw_patch_start(shape, patch_size, rng, voxels) for _ in range(draws)]
    )
    assert set(counts) == set(shares)
    expected = [shares[place] * draws for place in counts]
    assert stats.chisquare(list(counts.values()), expected).pvalue > 0.01


def test_a_patch_lies_inside_and_contains_the_voxel_for_any_sizes(rng):
    shorter = 0
    for _ in range(500):
        shape, patch_size = rng.integers(1, 9, (2, 3))
        voxel = rng.integers(0, shape)
        start = draw_patch_start(shape, patch_size, rng, voxel[None])
        assert all(type(first) is int for first in start)
        end = np.add(start, patch_size)
        assert np.all(start <= voxel) and np.all(voxel < end)
        short = shape < patch_size
        shorter += short.any()
        assert np.all(np.greater_equal(start, 0)[~short] & (end <= shape)[~short])
        before, after = -np.array(start)[short], (end - shape)[short]
        assert np.all(np.abs(before - after) <= 1) and np.all(before > 0)
        anywhere = draw_patch_start(shape, patch_size, rng)
        assert np.all(np.greater_equal(anywhere, 0) == ~short)
        assert np.all((np.add(anywhere, patch_size) <= shape)[~short])
        np.testing.assert_array_equal(np.array(anywhere)[short], np.array(start)[short])
    assert shorter > 100


def test_an_image_without_foreground_is_drawn_from_like_any_other():
    none, empty = (
        [draw_patch_start((9, 9, 9), (4, 4, 4), np.random.default_rng(5), voxels)]
        for voxels in (None, np.empty((0, 3), int))
    )
    assert none == empty


def test_the_centre_of_a_patch_is_that_of_the_image():
    assert centre_patch_start((10, 8, 4), (4, 8, 8)) == (3, 0, -2)
    assert centre_patch_start((9, 3, 1), (4, 4, 1)) == (2, -1, 0)
    for shape in itertools.product(range(1, 7), repeat=2):
        (start,) = centre_patch_start(shape[:1], shape[1:])
        after = shape[0] - (start + shape[1])
        assert start in (after, after - 1)


def test_a_patch_inside_is_a_copy_of_the_array(rng):
    array = rng.random((6, 5, 4, 2), np.float32)
    patch = cut_patch(array, (1, 0, 2), (3, 5, 2))
    np.testing.assert_array_equal(patch, array[1:4, :, 2:4])
    assert patch.flags.c_contiguous and not np.shares_memory(patch, array)
    patch[:] = 7
    assert array.max() < 1


def test_a_patch_around_a_small_array_is_padded_with_the_fill():
    array = np.ones((2, 2, 2), np.int16)
    patch = cut_patch(array, (-1, -1, 0), (4, 4, 3), fill=-5)
    expected = np.pad(array, [(1, 1), (1, 1), (0, 1)], constant_values=-5)
    np.testing.assert_array_equal(patch, expected)
    assert patch.dtype == np.int16


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_patch_anywhere_is_that_of_a_loop_over_voxels(rng, channels, dtype):
    outside = 0
    for _ in range(100):
        shape, patch_size = rng.integers(1, 6, (2, 3))
        array = (rng.random((*shape, *channels)) * 200).astype(dtype)
        start = rng.integers(-6, 7, 3)
        patch = cut_patch(array, start, patch_size, 201)
        assert patch.dtype == dtype
        np.testing.assert_array_equal(patch, _slow_cut(array, start, patch_size, 201))
        outside += np.all(patch == 201)
    assert outside > 5  # a window that misses the array altogether was among them


def test_image_and_target_are_flipped_alike_and_each_axis_half_of_the_time(rng):
    image = rng.random((4, 3, 2, 2), np.float32)
    image.flags.writeable = False
    target = image[..., 0].copy()
    target.flags.writeable = False
    # Every way to flip, and what it makes of the image.
    ways = [
        axes for count in range(4) for axes in itertools.combinations(range(3), count)
    ]
    counts = dict.fromkeys(ways, 0)
    for _ in range(2000):
        flipped, labels = random_flips(image, target, rng)
        found = [way for way in ways if np.array_equal(flipped, np.flip(image, way))]
        np.testing.assert_array_equal(labels, flipped[..., 0])
        assert len(found) == 1
        counts[found[0]] += 1
        for new, old in ((flipped, image), (labels, target)):
            assert new.flags.c_contiguous and new.flags.writeable
            assert not np.shares_memory(new, old)
    assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_flips_keep_the_types_and_take_a_target_with_channels(rng):
    image = rng.random((4, 3, 2, 2), np.float32)
    target = np.arange(24, dtype=np.uint8).reshape(4, 3, 2, 1)
    for _ in range(20):
        flipped, labels = random_flips(image, target, rng)
        assert flipped.dtype == np.float32 and labels.dtype == np.uint8
        order = labels.ravel()
        np.testing.assert_array_equal(
            flipped.reshape(24, 2), image.reshape(24, 2)[order]
        )


def test_the_same_generator_draws_the_same():
    image, target = np.zeros((5, 5, 5, 1), np.float32), np.arange(125).reshape(5, 5, 5)
    first, second = (
        [
            draw_patch_start((30, 30, 30), (5, 5, 5), generator),
            random_flips(image, target, generator)[1].tolist(),
        ]
        for generator in (np.random.default_rng(8), np.random.default_rng(8))
    )
    assert first == second


@pytest.mark.parametrize("channels", [(), (2,)])
@pytest.mark.parametrize("order", [0, 1])
def test_a_sampled_patch_is_that_of_the_whole_array(rng, channels, order):
    """Compared with one interpolation of all of it; places and scales of all kinds."""
    array = rng.random((15, 12, 9, *channels), np.float32)
    for _ in range(20):
        centre = rng.uniform(-3, (18, 15, 12))
        scale = rng.uniform(0.4, 1.8, 3)
        patch = sample_around(array, centre, (7, 6, 5), scale, order)
        places = np.indices((7, 6, 5)).reshape(3, -1).T - (3, 2.5, 2)
        places = (centre + places * scale).T
        for channel in np.ndindex(channels):
            expected = ndimage.map_coordinates(
                array[(..., *channel)], places, order=order, mode="grid-constant"
            )
            np.testing.assert_allclose(
                patch[(..., *channel)].ravel(), expected, atol=1e-5
            )


def test_the_box_around_a_patch_is_all_that_is_looked_at(rng):
    array = np.full((30, 30, 30), np.nan, np.float32)
    box = box_around(array.shape, (10.3, 14.0, 20.9), (6, 5, 4), (1.5, 0.7, 1.0))
    array[box] = rng.random(array[box].shape)
    patch = sample_around(array, (10.3, 14.0, 20.9), (6, 5, 4), (1.5, 0.7, 1.0))
    assert np.isfinite(patch).all()
    assert np.prod([edge.stop - edge.start for edge in box]) < 700
    outside = box_around(array.shape, (-50, 5, 5), (6, 5, 4), (1, 1, 1))
    assert outside[0].start == outside[0].stop
