"""Training steps are timed, each beside the products of matrices and the others."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from models_genesis_tf.benchmarks import matrix_product, official_network, step
from models_genesis_tf.errors import InputError

# Stands in for the official network: written here, with that network's name.
STAND_IN = """
import torch
class UNet3D(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv3d(1, 1, 3, padding=1)
    def forward(self, x):
        assert x.shape[1:] == (1, 24, 8, 8) and x.dtype == torch.float32
        assert torch.is_grad_enabled() and self.training
        return torch.sigmoid(self.convolution(x))
"""
BLOCKED = """
import os, runpy, sys
os.environ["KERAS_BACKEND"] = "jax"
for name in ("tensorflow", "SimpleITK", "sklearn", "tensorboard", "torch"):
    sys.modules[name] = None
"""
# Three steps of a small network, as Keras itself takes them and as the benchmark does.
STEPS = (
    BLOCKED
    + """
import keras, numpy as np
import models_genesis_tf.benchmark
from models_genesis_tf.benchmarks import step, step_jax
assert step.backend is step_jax
def build(policy):
    inputs = keras.Input((6, 4, 4, 1))
    x = keras.layers.Conv3D(3, 3, padding="same", dtype=policy)(inputs)
    x = keras.layers.BatchNormalization(dtype=policy)(x)
    x = keras.layers.Conv3D(1, 1, activation="sigmoid", dtype=policy)(x)
    return keras.Model(inputs, x)
batch = step._make_batch(2, (6, 4, 4))
ours, theirs = build("float32"), build("float32")
theirs.set_weights(ours.get_weights())
theirs.compile(keras.optimizers.SGD(1.0, momentum=0.9), "mse")
expected = [float(theirs.train_on_batch(*batch)) for _ in range(3)]
take_step = step_jax.make_step(ours, "float32", batch)
found = [take_step() for _ in range(3)]
np.testing.assert_allclose(found, expected, rtol=1e-5)
assert found[2] < found[1] < found[0]
for policy in ("mixed_bfloat16", "mixed_float16"):
    take_step = step_jax.make_step(build(policy), policy, batch)
    losses = [take_step() for _ in range(20)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0], (policy, losses)
assert sys.modules["tensorflow"] is None
"""
)
COMMAND = (
    BLOCKED
    + """
sys.argv = ["benchmark", "step", "--backend=jax", "--base_filters=1", "--steps=1",
            "--cube_size=8,8,8", "--precisions=float32,mixed_float16"]
runpy.run_module("models_genesis_tf.benchmark", run_name="__main__", alter_sys=True)
"""
)
needs_jax = pytest.mark.skipif(
    not importlib.util.find_spec("jax"), reason="jax is not installed"
)


@pytest.fixture
def small_matrices(monkeypatch):
    monkeypatch.setattr(matrix_product, "SIZE_ON_CPU", 64)


@pytest.fixture
def clone(tmp_path):
    (tmp_path / "pytorch").mkdir()
    (tmp_path / "pytorch" / "unet3d.py").write_text(STAND_IN)
    return tmp_path


def test_each_precision_and_batch_size_has_its_rates_and_ratios(small_matrices):
    result = step.measure(2, (1, 2), (24, 8, 8), steps=2)
    names = [(row["batch_size"], row["precision"]) for row in result["steps"]]
    policies = ("float32", "mixed_bfloat16")
    assert names == [(size, policy) for size in (1, 2) for policy in policies]
    assert result["backend"] == "tensorflow"
    assert result["official"] == "left out: --official_dir is not given"
    flops = result["step_gflop_per_cube"] * 1e9
    assert 2.9 < result["step_gflop_per_cube"] / result["forward_gflop_per_cube"] < 3
    reference = {}
    for row in result["steps"]:
        seconds, size = row["seconds_per_step"], row["batch_size"]
        assert row["network"] == "models_genesis_tf"
        assert row["first_step_seconds"] > seconds > 0  # traced and compiled first
        assert row["cubes_per_second"] == pytest.approx(size / seconds, rel=2e-3)
        rate = flops * row["cubes_per_second"] / 1e12
        assert row["tflops"] == pytest.approx(rate, rel=2e-3)
        product = result["matrix_product"][row["precision"]]
        assert product["size"] == 64
        share = row["tflops"] / product["tflops"]
        assert row["share_of_matrix_product"] == pytest.approx(share, abs=1e-3)
        reference.setdefault(size, seconds)
        ratio = seconds / reference[size]
        assert row["over_float32"] == pytest.approx(ratio, abs=2e-3)
        assert "over_official" not in row


def test_without_float32_there_is_no_ratio_to_it(small_matrices):
    result = step.measure(2, (1,), (24, 8, 8), 1, precisions=("mixed_bfloat16",))
    assert "over_float32" not in result["steps"][0]


def test_products_of_matrices_are_done_when_they_return():
    waited = []
    multiply = matrix_product.make_products(8, "bfloat16", waited.append)
    multiply()
    (product,) = waited
    matrix = np.random.default_rng(0).random((8, 8), np.float32)
    assert product.dtype.name == "bfloat16"
    found = np.array(product, np.float32)
    np.testing.assert_allclose(found, matrix @ matrix, rtol=0.02)
    assert matrix_product.count_flops(8) == 4 * 2 * 512


@pytest.mark.parametrize(
    ("precisions", "size", "message"),
    [
        ((), 24, "--precisions takes some of.*Received: --precisions="),
        (("auto",), 24, "--precisions takes some of.*Received: --precisions=auto"),
        (("mixed_bfloat16",), 16, "24 voxels or more.*Received: 16 voxels"),
        (("mixed_float16",), 24, "mixed_float16 takes a GPU"),
    ],
)
def test_precisions_that_cannot_be_timed_are_refused(precisions, size, message):
    with pytest.raises(InputError, match=message):
        step.measure(2, (2,), (size, 8, 8), precisions=precisions)


def test_the_official_network_takes_the_same_steps(clone, small_matrices, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(official_network, "_BASE_FILTERS", 2)
    result = step.measure(2, (1,), (24, 8, 8), 1, ("float32",), str(clone))
    ours, theirs = result["steps"]
    assert result["official"] == "timed"
    assert (theirs["network"], theirs["precision"]) == ("official", "float32")
    assert "tflops" not in theirs and "over_float32" not in theirs
    ratio = ours["seconds_per_step"] / theirs["seconds_per_step"]
    assert ours["over_official"] == pytest.approx(ratio, rel=2e-3, abs=1e-3)


def test_the_official_network_learns_in_its_steps(clone):
    pytest.importorskip("torch")
    take_step = official_network.make_step(clone, step._make_batch(2, (24, 8, 8)))
    losses = [take_step() for _ in range(10)]
    assert losses[-1] < losses[0]


def test_without_torch_the_official_network_is_left_out(clone, monkeypatch):
    monkeypatch.setattr(official_network.importlib.util, "find_spec", lambda name: None)
    reason = official_network.reason_to_leave_out(clone, 32)
    assert reason == "left out: torch is not installed"


def test_only_a_clone_and_its_own_width_are_compared(clone):
    with pytest.raises(InputError, match="a clone of.*with pytorch/unet3d.py. Rec"):
        official_network.reason_to_leave_out(clone / "pytorch", 32)
    with pytest.raises(InputError, match="--base_filters=32, .*=16"):
        official_network.reason_to_leave_out(clone, 16)


@needs_jax
def test_steps_under_jax_are_those_of_keras_and_need_no_tensorflow():
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@needs_jax
def test_the_command_runs_under_jax_without_the_packages_it_does_not_need():
    done = subprocess.run(
        [sys.executable, "-c", COMMAND], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["settings"]["backend"] == report["results"]["backend"] == "jax"
    assert report["settings"]["batch_sizes"] == ["2"]
    rows = report["results"]["steps"]
    assert [row["precision"] for row in rows] == ["float32", "mixed_float16"]
    assert min(row["cubes_per_second"] for row in rows) > 0


def test_batch_sizes_that_are_no_numbers_are_refused():
    command = [sys.executable, "-m", "models_genesis_tf.benchmark", "step"]
    done = subprocess.run(
        [*command, "--batch_sizes=2,none"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: --batch_sizes takes 2 positive numbers divided by commas. "
        "Received: --batch_sizes=2,none\n"
    )
