"""A run that is stopped, killed or damaged ends as one that nobody disturbed."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from models_genesis_tf.config import PretrainConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.pretraining import pretrain
from models_genesis_tf.imaging.cube_files import open_cubes
from models_genesis_tf.training.checkpoint import load_newest
from models_genesis_tf.training.loop import Trainer

CONFIG = PretrainConfig(
    base_filters=2,
    batch_size=4,
    epochs=3,
    learning_rate=0.1,
    reduce_patience=1,
    precision="float32",
    seed=7,
)
EPOCH_STEPS = 6
SLOW = pytest.mark.slow


def _write_cubes(folder: Path) -> Path:
    """Two folds: 24 cubes train, 8 validate."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for fold, count in ((0, 24), (1, 8)):
        blocks = np.where(rng.random((count, 4, 4, 4)) < 0.2, 0.8, 0.1)
        cubes = blocks.astype(np.float32).repeat(4, 1).repeat(4, 2).repeat(4, 3)
        np.save(folder / f"bat_{count}_s_16x16x16_{fold}.npy", cubes)
    return folder


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    return open_cubes(_write_cubes(tmp_path_factory.mktemp("data") / "cubes"))


@pytest.fixture(scope="module")
def undisturbed(cubes, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    pretrain(cubes, folder, CONFIG, {})
    return folder


def _assert_equal_runs(one: Path, other: Path) -> None:
    """Weights, optimizer, rules, history and best model, bit for bit."""
    assert (one / "history.csv").read_bytes() == (other / "history.csv").read_bytes()
    first, second = (load_newest(folder / "checkpoint") for folder in (one, other))
    assert first.step == second.step
    for group in ("model", "optimizer"):
        assert len(first.arrays[group]) == len(second.arrays[group]) > 0
        for a, b in zip(first.arrays[group], second.arrays[group], strict=True):
            assert a.tobytes() == b.tobytes()
    times = {"seconds", "training_seconds", "waited"}
    for name in first.facts.keys() - times:
        assert first.facts[name] == second.facts[name], name
    models = [
        keras.saving.load_model(folder / "model.keras") for folder in (one, other)
    ]
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.fixture
def signalled(monkeypatch):
    """Sends a signal to this process while a certain training step is in hand."""

    def at(step: int, name: str, method: str = "step") -> None:
        calls = []
        own = getattr(Trainer, method)

        def counted(trainer, *arguments):
            calls.append(1)
            if len(calls) == step:
                os.kill(os.getpid(), getattr(signal, name))
            return own(trainer, *arguments)

        monkeypatch.setattr(Trainer, method, counted)

    yield at


@pytest.mark.parametrize(
    ("step", "name"),
    [
        pytest.param(9, "SIGUSR1", id="inside an epoch"),
        pytest.param(1, "SIGTERM", id="first step", marks=SLOW),
        pytest.param(EPOCH_STEPS, "SIGTERM", id="last step of one", marks=SLOW),
    ],
)
def test_a_signal_ends_a_run_after_the_step_in_hand_and_it_goes_on_alike(
    cubes, undisturbed, signalled, monkeypatch, capsys, tmp_path, step, name
):
    signalled(step, name)
    assert pretrain(cubes, tmp_path, CONFIG, {}) is None
    monkeypatch.undo()
    assert (
        f"stopped by {name} at step {step}, which is saved" in capsys.readouterr().out
    )
    assert load_newest(tmp_path / "checkpoint").step == step
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["finished"] is False and record["steps"] == step
    assert pretrain(cubes, tmp_path, CONFIG, {}) == tmp_path / "model.keras"
    assert f"goes on    after step {step}" in capsys.readouterr().out
    _assert_equal_runs(tmp_path, undisturbed)
    record = json.loads((tmp_path / "run.json").read_text())
    assert [session["from_step"] for session in record["sessions"]] == [0, step]
    assert record["finished"] is True


def test_a_signal_during_validation_does_not_wait_for_its_end(
    cubes, undisturbed, signalled, monkeypatch, tmp_path
):
    signalled(2, "SIGTERM", "validate")
    assert pretrain(cubes, tmp_path, CONFIG, {}) is None
    monkeypatch.undo()
    checkpoint = load_newest(tmp_path / "checkpoint")
    assert checkpoint.step == 2 * EPOCH_STEPS and checkpoint.facts["epoch"] == 1
    pretrain(cubes, tmp_path, CONFIG, {})
    _assert_equal_runs(tmp_path, undisturbed)


@pytest.mark.slow
def test_checkpoints_inside_an_epoch_change_nothing_and_two_are_kept(
    cubes, undisturbed, tmp_path
):
    config = dataclasses.replace(CONFIG, checkpoint_every=4)
    pretrain(cubes, tmp_path, config, {})
    names = sorted(path.name for path in (tmp_path / "checkpoint").iterdir())
    assert names == ["step_000000016.npz", "step_000000018.npz"]
    _assert_equal_runs(tmp_path, undisturbed)


@pytest.mark.parametrize(
    "damage", ["truncated", pytest.param("overwritten", marks=SLOW)]
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    cubes, undisturbed, signalled, monkeypatch, capsys, tmp_path, damage
):
    signalled(15, "SIGTERM")
    pretrain(cubes, tmp_path, CONFIG, {})
    monkeypatch.undo()
    before, newest = sorted((tmp_path / "checkpoint").iterdir())
    assert [before.name, newest.name] == ["step_000000012.npz", "step_000000015.npz"]
    content = bytearray(newest.read_bytes())
    middle = len(content) // 2
    if damage == "truncated":
        del content[middle:]
    else:
        content[middle : middle + 64] = bytes(64)
    newest.write_bytes(content)
    # What a process killed after its last checkpoint may have written besides.
    with (tmp_path / "history.csv").open("a") as stream:
        stream.write("3,18,0.1,0.1")
    capsys.readouterr()
    pretrain(cubes, tmp_path, CONFIG, {})
    output = capsys.readouterr().out
    assert "step_000000015.npz is damaged" in output
    assert "goes on    after step 12" in output
    _assert_equal_runs(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    cubes, undisturbed, monkeypatch, tmp_path
):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "models_genesis_tf.experiments.epoch_loop.save_checkpoint", killed
    )
    with pytest.raises(KeyboardInterrupt):
        pretrain(cubes, tmp_path, CONFIG, {})
    monkeypatch.undo()
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2
    pretrain(cubes, tmp_path, CONFIG, {})
    _assert_equal_runs(tmp_path, undisturbed)


