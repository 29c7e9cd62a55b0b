"""All published tasks run from phantoms in their owners' files to results.json."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import keras
import pytest
from absl import flags
from absl.testing import flagsaver
from sklearn.metrics import roc_auc_score

from models_genesis_tf import evaluate, finetune
from models_genesis_tf.errors import InputError
from models_genesis_tf.phantoms import luna16
from models_genesis_tf.phantoms.data_sets import DATA_SETS
from models_genesis_tf.tasks.catalogue import PUBLISHED
from models_genesis_tf.tasks.dxc import FINDINGS
from tests.written_files import read_rows

# As many as make sure of every class in every part; of PE they are patients with five
# candidates or more each.
CASES = 10
SMALL = (
    *("--base_filters=2", "--batch_size=2", "--max_steps=4", "--epochs=2"),
    *("--trials=1", "--precision=float32"),
)
MORE = {
    "ncc": ["--patch_size=32,32,16", "--spacing=1,1,2"],
    "ncs": ["--patch_size=32,32,16", "--spacing=2,2,2"],
    "ecc": ["--patch_size=32,32,32"],
    "lcs": ["--patch_size=32,32,16", "--spacing=4,4,4", "--patches_per_case=1"],
    "bms": ["--patch_size=32,32,16", "--modalities=flair,t1ce"],
    "dxc": ["--patch_size=64,64"],
    "iuc": ["--patch_size=64,64"],
}
# The forms of tasks on scans that see slices.
SLICES = ["--dimension=2", "--patch_size=64,64", "--slices_per_case=3"]
OF_SLICES = {
    "ncc": [*SLICES, "--spacing=1,1,2"],
    "ncs": [*SLICES[:2], "--patches_per_case=2"],
    "ecc": SLICES,
}


@pytest.fixture(scope="module")
def data_set(tmp_path_factory) -> Callable[[str], Path]:
    """Gives the phantoms of a task; tasks that share a data set share its files."""

    @functools.cache
    def written(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        write = DATA_SETS[name].write
        if name == "luna16":
            write = functools.partial(write, size=luna16.MIN_SIZE)
        write(folder, CASES)
        return folder

    return lambda code: written(PUBLISHED[code].data_set)


@pytest.fixture
def call(monkeypatch) -> Callable[..., None]:
    """Runs a command in this process, from parsing on."""

    def run(command: ModuleType, *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [command.__name__, *arguments])
        with flagsaver.flagsaver():
            flags.FLAGS.unparse_flags()
            flags.FLAGS(sys.argv)
            command.main()

    return run


@pytest.fixture
def run_task(data_set, call, tmp_path) -> Callable[..., tuple[dict, list[dict]]]:
    def run(code: str, *more: str) -> tuple[dict, list[dict]]:
        raw = tmp_path / "raw"
        shutil.copytree(data_set(code), raw, copy_function=os.link)
        where = (f"--data_dir={raw}", f"--output_dir={tmp_path / 'run'}")
        call(finetune, f"--task={code}", *where, *SMALL, *more)
        return _look_at(code, tmp_path)

    return run


def _look_at(code: str, folder: Path) -> tuple[dict, list[dict]]:
    """Gives results.json and the rows of scores.csv."""
    results = json.loads((folder / "run/results.json").read_text(encoding="utf-8"))
    metric = "auc_mean" if code in ("dxc", "iuc") else PUBLISHED[code].metric
    assert results["task"] == code and results["metric"] == metric
    assert results["synthetic"] and len(results["trials"]) == 1
    assert 0 <= results["trials"][0]["scores"][metric] <= 1
    parts = {}
    for row in read_rows(folder / "run/split.csv"):
        parts.setdefault(row["patient"], set()).add(row["split"])
    assert all(len(found) == 1 for found in parts.values())
    assert set.union(*parts.values()) == {"train", "valid", "test"}
    scores = read_rows(folder / "run/trial_0/scores.csv")
    tested = {patient for patient, found in parts.items() if found == {"test"}}
    assert {row["patient"] for row in scores} == tested
    return results, scores


@pytest.mark.slow
@pytest.mark.parametrize("code", OF_SLICES)
def test_a_task_on_scans_runs_on_slices(code, run_task, tmp_path):
    results, scores = run_task(code, *OF_SLICES[code])
    assert results["dimension"] == 2
    model = keras.saving.load_model(tmp_path / "run/trial_0/model.keras")
    assert model.input_shape == (None, 64, 64, 1)
    names = [row["case"] for row in scores]
    assert len(set(names)) == len(names)  # slices of a candidate are one row


@pytest.mark.slow
@pytest.mark.parametrize("code", PUBLISHED)
def test_a_task_runs_from_raw_files_to_results(code, run_task, call, tmp_path):
    results, scores = run_task(code, *MORE.get(code, []))
    task = PUBLISHED[code]
    assert results["dimension"] == task.dimension
    if task.multi_label:
        _check_labels(scores, results["trials"][0]["scores"])
    elif task.dimension == 2:
        assert {row["label"] for row in scores} == {"0", "1", "2"}
    elif task.kind == "classification":
        assert {row["label"] for row in scores} == {"0", "1"}
        assert scores[0].keys() >= {"x", "y", "z"} or code == "ecc"
    if code == "ecc":  # several patches of a candidate are one row
        split = [row for row in read_rows(tmp_path / "run/split.csv")]
        assert len(scores) < sum(row["split"] == "test" for row in split)
    if code == "ncc":
        table = read_rows(tmp_path / "raw/candidates_V2.csv")
        places = {
            tuple(float(row[f"coord{axis}"]) for axis in "XYZ"): row["class"]
            for row in table
        }
        for row in scores:
            place = tuple(float(row[axis]) for axis in "xyz")
            assert places[place] == row["label"]
    if code == "bms":
        model = keras.saving.load_model(tmp_path / "run/trial_0/model.keras")
        assert model.input_shape == (None, 32, 32, 16, 2)
    # The data may lie elsewhere by then; the scores are the same.
    (tmp_path / "raw").rename(tmp_path / "moved")
    again = (f"--run={tmp_path / 'run'}", f"--data_dir={tmp_path / 'moved'}")
    call(evaluate, *again)
    _check_evaluated(tmp_path, results["trials"][0]["scores"])
    with pytest.raises(InputError, match="--manifest is no flag of --task="):
        call(evaluate, *again, "--manifest=a.csv")
    if task.kind == "segmentation":
        call(evaluate, "--whole_scans", *again)
        _check_whole_scans(tmp_path, code, results["trials"][0]["scores"])


def _check_labels(rows: list[dict], scores: dict) -> None:
    """Each finding of ChestX-ray8 has a column of labels and its own curve."""
    for finding in FINDINGS[:8]:
        labels = [int(row[f"label_{finding}"]) for row in rows]
        probabilities = [float(row[f"probability_{finding}"]) for row in rows]
        expected = roc_auc_score(labels, probabilities)
        assert scores[f"auc_{finding}"] == pytest.approx(expected)


def _check_evaluated(folder: Path, scores: dict) -> None:
    path = folder / "run/evaluation/results.json"
    again = json.loads(path.read_text(encoding="utf-8"))["trials"][0]["scores"]
    assert again == pytest.approx(scores, rel=1e-5, nan_ok=True)


def _check_whole_scans(folder: Path, code: str, scores: dict) -> None:
    """A nodule's patch is a case; elsewhere a case is a whole scan already."""
    path = folder / "run/evaluation/whole_scans.json"
    (trial,) = json.loads(path.read_text(encoding="utf-8"))["trials"]
    same = trial["patches"] if code == "ncs" else trial["whole scans"]
    for metric in ("dice_mean", "iou_mean", "dice_pooled"):
        assert same[metric] == pytest.approx(scores[metric], abs=1e-3), metric
    rows = read_rows(folder / "run/evaluation/trial_0_whole_scans.csv")
    tested = {row["patient"] for row in read_rows(folder / "run/trial_0/scores.csv")}
    assert {row["patient"] for row in rows} == tested
    assert len(rows) == len({row["case"] for row in rows})


@pytest.mark.slow
def test_without_data_a_task_runs_on_phantoms_and_says_so(tmp_path):
    """The line that a user types first, cut short by a flag, which wins."""
    command = [sys.executable, "-m", "models_genesis_tf.finetune", "--task=bms"]
    environment = os.environ | {"MODELS_GENESIS_DATA": ""}
    for _ in range(2):
        done = subprocess.run(
            [*command, "--max_steps=3", "--precision=float32"],
            capture_output=True,
            encoding="utf-8",
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        if "finished already" in done.stdout:
            break
        first, *_, last = done.stdout.splitlines()
        assert first.startswith("synthetic data in data/phantom/brats, ")
        assert PUBLISHED["bms"].how_to_get in first
        assert last == "synthetic data, demonstration settings: no result of the task"
    assert "finished already" in done.stdout
    record = tmp_path / "runs/finetune_bms_scratch/run.json"
    record = json.loads(record.read_text(encoding="utf-8"))
    assert record["synthetic"] and record["settings"]["base_filters"] == 4
