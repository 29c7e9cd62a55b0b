"""A pre-training run learns, keeps its best model, and writes what it did."""

import csv
import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2
from tensorflow.data import TFRecordDataset

from models_genesis_tf.config import TRANSFORM_PRESETS, PretrainConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.pretraining import pretrain, replay
from models_genesis_tf.imaging.cube_files import open_cubes
from models_genesis_tf.imaging.cube_splits import split_cubes
from models_genesis_tf.imaging.fold_writer import FoldWriter
from models_genesis_tf.models.saving import read_metadata
from models_genesis_tf.pipelines.pair_stream import validation_pairs
from models_genesis_tf.training.loop import Trained, Trainer

CONFIG = PretrainConfig(
    base_filters=2,
    batch_size=4,
    epochs=4,
    learning_rate=0.1,
    precision="float32",
    seed=3,
)


def _write_cubes(folder: Path, patients: int = 5, cubes_each: int = 12) -> Path:
    """Dark cubes with some bright blocks; each patient has one scan."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for fold in range(patients):
        shape = (cubes_each, 4, 4, 4)
        blocks = np.where(rng.random(shape) < 0.15, rng.random(shape), 0.05)
        path = folder / f"bat_{cubes_each}_s_16x16x16_{fold}.npy"
        with FoldWriter(path, (16, 16, 16)) as writer:
            rows = [(f"patient{fold}/ct", 0, 0, 0, 1, 1, 1, 0, "other")] * cubes_each
            cubes = blocks.astype(np.float32).repeat(4, 1).repeat(4, 2).repeat(4, 3)
            writer.add(cubes, rows)
    return folder


def _history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    return open_cubes(_write_cubes(tmp_path_factory.mktemp("data") / "cubes"))


@pytest.fixture(scope="module")
def run(cubes, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    path = pretrain(cubes, folder, CONFIG, {"synthetic": True})
    assert path == folder / "model.keras"
    return folder


def test_history_has_a_row_for_each_epoch_and_both_losses_fall(run):
    lines = (run / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,step,loss,val_loss,learning_rate"
    rows = _history(run)
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert [int(row["step"]) for row in rows] == [12, 24, 36, 48]  # 48 cubes, 4 a step
    assert float(rows[-1]["loss"]) < 0.6 * float(rows[0]["loss"])
    assert float(rows[-1]["val_loss"]) < 0.9 * float(rows[0]["val_loss"])
    assert {float(row["learning_rate"]) for row in rows} == {0.1}


def test_the_model_kept_has_the_lowest_validation_loss(run, cubes):
    record = json.loads((run / "run.json").read_text())
    valid = np.flatnonzero(np.isin(cubes.sources, record["series"]["valid"]))
    pairs = validation_pairs(cubes, valid, CONFIG.seed, TRANSFORM_PRESETS["default"], 8)
    model = keras.saving.load_model(run / "model.keras")
    errors = [
        np.mean((model(deformed, training=False) - original) ** 2, (1, 2, 3, 4))
        for deformed, original in pairs
    ]
    loss = np.concatenate(errors).mean()
    lowest = min(float(row["val_loss"]) for row in _history(run))
    assert loss == pytest.approx(lowest, rel=1e-5)
    assert record["best_val_loss"] == pytest.approx(lowest, rel=1e-5)


def test_the_record_says_what_ran_on_which_data(run):
    record = json.loads((run / "run.json").read_text())
    assert record["finished"] is True and record["synthetic"] is True
    assert (record["epochs"], record["steps"]) == (4, 48)
    assert record["cubes"] == {"train": 48, "valid": 12}
    assert record["settings"]["seed"] == 3
    assert record["settings"]["base_filters"] == 2
    assert record["precision"] == "float32" and record["devices"]
    assert record["wall_seconds"] > 0 and record["examples_per_second"] > 0
    assert 0 <= record["input_wait_share"] < 1
    assert [session["from_step"] for session in record["sessions"]] == [0]
    assert len(record["data_fingerprint"]) == 64
    assert {"python", "packages", "git_commit"} <= set(record)
    train, valid = (set(record["patients"][part]) for part in ("train", "valid"))
    assert train | valid == {f"patient{fold}" for fold in range(5)}
    assert len(valid) == 1 and not train & valid


def test_the_losses_to_beat_are_those_of_a_constant_and_of_the_input(run, cubes):
    record = json.loads((run / "run.json").read_text())
    valid = np.flatnonzero(np.isin(cubes.sources, record["series"]["valid"]))
    pairs = validation_pairs(
        cubes, valid, CONFIG.seed, TRANSFORM_PRESETS["default"], 99
    )
    deformed, original = (part.numpy() for part in next(iter(pairs)))
    losses = record["baselines"]
    assert losses["constant"] == pytest.approx(original.var(), rel=1e-4)
    changes = np.mean((deformed - original) ** 2)
    assert losses["unchanged"] == pytest.approx(changes, rel=1e-4)


def test_the_split_file_has_one_row_for_each_scan(run):
    record = json.loads((run / "run.json").read_text())
    with (run / "split.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["case", "patient", "split"]
    assert len(rows) == 5
    for row in rows:
        assert row["case"] == f"{row['patient']}/ct"
        assert row["case"] in record["series"][row["split"]]


def test_the_model_says_what_prediction_needs(run):
    assert read_metadata(run / "model.keras") == {
        "task": "restoration",
        "model": "unet3d",
        "scheme": "unified",
        "base_filters": 2,
        "patch_size": [16, 16, 16],
        "channels": 1,
        "window": None,
        "synthetic": True,
    }


def test_the_folder_holds_panels_timing_and_curves_and_no_partial_file(run):
    names = {path.relative_to(run).as_posix() for path in run.rglob("*")}
    assert {f"samples/cube_{number}.png" for number in range(4)} <= names
    assert {"samples/overview.png", "timing.csv"} <= names
    assert not [name for name in names if ".part" in name]
    (events,) = (run / "tensorboard").iterdir()
    seen = [
        (event.step, value.tag)
        for record in TFRecordDataset(str(events))
        for event in [event_pb2.Event.FromString(record.numpy())]
        for value in event.summary.value
    ]
    curves = (
        "examples_per_second",
        "input_wait_share",
        "learning_rate",
        "loss",
        "seconds",
    )
    images = [entry for entry in seen if entry[1] == "restored"]
    assert images and images[0][0] == 1
    assert sorted(set(seen) - set(images)) == [
        (epoch, name) for epoch in (1, 2, 3, 4) for name in (*curves, "val_loss")
    ]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_history_and_weights(run, cubes, tmp_path):
    pretrain(cubes, tmp_path, CONFIG, {"synthetic": True})
    assert (tmp_path / "history.csv").read_bytes() == (run / "history.csv").read_bytes()
    first, second = (
        keras.saving.load_model(folder / "model.keras") for folder in (run, tmp_path)
    )
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def scripted(cubes, tmp_path, monkeypatch):
    """Runs with given validation losses; an epoch adds 1 to the last bias."""

    def train(trainer, batches, steps, total, after_step) -> Trained:
        trainer.model.get_layer("restoration_conv").bias.assign_add([1.0])
        return Trained(steps, 0.5 * steps, seconds=2.0, waited=0.5)

    def run_script(losses: list[float], **settings) -> list[dict[str, str]]:
        values = iter(losses)
        monkeypatch.setattr(Trainer, "train", train)
        monkeypatch.setattr(Trainer, "validate", lambda *_: next(values))
        monkeypatch.setattr(Trainer, "recalibrate", lambda *_: None)
        config = dataclasses.replace(CONFIG, epochs=100, learning_rate=1.0, **settings)
        pretrain(cubes, tmp_path, config, {})
        return _history(tmp_path)

    return run_script


def test_rate_end_and_model_kept_follow_the_validation_loss(scripted, tmp_path):
    # 0.49995 is lower but not by 1e-4: the rate waits on, the end does not.
    losses = [0.6, 0.5, 0.49995, 0.5, 0.5, 0.4, 0.5, 0.5, 0.5, 0.5, 0.1]
    rows = scripted(losses, reduce_patience=2, stop_patience=4)
    assert [float(row["val_loss"]) for row in rows] == losses[:-1]
    rates = [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert [float(row["learning_rate"]) for row in rows] == rates
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert float(model.get_layer("restoration_conv").bias[0]) == 6.0  # the best epoch


def test_steps_can_be_limited_inside_an_epoch(scripted):
    rows = scripted([0.5, 0.4, 0.3, 0.2], max_steps=30)
    assert [int(row["step"]) for row in rows] == [12, 24, 30]


def _order(epoch: int, count: int) -> np.ndarray:
    """The permutation of an epoch, as the law of the stream says."""
    return np.random.default_rng([CONFIG.seed, 1, epoch]).permutation(count)


def test_a_broken_cube_stops_the_run_is_named_and_can_be_drawn(tmp_path):
    folder = _write_cubes(tmp_path / "cubes", patients=5, cubes_each=4)
    split = split_cubes(open_cubes(folder), None, None)
    cube_index = int(split.train[9])
    fold, row = divmod(cube_index, 4)
    np.load(folder / f"bat_4_s_16x16x16_{fold}.npy", mmap_mode="r+")[row, 5] = np.nan
    broken, cubes = open_cubes(folder), len(split.train)
    i = _order(0, cubes).tolist().index(9)
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(InputError) as caught:
        pretrain(broken, run, CONFIG, {})
    step = i // 4
    rule, received = str(caught.value).split("Received: ")
    assert f"Pair {i} holds values that are no finite numbers; --replay={i}" in rule
    pairs = f"pairs {4 * step} to {4 * step + 3} of the stream"
    assert received == f"loss=nan at step {step + 1}, {pairs}"
    assert json.loads((run / "run.json").read_text())["finished"] is False
    assert not (run / "model.keras").exists()
    line = replay(broken, run, CONFIG, i)
    path = run / "samples" / f"pair_{i}.png"
    assert line == (
        f"pair {i}: epoch 1, cube {cube_index} of patient{fold}/ct, values 256 of 4096 "
        f"are no finite numbers: {path}"
    )
    assert path.read_bytes().startswith(b"\x89PNG")
    later = replay(broken, run, CONFIG, cubes + 2)
    second = split.train[_order(1, cubes)[2]]
    assert later.startswith(f"pair {cubes + 2}: epoch 2, cube {second} of ")


def test_a_rate_that_is_too_high_is_told_apart_from_a_broken_cube(
    cubes, monkeypatch, tmp_path
):
    monkeypatch.setattr(Trainer, "step", lambda *_: tf.constant(np.inf))
    with pytest.raises(InputError, match="cubes are sound.*--learning_rate.*loss=inf"):
        pretrain(cubes, tmp_path, CONFIG, {})


def test_a_broken_validation_cube_is_found_before_training(tmp_path):
    folder = _write_cubes(tmp_path / "cubes", patients=2, cubes_each=4)
    valid = int(split_cubes(open_cubes(folder), None, None).valid[2])
    fold, row = divmod(valid, 4)
    np.load(folder / f"bat_4_s_16x16x16_{fold}.npy", mmap_mode="r+")[row, 5] = np.inf
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(InputError, match=f"Received: cube {valid} of patient{fold}/ct"):
        pretrain(open_cubes(folder), run, CONFIG, {})
    assert not (run / "run.json").exists()


@pytest.mark.parametrize(
    ("batch_size", "way_out"), [(4, "--batch_size=3"), (1, "fewer --base_filters")]
)
def test_memory_that_runs_out_is_an_error_that_names_the_next_smaller_batch(
    cubes, monkeypatch, tmp_path, batch_size, way_out
):
    def step(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(Trainer, "step", step)
    config = dataclasses.replace(CONFIG, batch_size=batch_size)
    received = f"{way_out}.*Received: --batch_size={batch_size} over 1 device"
    with pytest.raises(InputError, match=received):
        pretrain(cubes, tmp_path, config, {})


def test_cubes_that_do_not_fit_the_network_are_refused_before_anything_is_written(
    tmp_path,
):
    np.save(tmp_path / "bat_2_s_12x16x16_0.npy", np.zeros((2, 12, 16, 16), "f4"))
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(InputError, match="8,16,16 or 16,16,16.*Received: 12,16,16"):
        pretrain(open_cubes(tmp_path), run, CONFIG, {})
    assert list(run.iterdir()) == []
