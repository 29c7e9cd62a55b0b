"""A fine-tuning run that is stopped or killed ends as one that nobody disturbed."""

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

from models_genesis_tf.experiments import run_folder, trial
from models_genesis_tf.experiments.finetuning import finetune
from models_genesis_tf.training.checkpoint import load_newest
from models_genesis_tf.training.loop import Trainer
from tests.manifests import CONFIG, write_segmentation

TRIAL_STEPS = 8  # two epochs of eight cases, two a step
TIMES = ("wall_seconds", "examples_per_second", "input_wait_share")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    write_segmentation(folder / "data")
    return folder


@pytest.fixture(scope="module")
def config(place):
    manifest = str(place / "data" / "cases.csv")
    return dataclasses.replace(CONFIG, manifest=manifest, trials=2, learning_rate=0.01)


@pytest.fixture(scope="module")
def undisturbed(place, config) -> Path:
    folder = place / "undisturbed"
    folder.mkdir()
    finetune(folder, config, place / "cache")
    return folder


def _without_times(path: Path) -> dict:
    results = json.loads(path.read_text())
    for one in results["trials"]:
        for name in TIMES:
            del one["training"][name]
    return results


def _assert_equal_runs(*runs: Path) -> None:
    """Weights, optimizer, histories, scores and results, bit for bit."""
    results = [_without_times(run / "results.json") for run in runs]
    assert results[0] == results[1] and len(results[0]["trials"]) == 2
    splits = [(run / "split.csv").read_bytes() for run in runs]
    assert splits[0] == splits[1]
    for number in range(2):
        folders = [run / f"trial_{number}" for run in runs]
        for name in ("history.csv", "scores.csv"):
            first, second = ((folder / name).read_bytes() for folder in folders)
            assert first == second, name
        models = [
            keras.saving.load_model(folder / "model.keras").get_weights()
            for folder in folders
        ]
        states = [load_newest(folder / "checkpoint").arrays for folder in folders]
        for pairs in (
            zip(*models, strict=True),
            zip(*(state["model"] for state in states), strict=True),
            zip(*(state["optimizer"] for state in states), strict=True),
        ):
            equal = [one.tobytes() == other.tobytes() for one, other in pairs]
            assert equal and all(equal)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "in_trial"),
    [(TRIAL_STEPS + 3, 1), (4, 0)],
    ids=["inside the second trial", "at the end of an epoch of the first"],
)
def test_a_signal_inside_a_trial_saves_it_and_it_goes_on_alike(
    place, config, undisturbed, monkeypatch, capsys, tmp_path, step, in_trial
):
    own, calls = Trainer.step, []

    def counted(trainer, batch):
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return own(trainer, batch)

    monkeypatch.setattr(Trainer, "step", counted)
    assert finetune(tmp_path, config, place / "cache") is None
    assert len(calls) == step
    monkeypatch.undo()
    assert f"stopped by SIGTERM in trial {in_trial + 1}, which is saved" in (
        capsys.readouterr().out
    )
    saved = load_newest(tmp_path / f"trial_{in_trial}" / "checkpoint")
    assert saved.step == step - in_trial * TRIAL_STEPS
    assert json.loads((tmp_path / "run.json").read_text())["finished"] is False
    assert not (tmp_path / f"trial_{in_trial}" / "scores.csv").exists()
    assert finetune(tmp_path, config, place / "cache") == tmp_path / "results.json"
    _assert_equal_runs(tmp_path, undisturbed)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["finished"] is True and len(record["sessions"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["scoring", "result.json", "results.json"])
def test_a_trial_that_is_killed_after_its_training_is_scored_without_training_again(
    place, config, undisturbed, monkeypatch, tmp_path, moment
):
    write_json = run_folder.write_json

    def killed(path, *arguments):
        if moment in ("scoring", path.name):
            raise KeyboardInterrupt
        return write_json(path, *arguments)

    if moment == "scoring":
        monkeypatch.setattr(trial, "score_model", killed)
    else:
        monkeypatch.setattr(run_folder, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        finetune(tmp_path, config, place / "cache")
    monkeypatch.undo()
    history = tmp_path / "trial_0" / "history.csv"
    assert len(history.read_text().splitlines()) == 3
    own, calls = Trainer.step, []

    def counted(trainer, batch):
        calls.append(1)
        return own(trainer, batch)

    monkeypatch.setattr(Trainer, "step", counted)
    finetune(tmp_path, config, place / "cache")
    assert len(calls) == TRIAL_STEPS  # of the second trial alone
    _assert_equal_runs(tmp_path, undisturbed)


EPOCHS = 12
ALL_STEPS = 2 * EPOCHS * 4


def _command(place: Path, folder: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "models_genesis_tf.finetune", "--task=custom"),
        *("--kind=segmentation", f"--manifest={place / 'data' / 'cases.csv'}"),
        *(f"--output_dir={folder}", f"--cache_dir={place / 'cache'}", "--seed=5"),
        *("--base_filters=2", "--patch_size=16,16,8", "--precision=float32"),
        *(f"--epochs={EPOCHS}", "--trials=2", "--learning_rate=0.01"),
        *("--checkpoint_every=3", "--deterministic"),
    ]


def _steps(folder: Path) -> int:
    """Steps of all trials that are saved."""
    newest = {}
    for path in folder.glob("trial_*/checkpoint/step_*.npz"):
        step = int(path.stem.removeprefix("step_"))
        newest[path.parent] = max(step, newest.get(path.parent, 0))
    return sum(newest.values())


def _start_and_wait(command: list[str], folder: Path, steps: int) -> subprocess.Popen:
    """Starts a run and waits until this many of its steps are saved."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while _steps(folder) < steps:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


@pytest.mark.slow
def test_three_kills_leave_no_trace(place, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # Beside the other, to save time, from when the cases are prepared.
    undisturbed = _start_and_wait(_command(place, whole), whole, 1)
    draws = np.random.default_rng(8)
    reached = []
    for share in (np.arange(3) + draws.random(3)) / 3.3:
        steps = max([round(share * ALL_STEPS), *(last + 1 for last in reached[-1:])])
        process = _start_and_wait(_command(place, killed), killed, steps)
        time.sleep(draws.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        reached.append(_steps(killed))
    assert 0 < reached[0] < ALL_STEPS / 2 < reached[2] < ALL_STEPS, reached
    assert reached[0] < reached[1] < reached[2]
    subprocess.run(_command(place, killed), check=True, capture_output=True)
    _, errors = undisturbed.communicate()
    assert undisturbed.returncode == 0, errors
    assert _steps(whole) == ALL_STEPS
    record = json.loads((killed / "run.json").read_text())
    assert len(record["sessions"]) == 4 and record["finished"] is True
    _assert_equal_runs(killed, whole)


@pytest.mark.slow
def test_the_command_ends_with_code_0_after_sigterm(place, tmp_path):
    process = _start_and_wait(_command(place, tmp_path), tmp_path, 3)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "stopped by SIGTERM in trial 1, which is saved" in output.splitlines()[-1]
    assert 3 <= _steps(tmp_path) < ALL_STEPS
    assert json.loads((tmp_path / "run.json").read_text())["finished"] is False
