"""Local shuffling keeps its windows' values, treats channels alike, fits any size."""

import numpy as np
import pytest

from models_genesis_tf.config import TRANSFORM_PRESETS, TransformConfig
from models_genesis_tf.transforms.shuffling import (
    Shuffling,
    apply_shuffling,
    draw_shuffling,
    shuffling,
    window_limits,
)

DEFAULT = TransformConfig()
CUBE, SLICE, IMAGE = (64, 64, 32), (64, 64), (224, 224)


def test_windows_are_at_most_a_tenth_of_each_side_and_at_least_one_voxel():
    assert window_limits(CUBE) == (6, 6, 3)
    assert window_limits(IMAGE) == (22, 22)
    assert window_limits((8, 9, 10, 11, 20)) == (1, 1, 1, 1, 2)


@pytest.mark.parametrize("sides", [CUBE, SLICE, IMAGE])
def test_a_single_window_keeps_the_multiset_of_values(sides, rng):
    # As many as make one window of these sides.
    config = TransformConfig(shuffle_windows=round(64 * 64 * 32 / np.prod(sides)))
    cube = rng.random((*sides, 1), np.float32)
    changed = 0
    for _ in range(50):
        shuffled = shuffling(cube, rng, config)
        np.testing.assert_array_equal(np.sort(shuffled, None), np.sort(cube, None))
        changed += int((shuffled != cube).any())
    assert changed > 25


def _exact_share(sides: tuple[int, ...], count: int) -> float:
    """Share of voxels that `count` windows move, from the procedure's definition.

    The last window over a voxel decides: one of v voxels moves it with chance
    1 - 1 / v.
    """
    covered = np.ones(sides)  # chance that one window covers a voxel
    stays = np.ones(sides)  # and that it leaves its value in place
    for axis, (side, limit) in enumerate(zip(sides, window_limits(sides), strict=True)):
        chances = np.zeros((2, side))
        for size in range(1, limit + 1):
            starts = side - size + 1
            over = np.convolve(np.ones(starts), np.ones(size)) / starts / limit
            chances += (over, over / size)
        along = tuple(-1 if k == axis else 1 for k in range(len(sides)))
        covered = covered * chances[0].reshape(along)
        stays = stays * chances[1].reshape(along)
    return float(np.mean((1 - (1 - covered) ** count) * (1 - stays / covered)))


@pytest.mark.parametrize(
    ("sides", "count"), [(CUBE, 10_000), (SLICE, 312), (IMAGE, 3828), ((96, 40), 293)]
)
def test_as_many_voxels_move_as_windows_in_proportion_to_their_number_move(
    sides, count, rng
):
    exact = _exact_share(sides, count)
    shares = []
    for _ in range(20):
        source = draw_shuffling((*sides, 1), rng, DEFAULT).source
        shares.append(np.mean(source != np.arange(source.size)))
    error = 4.5 * np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) == pytest.approx(exact, abs=max(error, 0.001))


def test_the_number_of_windows_follows_the_number_of_voxels(rng):
    # The larger cube has windows of the same size, so the same share has to move.
    for preset, moved in (("official", 0.785), ("miccai2019", 0.087)):
        config = TRANSFORM_PRESETS[preset]
        for shape in ((64, 64, 32, 1), (69, 69, 39, 1)):
            source = draw_shuffling(shape, rng, config).source
            share = np.mean(source != np.arange(source.size))
            assert share == pytest.approx(moved, abs=0.012), (preset, shape)


@pytest.mark.parametrize("shape", [(16, 16, 16, 1), (64, 64, 1)])
def test_no_window_leaves_the_cube_alone(shape, rng):
    cube = rng.random(shape, np.float32)
    shuffled = shuffling(cube, rng, TransformConfig(shuffle_windows=0))
    np.testing.assert_array_equal(shuffled, cube)
    assert not np.shares_memory(shuffled, cube)


@pytest.mark.parametrize(
    "shape", [(8, 8, 1), (40, 30, 3), (8, 8, 8, 1), (32, 24, 20, 4)]
)
def test_all_channels_of_a_voxel_move_together(shape, rng):
    single = rng.random((*shape[:-1], 1), np.float32)
    offsets = 10 * np.arange(shape[-1], dtype=np.float32)
    cube = single + offsets
    cube.flags.writeable = False
    shuffled = shuffling(cube, rng, DEFAULT)
    assert shuffled.shape == shape and shuffled.dtype == np.float32
    np.testing.assert_allclose(
        shuffled - offsets, np.repeat(shuffled[..., :1], shape[-1], -1), atol=1e-5
    )


@pytest.mark.parametrize("shape", [(32, 24, 20, 4), (64, 48, 4)])
def test_the_third_channel_is_treated_as_the_first_is(shape, rng):
    cube = rng.random(shape, np.float32)
    drawn = draw_shuffling(cube.shape, rng, DEFAULT)
    shuffled = apply_shuffling(cube, drawn)
    alone = apply_shuffling(cube[..., 2:3], drawn)
    np.testing.assert_array_equal(shuffled[..., 2:3], alone)
    assert (alone != cube[..., 2:3]).mean() > 0.2


@pytest.mark.parametrize("shape", [(32, 24, 20, 3), (64, 48, 3)])
def test_the_official_preset_shuffles_the_first_channel_only(shape, rng):
    cube = rng.random(shape, np.float32)
    shuffled = shuffling(cube, rng, TRANSFORM_PRESETS["official"])
    np.testing.assert_array_equal(shuffled[..., 1:], cube[..., 1:])
    assert (shuffled[..., 0] != cube[..., 0]).any()


def test_applying_moves_each_value_from_its_source():
    cube = np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1)
    source = np.array([7, 1, 1, 3, 4, 0, 6, 2], np.int32)
    moved = apply_shuffling(cube, Shuffling(source, None))
    np.testing.assert_array_equal(moved.ravel(), source)


@pytest.mark.parametrize(
    ("sides", "farthest"), [(CUBE, (5, 5, 2)), (SLICE, (5, 5)), (IMAGE, (21, 21))]
)
def test_voxels_move_as_far_as_one_window_reaches(sides, farthest, rng):
    cube = np.stack(
        np.meshgrid(*(np.arange(side) for side in sides), indexing="ij"), -1
    ).astype(np.float32)
    shuffled = shuffling(cube, rng, DEFAULT)
    reach = np.abs(shuffled - cube).reshape(-1, len(sides)).max(axis=0)
    np.testing.assert_array_equal(reach, farthest)
