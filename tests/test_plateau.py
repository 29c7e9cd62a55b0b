"""Learning rate and end of training follow Keras's own callbacks."""

import keras
import numpy as np
import pytest

from models_genesis_tf.training import plateau

MIN_DELTA = 1e-4


def _keras_reference(losses, rate, reduce_patience, stop_patience):
    """Learning rate of every epoch that Keras's callbacks let run."""
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    callbacks = [
        keras.callbacks.ReduceLROnPlateau(
            factor=0.5,
            patience=reduce_patience,
            min_delta=MIN_DELTA,
            min_lr=1e-6,
            mode="min",
        ),
        keras.callbacks.EarlyStopping(patience=stop_patience, mode="min"),
    ]
    rates = []
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        rates.append(float(model.optimizer.learning_rate))
        for callback in callbacks:
            callback.on_epoch_end(epoch, {"val_loss": loss})
        if getattr(model, "stop_training", False):
            break
    return rates


def _own(losses, rate, reduce_patience, stop_patience):
    reducing = stopping = plateau.Plateau()
    rates = []
    for loss in losses:
        if stopping.wait >= stop_patience:
            break
        rates.append(rate)
        stopping = plateau.update(stopping, loss)
        reducing = plateau.update(reducing, loss, MIN_DELTA)
        reducing, rate = plateau.next_learning_rate(reducing, rate, reduce_patience)
    return rates


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("reduce_patience", "stop_patience"), [(1, 4), (3, 12)])
def test_random_losses_give_the_rates_and_the_end_that_keras_gives(
    seed, reduce_patience, stop_patience
):
    rng = np.random.default_rng(seed)
    # Falls that are smaller and larger than the least that counts, and rises.
    losses = np.cumsum(rng.choice([-1e-2, -1.5e-4, -5e-5, 0, 5e-5, 1e-2], 200)) + 5
    arguments = (losses.tolist(), 1.0, reduce_patience, stop_patience)
    expected = _keras_reference(*arguments)
    assert len(expected) > 2
    np.testing.assert_allclose(_own(*arguments), expected, rtol=1e-6)


def test_a_level_loss_halves_the_rate_down_to_the_least_as_keras_does():
    arguments = ([0.5] * 120, 1.0, 2, 1000)
    expected = _keras_reference(*arguments)
    assert expected[-1] == pytest.approx(1e-6)
    np.testing.assert_allclose(_own(*arguments), expected, rtol=1e-6)


def test_a_rate_that_begins_below_the_least_is_never_raised():
    arguments = ([0.5] * 10, 1e-8, 1, 1000)
    assert _own(*arguments) == [1e-8] * 10
    np.testing.assert_allclose(_keras_reference(*arguments), 1e-8, rtol=1e-6)


def test_only_a_fall_of_more_than_the_least_counts():
    state = plateau.update(plateau.Plateau(), 0.5)
    assert state == plateau.Plateau(0.5, 0)
    assert plateau.update(state, 0.4, min_delta=0.1) == plateau.Plateau(0.5, 1)
    assert plateau.update(state, 0.39, min_delta=0.1) == plateau.Plateau(0.39, 0)
