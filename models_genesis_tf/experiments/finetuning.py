"""Fine-tuning: labelled cases in, trained and scored trials out.

Trials follow one another, each in its own folder; a run that is killed at any moment
goes on where it was, and a trial that has its scores is not touched again.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.labelled_data import (
    LabelledData,
    load_labelled_data,
)
from models_genesis_tf.experiments.run_summary import table
from models_genesis_tf.experiments.starting_weights import (
    check_unchanged,
    describe_weights,
    seen_before,
)
from models_genesis_tf.experiments.trial import Trial
from models_genesis_tf.models.precision import choose_precision, read_cpu_features
from models_genesis_tf.models.saving import read_metadata
from models_genesis_tf.phantoms.marker import is_phantom
from models_genesis_tf.tasks.splits import split_sha256
from models_genesis_tf.training import strategy
from models_genesis_tf.training.workers import ALONE, MULTI_WORKER

_MOST_WARNINGS = 12


def finetune(folder: Path, config: FinetuneConfig, cache_dir: Path) -> Path | None:
    """Trains and scores the trials of a run, or goes on with that.

    Args:
      folder: A run folder that `run_folder.start_run` made.
      config: The settings.
      cache_dir: Where prepared cases are kept, of this run and of others.

    Returns:
      Path of results.json, or None if the process was asked to stop before the end.

    Raises:
      InputError: If manifest, cases, weights or settings break their rules, or are not
        those that the run began with.
    """
    if config.strategy == MULTI_WORKER:
        raise InputError(
            "several workers pre-train; finetune takes one machine, and the runs of a "
            f"study as many as there are. Received: --strategy={MULTI_WORKER}"
        )
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    weights = describe_weights(config)
    parts = ["train", "valid"] + ["test"] * (config.score_split == "test")
    data = load_labelled_data(config, cache_dir, parts)
    # One for all trials: those of two strategies in one process mix up their sums.
    devices = strategy.make_strategy(config.strategy, config.cross_device_ops)
    record = _start_record(folder, config, data, weights)
    record["devices"] = strategy.describe_devices(devices, ALONE)
    trials = [  # drawn before anything is written: settings that do not fit show here
        Trial(
            data,
            folder / f"trial_{number}",
            config,
            number,
            devices,
            record["precision"],
        )
        for number in range(config.trials)
    ]
    print(table(_describe(data, config, record)), flush=True)
    record["seen_before"] = seen_before(config, data.split)
    for warning in _shortened(record["seen_before"]):
        print(warning, flush=True)
    run_folder.write_rows(folder / "split.csv", _split_rows(data))
    run_folder.write_json(folder / "run.json", record)
    results = _run_trials(folder, config, data, trials, weights)
    if results is None:
        return None
    run_folder.write_json(folder / "run.json", record | {"finished": True})
    print(summarise(results["trials"], config.score_split))
    return folder / "results.json"


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST_WARNINGS:
        return lines
    others = f"and {len(lines) - _MOST_WARNINGS} others, which run.json names"
    return [*lines[:_MOST_WARNINGS], others]


def _run_trials(
    folder: Path,
    config: FinetuneConfig,
    data: LabelledData,
    trials: Sequence[Trial],
    weights: dict | None,
) -> dict | None:
    """Runs one trial after the other; what results.json says, None if stopped."""
    done: list[dict] = []
    for number, trial in enumerate(trials, start=1):
        print(f"trial {number} of {len(trials)}", flush=True)
        check_unchanged(config, weights)
        result, stopped_by = trial.run()
        if stopped_by:
            print(
                f"stopped by {stopped_by} in trial {number}, which is saved; the same "
                "command goes on from there"
            )
            return None
        print(_describe_scores(result), flush=True)
        done.append(result)
        results = _results(folder, config, data, weights)
        results |= {"steps": max(one["steps"] for one in done), "trials": done}
        run_folder.write_json(folder / "results.json", results)
    return results


def summarise(trials: list[dict], part: str) -> str:
    """Says how all trials scored.

    Args:
      trials: As results.json lists them.
      part: Which part of the cases was scored.

    Returns:
      Lines of text: mean and standard deviation (n - 1) over the trials by metric.
    """
    rows = {f"{part} scores": f"mean and s.d. of {len(trials)} trial(s)"}
    for name in dict.fromkeys(name for trial in trials for name in trial["scores"]):
        values = [trial["scores"].get(name) for trial in trials]
        values = [value for value in values if value is not None]
        mean = f"{np.mean(values):.4f}" if values else "undefined"
        spread = f" +- {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
        few = f" ({len(values)} trials)" if len(values) < len(trials) else ""
        rows[name] = mean + spread + few
    return table(rows)


def _start_record(
    folder: Path, config: FinetuneConfig, data: LabelledData, weights: dict | None
) -> dict:
    """What run.json says when training begins; refuses other data than before."""
    earlier = run_folder.read_record(folder)
    software = run_folder.describe_software()
    record = software | {
        "settings": dataclasses.asdict(config),
        "data_fingerprint": _fingerprint(data),
        "split_sha256": split_sha256(data.split),
        "pretraining": weights,
        "patients": {
            part: sorted({case.patient for case in getattr(data.split, part)})
            for part in ("train", "valid", "test")
        },
        "classes": list(data.classes),
        "patch_size": list(data.patch_size),
        "notices": list(data.notices),
        "precision": earlier.get("precision") or _choose_precision(config, data),
        "synthetic": _is_synthetic(config, data),
        "finished": False,
    }
    record["sessions"] = [*earlier.get("sessions", []), software]
    record["started"] = earlier.get("started", software["started"])
    for name in ("data_fingerprint", "split_sha256"):
        if earlier.get(name, record[name]) != record[name]:
            raise InputError(
                "a run goes on with the cases it began with; --restart begins it anew. "
                f"Received: other cases in {config.data_dir or config.manifest}"
            )
    check_unchanged(config, earlier.get("pretraining", weights))
    return record


def _choose_precision(config: FinetuneConfig, data: LabelledData) -> str:
    return choose_precision(
        config.precision,
        strategy.gpu_capabilities(),
        read_cpu_features(),
        data.patch_size[0],
    ).policy


def _fingerprint(data: LabelledData) -> str:
    """Identifies the prepared cases with their labels."""
    digest = hashlib.sha256(json.dumps(data.classes).encode())
    for name, prepared in sorted(data.prepared.items()):
        line = f"{name} {prepared.identity} {prepared.label}\n"
        digest.update(line.encode())
    return digest.hexdigest()


def _describe(
    data: LabelledData, config: FinetuneConfig, record: dict
) -> dict[str, str]:
    split = data.split
    scored = split.valid if config.score_split == "valid" else split.test
    return {
        "task": f"{data.task.code}: {data.task.title}",
        "cases": f"{len(split.train)} train, {len(split.valid)} validate, "
        f"{len(scored)} are scored ({config.score_split})",
        "notices": "; ".join(data.notices),
        "classes": ", ".join(data.classes),
        "patch": "x".join(map(str, data.patch_size)) + " voxels",
        "window": data.preparation.window,
        "weights": config.weights,
        "trains on": f"{record['devices']} in {record['precision']}",
    }


_HEADLINES = ("dice_mean", "iou_mean", "paper_iou", "auc", "auc_mean", "accuracy")


def _describe_scores(result: dict) -> str:
    scores = ", ".join(
        f"{name} {value:.4f}"
        for name, value in result["scores"].items()
        if name in _HEADLINES and value is not None
    )
    return "\n".join([f"trial {result['trial'] + 1}: {scores}", *result["notes"]])


def _results(
    folder: Path, config: FinetuneConfig, data: LabelledData, weights: dict | None
) -> dict:
    """What results.json says but for the trials."""
    width = read_metadata(folder / "trial_0" / "model.keras")["base_filters"]
    return {
        "task": config.task,
        "kind": data.task.kind,
        "dimension": data.task.dimension,
        "metric": data.metric,
        "weights": config.weights,
        "pretraining": weights,
        "train_fraction": config.train_fraction,
        "base_filters": width,
        "score_split": config.score_split,
        "split_sha256": split_sha256(data.split),
        "synthetic": _is_synthetic(config, data),
    }


def _is_synthetic(config: FinetuneConfig, data: LabelledData) -> bool:
    """Whether any case is a phantom."""
    parts = (data.split.train, data.split.valid, data.split.test)
    images = {case.image for part in parts for case in part}
    return any(map(is_phantom, [Path(config.data_dir or config.manifest), *images]))


def _split_rows(data: LabelledData) -> list[dict]:
    """The rows of split.csv."""
    return [
        {"case": case.name, "patient": case.patient, "split": part}
        for part in ("train", "valid", "test")
        for case in getattr(data.split, part)
    ]
