"""The faster decoder gives what the stock one gives, and shares its weights."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from models_genesis_tf.experiments import scoring
from models_genesis_tf.models.fast_upsampling import fast_twin
from models_genesis_tf.models.heads import build_classifier, build_segmenter
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.unet2d import build_unet2d
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.training.loop import Trainer

SHAPES = [(8, 8, 8, 1), (16, 8, 24, 2), (32, 16, 8, 1)]


def _outputs_and_gradients(network, variables, cubes, targets):
    with tf.GradientTape() as tape:
        outputs = network(cubes, training=True)
        loss = tf.reduce_mean(tf.square(tf.cast(outputs, tf.float32) - targets))
    return outputs.numpy(), [g.numpy() for g in tape.gradient(loss, variables)]


def _largest_difference(ours, theirs) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("build", [build_unet3d, build_segmenter])
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_and_gradients_equal_those_of_the_stock_network(build, shape):
    keras.utils.set_random_seed(1)
    model = build(shape, base_filters=4)
    twin = fast_twin(model)
    rng = np.random.default_rng(2)
    cubes = rng.random((3, *shape), np.float32)
    targets = rng.random((3, *model.output_shape[1:]), np.float32)
    variables = model.trainable_variables
    stock = _outputs_and_gradients(model, variables, cubes, targets)
    fast = _outputs_and_gradients(twin, variables, cubes, targets)
    assert _largest_difference(fast[0], stock[0]) < 1e-5
    largest = max(np.abs(gradient).max() for gradient in stock[1])
    for ours, theirs in zip(fast[1], stock[1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * largest)
    predicted = (network(cubes, training=False) for network in (twin, model))
    assert _largest_difference(*(one.numpy() for one in predicted)) < 1e-5


def test_a_join_equals_a_convolution_written_out():
    model = build_unet3d((8, 8, 8, 1), 2)
    layer = model.get_layer("depth_12_conv")
    twin = fast_twin(model)
    part = twin.get_layer("depth_12_conv_joined")
    rng = np.random.default_rng(3)
    small = rng.normal(size=(1, 4, 4, 4, 8)).astype(np.float32)
    skip = rng.normal(size=(1, 8, 8, 8, 4)).astype(np.float32)
    kernel, bias = (w.numpy().astype(np.float64) for w in (layer.kernel, layer.bias))
    enlarged = small.repeat(2, 1).repeat(2, 2).repeat(2, 3)
    both = np.concatenate([enlarged, skip], -1)[0]
    padded = np.pad(both, [(1, 1)] * 3 + [(0, 0)])
    expected = np.zeros((8, 8, 8, layer.filters)) + bias
    for i, j, k in itertools.product(range(3), repeat=3):
        expected += padded[i : i + 8, j : j + 8, k : k + 8] @ kernel[i, j, k]
    np.testing.assert_allclose(part(small, skip)[0], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(24, 16, 8, 1), (32, 32, 16, 1)])
def test_in_bfloat16_outputs_and_gradients_stay_as_near_as_the_stock_ones(shape):
    """Also where the deepest side has 3 voxels, the shortest that bfloat16 takes."""
    rng = np.random.default_rng(4)
    cubes = rng.random((4, *shape), np.float32)
    results = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(5)
        model = build_unet3d(shape, 4, dtype=policy)
        for network in (model, fast_twin(model)):
            variables = model.trainable_variables
            found = _outputs_and_gradients(network, variables, cubes, cubes)
            results[policy, network is model] = np.concatenate(
                [gradient.ravel() for gradient in found[1]]
            )
    exact = results["float32", True]
    apart = {
        stock: np.linalg.norm(results["mixed_bfloat16", stock] - exact)
        / np.linalg.norm(exact)
        for stock in (True, False)
    }
    assert apart[False] < 1.1 * apart[True]


def test_training_the_twin_trains_the_model_which_is_saved_as_stock_layers(tmp_path):
    losses, weights = {}, {}
    rng = np.random.default_rng(6)
    cubes = tf.constant(rng.random((4, 16, 16, 16, 1), np.float32))
    for fast in (False, True):
        keras.utils.set_random_seed(7)
        model = build_unet3d((16, 16, 16, 1), 4)
        before = model.get_weights()
        trainer = Trainer(
            model,
            keras.optimizers.SGD(0.01, momentum=0.9),
            mean_squared_error,
            tf.distribute.get_strategy(),
            4,
            fast_upsampling=fast,
        )
        assert (trainer.network is model) != fast
        losses[fast] = [float(trainer.step((cubes, cubes))) for _ in range(5)]
        weights[fast] = model.get_weights()
        changed = [
            not np.array_equal(ours, theirs)
            for ours, theirs in zip(before, weights[fast], strict=True)
        ]
        assert np.mean(changed) > 0.9
        path = tmp_path / f"{fast}.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
        kinds = {type(layer).__module__.split(".")[0] for layer in loaded.layers}
        assert kinds == {"keras"}
        names = [layer.name for layer in loaded.layers]
        assert names == [layer.name for layer in model.layers]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)


@pytest.mark.parametrize("tuned", [False, True])
def test_predictions_take_the_twin_where_it_is_faster(monkeypatch, tuned):
    made = []
    monkeypatch.setattr(scoring, "has_tuned_convolutions", lambda: tuned)
    monkeypatch.setattr(
        scoring, "fast_twin", lambda model: made.append(fast_twin(model)) or made[-1]
    )
    model = build_segmenter((16, 8, 8, 1), base_filters=2, verbose=False)
    windows = np.random.default_rng(8).random((3, 16, 8, 8, 1), np.float32)
    stock = scoring.make_predict(model, fast_upsampling=False)(windows)
    assert not made
    unset = scoring.make_predict(model)
    assert len(made) == tuned
    fast = scoring.make_predict(model, fast_upsampling=True)(windows)
    np.testing.assert_array_equal(stock, model(windows, training=False))
    np.testing.assert_array_equal(fast, made[0](windows, training=False))
    np.testing.assert_array_equal(unset(windows), fast if tuned else stock)
    np.testing.assert_allclose(fast, stock, atol=1e-5)


def test_networks_that_repeat_no_voxels_are_their_own_twins():
    for model in (
        build_unet2d((32, 32, 1), 8),
        build_unet3d((8, 8, 8, 1), 2, upsampling="transposed"),
        build_classifier((8, 8, 8, 1), base_filters=2),
    ):
        assert fast_twin(model) is model
