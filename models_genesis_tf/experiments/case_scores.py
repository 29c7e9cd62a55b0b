"""What trials scored case by case, and what follows for patients.

A score of all cases is computed anew from scores.csv for each resample of patients; it
has to agree with results.json on the cases as they are.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.statistics import (
    MIN_PATIENTS,
    Interval,
    bootstrap_interval,
)
from models_genesis_tf.experiments.run_results import TrialScore

_STREAM = 10
_TOLERANCE = 1e-6

Statistic = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class CaseScores:
    """The rows of a trial's scores.csv.

    Attributes:
      cases: Names, one for each row.
      patients: Their patients.
      columns: float64 values of each numeric column, nan where a cell is empty.
    """

    cases: tuple[str, ...]
    patients: tuple[str, ...]
    columns: dict[str, np.ndarray]


def read_case_scores(path: Path) -> CaseScores:
    """Reads what a trial scored on each case.

    Args:
      path: A scores.csv.

    Returns:
      Its rows.

    Raises:
      OSError: If it cannot be read.
      ValueError: If it has no row, or a value is no number.
      KeyError: If it has no column `case` or `patient`.
      csv.Error: If it is no csv file.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if not rows:
        raise ValueError("no rows")
    columns = {
        name: np.array([float(row[name] or "nan") for row in rows])
        for name in rows[0]
        if name not in ("case", "patient")
    }
    cases, patients = (tuple(row[name] for row in rows) for name in ("case", "patient"))
    return CaseScores(cases, patients, columns)


def patient_interval(
    metric: str,
    reference: Sequence[TrialScore],
    arm: Sequence[TrialScore],
    resamples: int,
    seed: int,
) -> tuple[Interval | None, str]:
    """How far the gain of an arm would move with other patients.

    Both arms are scored on the same patients in each resample, and the mean over trials
    is taken, so that the interval speaks of patients alone.

    Args:
      metric: Name of the score.
      reference: Trials of the arm compared with.
      arm: Trials of the arm whose gain is measured.
      resamples: Of the bootstrap.
      seed: Of the same.

    Returns:
      The 95 % interval of the difference and an empty text, or None and why not.
    """
    tables = []
    for trial in (*arm, *reference):
        path = trial.folder / "scores.csv"
        try:
            tables.append(read_case_scores(path))
        except FileNotFoundError:
            return None, f"{path} is missing"
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            return None, f"{path} cannot be read ({error})"
    cases = tables[0].cases
    first = (cases, tables[0].patients)
    if any((table.cases, table.patients) != first for table in tables):
        return None, "trials were scored on different cases"
    patients = len(set(tables[0].patients))
    if patients < MIN_PATIENTS:
        return None, f"{patients} patients, and a bootstrap takes {MIN_PATIENTS}"
    statistics = []
    for trial, table in zip((*arm, *reference), tables, strict=True):
        statistic = _statistic(metric, trial, table)
        if statistic is None:
            return None, f"{metric} is not computed from scores.csv"
        if not abs(statistic(np.arange(len(cases))) - trial.score) <= _TOLERANCE:
            return None, f"{trial.folder}: scores.csv does not give the trial's score"
        statistics.append(statistic)

    def gain(rows: np.ndarray) -> float:
        scores = [statistic(rows) for statistic in statistics]
        return float(np.mean(scores[: len(arm)]) - np.mean(scores[len(arm) :]))

    rng = np.random.default_rng([seed, _STREAM])
    owners = tables[0].patients
    try:
        return bootstrap_interval(owners, gain, rng, resamples=resamples), ""
    except InputError as error:  # the score is undefined in many resamples
        return None, str(error)


def _statistic(metric: str, trial: TrialScore, table: CaseScores) -> Statistic | None:
    """The metric as a function of rows; None if it does not follow from them."""
    columns = table.columns
    if metric.partition("_")[0] == "auc":
        return _auc_statistic(metric, columns)
    if metric == "accuracy" and "probability" in columns:
        right = (columns["probability"] > 0.5) == (columns["label"] == 1)
        return lambda rows: float(right[rows].mean())
    names = [metric]
    if metric.endswith("_mean"):
        stem = metric.removesuffix("mean")
        names = [name for name in trial.scores if name.startswith(stem)]
    values = [columns[name] for name in names if name in columns]
    return _mean_statistic(np.stack(values)) if values else None


def _mean_statistic(values: np.ndarray) -> Statistic:
    """Mean over cases, then over classes, of a (class, case) array."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)

    def mean(rows: np.ndarray) -> float:
        counts = known[:, rows].sum(axis=1)
        if not counts.all():
            return float("nan")
        return float((filled[:, rows].sum(axis=1) / counts).mean())

    return mean


def _auc_statistic(metric: str, columns: dict[str, np.ndarray]) -> Statistic | None:
    """Area under the curve of a class against the rest, or the mean of such areas."""
    pairs = _one_against_rest(columns)
    if metric not in ("auc", "auc_mean"):
        name = metric.removeprefix("auc_")
        pairs = {name: pairs[name]} if name in pairs else {}
    if not pairs:
        return None
    # A class that is in no case, or in all, has no curve.
    curves = [_Curve(*pair) for pair in pairs.values() if 0 < pair[0].mean() < 1]
    cases = len(next(iter(columns.values())))

    def area(rows: np.ndarray) -> float:
        weights = np.bincount(rows, minlength=cases)
        areas = [curve.area(weights) for curve in curves]
        return float(np.mean(areas)) if areas else float("nan")

    return area


def _one_against_rest(
    columns: dict[str, np.ndarray],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Which cases are of a class, and how probably each is, by the class's name.

    `label` is 1 or 0 beside one `probability`, or the index k beside `probability_<k>`;
    where a case may be of several classes, `label_<class>` is 1 or 0 beside
    `probability_<class>`.
    """
    labels = columns.get("label")
    if labels is not None and "probability" in columns:
        return {"1": (labels == 1, columns["probability"])}
    pairs = {}
    for column, values in columns.items():
        name = column.removeprefix("probability_")
        own = columns.get(f"label_{name}")
        if name == column or (labels is None and own is None):
            continue
        pairs[name] = (own == 1 if labels is None else labels == int(name), values)
    return pairs


class _Curve:
    """A ROC curve of cases that may count several times; they are sorted once."""

    def __init__(self, positive: np.ndarray, scores: np.ndarray):
        self._order = np.argsort(scores)
        self._positive = positive[self._order]
        _, self._starts = np.unique(scores[self._order], return_index=True)  # of ties

    def area(self, weights: np.ndarray) -> float:
        """Area under the curve where case i counts `weights[i]` times."""
        ordered = weights[self._order].astype(np.float64)
        above = np.add.reduceat(ordered * self._positive, self._starts)
        below = np.add.reduceat(ordered * ~self._positive, self._starts)
        pairs = above.sum() * below.sum()
        if pairs == 0:
            return float("nan")
        won = above * (np.cumsum(below) - below / 2)  # a tie counts one half
        return float(won.sum() / pairs)
