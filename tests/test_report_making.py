"""A report says what made its runs: time, versions, weights, the file of a sweep."""

import json

from models_genesis_tf.experiments.report_making import describe_making
from models_genesis_tf.experiments.run_results import read_runs
from tests.run_folders import SCRATCH_DICE, UNIFIED_DICE, make_run

SOFTWARE = {
    "processor": "P",
    "git_commit": "abc",
    "packages": {"keras": "3", "numpy": "2"},
}


def _describe(folder) -> str:
    runs, _ = read_runs([folder])
    return describe_making(runs)


def _with_seconds(run, seconds: float) -> None:
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    for trial in results["trials"]:
        trial["training"] = {"wall_seconds": seconds}
    (run / "results.json").write_text(json.dumps(results))


def test_time_devices_and_versions_are_those_of_the_runs(tmp_path):
    for seed, devices in ((0, "1 CPU"), (1, "2 CPU")):
        record = SOFTWARE | {"devices": devices}
        run = make_run(tmp_path / f"{seed}", SCRATCH_DICE, seed=seed, record=record)
        _with_seconds(run, 900)
    assert _describe(tmp_path).splitlines() == [
        "- 2 runs, 8 trials, 2.0 hours of training in sum.",
        "- Devices: 1 CPU, 2 CPU.",
        "- Processors: P.",
        "- Precision: float32.",
        "- Commits: abc.",
        "- Versions: keras 3, numpy 2.",
    ]


def test_each_pre_training_is_told_once_with_what_lies_beside_its_weights(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    record = {
        "cubes": {"train": 300, "valid": 60},
        "steps": 2000,
        "wall_seconds": 1800,
        "best_val_loss": 0.0123,
        "baselines": {"constant": 0.06, "unchanged": 0.14},
    }
    (tmp_path / "runs" / "unified").mkdir(parents=True)
    (tmp_path / "runs" / "unified" / "run.json").write_text(json.dumps(record))
    for fraction in (0.1, 1.0):
        folder = tmp_path / "all" / f"{fraction}"
        make_run(folder / "a", UNIFIED_DICE, "unified", train_fraction=fraction)
        make_run(folder / "b", UNIFIED_DICE, "painting", train_fraction=fraction)
    *_, painting, unified = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in _describe(tmp_path / "all").splitlines()
    ]
    assert painting[:3] == ["pretrain_painting", "painting", "0"]
    assert set(painting[3:9]) == {"–"}
    numbers = ["300", "2000", "0.50", "0.01230", "0.06000", "0.14000"]
    assert unified[:9] == ["pretrain_unified", "unified", "0", *numbers]


def test_the_file_of_a_sweep_stands_as_it_is(tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / "mine" / name, SCRATCH_DICE)
    text = '[task.a]\nmanifest = "$DATA/cases.csv"\n'
    (tmp_path / "mine" / "sweep.toml").write_text(text)
    described = _describe(tmp_path)
    assert described.count("The file of the sweep") == 1
    assert described.endswith(
        "The file of the sweep `mine`, done by `finetune --sweep`:\n\n"
        '```toml\n[task.a]\nmanifest = "$DATA/cases.csv"\n```'
    )
