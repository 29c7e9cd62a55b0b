"""A column of the manifest scored as if it were a network's output.

Whoever classifies nodules by how malignant they look should beat the nodule's size.
"""

from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.classification_metrics import auc
from models_genesis_tf.evaluation.statistics import MIN_PATIENTS, bootstrap_interval
from models_genesis_tf.evaluation.tables import MISSING, markdown_table
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.case_scores import CaseScores, read_case_scores
from models_genesis_tf.experiments.finished_runs import read_finished
from models_genesis_tf.tasks.custom import read_column

_SEED = 0
_STREAM = 11
_SELECTION = ("label_column", "label_map", "where")


def score_column(run: Path, column: str, folder: Path, manifest: str | None) -> str:
    """Scores a column on the cases that a run was scored on.

    Args:
      run: Folder of a finished run that tells two classes of a manifest apart.
      column: Of numbers, higher for the second class.
      folder: Where `baseline.json` and `baseline.md` are written.
      manifest: If the cases moved; else it is where it was.

    Returns:
      The table in Markdown: area under the ROC curve, its 95 % interval over patients.

    Raises:
      InputError: If the run is none of those, or a case has no number in the column.
    """
    record, _ = read_finished(run)
    settings, classes = record["settings"], record["classes"]
    if settings["task"] != "custom" or len(classes) != 2:
        raise InputError(
            "--column goes with a run of --task=custom that tells two classes apart. "
            f"Received: --run={run} of --task={settings['task']} with {len(classes)} "
            "classes"
        )
    table = read_case_scores(run / "trial_0" / "scores.csv")
    selection = {name: settings[name] for name in _SELECTION}
    values = read_column(manifest or settings["manifest"], column, **selection)
    if missing := [case for case in table.cases if case not in values]:
        raise InputError(
            "a column has a number for each case that the run was scored on. "
            f"Received: --column={column} without one for {missing[0]}"
        )
    numbers = np.array([values[case] for case in table.cases])
    found = {
        "run": run.name,
        "column": column,
        "classes": classes,
        "score_split": settings["score_split"],
        "cases": len(table.cases),
        "patients": len(set(table.patients)),
        "auc": auc(table.columns["label"], numbers),
        "auc_95": _interval(table, numbers),
    }
    text = _describe(found)
    run_folder.make_folder(folder)
    run_folder.write_json(folder / "baseline.json", found)
    run_folder.write_text(folder / "baseline.md", f"{text}\n")
    return text


def _interval(table: CaseScores, numbers: np.ndarray) -> list[float] | None:
    """The interval over patients, if there are enough of them for one."""
    if len(set(table.patients)) < MIN_PATIENTS:
        return None
    labels = table.columns["label"]

    def area(rows: np.ndarray) -> float:
        both = 0 < labels[rows].mean() < 1
        return auc(labels[rows], numbers[rows]) if both else float("nan")

    rng = np.random.default_rng([_SEED, _STREAM])
    interval = bootstrap_interval(table.patients, area, rng)
    return [interval.low, interval.high]


def _describe(found: dict) -> str:
    interval = found["auc_95"]
    header = ("Column", "Classes", "Cases", "Patients", "AUC", "95 % over patients")
    row = [
        found["column"],
        " / ".join(found["classes"]),
        str(found["cases"]),
        str(found["patients"]),
        f"{100 * found['auc']:.2f}",
        f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}" if interval else MISSING,
    ]
    return markdown_table(header, [row])
