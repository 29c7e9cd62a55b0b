"""A network of two dimensions learns from slices under the same law as cubes do."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import signal
from pathlib import Path

import keras
import numpy as np
import pytest

from models_genesis_tf.config import TRANSFORM_PRESETS, PretrainConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.pretraining import pretrain, replay
from models_genesis_tf.imaging.axial_slices import AxialSlices
from models_genesis_tf.imaging.cube_files import open_cubes
from models_genesis_tf.imaging.cube_splits import split_cubes
from models_genesis_tf.imaging.fold_writer import FoldWriter, fold_name
from models_genesis_tf.models.saving import read_metadata
from models_genesis_tf.pipelines.pair_stream import validation_pairs
from models_genesis_tf.training.checkpoint import load_newest
from models_genesis_tf.training.loop import Trainer

CONFIG = PretrainConfig(
    model="unet2d",
    base_filters=8,
    batch_size=4,
    epochs=3,
    learning_rate=0.3,
    precision="float32",
    seed=3,
)
DEPTH = 4


def _write_cubes(folder: Path, depth: int, cubes_each: int) -> Path:
    """Dark cubes with some bright blocks of five patients, a scan each."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    size = (32, 32, depth)
    for fold in range(5):
        shape = (cubes_each, 4, 4, depth)
        blocks = np.where(rng.random(shape) < 0.15, rng.random(shape), 0.05)
        with FoldWriter(folder / fold_name(cubes_each, size, fold), size) as writer:
            rows = [(f"patient{fold}/ct", 0, 0, 0, 1, 1, 1, 0, "other")] * cubes_each
            writer.add(blocks.astype(np.float32).repeat(8, 1).repeat(8, 2), rows)
    (folder / "cubes.json").write_text('{"window": "ct"}')
    return folder


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "cubes"
    return open_cubes(_write_cubes(folder, DEPTH, 3))


@pytest.fixture(scope="module")
def run(cubes, tmp_path_factory) -> Path:
    """The folder of a run, with what it printed in `printed.txt`."""
    folder = tmp_path_factory.mktemp("run")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert pretrain(cubes, folder, CONFIG, {"synthetic": True}) is not None
    (folder / "printed.txt").write_text(printed.getvalue())
    return folder


def _history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_an_epoch_is_all_slices_of_the_training_cubes(run):
    record = json.loads((run / "run.json").read_text())
    assert record["cubes"] == {"train": 12, "valid": 3}
    assert record["cube_shape"] == [32, 32, DEPTH, 1]
    assert record["settings"]["model"] == "unet2d"
    rows = _history(run)
    assert [int(row["step"]) for row in rows] == [12, 24, 36]  # 48 slices, 4 a step
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    train, valid = (set(record["patients"][part]) for part in ("train", "valid"))
    assert len(train | valid) == 5 and len(valid) == 1 and not train & valid


def test_the_model_kept_restores_the_slices_of_the_patients_that_validate(run, cubes):
    slices = AxialSlices(cubes)
    valid = slices.positions(split_cubes(cubes).valid)
    pairs = validation_pairs(
        slices, valid, CONFIG.seed, TRANSFORM_PRESETS["default"], 99
    )
    ((deformed, original),) = list(pairs)
    assert deformed.shape == (3 * DEPTH, 32, 32, 1)
    model = keras.saving.load_model(run / "model.keras")
    loss = np.mean((model(deformed, training=False) - original) ** 2)
    lowest = min(float(row["val_loss"]) for row in _history(run))
    assert loss == pytest.approx(lowest, rel=1e-5)
    record = json.loads((run / "run.json").read_text())
    assert record["baselines"]["constant"] == pytest.approx(
        original.numpy().var(), rel=1e-4
    )


def test_the_model_says_that_it_restores_slices_of_which_window(run):
    assert read_metadata(run / "model.keras") == {
        "task": "restoration",
        "model": "unet2d",
        "scheme": "unified",
        "base_filters": 8,
        "patch_size": [32, 32, 1],
        "channels": 1,
        "window": "ct",
        "synthetic": True,
    }


