"""Flips are drawn at the official rates and are their own inverse."""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from models_genesis_tf.config import TRANSFORM_PRESETS, TransformConfig
from models_genesis_tf.transforms.flipping import (
    MAX_FLIPS,
    apply_flipping,
    draw_flipping,
)

CUBE, SLICE = (6, 5, 4, 2), (6, 5, 2)
SHAPES = pytest.mark.parametrize("shape", [CUBE, SLICE], ids=["cube", "slice"])
DRAWS = 40_000


def _exact_shares(choices: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """Chance of each set of axes flipped an odd number of times, by enumeration."""
    rate = Fraction(2, 5)
    shares: Counter = Counter()
    for count in range(MAX_FLIPS + 1):
        chance = rate**count * (1 - rate if count < MAX_FLIPS else 1)
        for drawn in itertools.product(choices, repeat=count):
            odd = tuple(axis for axis in (0, 1, 2) if drawn.count(axis) % 2)
            shares[odd] += chance / len(choices) ** count
    return {axes: float(share) for axes, share in shares.items()}


@pytest.mark.parametrize(
    ("preset", "shape", "choices"),
    [
        ("official", CUBE, (-1, 0, 1)),
        ("official", SLICE, (-1, 0, 1)),
        ("default", CUBE, (0, 1, 2)),
        ("default", SLICE, (0, 1)),
    ],
)
def test_sets_of_flipped_axes_have_their_exact_shares(preset, shape, choices, rng):
    config = TRANSFORM_PRESETS[preset]
    drawn = Counter(draw_flipping(shape, rng, config) for _ in range(DRAWS))
    exact = _exact_shares(choices)
    assert set(drawn) == set(exact)
    for axes, share in exact.items():
        error = 4.5 * np.sqrt(share * (1 - share) / DRAWS)
        assert drawn[axes] / DRAWS == pytest.approx(share, abs=error), axes


def test_exact_shares_of_the_official_code_are_those_measured_on_it():
    shares = _exact_shares((-1, 0, 1))
    assert shares[()] == pytest.approx(0.734, abs=0.01)
    assert (shares[(0,)] + shares[(1,)]) / 2 == pytest.approx(0.117, abs=0.01)
    assert shares[(0, 1)] == pytest.approx(0.033, abs=0.01)


def test_two_dimensional_images_never_flip_their_channels(rng):
    config = TransformConfig(flip_rate=1.0)
    drawn = {draw_flipping((6, 5, 2), rng, config) for _ in range(200)}
    assert drawn == {(0,), (1,)}  # three flips over two axes: one stays odd


@SHAPES
def test_rate_zero_is_the_identity_in_new_memory(shape, rng):
    cube = rng.random(shape, np.float32)
    axes = draw_flipping(shape, rng, TransformConfig(flip_rate=0.0))
    flipped = apply_flipping(cube, axes)
    assert axes == () and not np.shares_memory(flipped, cube)
    np.testing.assert_array_equal(flipped, cube)


@SHAPES
def test_a_flip_moves_every_voxel_to_its_mirror_place(shape, rng):
    cube = rng.random(shape, np.float32)
    cube.flags.writeable = False
    axes = (0, len(shape) - 2)
    flipped = apply_flipping(cube, axes)
    np.testing.assert_array_equal(flipped, cube[::-1, ..., ::-1, :])
    np.testing.assert_array_equal(apply_flipping(flipped, axes), cube)
    assert flipped.dtype == np.float32 and flipped.flags.c_contiguous
