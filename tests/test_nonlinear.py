"""The intensity map is a Bezier curve, monotone, with the right ends, for any shape."""

import numpy as np
import pytest

from models_genesis_tf.config import TransformConfig
from models_genesis_tf.transforms.nonlinear import (
    IntensityCurve,
    apply_nonlinear,
    draw_nonlinear,
    nonlinear,
)

CONFIG = TransformConfig()
RAMP = np.linspace(0, 1, 1001, dtype=np.float32)


def test_control_points_on_the_diagonal_leave_every_value_alone():
    thirds = (0.0, 1 / 3, 2 / 3, 1.0)
    mapped = apply_nonlinear(RAMP, IntensityCurve(thirds, thirds))
    np.testing.assert_allclose(mapped, RAMP, atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 64, 32, 1), (64, 64, 1)])
def test_every_curve_is_monotone_and_half_of_them_are_inverted(shape, rng):
    rising = []
    for _ in range(2000):
        curve = draw_nonlinear(shape, rng, CONFIG)
        assert curve.x[0] == 0 and curve.x[3] == 1
        assert {curve.y[0], curve.y[3]} == {0.0, 1.0}
        mapped = apply_nonlinear(RAMP, curve)
        assert mapped[0] == curve.y[0] and mapped[-1] == curve.y[3]
        assert mapped.min() >= 0 and mapped.max() <= 1
        steps = np.diff(mapped) if curve.y[3] == 1 else -np.diff(mapped)
        assert steps.min() > -1e-6
        rising.append(curve.y[3] == 1)
    assert np.mean(rising) == pytest.approx(0.5, abs=4.5 * 0.5 / np.sqrt(2000))


def test_inner_control_points_are_uniform_in_the_unit_square(rng):
    curves = [draw_nonlinear((8, 8, 1), rng, CONFIG) for _ in range(4000)]
    points = np.array([curve.x[1:3] + curve.y[1:3] for curve in curves])
    np.testing.assert_allclose(points.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(points.var(axis=0), 1 / 12, atol=0.005)
    np.testing.assert_allclose(np.corrcoef(points.T), np.eye(4), atol=0.07)


def test_an_inverted_curve_mirrors_the_increasing_one():
    x, y = (0.0, 0.9, 0.3, 1.0), (0.0, 0.2, 0.7, 1.0)
    inverted = tuple(1 - value for value in y)
    np.testing.assert_allclose(
        apply_nonlinear(RAMP, IntensityCurve(x, inverted)),
        1 - apply_nonlinear(RAMP, IntensityCurve(x, y)),
        atol=1e-6,
    )


@pytest.mark.parametrize("shape", [(9, 8, 1), (8, 9, 3), (10, 9, 8, 1), (8, 8, 8, 4)])
def test_all_channels_are_mapped_by_one_curve_and_the_argument_stays(shape, rng):
    cube = rng.random(shape, np.float32)
    before = cube.copy()
    cube.flags.writeable = False
    curve = draw_nonlinear(shape, rng, CONFIG)
    mapped = apply_nonlinear(cube, curve)
    assert mapped.shape == shape and mapped.dtype == np.float32
    np.testing.assert_array_equal(cube, before)
    for channel in range(shape[-1]):
        alone = apply_nonlinear(cube[..., channel], curve)
        np.testing.assert_array_equal(mapped[..., channel], alone)


@pytest.mark.parametrize("shape", [(8, 8, 8, 2), (8, 8, 2)])
def test_drawing_and_applying_are_what_the_whole_transform_does(shape, rng):
    cube = rng.random(shape, np.float32)
    whole = nonlinear(cube, np.random.default_rng(3), CONFIG)
    curve = draw_nonlinear(cube.shape, np.random.default_rng(3), CONFIG)
    np.testing.assert_array_equal(whole, apply_nonlinear(cube, curve))
