"""Statistics for scoring are plain means over batches, and are those that are kept."""

import keras
import numpy as np
import pytest

from models_genesis_tf.config import TRANSFORM_PRESETS, PretrainConfig
from models_genesis_tf.experiments.pretraining import pretrain
from models_genesis_tf.imaging.cube_files import open_cubes
from models_genesis_tf.imaging.cube_splits import split_cubes
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.pipelines.pair_stream import training_pairs, validation_pairs
from models_genesis_tf.training.batch_statistics import recalibrate


def _normaliser(momentum: float = 0.9) -> keras.Model:
    inputs = keras.Input((2, 2, 2, 3))
    outputs = keras.layers.BatchNormalization(momentum=momentum, name="bn")(inputs)
    return keras.Model(inputs, outputs)


def test_recalibrated_statistics_are_means_over_batches_of_their_own(rng):
    model = _normaliser()
    # One batch is smaller: each batch counts alike, not each example.
    batches = [rng.normal(3, 2, (size, 2, 2, 2, 3)) for size in (4, 4, 4, 1)]
    recalibrate(model, [batch.astype(np.float32) for batch in batches])
    layer = model.get_layer("bn")
    means = [batch.mean((0, 1, 2, 3)) for batch in batches]
    variances = [batch.var((0, 1, 2, 3)) for batch in batches]
    np.testing.assert_allclose(layer.moving_mean, np.mean(means, 0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, np.mean(variances, 0), rtol=1e-5)


def test_recalibration_forgets_what_was_there_and_keeps_the_weights(rng):
    batch = rng.normal(size=(4, 2, 2, 2, 3)).astype(np.float32)
    first, second = _normaliser(), _normaliser()
    second.set_weights([np.full(3, value) for value in (2.0, 0.5, 1e3, 1e3)])
    for model in (first, second):
        recalibrate(model, [batch, batch + 1])
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(
            getattr(second.get_layer("bn"), name),
            getattr(first.get_layer("bn"), name),
            rtol=1e-6,
        )
    np.testing.assert_array_equal(second.get_layer("bn").gamma, np.full(3, 2.0))
    np.testing.assert_array_equal(second.get_layer("bn").beta, np.full(3, 0.5))


def test_the_momentum_comes_back_even_after_a_batch_that_fails():
    model = _normaliser(0.97)

    def broken():
        yield np.zeros((1, 2, 2, 2, 3), np.float32)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        recalibrate(model, broken())
    assert model.get_layer("bn").momentum == 0.97


def _score(model: keras.Model, pairs) -> float:
    losses = [
        np.asarray(mean_squared_error(original, model(deformed, training=False)))
        for deformed, original in pairs
    ]
    return float(np.concatenate(losses).mean())


@pytest.mark.slow
def test_sixty_steps_store_statistics_as_good_as_recalibrated_ones(tmp_path, rng):
    for fold, count in ((0, 240), (5, 48)):
        # Cubes differ as those of lung and of muscle do.
        blocks = rng.random((count, 4, 4, 4)) * rng.random((count, 1, 1, 1)) ** 2
        cubes = blocks.astype(np.float32).repeat(4, 1).repeat(4, 2).repeat(4, 3)
        np.save(tmp_path / f"bat_{count}_s_16x16x16_{fold}.npy", cubes)
    cubes = open_cubes(tmp_path)
    config = PretrainConfig(
        base_filters=4, batch_size=4, max_steps=60, bn_momentum=0.99
    )
    path = pretrain(cubes, tmp_path, config, {})
    model = keras.saving.load_model(path)
    split = split_cubes(cubes)
    transforms = TRANSFORM_PRESETS["default"]
    valid = list(validation_pairs(cubes, split.valid, 0, transforms, 8))
    stored = _score(model, valid)
    history = (tmp_path / "history.csv").read_text().splitlines()
    assert len(history) == 2 and history[1].startswith("1,60,")
    assert stored == pytest.approx(float(history[1].split(",")[3]), rel=1e-5)
    fresh = training_pairs(cubes, split.train, 0, transforms, 8, start_step=100)
    recalibrate(model, [deformed for deformed, _ in fresh.take(30)])
    assert stored == pytest.approx(_score(model, valid), rel=0.05)