def test_epochs_of_another_length_take_the_same_steps(cubes, tmp_path):
    histories = {}
    for name, epochs, length in (("own", 2, None), ("short", 3, 4)):
        config = dataclasses.replace(
            CONFIG, epochs=epochs, steps_per_epoch=length, reduce_patience=10
        )
        (tmp_path / name).mkdir()
        pretrain(cubes, tmp_path / name, config, {})
        rows = np.genfromtxt(tmp_path / name / "history.csv", delimiter=",", names=True)
        histories[name] = rows
    assert histories["own"]["step"].tolist() == [6, 12]
    assert histories["short"]["step"].tolist() == [4, 8, 12]
    means = [rows["loss"].mean() for rows in histories.values()]
    assert means[0] == pytest.approx(means[1], rel=1e-5)
    ends = [rows["val_loss"][-1] for rows in histories.values()]
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)


# Goes on with a run on two devices and is asked to stop after four steps.
TWO_DEVICES = """
import os
import signal
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
from dataclasses import replace
from pathlib import Path
from models_genesis_tf.experiments.pretraining import pretrain
from models_genesis_tf.imaging.cube_files import open_cubes
from models_genesis_tf.training.loop import Trainer
from tests.test_resume import CONFIG

calls, own = [], Trainer.step

def step(trainer, batch):
    calls.append(trainer.strategy.num_replicas_in_sync)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGTERM)
    return own(trainer, batch)

Trainer.step = step
config = replace(CONFIG, strategy="mirrored")
pretrain(open_cubes(Path(sys.argv[1])), Path(sys.argv[2]), config, {})
print(calls)
"""


def _take_four_steps_on_two_devices(cubes: Path, run: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(cubes), str(run)],
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "[2, 2, 2, 2]"


def _assert_same_course(run: Path, other: Path, rtol: float = 1e-3) -> None:
    histories = [
        np.genfromtxt(path / "history.csv", delimiter=",", skip_header=1)
        for path in (run, other)
    ]
    np.testing.assert_allclose(*histories, rtol=rtol)


@pytest.mark.slow
def test_a_run_moves_from_one_device_to_two_and_back(
    undisturbed, signalled, monkeypatch, tmp_path
):
    folder = _write_cubes(tmp_path / "cubes")
    run = tmp_path / "run"
    run.mkdir()
    signalled(8, "SIGTERM")
    pretrain(open_cubes(folder), run, CONFIG, {})
    monkeypatch.undo()
    _take_four_steps_on_two_devices(folder, run)
    assert load_newest(run / "checkpoint").step == 12
    pretrain(open_cubes(folder), run, CONFIG, {})
    record = json.loads((run / "run.json").read_text())
    devices = [session["devices"] for session in record["sessions"]]
    assert devices == ["1 CPU", "2 CPU", "1 CPU"]
    _assert_same_course(run, undisturbed)


