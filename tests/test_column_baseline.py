"""A column of the manifest as a classifier: its area under the curve, its interval."""

import csv
import json
from pathlib import Path

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.column_baseline import score_column
from models_genesis_tf.tasks.custom import read_column

# (malignancy, slices) of the test cases; with "<3:0,>3:1" the third is left out. Of the
# six pairs of classes four have more slices in the malignant one, and one ties.
CASES = ((1, 5), (2, 9), (3, 99), (4, 9), (5, 20), (4.5, 7))
AREA = 4.5 / 6


def _write(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _make_run(folder: Path, copies: int = 1, task: str = "custom") -> Path:
    """A run as finetune leaves it, on copies of the cases, each of its own patient."""
    rows, scored = [], []
    for copy in range(copies):
        for k, (malignancy, slices) in enumerate(CASES):
            name = f"case_{copy}_{k}"
            (folder / f"{name}.nii").touch()
            rows.append(
                {
                    "image": f"{name}.nii",
                    "malignancy": malignancy,
                    "slices": slices,
                    "text": "" if k == 4 else "many",
                }
            )
            if malignancy != 3:
                row = {"case": name, "patient": name, "label": int(malignancy > 3)}
                scored.append(row | {"probability": 0.5})
    _write(folder / "cases.csv", rows)
    run = folder / "run"
    _write(run / "trial_0" / "scores.csv", scored)
    settings = {
        "task": task,
        "manifest": str(folder / "cases.csv"),
        "label_column": "malignancy",
        "label_map": "<3:0,>3:1",
        "where": "",
        "score_split": "test",
    }
    record = {"finished": "now", "classes": ["0", "1"], "settings": settings}
    (run / "run.json").write_text(json.dumps(record))
    (run / "results.json").write_text("{}")
    return run


def test_the_area_is_that_of_the_pairs_counted_by_hand(tmp_path):
    run, folder = _make_run(tmp_path), tmp_path / "out"
    text = score_column(run, "slices", folder, None)
    found = json.loads((folder / "baseline.json").read_text(encoding="utf-8"))
    assert found["auc"] == pytest.approx(AREA)
    assert (found["cases"], found["patients"], found["auc_95"]) == (5, 5, None)
    assert (folder / "baseline.md").read_text(encoding="utf-8") == f"{text}\n"
    assert "| slices " in text and "75.00" in text


def test_with_many_patients_an_interval_surrounds_it(tmp_path):
    run = _make_run(tmp_path, copies=20)
    score_column(run, "slices", tmp_path / "out", None)
    found = json.loads((tmp_path / "out" / "baseline.json").read_text(encoding="utf-8"))
    low, high = found["auc_95"]
    assert found["auc"] == pytest.approx(AREA)
    # Hanley and McNeil's standard error for 60 and 40 cases is 0.05.
    assert low < AREA < high and 0.12 < high - low < 0.26


def test_what_it_cannot_score_is_refused(tmp_path):
    run = _make_run(tmp_path)
    with pytest.raises(InputError, match="is of numbers.*row 2: text=many"):
        score_column(run, "text", tmp_path / "out", None)
    with pytest.raises(InputError, match="one column width"):
        score_column(run, "width", tmp_path / "out", None)
    other = tmp_path / "other.csv"
    lines = (tmp_path / "cases.csv").read_text(encoding="utf-8").splitlines()
    other.write_text("\n".join([*lines[:-1], lines[-1].replace(",7,", ",,")]))
    assert len(read_column(other, "slices", "malignancy", "<3:0,>3:1")) == 4
    with pytest.raises(InputError, match="a number for each case.*one for case_0_5"):
        score_column(run, "slices", tmp_path / "out", str(other))
    (tmp_path / "ncc").mkdir()
    with pytest.raises(InputError, match="tells two classes apart.*--task=ncc"):
        score_column(
            _make_run(tmp_path / "ncc", task="ncc"), "slices", tmp_path / "out", None
        )
    assert not (tmp_path / "out").exists()
