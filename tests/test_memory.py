"""The estimate of a step's memory follows its formula and the step itself."""

import json
import subprocess
import sys

import keras
import pytest
from keras import layers

from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.training.memory import estimate_step_memory

RUNTIME = 100 * 2**20


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_small_model_by_hand(slots, batch):
    inputs = keras.Input((4, 4, 4, 1))
    x = layers.Conv3D(2, 3, padding="same")(inputs)  # 54 + 2 weights
    x = layers.BatchNormalization()(x)  # 4 trained, 4 moving
    model = keras.Model(inputs, layers.MaxPooling3D(2)(x))
    weights = 4 * ((56 + 8) + (56 + 4) * (1 + slots))
    outputs = 4 * (64 * 1 + 64 * 2 + 64 * 2 + 8 * 2)
    expected = weights + batch * outputs + RUNTIME
    assert estimate_step_memory(model, batch, slots) == expected


def test_unfolded_convolutions_take_one_and_a_half_of_the_largest():
    model = build_unet3d((16, 8, 8, 1), 4)
    # depth_12: 16 + 8 channels of 27 neighbours of each voxel.
    largest = 4 * 27 * (16 + 8) * 16 * 8 * 8
    folded = estimate_step_memory(model, 3, 1)
    assert estimate_step_memory(model, 3, 1, unfolds=True) - folded == 1.5 * largest


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_small_model_in_half_the_bits_by_hand(policy):
    inputs = keras.Input((4, 4, 4, 1))
    x = layers.Conv3D(2, 3, padding="same", dtype=policy)(inputs)
    x = layers.BatchNormalization(dtype=policy)(x)
    x = layers.MaxPooling3D(2, dtype=policy)(x)
    model = keras.Model(inputs, layers.ReLU(dtype="float32")(x))
    weights = 4 * ((56 + 8) + 2 * (56 + 4))
    half = 2 * (64 * 2 + 64 * 2 + 8 * 2)
    # The input, normalisation's own input and output, the last activation.
    single = 4 * (64 * 1 + 2 * 64 * 2 + 8 * 2)
    assert estimate_step_memory(model, 3, 1) == weights + 3 * (half + single) + RUNTIME


def test_half_the_bits_take_less_but_not_half():
    sizes = [
        estimate_step_memory(build_unet3d((32, 16, 16, 1), 8, dtype=policy), 64, 1)
        for policy in ("float32", "mixed_bfloat16")
    ]
    assert 0.5 < (sizes[1] - RUNTIME) / (sizes[0] - RUNTIME) < 1.1


# Prints the estimate and how far the resident memory rose at its highest.
STEP = """
import json
import sys
from pathlib import Path
import tensorflow as tf
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.training.loop import Trainer
from models_genesis_tf.training.memory import estimate_step_memory
from models_genesis_tf.training.optimizers import make_optimizer
from models_genesis_tf.training.strategy import has_tuned_convolutions

def peak():  # of this program; getrusage also counts the one that started it
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if "VmHWM" in line) * 1024

shape, filters, batch = (64, 64, 32, 1), int(sys.argv[1]), int(sys.argv[2])
tuned = has_tuned_convolutions()
fast = tuned and sys.argv[3] == "True"
pairs = tf.zeros((batch, *shape)), tf.zeros((batch, *shape))
before = peak()
model = build_unet3d(shape, filters)
strategy = tf.distribute.get_strategy()
optimizer = make_optimizer("sgd", 0.1)
trainer = Trainer(
    model, optimizer, mean_squared_error, strategy, batch, fast_upsampling=fast
)
for _ in range(2):
    float(trainer.step(pairs))
estimate = estimate_step_memory(trainer.network, batch, 1, unfolds=not tuned)
print(json.dumps([estimate, peak() - before]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(("filters", "batch"), [(4, 4), (8, 2)])
def test_the_estimate_is_within_a_third_of_the_peak(filters, batch, fast):
    done = subprocess.run(
        [sys.executable, "-c", STEP, str(filters), str(batch), str(fast)],
        check=True,
        capture_output=True,
        text=True,
    )
    estimate, measured = json.loads(done.stdout)
    assert estimate == pytest.approx(measured, rel=0.33)
