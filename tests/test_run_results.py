"""Reading run folders: what is read, and that what is not is named."""

import json
from pathlib import Path

import pytest

from models_genesis_tf.experiments.run_results import read_history, read_runs
from tests.run_folders import make_run


def _reasons(left_out) -> dict[str, str]:
    return {Path(one.what).name: one.reason for one in left_out}


def test_a_run_is_read_with_its_trials(tmp_path):
    folder = make_run(tmp_path / "run", [0.5, 0.6], "unified", seed=4, epochs=7)
    (run,), left_out = read_runs([folder])
    assert left_out == []
    assert (run.task, run.data, run.kind) == (
        "custom",
        "lesions/cases.csv",
        "segmentation",
    )
    assert (run.arm, run.metric, run.train_fraction) == ("unified", "dice_mean", 1.0)
    assert [(t.seed, t.number, t.score) for t in run.trials] == [
        (4, 0, 0.5),
        (4, 1, 0.6),
    ]
    assert run.budget["epochs"] == 7
    assert run.budget["learning_rate"] == 1e-3  # Adam's own
    assert read_history(run.trials[0].folder) == (
        [10, 20, 30, 40, 50],
        pytest.approx([1.5, 1.0, 0.5 + 1 / 3, 0.75, 0.7]),
    )


@pytest.mark.parametrize(
    ("dimension", "scheme", "name", "arm"),
    [
        (2, "unified", "pretrain_genesis_chest_ct_2d", "Genesis CT 2D"),
        (2, None, "Genesis_Chest_CT_2D", "Genesis CT 2D"),
        (2, "unified", "pretrain_chest-xray", "Genesis X-ray 2D"),
        (2, None, "Genesis Chest X-ray 2D", "Genesis X-ray 2D"),
        (2, "unified", "pretrain_slices", "unified"),
        (2, "painting", "pretrain_painting_chest_ct", "painting"),
        (2, None, "mine", "mine"),
        (3, "unified", "pretrain_chest_ct", "unified"),
    ],
)
def test_a_start_in_2d_is_a_genesis_by_the_name_of_its_pre_training(
    tmp_path, dimension, scheme, name, arm
):
    block = {"name": name, "scheme": scheme, "sha256": "1", "recipe_sha256": None}
    results = {"dimension": dimension, "pretraining": block}
    make_run(tmp_path / "run", [0.5], "unified", results=results)
    (run,), _ = read_runs([tmp_path])
    assert (run.dimension, run.arm) == (dimension, arm)


def test_torchvisions_weights_are_imagenet_whatever_their_file_is_called(tmp_path):
    block = {"name": "chest_ct", "scheme": None, "sha256": "1", "dimension": 2}
    make_run(
        tmp_path / "run",
        [0.5],
        "none",
        weights="imagenet:files/chest_ct.pth",
        results={"dimension": 2, "pretraining": block},
    )
    (run,), _ = read_runs([tmp_path])
    assert (run.arm, run.pretraining) == ("imagenet", "1")


def test_patients_of_all_parts_identify_a_division(tmp_path):
    parts = {"train": ["a", "b"], "valid": ["c"], "test": ["d"]}
    moved = {"train": ["a"], "valid": ["b", "c"], "test": ["d"]}
    for name, patients in (("a", parts), ("b", parts), ("c", moved)):
        make_run(tmp_path / name, [0.5], record={"patients": patients})
    first, second, third = (run.patients for run in read_runs([tmp_path])[0])
    assert first == second != third


def test_label_columns_and_conditions_name_a_task(tmp_path):
    make_run(
        tmp_path / "run",
        [0.7],
        metric="auc",
        label_column="malignancy",
        label_map="<3:0,>3:1",
        where="readers>=3",
    )
    (run,), _ = read_runs([tmp_path])
    assert run.data == "lesions/cases.csv (malignancy, <3:0,>3:1, readers>=3)"