def test_slices_are_drawn(run):
    names = {path.name for path in (run / "samples").iterdir()}
    assert names == {"overview.png", *(f"slice_{number}.png" for number in range(4))}


def test_what_is_printed_speaks_of_slices(run):
    printed = (run / "printed.txt").read_text()
    assert "slices     48 train, 12 validate: one patient in five" in printed
    assert "size       32x32, 1 channel(s)" in printed
    assert "network    unet2d, 8 base filters" in printed
    assert "by a constant slice" in printed and "slices/s" in printed


@pytest.mark.slow
def test_slices_on_disk_train_as_those_of_cubes_do(tmp_path):
    found = open_cubes(_write_cubes(tmp_path / "slices", 1, 4))
    run = tmp_path / "run"
    run.mkdir()
    pretrain(found, run, dataclasses.replace(CONFIG, epochs=1), {})
    assert [int(row["step"]) for row in _history(run)] == [4]  # 16 slices, 4 a step
    assert read_metadata(run / "model.keras")["patch_size"] == [32, 32, 1]


@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on_to_the_same_bits(
    cubes, run, tmp_path, monkeypatch
):
    own, steps = Trainer.step, []

    def step(trainer, *arguments):
        steps.append(1)
        if len(steps) == 17:  # inside the second epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return own(trainer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", step)
        assert pretrain(cubes, tmp_path, CONFIG, {"synthetic": True}) is None
    assert load_newest(tmp_path / "checkpoint").step == 17
    assert pretrain(cubes, tmp_path, CONFIG, {"synthetic": True}) is not None
    assert (tmp_path / "history.csv").read_bytes() == (run / "history.csv").read_bytes()
    first, second = (
        load_newest(folder / "checkpoint").arrays["model"] for folder in (run, tmp_path)
    )
    for one, other in zip(first, second, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_pair_is_replayed_and_a_broken_slice_is_named(tmp_path):
    folder = _write_cubes(tmp_path / "cubes", DEPTH, 3)
    valid = int(split_cubes(open_cubes(folder)).valid[1])
    fold, row = divmod(valid, 3)
    (path,) = folder.glob(f"*_{fold}.npy")
    np.load(path, mmap_mode="r+")[row, 5, 5, 2] = np.inf
    cubes = open_cubes(folder)
    run = tmp_path / "run"
    run.mkdir()
    broken = f"slice 2 of cube {valid} of patient{fold}/ct"
    with pytest.raises(
        InputError, match=f"validation slices hold finite numbers.*: {broken}$"
    ):
        pretrain(cubes, run, CONFIG, {})
    assert not (run / "run.json").exists()
    line = replay(cubes, run, CONFIG, 50)
    i = np.random.default_rng([CONFIG.seed, 1, 1]).permutation(48)[2]
    cube = split_cubes(cubes).train[i // DEPTH]
    expected = f"pair 50: epoch 2, slice {i % DEPTH} of cube {cube} of "
    assert line.startswith(expected)
    assert line.endswith(f": {run / 'samples' / 'pair_50.png'}")


def test_slices_that_do_not_fit_the_network_are_refused_before_anything_is_written(
    tmp_path,
):
    np.save(tmp_path / "bat_2_s_48x32x8_0.npy", np.zeros((2, 48, 32, 8), "f4"))
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(InputError, match="32,32 or 64,32.*Received: 48,32"):
        pretrain(open_cubes(tmp_path), run, CONFIG, {})
    assert list(run.iterdir()) == []


def test_slices_on_disk_are_no_cubes(tmp_path):
    found = open_cubes(_write_cubes(tmp_path / "slices", 1, 4))
    with pytest.raises(InputError, match="multiples of 8.*Received: 32,32,1"):
        pretrain(found, tmp_path, dataclasses.replace(CONFIG, model="unet3d"), {})