@pytest.mark.slow
def test_a_run_that_begins_on_two_devices_takes_the_same_course(undisturbed, tmp_path):
    folder = _write_cubes(tmp_path / "cubes")
    run = tmp_path / "run"
    run.mkdir()
    _take_four_steps_on_two_devices(folder, run)
    assert load_newest(run / "checkpoint").step == 4
    pretrain(open_cubes(folder), run, CONFIG, {})
    # The first steps move the weights most, and what they round differently with them.
    _assert_same_course(run, undisturbed, rtol=5e-3)


def test_weights_that_are_no_numbers_are_never_saved(cubes, monkeypatch, tmp_path):
    own, calls = Trainer.step, []

    def step(trainer, batch):
        loss = own(trainer, batch)  # a number still; the next one will not be
        calls.append(1)
        if len(calls) == 8:
            trainer.model.weights[0].assign(trainer.model.weights[0] * np.inf)
        return loss

    monkeypatch.setattr(Trainer, "step", step)
    config = dataclasses.replace(CONFIG, checkpoint_every=4)
    with pytest.raises(InputError, match="weights that are none after step 8"):
        pretrain(cubes, tmp_path, config, {})
    assert load_newest(tmp_path / "checkpoint").step == 6


def test_other_cubes_in_the_same_place_are_refused(signalled, monkeypatch, tmp_path):
    folder = _write_cubes(tmp_path / "cubes")
    run = tmp_path / "run"
    run.mkdir()
    signalled(2, "SIGTERM")
    pretrain(open_cubes(folder), run, CONFIG, {})
    monkeypatch.undo()
    path = folder / "bat_24_s_16x16x16_0.npy"
    np.save(path, np.load(path)[::-1])
    with pytest.raises(InputError, match="the cubes it began with.*--restart"):
        pretrain(open_cubes(folder), run, CONFIG, {})


@pytest.mark.slow
def test_auto_keeps_to_the_precision_that_the_run_began_with(
    signalled, monkeypatch, tmp_path
):
    long = np.random.default_rng(0).random((12, 24, 8, 8), np.float32)
    for fold in (0, 1):
        np.save(tmp_path / f"bat_12_s_24x8x8_{fold}.npy", long)
    cubes = open_cubes(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    began = dataclasses.replace(CONFIG, precision="auto")
    choose = "models_genesis_tf.experiments.pretraining_run.read_cpu_features"
    monkeypatch.setattr(choose, lambda: frozenset())
    signalled(2, "SIGTERM")
    pretrain(cubes, run, began, {})
    monkeypatch.undo()
    monkeypatch.setattr(choose, lambda: frozenset({"avx512_bf16"}))
    pretrain(cubes, run, began, {})
    assert json.loads((run / "run.json").read_text())["precision"] == "float32"


KILLS = 5
EPOCHS = 20


def _start(folder: Path, cubes: Path) -> subprocess.Popen:
    command = [
        *(sys.executable, "-m", "models_genesis_tf.pretrain"),
        *(f"--data_dir={cubes}", f"--output_dir={folder}", "--seed=5"),
        *("--base_filters=2", "--batch_size=4", "--learning_rate=0.1"),
        *(f"--epochs={EPOCHS}", "--reduce_patience=2", "--checkpoint_every=4"),
        *("--precision=float32", "--deterministic"),
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **quiet)


def _newest_step(folder: Path) -> int:
    names = (path.stem for path in (folder / "checkpoint").glob("step_*.npz"))
    return max((int(name.removeprefix("step_")) for name in names), default=0)


@pytest.mark.slow
def test_five_kills_leave_no_trace(tmp_path):
    cubes = _write_cubes(tmp_path / "cubes")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = _start(whole, cubes)  # beside the other, to save time
    draws = np.random.default_rng(3)
    last_step = EPOCHS * EPOCH_STEPS
    steps = []
    for _ in range(KILLS):
        before = _newest_step(killed)
        process = _start(killed, cubes)
        while _newest_step(killed) <= before:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(draws.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps.append(_newest_step(killed))
        assert before < steps[-1] < last_step
    assert _start(killed, cubes).wait() == 0
    assert undisturbed.wait() == 0
    record = json.loads((killed / "run.json").read_text())
    assert len(record["sessions"]) == KILLS + 1 and record["finished"] is True
    with (killed / "history.csv").open(newline="") as stream:
        epochs = [int(row["epoch"]) for row in csv.DictReader(stream)]
    assert epochs == [*range(1, EPOCHS + 1)]
    _assert_equal_runs(killed, whole)
