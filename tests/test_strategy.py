"""Several devices train as one does; batches that cannot be shared are refused."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from models_genesis_tf.errors import InputError
from models_genesis_tf.training.strategy import check_batch_size, make_strategy

# Logical devices have to be made before TensorFlow starts, so in a process of its own.
TWO_DEVICES = """
import json
import keras
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.training.loop import Trainer
from models_genesis_tf.training.strategy import check_batch_size, make_strategy

rng = np.random.default_rng(5)
originals = rng.random((85, 4, 4, 4, 1), np.float32)
originals = originals.repeat(4, 1).repeat(4, 2).repeat(4, 3)
deformed = (originals + rng.normal(0, 0.2, originals.shape)).astype(np.float32)

def batches(part):
    pairs = tf.data.Dataset.from_tensor_slices((deformed[part], originals[part]))
    return pairs.batch(4)

results = {}
# Two mirrored strategies in one process would mix up their collectives.
strategies = {name: make_strategy(name) for name in ("none", "mirrored")}
for name, synchronized in (("none", False), ("mirrored", True), ("mirrored", False)):
    strategy = strategies[name]
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = build_unet3d((16, 16, 16, 1), 4, synchronized=synchronized)
        optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
    trainer = Trainer(model, optimizer, mean_squared_error, strategy, 4)
    steps = iter(trainer.distribute(batches(slice(80))))
    apart = name == "mirrored" and not synchronized
    losses = [
        trainer.train(steps, 1).total for _ in range(2 if apart else 20)
    ]
    results[f"{name} {synchronized}"] = {
        "replicas": strategy.num_replicas_in_sync,
        "losses": losses,
    }
    if apart:
        continue
    valid = trainer.distribute(batches(slice(80, 85)))  # 4 cubes and 1: one idles
    cold = trainer.validate(valid)
    trainer.recalibrate(trainer.distribute(batches(slice(8))))
    warm = trainer.validate(valid)
    alone = np.asarray(model(deformed[80:], training=False))
    results[f"{name} {synchronized}"] |= {
        "cold": cold,
        "warm": warm,
        "alone": float(np.mean((alone - originals[80:]) ** 2)),
    }
print(json.dumps(results))
"""


@pytest.mark.slow
def test_two_devices_follow_the_losses_of_one():
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES], check=True, capture_output=True, text=True
    )
    results = json.loads(done.stdout.splitlines()[-1])
    one, two = results["none False"], results["mirrored True"]
    apart = results["mirrored False"]
    assert (one["replicas"], two["replicas"], apart["replicas"]) == (1, 2, 2)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=5e-5)
    assert one["losses"][-1] < 0.95 * one["losses"][0]
    # Statistics of each device's own share give other losses: the bound tells apart.
    assert apart["losses"][0] != pytest.approx(one["losses"][0], rel=1e-3)
    for name in ("cold", "warm"):
        assert two[name] == pytest.approx(one[name], rel=1e-3)
    for result in (one, two):
        assert result["warm"] == pytest.approx(result["alone"], rel=1e-5)


def test_one_device_trains_without_distribution():
    default = tf.distribute.get_strategy()
    assert make_strategy("none") is default
    if len(tf.config.list_logical_devices("GPU")) < 2:
        assert make_strategy("auto") is default


def test_an_unknown_strategy_is_refused_with_those_that_there_are():
    with pytest.raises(
        InputError, match="auto, none, mirrored, multi_worker. Received: mirror"
    ):
        make_strategy("mirror")


def test_unknown_cross_device_operations_are_refused_with_those_that_there_are():
    expected = "auto, nccl, hierarchical, one_device. Received: ring"
    with pytest.raises(InputError, match=expected):
        make_strategy("none", "ring")


@pytest.mark.parametrize(("batch_size", "replicas"), [(6, 4), (1, 2), (7, 3)])
def test_a_batch_that_devices_cannot_share_evenly_is_refused(batch_size, replicas):
    strategy = SimpleNamespace(num_replicas_in_sync=replicas)
    with pytest.raises(InputError) as caught:
        check_batch_size(batch_size, strategy)
    assert str(caught.value).endswith(f"Received: --batch_size={batch_size}")
    assert f" {replicas}." in str(caught.value)
    check_batch_size(batch_size * replicas, strategy)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["0", "1"])
def test_convolutions_are_tuned_where_onednn_is_on(setting):
    code = (
        "from models_genesis_tf.training.strategy import has_tuned_convolutions\n"
        "print(has_tuned_convolutions())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": setting, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.stdout.splitlines()[-1] == str(setting == "1")
