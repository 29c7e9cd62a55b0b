"""All published tasks run from phantoms in their owners' files to results.json."""

import csv
import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from models_genesis_tf.phantoms import luna16
from models_genesis_tf.phantoms.data_sets import DATA_SETS
from models_genesis_tf.tasks.catalogue import PUBLISHED

# Twelve cases of each; of PE they are patients with five candidates or more each.
CASES = 12
SMALL = (
    *("--base_filters=2", "--batch_size=2", "--max_steps=4", "--epochs=2"),
    *("--trials=1", "--patch_size=32,32,16", "--precision=float32"),
)
MORE = {
    "ncc": ["--spacing=1,1,2"],
    "ncs": ["--spacing=2,2,2"],
    "lcs": ["--spacing=5,5,5"],
}


def _write(code: str, folder: Path) -> None:
    name = PUBLISHED[code].data_set
    write = DATA_SETS[name].write
    if name == "luna16":
        write = functools.partial(write, size=luna16.MIN_SIZE)
    write(folder, CASES)


def _rows(path: Path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
@pytest.mark.parametrize("code", PUBLISHED)
def test_a_task_runs_from_raw_files_to_results(code, tmp_path):
    _write(code, tmp_path / "raw")
    command = [sys.executable, "-m", "models_genesis_tf.finetune", f"--task={code}"]
    command += [f"--data_dir={tmp_path / 'raw'}", f"--output_dir={tmp_path / 'run'}"]
    done = subprocess.run(
        [*command, *SMALL, *MORE.get(code, [])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "run/results.json").read_text(encoding="utf-8"))
    task = PUBLISHED[code]
    assert results["task"] == code and results["metric"] == task.metric
    assert results["synthetic"] and len(results["trials"]) == 1
    assert 0 <= results["trials"][0]["scores"][task.metric] <= 1
    parts = {}
    for row in _rows(tmp_path / "run/split.csv"):
        parts.setdefault(row["patient"], set()).add(row["split"])
    assert all(len(found) == 1 for found in parts.values())
    assert set.union(*parts.values()) == {"train", "valid", "test"}
    scores = _rows(tmp_path / "run/trial_0/scores.csv")
    tested = {patient for patient, found in parts.items() if found == {"test"}}
    assert {row["patient"] for row in scores} == tested
    if task.kind == "classification":
        assert {row["label"] for row in scores} == {"0", "1"}
    if code == "ecc":  # several patches of a candidate are one row
        split = [row for row in _rows(tmp_path / "run/split.csv")]
        assert len(scores) < sum(row["split"] == "test" for row in split)
    if code == "ncc":
        assert all(float(row["x"]) and float(row["z"]) for row in scores)
