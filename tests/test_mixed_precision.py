"""Training in half the bits: right gradients, and the loss of float32 at the end."""

import itertools
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from models_genesis_tf.config import CubeConfig, TransformConfig
from models_genesis_tf.experiments.extraction import extract_cubes
from models_genesis_tf.experiments.restorations import baselines
from models_genesis_tf.imaging.cube_files import CubeSet, open_cubes
from models_genesis_tf.imaging.cube_splits import split_cubes
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.phantoms import luna16
from models_genesis_tf.pipelines.pair_stream import training_pairs, validation_pairs
from models_genesis_tf.training.loop import Trainer
from models_genesis_tf.training.optimizers import make_optimizer
from models_genesis_tf.training.strategy import make_strategy
from tests.hardware import needs_bfloat16

BATCH = 4
STEPS = 200
SEEDS = (0, 1, 2)


def _rounded(rng: np.random.Generator, shape: tuple[int, ...]) -> tf.Tensor:
    """Numbers that bfloat16 holds exactly, as float32."""
    values = tf.constant(rng.normal(size=shape).astype(np.float32))
    return tf.cast(tf.cast(values, tf.bfloat16), tf.float32)


def _check_gradients(
    rng: np.random.Generator, inputs: tf.Tensor, kernel: tf.Tensor, convolve: Callable
) -> None:
    """Checks that a convolution's gradients in bfloat16 are those in float32."""
    weights = _rounded(rng, (1, kernel.shape[-1]))

    def gradients(kind: tf.DType) -> list[np.ndarray]:
        x, w = tf.cast(inputs, kind), tf.cast(kernel, kind)
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            loss = tf.reduce_sum(convolve(x, w) * tf.cast(weights, kind))
        return [tf.cast(g, tf.float32).numpy() for g in tape.gradient(loss, [x, w])]

    expected = gradients(tf.float32)
    for _ in range(5):  # memory that was never written differs from time to time
        for own, other in zip(gradients(tf.bfloat16), expected, strict=True):
            np.testing.assert_allclose(own, other, atol=0.02 * np.abs(other).max())


@needs_bfloat16
@pytest.mark.parametrize("first_side", [3, 4, 6, 8, 16])
@pytest.mark.parametrize("other_sides", [(1, 1), (2, 2), (4, 2)])
def test_convolutions_in_bfloat16_have_the_gradients_of_float32(
    rng, first_side, other_sides
):
    cubes = _rounded(rng, (2, first_side, *other_sides, 16))
    kernel = _rounded(rng, (3, 3, 3, 16, 8))
    _check_gradients(
        rng, cubes, kernel, lambda x, w: tf.nn.conv3d(x, w, [1] * 5, "SAME")
    )


@pytest.mark.parametrize("side", [1, 2, 3, 7])
@pytest.mark.parametrize(("kernel_side", "stride"), [(3, 1), (3, 2), (7, 2), (1, 2)])
def test_convolutions_of_images_in_bfloat16_have_them_at_every_side(
    rng, side, kernel_side, stride
):
    images = _rounded(rng, (2, side, side + 1, 16))
    kernel = _rounded(rng, (kernel_side, kernel_side, 16, 8))
    around = kernel_side // 2
    padding = [[0, 0], [around, around], [around, around], [0, 0]]
    _check_gradients(
        rng, images, kernel, lambda x, w: tf.nn.conv2d(x, w, stride, padding)
    )


@pytest.fixture(scope="module")
def cubes(tmp_path_factory) -> CubeSet:
    folder = tmp_path_factory.mktemp("phantoms")
    luna16.write(folder / "scans", cases=5, size=luna16.MIN_SIZE)
    config = CubeConfig((24, 16, 16), cubes_per_volume=64, acceptance="foreground")
    extract_cubes(folder / "scans", folder / "cubes", config)
    return open_cubes(folder / "cubes")


def _train(cubes: CubeSet, policy: str, seed: int) -> float:
    """Trains a narrow network and gives its validation loss."""
    split, transforms = split_cubes(cubes, None, None), TransformConfig()
    keras.utils.set_random_seed(seed)
    trainer = Trainer(
        build_unet3d(cubes.cube_shape, 4, dtype=policy),
        # A gentle rate: at a higher one runs in float32 part as far from each other.
        make_optimizer("adam", 3e-4, policy),
        mean_squared_error,
        make_strategy("none"),
        BATCH,
    )
    stream = (cubes, split.train, seed, transforms, BATCH)
    trainer.train(iter(training_pairs(*stream)), STEPS)
    trainer.recalibrate(itertools.islice(training_pairs(*stream, STEPS), 16))
    return trainer.validate(
        validation_pairs(cubes, split.valid, seed, transforms, BATCH)
    )


@needs_bfloat16
@pytest.mark.slow
def test_two_hundred_steps_in_bfloat16_end_at_the_loss_of_float32(cubes):
    whole, half = (
        np.mean([_train(cubes, policy, seed) for seed in SEEDS])
        for policy in ("float32", "mixed_bfloat16")
    )
    assert half == pytest.approx(whole, rel=0.03)
    valid = split_cubes(cubes, None, None).valid
    to_beat = baselines(validation_pairs(cubes, valid, 0, TransformConfig(), BATCH))
    assert whole < min(to_beat.values())  # something was learnt in either


@pytest.mark.slow
def test_float16_scales_its_loss_and_learns_as_float32_does(rng):
    # XLA pools in float16 on a CPU too, which TensorFlow alone does not.
    blocks = np.where(rng.random((8, 3, 2, 2, 1)) < 0.3, 0.8, 0.1).astype(np.float32)
    cubes = tf.constant(blocks.repeat(8, 1).repeat(8, 2).repeat(8, 3))
    losses = {}
    for policy in ("float32", "mixed_float16"):
        keras.utils.set_random_seed(0)
        trainer = Trainer(
            build_unet3d(cubes.shape[1:], 2, dtype=policy),
            make_optimizer("adam", 1e-3, policy),
            mean_squared_error,
            make_strategy("none"),
            batch_size=8,
            jit_compile=True,
        )
        trainer.optimizer.learning_rate = 0.01
        batches = itertools.repeat((cubes, cubes))
        losses[policy] = [trainer.train(batches, 5).total / 5 for _ in range(4)]
    np.testing.assert_allclose(losses["mixed_float16"], losses["float32"], rtol=0.05)
    assert losses["mixed_float16"][-1] < 0.6 * losses["mixed_float16"][0]
    assert isinstance(trainer.optimizer, keras.optimizers.LossScaleOptimizer)
