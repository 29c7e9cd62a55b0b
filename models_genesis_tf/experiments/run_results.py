"""The results of fine-tuning runs, read from their folders, strictly.

What cannot be read, or did not come to its end, is left out and named; it never ends
the reading of the rest.
"""

import csv
import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.config import (
    HOW_IT_RUNS,
    LEARNING_RATES,
    SCRATCH,
    FinetuneConfig,
)
from models_genesis_tf.experiments.run_search import LeftOut, find_runs
from models_genesis_tf.tasks.catalogue import OWN_SETTINGS, PUBLISHED, recipe

# Settings that tell runs of one arm, or arms, apart; all others are the budget.
_NO_BUDGET = (
    *("weights", "trials", "seed", "train_fraction", "base_filters", "patch_size"),
    *("task", "kind", "manifest", "label_column", "label_map", "where", "data_dir"),
    *("dimension", *HOW_IT_RUNS),
)
GENESIS = "unified"  # the scheme whose pre-trained weights the paper calls Genesis
IMAGENET = "imagenet"
# In two dimensions there are two, which the name of a pre-training tells apart.
GENESIS_CT, GENESIS_XRAY = "Genesis CT 2D", "Genesis X-ray 2D"
_SCANS = {
    GENESIS_CT: re.compile(r"chest[ _-]?ct", re.IGNORECASE),
    GENESIS_XRAY: re.compile(r"chest[ _-]?x-?ray", re.IGNORECASE),
}


@dataclass(frozen=True)
class TrialScore:
    """One trial that was trained and scored.

    Attributes:
      seed: Of its run.
      number: From 0; trials of two arms pair up by seed and number.
      subset_sha256: Identifies the training cases.
      score: Of the report's metric, in the metric's own unit.
      scores: All that were measured, by metric.
      folder: Its own folder, with scores.csv and history.csv.
    """

    seed: int
    number: int
    subset_sha256: str
    score: float
    scores: dict
    folder: Path


@dataclass(frozen=True)
class RunScores:
    """One fine-tuning run with its trials.

    Attributes:
      folder: The run folder.
      task: Code of the task.
      data: What was learned from which cases, for people; empty for a published task.
      kind: "classification" or "segmentation".
      dimension: 2 or 3.
      synthetic: Whether the cases are phantoms.
      metric: Name of the score that trials are compared by.
      score_split: The part that was scored.
      train_fraction: Share of the labelled patients used.
      arm: "scratch", "imagenet", `GENESIS_CT`, `GENESIS_XRAY`, the scheme of any other
        pre-training, or the name of weights that do not say theirs.
      pretraining: Identifies the pre-training but for its seed; empty from scratch.
      pretraining_name: Of the weights, for people; empty from scratch.
      weights_sha256: Of the file of weights; empty from scratch.
      budget: Settings that arms share when they are compared.
      patients: Identifies which patients train, validate and are tested.
      trials: One or more, by seed and number.
    """

    folder: Path
    task: str
    data: str
    kind: str
    dimension: int
    synthetic: bool
    metric: str
    score_split: str
    train_fraction: float
    arm: str
    pretraining: str
    pretraining_name: str
    weights_sha256: str
    budget: dict
    patients: str
    trials: tuple[TrialScore, ...]


def read_runs(
    paths: Sequence[Path], metric: str | None = None
) -> tuple[list[RunScores], list[LeftOut]]:
    """Reads all fine-tuning runs in some folders.

    Args:
      paths: Run folders, or folders in which they lie, at most four levels deep.
      metric: Which score is compared; None is that of the task.

    Returns:
      The runs that have a finished trial, in the order of the paths and then of their
      names; and what was left out.

    Raises:
      InputError: If a path is no folder.
    """
    runs, left_out = [], []
    for found in find_runs(paths):
        if isinstance(found, LeftOut):
            left_out.append(found)
            continue
        try:
            run, missing = _read_run(found, metric)
        except _Broken as error:
            left_out.append(LeftOut(str(found), str(error)))
            continue
        left_out += missing
        if run.trials:
            runs.append(run)
    return runs, left_out


class _Broken(Exception):
    """A run that cannot be read."""


