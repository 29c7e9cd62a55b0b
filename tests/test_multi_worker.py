"""Several processes that pre-train one network: equal to one, and killed at any moment.

The workers are processes of this machine that meet over its loopback interface.
"""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import keras
import numpy as np
import pytest

STEPS = 20
_LEARNING_RATE = 0.01  # a higher one makes rounding errors grow from step to step
_SECONDS = 240


@pytest.fixture(scope="module")
def cubes(tmp_path_factory) -> Path:
    """24 cubes that train and 2 that validate: fewer than there are workers."""
    folder = tmp_path_factory.mktemp("cubes")
    rng = np.random.default_rng(3)
    for fold, count in enumerate((24, 2)):
        blocks = rng.random((count, 4, 4, 4), np.float32)
        blocks = blocks.repeat(4, 1).repeat(4, 2).repeat(4, 3)
        np.save(folder / f"bat_24_s_16x16x16_{fold}.npy", blocks)
    return folder


def _command(cubes: Path, folder: Path, *flags: str) -> list[str]:
    return [
        *(sys.executable, "-m", "models_genesis_tf.pretrain"),
        *(f"--data_dir={cubes}", f"--output_dir={folder}"),
        *("--base_filters=4", "--batch_size=6", "--precision=float32"),
        *(f"--max_steps={STEPS}", f"--learning_rate={_LEARNING_RATE}"),
        *("--checkpoint_every=1", "--deterministic", *flags),
    ]


def _tf_configs(count: int) -> list[dict[str, str]]:
    """What each worker finds in its environment, as a cluster's user sets it."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        cluster = {"worker": [f"localhost:{s.getsockname()[1]}" for s in sockets]}
    tasks = [{"type": "worker", "index": index} for index in range(count)]
    return [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks
    ]


def _slurm_variables(count: int) -> list[dict[str, str]]:
    """What each worker finds in its environment, as srun sets it."""
    return [
        {
            "SLURM_PROCID": str(number),
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_STEP_TASKS_PER_NODE": str(count),
        }
        for number in range(count)
    ]


class _Team:
    """Workers that run the same command at the same time."""

    def __init__(self, environments: list[dict[str, str]], commands: list[list[str]]):
        self.processes = [
            subprocess.Popen(
                command,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for environment, command in zip(environments, commands, strict=True)
        ]

    def disturb(self, worker: int, number: int, folder: Path, step: int) -> None:
        """Sends a signal to a worker once a checkpoint of that step is there."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            names = [path.stem for path in folder.glob("checkpoint/step_*.npz")]
            if any(int(name.removeprefix("step_")) >= step for name in names):
                self.processes[worker].send_signal(number)
                return
            time.sleep(0.02)
        raise AssertionError(f"no checkpoint of step {step}: {self.end()}")

    def end(self) -> list[tuple[int, str, str]]:
        """Waits for all; their exit codes, outputs and errors."""
        try:
            outputs = [one.communicate(timeout=_SECONDS) for one in self.processes]
        finally:
            for process in self.processes:
                process.kill()
        codes = [process.returncode for process in self.processes]
        return [(code, *texts) for code, texts in zip(codes, outputs, strict=True)]


def _train(environments, cubes: Path, folder: Path) -> _Team:
    command = _command(cubes, folder, "--strategy=multi_worker")
    return _Team(environments, [command] * len(environments))


def _history(folder: Path) -> np.ndarray:
    with (folder / "history.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return np.array([[float(row["loss"]), float(row["val_loss"])] for row in rows])


def _weights(folder: Path) -> list[np.ndarray]:
    return keras.saving.load_model(folder / "model.keras").get_weights()


@pytest.fixture(scope="module")
def alone(cubes, tmp_path_factory) -> Path:
    """The same run in one process."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run(_command(cubes, folder), check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_two_workers_follow_one_process_and_survive_a_kill_and_a_signal(
    cubes, alone, tmp_path
):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    done = _train(_tf_configs(2), cubes, undisturbed).end()
    assert [code for code, *_ in done] == [0, 0], done
    assert "2 CPU of 2 workers" in done[0][1]
    assert done[1][1] == ""  # the first one alone prints
    np.testing.assert_allclose(_history(undisturbed), _history(alone), atol=5e-5)

    team = _train(_tf_configs(2), cubes, disturbed)
    team.disturb(1, signal.SIGKILL, disturbed, 6)
    (code, _, error), (killed, *_) = team.end()
    assert (code, killed) == (1, -signal.SIGKILL)
    assert error.splitlines()[-1] == (
        "error: training takes all workers, and one has ended or cannot be reached; "
        "the same command on all goes on from the last checkpoint. Received: no answer "
        "from worker 1"
    )
    team = _train(_tf_configs(2), cubes, disturbed)
    team.disturb(1, signal.SIGTERM, disturbed, 10)
    done = team.end()
    assert [code for code, *_ in done] == [0, 0], done
    assert "stopped by another worker at step" in done[0][1]
    done = _train(_tf_configs(2), cubes, disturbed).end()
    assert [code for code, *_ in done] == [0, 0], done
    np.testing.assert_array_equal(_history(disturbed), _history(undisturbed))
    for ours, theirs in zip(_weights(disturbed), _weights(undisturbed), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_three_workers_of_slurm_follow_one_process_though_the_first_is_killed(
    cubes, alone, tmp_path
):
    team = _train(_slurm_variables(3), cubes, tmp_path)
    team.disturb(0, signal.SIGKILL, tmp_path, 7)
    (killed, *_), *others = team.end()
    assert killed == -signal.SIGKILL
    assert [code for code, *_ in others] == [1, 1], others
    silent = [
        error.splitlines()[-1].partition("Received: no answer from ")[2].split(", ")
        for *_, error in others
    ]
    # One that ends for want of the first may be missed by the other in its turn.
    assert {"worker 0"} <= {name for names in silent for name in names}, others
    assert all(set(names) <= {"worker 0", "worker 1", "worker 2"} for names in silent)
    done = _train(_slurm_variables(3), cubes, tmp_path).end()
    assert [code for code, *_ in done] == [0, 0, 0], done
    np.testing.assert_allclose(_history(tmp_path), _history(alone), atol=5e-5)
    rows = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert rows["steps"] == STEPS
    assert rows["devices"] == "3 CPU of 3 workers"


@pytest.mark.slow
def test_workers_with_other_flags_and_workers_without_cubes_end_at_once(
    cubes, tmp_path
):
    environments = _tf_configs(2)
    commands = [
        _command(cubes, tmp_path, "--strategy=multi_worker", f"--seed={seed}")
        for seed in (0, 1)
    ]
    for code, _, error in _Team(environments, commands).end():
        assert code == 1
        assert error.splitlines()[-1].endswith("workers that differ in flags")
    empty = tmp_path / "scans"
    empty.mkdir()
    (empty / "scan.mhd").touch()
    command = _command(empty, tmp_path / "other", "--strategy=multi_worker")
    for code, _, error in _Team(environments, [command] * 2).end():
        assert code == 1
        assert "several workers train on cubes that extract_cubes cut" in error
