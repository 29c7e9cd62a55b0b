"""The explicit loop takes the steps that gradient descent with momentum takes."""

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
    loss = trainer.train(iter(batches), 3, lambda: done.append(1))
    weights, losses = _reference(twin, batches)
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert len(done) == 3
    for own, expected in zip(trainer.model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-3, atol=1e-5)


def test_only_the_steps_asked_for_are_taken(trainer, rng):
    batches = iter(_batches(rng, (2, 2, 2)))
    before = int(trainer.optimizer.iterations)
    trainer.train(batches, 2, lambda: None)
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
    trainer.train(iter(_batches(rng, (2,))), 1, lambda: None)
    trainer.optimizer.learning_rate = RATE
    for weight, expected in zip(trainer.model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_no_number_stops_training_and_validation(trainer, rng, value):
    (inputs, targets), *_ = _batches(rng, (2,))
    broken = (inputs, targets + value)
    with pytest.raises(NonFiniteLoss, match="--learning_rate.*Received: loss="):
        trainer.validate([broken])
    before = trainer.model.get_weights()
    with pytest.raises(InputError, match="Received: loss="):
        trainer.train(iter([broken]), 1, lambda: None)
    trainer.model.set_weights(before)
