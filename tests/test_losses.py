"""The restoration loss is the plain mean squared error of each cube."""

import numpy as np
from keras import ops

from models_genesis_tf.models.losses import mean_squared_error


def test_loss_of_each_cube_is_that_of_numpy(rng):
    original = rng.random((3, 4, 5, 6, 2), np.float32)
    restored = rng.random((3, 4, 5, 6, 2), np.float32)
    expected = [
        np.mean((first.astype(float) - second) ** 2)
        for first, second in zip(original, restored, strict=True)
    ]
    losses = mean_squared_error(original, restored)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_loss_of_equal_cubes_is_zero_and_of_a_shift_its_square():
    cube = np.full((1, 2, 2, 2, 1), 0.25, np.float32)
    assert float(mean_squared_error(cube, cube)[0]) == 0.0
    assert float(mean_squared_error(cube, cube + 0.5)[0]) == 0.25


def test_loss_is_summed_in_float32_whatever_the_network_computes_in():
    original = np.zeros((1, 32, 32, 32, 1), np.float32)
    restored = ops.full(original.shape, 0.5, dtype="bfloat16")
    losses = mean_squared_error(original, restored)
    assert losses.dtype == "float32" and float(losses[0]) == 0.25
