"""LUNA16's evaluation of a submission, or of what a finished NCC run scored.

TensorFlow is not needed: a run's scores are read, nothing is predicted.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.froc import (
    RATES,
    Candidate,
    Froc,
    Nodule,
    evaluate_froc,
)
from models_genesis_tf.evaluation.froc_figure import froc_figure, rate_name
from models_genesis_tf.evaluation.froc_tables import (
    read_nodules,
    read_series,
    read_submission,
)
from models_genesis_tf.evaluation.statistics import MIN_PATIENTS
from models_genesis_tf.evaluation.tables import MISSING, markdown_table
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.case_scores import read_case_scores
from models_genesis_tf.experiments.finished_runs import read_finished
from models_genesis_tf.imaging.folders import files_below

_STREAM = 20
_ANNOTATIONS, _EXCLUDED = "annotations", "annotations_excluded"  # flags and files
_NOT_OFFICIAL = (
    "CPM of these scans; LUNA16's own score takes all 888, each scored by a model of "
    "the other nine subsets"
)


@dataclass(frozen=True)
class Truth:
    """What lies in the scans.

    Attributes:
      nodules: To be found.
      irrelevant: Findings that are neither nodules nor false positives.
      files: Name of each table -> its path as text, None where there is none.
    """

    nodules: list[Nodule]
    irrelevant: list[Nodule]
    files: dict[str, str | None]


def evaluate_run(
    run: Path,
    folder: Path,
    data_dir: str | None,
    annotations: str | None,
    annotations_excluded: str | None,
) -> Path:
    """Evaluates the candidates that each trial of an NCC run scored.

    Args:
      run: Folder of a run that came to its end.
      folder: Where froc.json and froc.png are written.
      data_dir: Folder of LUNA16, in which the tables are looked for; None is the one
        that the run had.
      annotations: Table of nodules, or None to look for it.
      annotations_excluded: Table of irrelevant findings, or None to look for it; it
        may be missing.

    Returns:
      Path of froc.json.

    Raises:
      InputError: If the run has not come to its end or is of another task, or a table
        is missing or holds something else.
    """
    record, results = read_finished(run)
    settings = record["settings"]
    if settings["task"] != "ncc":
        raise InputError(
            "--froc is for runs of --task=ncc, whose candidates have their places. "
            f"Received: --run={run} of --task={settings['task']}"
        )
    data = Path(data_dir or settings["data_dir"])
    truth = _read_truth(
        annotations or _find(data, _ANNOTATIONS),
        annotations_excluded or _find(data, _EXCLUDED),
    )
    scans = _scored_scans(run / "split.csv", results["score_split"])
    frocs = {}
    for trial in results["trials"]:
        path = run / f"trial_{trial['trial']}" / "scores.csv"
        name = f"trial {trial['trial']}"
        frocs[name] = _evaluate(scans, truth, _read_scored(path, set(scans)))
    about = {
        "run": str(run),
        "score_split": results["score_split"],
        "synthetic": results["synthetic"],
    }
    written = _write(
        folder, f"{run.name}, {results['score_split']}", frocs, truth, about
    )
    print(_NOT_OFFICIAL)
    if results["synthetic"]:
        print("synthetic data: no result of LUNA16")
    return written


def evaluate_submission(
    submission: Path,
    folder: Path,
    annotations: str,
    annotations_excluded: str | None,
    seriesuids: str | None,
) -> Path:
    """Evaluates a submission.

    Args:
      submission: csv file of candidates and their probabilities.
      folder: Where froc.json and froc.png are written.
      annotations: Table of nodules.
      annotations_excluded: Table of irrelevant findings, or None.
      seriesuids: List of the scans; None takes those that the other tables name.

    Returns:
      Path of froc.json.

    Raises:
      InputError: If a table cannot be read or no nodule lies in the scans.
    """
    truth = _read_truth(annotations, annotations_excluded)
    candidates = read_submission(submission, "submission")
    if seriesuids:
        scans = read_series(Path(seriesuids), "seriesuids")
    else:
        things = (*truth.nodules, *truth.irrelevant, *candidates)
        scans = sorted({thing.series for thing in things})
        print("a scan that no table names is not counted; --seriesuids names all")
    froc = _evaluate(scans, truth, candidates)
    if froc.candidates < len(candidates):
        print(f"{len(candidates) - froc.candidates} candidates of other scans left out")
    about = {"submission": str(submission), "seriesuids": seriesuids}
    return _write(folder, submission.name, {submission.name: froc}, truth, about)


def _find(data: Path, table: str) -> str | None:
    """A table of a folder: at its top, else the only one below."""
    name = f"{table}.csv"
    if (data / name).is_file():
        return str(data / name)
    found = [path for path in files_below(data) if path.name == name]
    if len(found) > 1:
        raise InputError(
            f"--data_dir holds one {name}, or --{table} names it. "
            f"Received: {found[0]} and {found[1]}"
        )
    if not found and table == _ANNOTATIONS:
        raise InputError(
            f"--data_dir holds {name}, or --{table} names it. "
            f"Received: {data} without it"
        )
    return str(found[0]) if found else None


def _read_truth(annotations: str, excluded: str | None) -> Truth:
    nodules = read_nodules(Path(annotations), _ANNOTATIONS)
    irrelevant = read_nodules(Path(excluded), _EXCLUDED) if excluded else []
    files = {_ANNOTATIONS: annotations, _EXCLUDED: excluded}
    return Truth(nodules, irrelevant, files)


def _scored_scans(path: Path, part: str) -> list[str]:
    """The scans of a part; a patient of LUNA16 is a scan."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [
                row["patient"] for row in csv.DictReader(stream) if row["split"] == part
            ]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise InputError(
            f"a run has a split.csv of case, patient and split. Received: {path} "
            f"({error!r})"
        ) from error
    return list(dict.fromkeys(rows))


