"""Scoring the models of a finished fine-tuning run again."""

import dataclasses
from pathlib import Path

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.finetuning import summarise
from models_genesis_tf.experiments.finished_runs import read_finished
from models_genesis_tf.experiments.labelled_data import (
    LabelledData,
    load_labelled_data,
)
from models_genesis_tf.experiments.scoring import score_model
from models_genesis_tf.experiments.trial import cases_to_score
from models_genesis_tf.tasks.splits import split_sha256


def evaluate(
    run: Path, folder: Path, split: str | None, data: dict, cache_dir: str | None
) -> Path:
    """Scores each trial's model on cases that it did not train on.

    Args:
      run: Folder of a run that came to its end.
      folder: Where the scores are written.
      split: "test" or "valid"; None is what the run was scored on.
      data: `manifest` or `data_dir`, if the cases moved; else they are where they were.
      cache_dir: Where prepared cases are kept; None is where the run keeps them.

    Returns:
      Path of results.json: as the run's own, with these scores.

    Raises:
      InputError: If the run has not come to its end, its cases or classes are other
        ones now, or the scores would be written over its own.
    """
    config, labelled, results = load_run(run, folder, split, data, cache_dir)
    run_folder.make_folder(folder)
    trials = []
    for result in results["trials"]:
        number = result["trial"]
        cases = cases_to_score(labelled, config, number)
        model = run / f"trial_{number}" / "model.keras"
        rows, scores, notes = score_model(
            model, labelled, cases, config.fast_upsampling
        )
        run_folder.write_rows(folder / f"trial_{number}_scores.csv", rows)
        trials.append(
            result | {"scores": scores, "notes": notes, "scored_cases": len(cases)}
        )
    results |= {"score_split": config.score_split, "trials": trials}
    run_folder.write_json(folder / "results.json", results)
    print(summarise(trials, config.score_split))
    return folder / "results.json"


def load_run(
    run: Path,
    folder: Path,
    split: str | None,
    data: dict,
    cache_dir: str | None,
) -> tuple[FinetuneConfig, LabelledData, dict]:
    """Prepares the cases that a run is scored on, once it has come to its end.

    Args:
      run: See `evaluate`, as for the others.
      folder: See there.
      split: See there.
      data: See there.
      cache_dir: See there.

    Returns:
      The settings, whose `score_split` is the part that is scored; the data; and what
      results.json holds.

    Raises:
      InputError: As `evaluate`.
    """
    record, results = read_finished(run)
    if folder.resolve() == run.resolve():
        raise InputError(
            "scores are written beside a run's own. "
            f"Received: --output_dir={folder}, which is the run"
        )
    config = _settings(record["settings"])
    needless = "data_dir" if config.task == "custom" else "manifest"
    if needless in data:
        raise InputError(
            f"--{needless} is no flag of --task={config.task}, which the run is of. "
            f"Received: --{needless}={data[needless]}"
        )
    config = dataclasses.replace(
        config,
        score_split=split or config.score_split,
        **data,
        patch_size=tuple(record["patch_size"]),
    )
    labelled = load_labelled_data(
        config, _cache_dir(run, cache_dir), [config.score_split], record["classes"]
    )
    same_split = split_sha256(labelled.split) == record["split_sha256"]
    if not same_split or list(labelled.classes) != record["classes"]:
        raise InputError(
            "a run is scored on the cases and classes that it began with. "
            f"Received: others in {config.data_dir or config.manifest}"
        )
    return config, labelled, results


def _cache_dir(run: Path, asked_for: str | None) -> Path:
    """Where prepared cases are kept: as asked for, as the run had it, or beside it."""
    lines = (run_folder.flags_of(run) or "").splitlines()
    own = [line.partition("=")[2] for line in lines if line.startswith("--cache_dir=")]
    return Path(asked_for or (own and own[0]) or run.parent / "prepared")


def _settings(values: dict) -> FinetuneConfig:
    """Reads what `dataclasses.asdict` wrote; JSON turns tuples into lists."""
    return FinetuneConfig(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
    )