def _read_json(path: Path) -> dict:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _Broken(f"{path.name} cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise _Broken(f"{path.name} holds no dictionary")
    return values


def _read_run(folder: Path, metric: str | None) -> tuple[RunScores, list[LeftOut]]:
    if not (folder / "results.json").exists():
        raise _Broken("no trial has finished")
    if not (folder / "run.json").exists():
        raise _Broken("run.json is missing: scores of `evaluate`, or half of a run")
    results, record = (
        _read_json(folder / name) for name in ("results.json", "run.json")
    )
    try:
        return _understand(folder, results, record, metric)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _Broken(
            f"results.json or run.json lacks what a run writes ({error!r})"
        ) from error


def _understand(
    folder: Path, results: dict, record: dict, metric: str | None
) -> tuple[RunScores, list[LeftOut]]:
    settings, weights = record["settings"], results["pretraining"] or {}
    metric = metric or results["metric"]
    trials, missing = _read_trials(folder, results["trials"], metric)
    done = {trial.number for trial in trials} | {
        one["trial"] for one in results["trials"]
    }
    missing += [
        LeftOut(str(folder / f"trial_{number}"), "has not finished")
        for number in range(settings["trials"])
        if number not in done
    ]
    patients = json.dumps(record["patients"], sort_keys=True)
    run = RunScores(
        folder=folder,
        task=results["task"],
        data=_describe_data(settings),
        kind=results["kind"],
        dimension=results["dimension"],
        synthetic=results["synthetic"],
        metric=metric,
        score_split=results["score_split"],
        train_fraction=results["train_fraction"],
        arm=_name_arm(results, weights),
        pretraining=weights.get("recipe_sha256") or weights.get("sha256", ""),
        pretraining_name=weights.get("name", ""),
        weights_sha256=weights.get("sha256", ""),
        budget=_budget(results, record),
        patients=hashlib.sha256(patients.encode()).hexdigest(),
        trials=tuple(trials),
    )
    return run, missing


def _name_arm(results: dict, weights: dict) -> str:
    """What a run started from."""
    if results["weights"] == SCRATCH:
        return SCRATCH
    if results["weights"].startswith(f"{IMAGENET}:"):
        return IMAGENET
    scheme, name = weights["scheme"], weights["name"]
    if results["dimension"] == 2 and scheme in (None, GENESIS):
        for arm, pattern in _SCANS.items():
            if pattern.search(name):
                return arm
    return scheme or name


def _read_trials(
    folder: Path, entries: list[dict], metric: str
) -> tuple[list[TrialScore], list[LeftOut]]:
    trials, missing = [], []
    for entry in entries:
        trial_folder = folder / f"trial_{entry['trial']}"
        score = entry["scores"].get(metric)
        if score is None or not math.isfinite(score):
            reason = f"has no {metric}; its scores are {', '.join(entry['scores'])}"
            if metric in entry["scores"]:
                reason = f"{metric} is not defined"
            missing.append(LeftOut(str(trial_folder), reason))
            continue
        trials.append(
            TrialScore(
                entry["seed"],
                entry["trial"],
                entry["subset_sha256"],
                float(score),
                entry["scores"],
                trial_folder,
            )
        )
    return trials, missing


def _budget(results: dict, record: dict) -> dict:
    """What has to be equal in all arms of a comparison."""
    # A setting that a run did not know yet had its default.
    settings = dataclasses.asdict(FinetuneConfig()) | record["settings"]
    budget = {name: value for name, value in settings.items() if name not in _NO_BUDGET}
    if budget["learning_rate"] is None:
        budget["learning_rate"] = LEARNING_RATES[budget["optimizer"]]
    return budget | {
        "base_filters": results["base_filters"],
        "patch_size": record["patch_size"],
        "precision": record["precision"],
        "classes": record["classes"],
        "split": results["split_sha256"],
        "cases": record["data_fingerprint"],
    }


def _describe_data(settings: dict) -> str:
    """What a manifest's task is called, or what is unusual in a published one."""
    usual = dataclasses.asdict(recipe(settings["task"]))
    if settings["task"] in PUBLISHED:
        own = OWN_SETTINGS.get(settings["task"], ())
        values = {name: settings.get(name, usual[name]) for name in own}
        return ", ".join(
            f"{name} {_plain(value)}"
            for name, value in values.items()
            if _plain(value) != _plain(usual[name])
        )
    manifest = Path(settings["manifest"])
    name = f"{manifest.parent.name}/{manifest.name}".lstrip("/")
    column = settings["label_column"]
    parts = [] if column == "label" else [column]
    parts += [text for name in ("label_map", "where") if (text := settings[name])]
    return f"{name} ({', '.join(parts)})" if parts else name


def _plain(value: object) -> str:
    """A setting as text; JSON turns tuples into lists."""
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def read_history(folder: Path) -> tuple[list[int], list[float]]:
    """Reads how a trial learned.

    Args:
      folder: Of the trial.

    Returns:
      Steps, and the validation loss after each; empty lists if nothing can be read.
    """
    path = folder / "history.csv"
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        steps = [int(row["step"]) for row in rows]
        return steps, [float(row["val_loss"]) for row in rows]
    except (OSError, KeyError, ValueError, TypeError, csv.Error):
        return [], []
