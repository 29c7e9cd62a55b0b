"""Run folders of finetune, made by hand: what it writes, without the training."""

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models_genesis_tf.config import SCRATCH, FinetuneConfig
from models_genesis_tf.experiments.contests import Contest, find_contests
from models_genesis_tf.experiments.run_results import read_runs
from models_genesis_tf.experiments.run_search import LeftOut

# Dice of the trials of two arms.
SCRATCH_DICE = [0.70, 0.74, 0.69, 0.71]
UNIFIED_DICE = [0.75, 0.78, 0.74, 0.79]
PATIENTS = 50
RECIPE = "a" * 64


def segmentation_cases(rng: np.random.Generator, mean: float) -> list[dict]:
    """Rows of scores.csv whose Dice lies around a mean; patient 0 has two cases."""
    return [
        {
            "case": f"case_{case}",
            "patient": f"patient_{max(case - 1, 0)}",
            "dice_lesion": float(np.clip(rng.normal(mean, 0.05), 0, 1)),
        }
        for case in range(PATIENTS + 1)
    ]


def classification_cases(rng: np.random.Generator, gap: float) -> list[dict]:
    """Rows of scores.csv whose probabilities differ by a gap between the classes."""
    return [
        {
            "case": f"case_{case}",
            "patient": f"patient_{case}",
            "label": case % 2,
            "probability": float(1 / (1 + np.exp(-rng.normal(gap * (case % 2), 1)))),
        }
        for case in range(PATIENTS)
    ]


def multi_label_cases(
    rng: np.random.Generator, gap: float, names: Sequence[str]
) -> list[dict]:
    """Rows of scores.csv of cases that may be of several classes, or of none."""
    rows = []
    for case in range(PATIENTS):
        row = {"case": f"case_{case}", "patient": f"patient_{case}"}
        for name in names:
            label = int(rng.uniform() < 0.3)
            row[f"label_{name}"] = label
            row[f"probability_{name}"] = 1 / (1 + np.exp(-rng.normal(gap * label, 1)))
        rows.append(row)
    return rows


def make_run(
    folder: Path,
    scores: Sequence[float],
    scheme: str = SCRATCH,
    metric: str = "dice_mean",
    cases: Sequence[list[dict]] | None = None,
    recipe: str = RECIPE,
    name: str | None = None,
    asked: int | None = None,
    results: dict | None = None,
    record: dict | None = None,
    **settings,
) -> Path:
    """Writes the folder of a run.

    Args:
      folder: Where.
      scores: Of each trial.
      scheme: Of the pre-training, or `SCRATCH`.
      metric: What the scores are of.
      cases: Rows of each trial's scores.csv; None writes none.
      recipe: Identifies the pre-training.
      name: Of the pre-training; None is made of its scheme.
      asked: Trials asked for; None is as many as there are.
      results: What results.json says otherwise.
      record: What run.json says otherwise.
      **settings: Fields of `FinetuneConfig`.

    Returns:
      The folder.
    """
    kind = "classification" if metric.startswith("auc") else "segmentation"
    weights = SCRATCH if scheme == SCRATCH else f"runs/{scheme}/model.keras"
    config = FinetuneConfig(
        **{
            "manifest": "data/lesions/cases.csv",
            "kind": kind,
            "weights": weights,
            "trials": asked or len(scores),
        }
        | settings
    )
    trials = []
    for number, score in enumerate(scores):
        trial = folder / f"trial_{number}"
        trial.mkdir(parents=True)
        if cases is not None:
            _write_rows(trial / "scores.csv", cases[number])
        _write_rows(
            trial / "history.csv",
            [
                {"epoch": e, "step": 10 * e, "loss": 1 / e, "val_loss": 1 / e + score}
                for e in range(1, 6)
            ],
        )
        named = {metric: score}
        if metric == "dice_mean":
            named["dice_lesion"] = score
        trials.append(
            {
                "trial": number,
                "seed": config.seed,
                "subset_sha256": f"{config.train_fraction} {number}",
                "steps": 50,
                "scores": named,
            }
        )
    pretraining = None
    if weights != SCRATCH:
        pretraining = {
            "name": name or f"pretrain_{scheme}",
            "scheme": scheme,
            "seed": 0,
            "sha256": f"weights {scheme} {recipe}",
            "recipe_sha256": recipe + scheme,
        }
    _write_json(
        folder / "results.json",
        {
            "task": config.task,
            "kind": config.kind,
            "dimension": 3,
            "metric": metric,
            "weights": config.weights,
            "pretraining": pretraining,
            "train_fraction": config.train_fraction,
            "base_filters": 8,
            "score_split": config.score_split,
            "split_sha256": "split",
            "synthetic": False,
            "steps": 50,
            "trials": trials,
        }
        | (results or {}),
    )
    _write_json(
        folder / "run.json",
        {
            "settings": dataclasses.asdict(config),
            "patch_size": [32, 32, 16],
            "precision": "float32",
            "classes": ["0", "lesion"],
            "data_fingerprint": "cases",
            "patients": {"train": ["a", "b"], "valid": ["c"], "test": ["d"]},
            "finished": True,
        }
        | (record or {}),
    )
    return folder


def _write_json(path: Path, values: dict) -> None:
    path.write_text(json.dumps(values))


def _write_rows(path: Path, rows: Sequence[dict]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def make_pair(folder: Path, **settings) -> None:
    """Makes a run from scratch and a pre-trained one."""
    make_run(folder / "scratch", SCRATCH_DICE, **settings)
    make_run(folder / "unified", UNIFIED_DICE, "unified", **settings)


def read_contests(folder: Path) -> tuple[list[Contest], list[LeftOut]]:
    """The contests of all runs below a folder, and what has no part in them."""
    runs, left_out = read_runs([folder])
    contests, differing = find_contests(runs)
    return contests, left_out + differing
