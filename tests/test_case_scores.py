"""Scores of cases: the metrics that are made of them, and resampled patients."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from models_genesis_tf.evaluation.classification_metrics import auc, mean_auc
from models_genesis_tf.experiments.case_scores import (
    patient_interval,
    read_case_scores,
)
from models_genesis_tf.experiments.run_results import read_runs
from tests.run_folders import (
    PATIENTS,
    classification_cases,
    make_run,
    multi_label_cases,
)


def _trials(folder: Path, metric: str | None = None):
    (run,), _ = read_runs([folder], metric)
    return run.trials


def _auc(rows) -> float:
    labels = np.array([row["label"] for row in rows])
    return auc(labels, np.array([row["probability"] for row in rows]))


def test_the_interval_of_an_auc_is_scipys_bootstrap(tmp_path):
    rng = np.random.default_rng(1)
    poor = [classification_cases(rng, 0.5) for _ in range(2)]
    good = [classification_cases(rng, 2.0) for _ in range(2)]
    make_run(tmp_path / "a", [_auc(rows) for rows in poor], metric="auc", cases=poor)
    make_run(tmp_path / "b", [_auc(rows) for rows in good], metric="auc", cases=good)
    interval, note = patient_interval(
        "auc", _trials(tmp_path / "a"), _trials(tmp_path / "b"), 1000, 0
    )
    assert note == ""

    def gain(rows):
        scores = [
            [_auc([table[row] for row in rows]) for table in arm]
            for arm in (good, poor)
        ]
        return np.mean(scores[0]) - np.mean(scores[1])

    expected = stats.bootstrap(
        (np.arange(PATIENTS),),
        gain,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    # Two draws of 1,000: their percentiles differ by some hundredths of the width.
    width = expected.high - expected.low
    assert interval.low == pytest.approx(expected.low, abs=0.1 * width)
    assert interval.high == pytest.approx(expected.high, abs=0.1 * width)


def test_the_auc_of_several_classes_is_the_scored_one(tmp_path):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, PATIENTS)
    outputs = rng.dirichlet((1, 1, 1), PATIENTS) + 0.3 * np.eye(3)[labels]
    rows = [
        {"case": f"case_{i}", "patient": f"patient_{i}", "label": int(labels[i])}
        | {f"probability_{k}": outputs[i, k] for k in range(3)}
        for i in range(PATIENTS)
    ]
    mean, _ = mean_auc(labels, outputs, 3)
    make_run(tmp_path / "a", [mean], metric="auc_mean", cases=[rows])
    trials = _trials(tmp_path / "a")
    interval, note = patient_interval("auc_mean", trials, trials, 100, 0)
    assert note == ""
    assert (interval.low, interval.high) == (0, 0)


LABELS = ("Mass", "Pleural_Thickening", "Nodule")


def _multi_label(folder: Path, gap: float, rng) -> tuple[Path, list[dict]]:
    """A run of one trial with the scores that scikit-learn gives its rows."""
    rows = multi_label_cases(rng, gap, LABELS)
    areas = {f"auc_{name}": _area(rows, name) for name in LABELS}
    mean = float(np.mean(list(areas.values())))
    make_run(folder, [mean], metric="auc_mean", cases=[rows])
    path = folder / "results.json"
    results = json.loads(path.read_text())
    results["trials"][0]["scores"] |= areas
    path.write_text(json.dumps(results))
    return folder, rows


def _area(rows: list[dict], name: str) -> float:
    labels = [row[f"label_{name}"] for row in rows]
    return roc_auc_score(labels, [row[f"probability_{name}"] for row in rows])


def _rank_area(rows: list[dict], name: str) -> float:
    """The same by Mann and Whitney's ranks, for many draws."""
    labels = np.array([row[f"label_{name}"] for row in rows])
    ranks = stats.rankdata([row[f"probability_{name}"] for row in rows])
    positive = labels.sum()
    above = ranks[labels == 1].sum() - positive * (positive + 1) / 2
    return above / (positive * (len(rows) - positive))


@pytest.mark.parametrize("metric", ["auc_mean", "auc_Pleural_Thickening"])
def test_cases_of_several_classes_are_drawn_with_all_of_them(tmp_path, metric):
    rng = np.random.default_rng(6)
    poor, poor_rows = _multi_label(tmp_path / "a", 0.5, rng)
    good, good_rows = _multi_label(tmp_path / "b", 2.0, rng)
    interval, note = patient_interval(
        metric, _trials(poor, metric), _trials(good, metric), 1000, 0
    )
    assert note == ""
    names = LABELS if metric == "auc_mean" else ("Pleural_Thickening",)
    rng, gains = np.random.default_rng(7), []
    for _ in range(500):
        drawn = rng.integers(0, PATIENTS, PATIENTS)
        means = [
            np.mean([_rank_area([rows[i] for i in drawn], name) for name in names])
            for rows in (good_rows, poor_rows)
        ]
        gains.append(means[0] - means[1])
    low, high = np.percentile(gains, [2.5, 97.5])
    assert interval.low == pytest.approx(low, abs=0.15 * (high - low))
    assert interval.high == pytest.approx(high, abs=0.15 * (high - low))


