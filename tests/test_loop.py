"""The explicit loop takes the steps that gradient descent with momentum takes."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.training.loop import NonFiniteLoss, Trainer

SHAPE = (8, 8, 8, 1)
RATE, MOMENTUM = 0.5, 0.9


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    """Compiled once; each test sets the weights it needs."""
    keras.utils.set_random_seed(3)
    return Trainer(
        build_unet3d(SHAPE, 2),
        keras.optimizers.SGD(RATE, momentum=MOMENTUM),
        mean_squared_error,
        tf.distribute.get_strategy(),
        batch_size=2,
    )


def _batches(rng: np.random.Generator, sizes: tuple[int, ...]) -> list:
    return [
        tuple(tf.constant(rng.random((size, *SHAPE), np.float32)) for _ in range(2))
        for size in sizes
    ]


def _reference(model: keras.Model, batches: list) -> tuple[list, list[float]]:
    """Steps of SGD with momentum in NumPy, on gradients of the plain mean."""
    velocity = [np.zeros(weight.shape) for weight in model.trainable_weights]
    losses = []
    for inputs, targets in batches:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(inputs, training=True) - targets) ** 2)
        gradients = tape.gradient(loss, [w.value for w in model.trainable_weights])
        for k, (weight, gradient) in enumerate(
            zip(model.trainable_weights, gradients, strict=True)
        ):
            velocity[k] = MOMENTUM * velocity[k] - RATE * gradient.numpy()
            weight.assign(weight.numpy() + velocity[k])
        losses.append(float(loss))
    return model.get_weights(), losses


def test_steps_equal_sgd_with_momentum_and_the_loss_is_their_mean(trainer, rng):
    twin = build_unet3d(SHAPE, 2)
    twin.set_weights(trainer.model.get_weights())
    batches = _batches(rng, (2, 2, 2))
    done = []
    trained = trainer.train(iter(batches), 3, 10.0, lambda: done.append(1))
    weights, losses = _reference(twin, batches)
    assert trained.total == pytest.approx(10.0 + np.sum(losses), rel=1e-5)
    assert trained.steps == len(done) == 3
    assert 0 <= trained.waited <= trained.seconds
    for own, expected in zip(trainer.model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-3, atol=1e-5)


def test_only_the_steps_asked_for_are_taken(trainer, rng):
    batches = iter(_batches(rng, (2, 2, 2)))
    before = int(trainer.optimizer.iterations)
    trainer.train(batches, 2)
    assert int(trainer.optimizer.iterations) == before + 2
    assert len(list(batches)) == 1


def test_validation_is_the_mean_over_examples_and_changes_nothing(trainer, rng):
    batches = _batches(rng, (2, 2, 1))
    before = trainer.model.get_weights()
    loss = trainer.validate(batches)
    errors = [
        np.mean((trainer.model(inputs, training=False) - targets) ** 2, (1, 2, 3, 4))
        for inputs, targets in batches
    ]
    # The lone cube of the last batch counts as much as each of the others.
    assert loss == pytest.approx(np.concatenate(errors).mean(), rel=1e-5)
    assert loss != pytest.approx(np.mean([e.mean() for e in errors]), rel=1e-5)
    for own, expected in zip(trainer.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, expected)


def test_learning_rate_can_change_between_epochs(trainer, rng):
    trainer.optimizer.learning_rate = 0.0
    for slot in trainer.optimizer.variables[2:]:  # after iterations and rate: momenta
        slot.assign(np.zeros(slot.shape))
    before = [weight.numpy() for weight in trainer.model.trainable_weights]
    trainer.train(iter(_batches(rng, (2,))), 1)
    trainer.optimizer.learning_rate = RATE
    for weight, expected in zip(trainer.model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_no_number_stops_training_and_validation(trainer, rng, value):
    (inputs, targets), *_ = _batches(rng, (2,))
    broken = (inputs, targets + value)
    with pytest.raises(NonFiniteLoss, match="--learning_rate.*Received: loss="):
        trainer.validate([broken])
    before = trainer.state()
    with pytest.raises(InputError, match="Received: loss="):
        trainer.train(iter([broken]), 1)
    trainer.set_state(before)


@pytest.mark.parametrize("at", [0, 3, 13, 24])
def test_a_loss_that_is_no_number_says_at_which_step(trainer, rng, at):
    state = trainer.state()
    batches = _batches(rng, (2,) * 25)
    inputs, targets = batches[at]
    batches[at] = inputs, targets * np.nan
    with pytest.raises(NonFiniteLoss) as caught:
        trainer.train(iter(batches), 25)
    assert caught.value.step == at
    trainer.set_state(state)


def test_a_call_that_is_ended_early_tells_how_far_it_came(trainer, rng):
    batches = iter(_batches(rng, (2,) * 4))
    done = []
    trained = trainer.train(batches, 4, 0.0, lambda: done.append(1) or len(done) == 2)
    assert trained.steps == 2 and len(list(batches)) == 2


def test_two_calls_that_hand_the_sum_on_give_the_sum_of_one_bit_for_bit(trainer, rng):
    state, batches = trainer.state(), _batches(rng, (2,) * 7)
    whole = trainer.train(iter(batches), 7).total
    trainer.set_state(state)
    first = trainer.train(iter(batches[:3]), 3)
    assert trainer.train(iter(batches[3:]), 4, first.total).total == whole


def test_a_state_that_is_set_gives_the_same_steps_again(trainer, rng):
    state, batches = trainer.state(), _batches(rng, (2, 2))
    assert len(state["model"]) == len(trainer.model.weights)
    trainer.train(iter(batches), 2)
    after = trainer.state()
    trainer.set_state(state)
    trainer.train(iter(batches), 2)
    for name, values in trainer.state().items():
        for own, expected in zip(values, after[name], strict=True):
            np.testing.assert_array_equal(own, expected)
        assert any(
            not np.array_equal(own, earlier)
            for own, earlier in zip(values, state[name], strict=True)
        )


def test_waiting_for_input_is_told_apart(trainer, rng):
    def slowly():
        for batch in _batches(rng, (2, 2)):
            time.sleep(0.1)
            yield batch

    trained = trainer.train(slowly(), 2)
    assert 0.2 <= trained.waited <= trained.seconds


def test_xla_takes_the_same_step(rng):
    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(3)
        own = Trainer(
            build_unet3d(SHAPE, 2),
            keras.optimizers.SGD(RATE, momentum=MOMENTUM),
            mean_squared_error,
            tf.distribute.get_strategy(),
            batch_size=2,
            jit_compile=jit_compile,
        )
        batches = _batches(np.random.default_rng(0), (2, 2))
        results.append(own.train(iter(batches), 2).total)
    assert results[0] == pytest.approx(results[1], rel=1e-5)
    assert results[0] > 0