def test_another_metric_can_be_asked_for(tmp_path):
    make_run(tmp_path / "run", [0.5])
    (run,), _ = read_runs([tmp_path], "dice_lesion")
    assert (run.metric, run.trials[0].score) == ("dice_lesion", 0.5)
    runs, left_out = read_runs([tmp_path], "auc")
    assert runs == []
    assert _reasons(left_out) == {
        "trial_0": "has no auc; its scores are dice_mean, dice_lesion"
    }


def test_broken_foreign_and_unfinished_things_are_named_and_the_rest_is_read(tmp_path):
    make_run(tmp_path / "good", [0.5, 0.6])
    make_run(tmp_path / "half", [0.5, 0.6], asked=4)
    make_run(tmp_path / "undefined", [float("nan"), 0.6])
    (make_run(tmp_path / "cut", [0.5]) / "results.json").write_text('{"task": "cus')
    (make_run(tmp_path / "list", [0.5]) / "results.json").write_text("[]")
    (make_run(tmp_path / "poor", [0.5]) / "results.json").write_text('{"task": "x"}')
    (make_run(tmp_path / "no_record", [0.5]) / "run.json").unlink()
    (make_run(tmp_path / "begun", [0.5]) / "results.json").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    pretraining = tmp_path / "pretrain_unified"
    pretraining.mkdir()
    (pretraining / "run.json").write_text(json.dumps({"settings": {"scheme": "x"}}))
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "case.npy").write_bytes(b"")

    runs, left_out = read_runs([tmp_path])

    assert [run.folder.name for run in runs] == ["good", "half", "undefined"]
    assert [len(run.trials) for run in runs] == [2, 2, 1]
    reasons = [(Path(one.what).name, one.reason) for one in left_out]
    assert ("trial_2", "has not finished") in reasons
    assert ("trial_3", "has not finished") in reasons
    named = _reasons(left_out)
    assert named["trial_0"] == "dice_mean is not defined"
    assert named["cut"].startswith("results.json cannot be read (Unterminated string")
    assert named["list"] == "results.json holds no dictionary"
    assert "KeyError('pretraining')" in named["poor"]
    assert named["no_record"].startswith("run.json is missing")
    assert named["begun"] == "no trial has finished"
    assert named[tmp_path.name] == "1 file(s) that belong to no run: notes.txt"
    assert len(left_out) == 9


def test_scores_of_evaluate_are_no_run(tmp_path):
    folder = make_run(tmp_path / "again", [0.5])
    (folder / "run.json").unlink()
    make_run(tmp_path / "run", [0.5])
    runs, left_out = read_runs([tmp_path])
    assert [run.folder.name for run in runs] == ["run"]
    assert "scores of `evaluate`" in left_out[0].reason


def test_bytes_that_are_no_text_are_a_broken_file(tmp_path):
    folder = make_run(tmp_path / "run", [0.5])
    (folder / "results.json").write_bytes(b"\xff\xfe\x00")
    runs, left_out = read_runs([tmp_path])
    assert runs == []
    assert left_out[0].reason.startswith("results.json cannot be read")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trials", [{"trial": 0}]),
        ("trials", None),
        ("pretraining", "unified"),
        ("trials", [{"trial": 0, "seed": 0, "subset_sha256": "", "scores": []}]),
    ],
)
def test_entries_of_another_form_leave_the_run_out(tmp_path, key, value):
    make_run(tmp_path / "bad", [0.5], "unified", results={key: value})
    make_run(tmp_path / "good", [0.5])
    runs, left_out = read_runs([tmp_path])
    assert [run.folder.name for run in runs] == ["good"]
    assert [Path(one.what).name for one in left_out] == ["bad"]


def test_a_history_that_cannot_be_read_is_empty(tmp_path):
    assert read_history(tmp_path) == ([], [])
    for text in ("epoch,step\n1,2\n", "\0" * 200_000):
        (tmp_path / "history.csv").write_text(text)
        assert read_history(tmp_path) == ([], [])