def test_a_class_that_all_cases_have_or_none_is_left_out_of_the_mean(tmp_path):
    rng = np.random.default_rng(8)
    rows = multi_label_cases(rng, 1.0, LABELS)
    rows = [row | {"label_Mass": 0, "label_Nodule": 1} for row in rows]
    score = _area(rows, "Pleural_Thickening")
    make_run(tmp_path / "a", [score], metric="auc_mean", cases=[rows])
    trials = _trials(tmp_path / "a")
    assert patient_interval("auc_mean", trials, trials, 100, 0)[1] == ""


def test_a_label_without_its_probability_has_no_interval(tmp_path):
    rows = multi_label_cases(np.random.default_rng(9), 1.0, LABELS)
    score = _area(rows, "Mass")
    make_run(tmp_path / "a", [score], metric="auc_Hernia", cases=[rows])
    trials = _trials(tmp_path / "a")
    note = patient_interval("auc_Hernia", trials, trials, 100, 0)[1]
    assert note == "auc_Hernia is not computed from scores.csv"


def _dice_rows(values) -> list[dict]:
    return [
        {"case": f"c{i}", "patient": f"p{i}", "dice_1": a, "dice_2": b}
        for i, (a, b) in enumerate(values)
    ]


def test_classes_are_averaged_after_cases_and_empty_cells_left_out(tmp_path):
    values = np.random.default_rng(3).uniform(size=(PATIENTS, 2))
    values[:20, 1] = np.nan
    score = np.nanmean(values, axis=0).mean()
    rows = [
        {name: "" if value != value else value for name, value in row.items()}
        for row in _dice_rows(values)
    ]
    make_run(tmp_path / "a", [score], cases=[rows])
    (trial,) = _trials(tmp_path / "a")
    trial = dataclasses.replace(
        trial, scores={"dice_mean": score, "dice_1": 0.5, "dice_2": 0.5}
    )
    interval, note = patient_interval("dice_mean", [trial], [trial], 100, 0)
    assert note == ""
    assert interval.n == PATIENTS


def _fails(tmp_path, change=lambda folder: None, metric=None) -> str:
    rows = _dice_rows(np.full((PATIENTS, 2), 0.5))
    for name in ("a", "b"):
        make_run(
            tmp_path / name,
            [0.5],
            cases=[[{k: v for k, v in row.items() if k != "dice_2"} for row in rows]],
            results=None,
        )
    for name in ("a", "b"):
        path = tmp_path / name / "results.json"
        text = path.read_text().replace("dice_lesion", "dice_1")
        path.write_text(text.replace('"dice_mean": 0.5', '"dice_mean": 0.5, "x": 0.5'))
    change(tmp_path / "b" / "trial_0" / "scores.csv")
    interval, note = patient_interval(
        metric or "dice_mean",
        _trials(tmp_path / "a", metric),
        _trials(tmp_path / "b", metric),
        100,
        0,
    )
    assert (interval is None) == bool(note)
    return note


def test_nothing_fails_on_sound_files(tmp_path):
    assert _fails(tmp_path) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "scores.csv is missing"),
        (lambda path: path.write_text("case,patient\n"), "(no rows)"),
        (lambda path: path.write_text("\0" * 200_000), "scores.csv cannot be read"),
        (
            lambda path: path.write_text(path.read_text().replace("p3,", "q3,")),
            "trials were scored on different cases",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("0.5", "half", 1)),
            "scores.csv cannot be read",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("c3,", "d3,")),
            "trials were scored on different cases",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("0.5", "0.9", 1)),
            "scores.csv does not give the trial's score",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("dice_1", "x_1")),
            "dice_mean is not computed from scores.csv",
        ),
    ],
)
def test_what_keeps_patients_from_being_drawn_is_said(tmp_path, change, reason):
    assert reason in _fails(tmp_path, change)


def test_a_score_that_is_no_mean_of_cases_has_no_interval(tmp_path):
    reason = "x is not computed from scores.csv"
    assert _fails(tmp_path, metric="x") == reason


def test_few_patients_have_no_interval(tmp_path):
    rows = _dice_rows(np.full((PATIENTS, 2), 0.5))
    rows = [row | {"patient": f"p{i % 39}"} for i, row in enumerate(rows)]
    make_run(tmp_path / "a", [0.5], cases=[rows])
    trials = _trials(tmp_path / "a")
    _, note = patient_interval("dice_mean", trials, trials, 100, 0)
    assert note == "39 patients, and a bootstrap takes 40"


def test_rows_are_read_with_their_empty_cells(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("case,patient,hd95_mm_1\na,p,1.5\nb,q,\n")
    table = read_case_scores(path)
    assert (table.cases, table.patients) == (("a", "b"), ("p", "q"))
    assert table.columns["hd95_mm_1"][0] == 1.5
    assert np.isnan(table.columns["hd95_mm_1"][1])


def test_an_auc_of_tied_scores_is_scikit_learns(tmp_path):
    rng = np.random.default_rng(4)
    rows = classification_cases(rng, 1.0)
    rows = [row | {"probability": round(row["probability"], 1)} for row in rows]
    make_run(tmp_path / "a", [_auc(rows)], metric="auc", cases=[rows])
    trials = _trials(tmp_path / "a")
    assert patient_interval("auc", trials, trials, 100, 0)[1] == ""