def _read_scored(path: Path, scans: set[str]) -> list[Candidate]:
    """The candidates of a trial."""
    try:
        table = read_case_scores(path)
        x, y, z, probabilities = (
            table.columns[name].tolist() for name in ("x", "y", "z", "probability")
        )
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            "a trial of NCC has a scores.csv of case, patient, label, probability, x, "
            f"y, z. Received: {path} ({error!r})"
        ) from error
    others = set(table.patients) - scans
    if others:
        raise InputError(
            "scores.csv holds candidates of the scans that split.csv names. "
            f"Received: {path} with {min(others)}"
        )
    places = zip(x, y, z, strict=True)
    return [
        Candidate(*one)
        for one in zip(table.patients, places, probabilities, strict=True)
    ]


def _evaluate(
    scans: Sequence[str], truth: Truth, candidates: Sequence[Candidate]
) -> Froc:
    rng = np.random.default_rng([0, _STREAM])  # the same draws of scans for all trials
    return evaluate_froc(scans, truth.nodules, candidates, truth.irrelevant, rng)


def _write(
    folder: Path, title: str, frocs: dict[str, Froc], truth: Truth, about: dict
) -> Path:
    """Writes froc.json and froc.png, prints the table; gives the path of the former."""
    run_folder.make_folder(folder)
    values = list(frocs.values())
    cpm = float(np.mean([froc.cpm for froc in values]))
    curves = [{"name": name} | _as_json(froc) for name, froc in frocs.items()]
    about = about | truth.files | {"mean_cpm": cpm, "curves": curves}
    run_folder.write_json(folder / "froc.json", about)
    froc_figure(values, f"{title}: CPM {cpm:.3f}", folder / "froc.png")
    print(_table(frocs))
    print(f"{values[0].scans} scans, {values[0].nodules} nodules")
    if values[0].band is None:
        print(f"no interval: a bootstrap takes {MIN_PATIENTS} scans")
    if not truth.files[_EXCLUDED]:
        print(
            "without annotations_excluded.csv irrelevant findings count as false "
            "positives"
        )
    return folder / "froc.json"


def _as_json(froc: Froc) -> dict:
    intervals = froc.intervals
    return {
        "scans": froc.scans,
        "nodules": froc.nodules,
        "found": froc.found,
        "candidates": froc.candidates,
        "cpm": froc.cpm,
        "cpm_interval": froc.cpm_interval,
        "rates": RATES,
        "sensitivities": froc.sensitivities.tolist(),
        "sensitivity_intervals": None if intervals is None else intervals.T.tolist(),
    }


def _table(frocs: dict[str, Froc]) -> str:
    """One row of sensitivities for each curve, and one of their mean."""
    rows = []
    for name, froc in frocs.items():
        interval = MISSING
        if froc.cpm_interval:
            interval = " to ".join(f"{end:.3f}" for end in froc.cpm_interval)
        values = [*froc.sensitivities, froc.cpm]
        rows.append([name, *(f"{value:.3f}" for value in values), interval])
    if len(frocs) > 1:
        values = [[*froc.sensitivities, froc.cpm] for froc in frocs.values()]
        mean = [f"{value:.3f}" for value in np.mean(values, axis=0)]
        rows.append(["mean", *mean, MISSING])
    header = ["false positives per scan", *map(rate_name, RATES), "CPM", "95 %"]
    return markdown_table(header, rows)
