"""Losses of each example are those of their formulas, in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from models_genesis_tf.models.losses import (
    batch_dice_loss,
    cross_entropy,
    mean_squared_error,
    segmentation_loss,
)


def _softmax(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    scores = np.exp(3 * rng.normal(size=shape))
    return (scores / scores.sum(-1, keepdims=True)).astype(np.float32)


def _slow_cross_entropy(target, probabilities) -> np.ndarray:
    """Element by element, (...) and (..., classes) -> (...)."""
    result = np.empty(target.shape)
    for index in np.ndindex(target.shape):
        p = probabilities[index].astype(float)
        wanted = target[index]
        if len(p) == 1:
            likelihood = p[0] if wanted == 1 else 1 - p[0]
        else:
            likelihood = p[wanted]
        result[index] = -np.log(np.clip(likelihood, 1e-7, 1 - 1e-7))
    return result


def _slow_dice_loss(target, probabilities) -> float:
    """One example: the mean over its foreground classes."""
    classes = probabilities.shape[-1]
    losses = []
    for label in [1] if classes == 1 else range(1, classes):
        p = probabilities[..., 0 if classes == 1 else label].astype(float)
        t = target == label
        losses.append(1 - (2 * p[t].sum() + 1) / (p.sum() + t.sum() + 1))
    return np.mean(losses)


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


def test_cross_entropy_of_sure_and_of_uniform_predictions():
    target = np.array([0, 2, 1, 3], np.int32)
    right = np.eye(4, dtype=np.float32)[target]
    np.testing.assert_allclose(cross_entropy(target, right), 0, atol=2e-7)
    uniform = np.full((4, 4), 0.25, np.float32)
    np.testing.assert_allclose(cross_entropy(target, uniform), np.log(4), rtol=1e-6)
    wrong = np.eye(4, dtype=np.float32)[(target + 1) % 4]
    np.testing.assert_allclose(cross_entropy(target, wrong), -np.log(1e-7), rtol=1e-6)


def test_binary_cross_entropy_of_sure_and_of_uniform_predictions():
    target = np.array([0, 1, 0, 1, 0, 1])
    probabilities = np.array([[0], [1], [1], [0], [0.5], [0.5]], np.float32)
    most = -np.log(1e-7)
    np.testing.assert_allclose(
        cross_entropy(target, probabilities),
        [0, 0, most, most, np.log(2), np.log(2)],
        rtol=1e-6,
        atol=2e-7,
    )


@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_cross_entropy_is_that_of_numpy_and_of_keras(rng, classes, dtype):
    target = rng.integers(0, max(classes, 2), 40).astype(dtype)
    probabilities = _softmax(rng, (40, max(classes, 2)))[:, -classes:]
    losses = cross_entropy(target, probabilities)
    assert losses.shape == (40,) and losses.dtype == "float32"
    expected = _slow_cross_entropy(target, probabilities)
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-6)
    if classes == 1:
        of_keras = keras.losses.binary_crossentropy(target[:, None], probabilities)
    else:
        of_keras = keras.losses.sparse_categorical_crossentropy(target, probabilities)
    np.testing.assert_allclose(losses, of_keras, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_segmentation_loss_is_that_of_numpy(rng, classes):
    target = rng.integers(0, max(classes, 2), (3, 5, 4, 3)).astype(np.uint8)
    target[1] = 0  # an example without foreground
    probabilities = _softmax(rng, (3, 5, 4, 3, max(classes, 2)))[..., -classes:]
    losses = segmentation_loss(target, probabilities)
    assert losses.shape == (3,) and losses.dtype == "float32"
    expected = [
        _slow_cross_entropy(t, p).mean() + _slow_dice_loss(t, p)
        for t, p in zip(target, probabilities, strict=True)
    ]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


@pytest.mark.parametrize("classes", [1, 3])
def test_segmentation_loss_of_the_target_itself_is_zero(rng, classes):
    target = rng.integers(0, max(classes, 2), (2, 4, 4, 4))
    target[1] = 0
    right = np.eye(max(classes, 2), dtype=np.float32)[target][..., -classes:]
    np.testing.assert_allclose(segmentation_loss(target, right), 0, atol=1e-6)


def test_segmentation_loss_of_known_overlap():
    # Six voxels of eight foreground, three of them found and one beside: the Dice term
    # is (2 * 3 + 1) / (4 + 6 + 1). Four voxels of eight are wrong.
    target = np.array([1, 1, 1, 1, 1, 1, 0, 0], np.int32).reshape(1, 2, 2, 2)
    found = np.array([1, 1, 1, 0, 0, 0, 1, 0], np.float32).reshape(1, 2, 2, 2, 1)
    expected = 1 - 7 / 11 + 0.5 * -np.log(1e-7)
    assert float(segmentation_loss(target, found)[0]) == pytest.approx(expected)


def test_the_dice_loss_of_a_batch_counts_all_its_voxels_together():
    """Of one example 3 of 4 voxels are found, of an empty one 2 are wrong."""
    target = np.zeros((2, 2, 2, 2), np.uint8)
    target[0, 0] = 1
    found = np.zeros((2, 2, 2, 2, 1), np.float32)
    found[0, 0, 0] = found[0, 0, 1, :1] = found[1, 1, 1] = 1
    losses = batch_dice_loss(target, found)
    assert losses.shape == (2,)
    np.testing.assert_allclose(losses, 1 - (2 * 3 + 1) / (4 + 5 + 1), rtol=1e-6)
    halves = batch_dice_loss(target, np.full((2, 2, 2, 2, 1), 0.5, np.float32))
    np.testing.assert_allclose(halves, 1 - (2 * 2 + 1) / (4 + 8 + 1), rtol=1e-6)
    both = np.concatenate([1 - found, found], axis=-1)
    np.testing.assert_allclose(batch_dice_loss(target, both), losses, rtol=1e-6)


def test_segmentation_loss_of_uniform_predictions():
    # Of eight voxels four are background, three of class 1, one of class 2.
    target = np.array([0, 0, 0, 0, 1, 1, 1, 2], np.int32).reshape(1, 2, 2, 2)
    uniform = np.full((1, 2, 2, 2, 3), 1 / 3, np.float32)
    dice = [(2 * count / 3 + 1) / (8 / 3 + count + 1) for count in (3, 1)]
    expected = np.log(3) + 1 - np.mean(dice)
    assert float(segmentation_loss(target, uniform)[0]) == pytest.approx(expected)


def test_a_sigmoid_is_a_softmax_of_two_classes(rng):
    target = rng.integers(0, 2, (2, 4, 4, 4))
    pair = _softmax(rng, (2, 4, 4, 4, 2))
    np.testing.assert_allclose(
        segmentation_loss(target, pair[..., 1:]),
        segmentation_loss(target, pair),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "loss, extra", [(cross_entropy, ()), (segmentation_loss, (2,) * 3)]
)
@pytest.mark.parametrize("classes", [1, 3])
def test_gradients_are_finite_where_probabilities_are_0_or_1(loss, extra, classes):
    target = np.zeros((2, *extra), np.int32)
    sure = np.zeros((2, *extra, classes), np.float32)
    # The first example is sure of the first channel, the second of the last or, where
    # there is one channel, of background.
    sure[0, ..., 0] = 1
    sure[1, ..., -1] = classes > 1
    probabilities = tf.constant(sure)
    with tf.GradientTape() as tape:
        tape.watch(probabilities)
        losses = loss(target, probabilities)
    assert np.isfinite(losses).all()
    assert np.isfinite(tape.gradient(losses, probabilities)).all()


@pytest.mark.parametrize("classes", [1, 3])
def test_gradients_are_those_of_finite_differences(rng, classes):
    target = rng.integers(0, max(classes, 2), (2, 2, 2, 2))
    values = rng.uniform(0.2, 0.8, (2, 2, 2, 2, classes)).astype(np.float32)
    probabilities = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(probabilities)
        total = tf.reduce_sum(segmentation_loss(target, probabilities))
    gradient = tape.gradient(total, probabilities).numpy()

    def slow(p):
        return sum(
            _slow_cross_entropy(one, q).mean() + _slow_dice_loss(one, q)
            for one, q in zip(target, p, strict=True)
        )

    for index in np.ndindex(values.shape):
        step = np.zeros(values.shape)
        step[index] = 1e-5
        difference = (slow(values + step) - slow(values - step)) / 2e-5
        assert gradient[index] == pytest.approx(difference, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_losses_of_probabilities_are_summed_in_float32(dtype):
    # 65,536 voxels of foreground, more than float16 can count, at probability 0.5.
    target = np.ones((1, 64, 32, 32), np.uint8)
    half = ops.full((1, 64, 32, 32, 1), 0.5, dtype=dtype)
    losses = segmentation_loss(target, half)
    count = target.size
    expected = np.log(2) + 1 - (count + 1) / (1.5 * count + 1)
    assert losses.dtype == "float32"
    assert float(losses[0]) == pytest.approx(expected, rel=1e-5)
    classified = cross_entropy(np.array([1]), ops.full((1, 3), 0.25, dtype=dtype))
    assert classified.dtype == "float32"
    assert float(classified[0]) == pytest.approx(np.log(4), rel=1e-6)
