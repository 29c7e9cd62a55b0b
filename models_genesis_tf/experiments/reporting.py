"""Run folders in, report out: Markdown, one csv file, figures.

Synthetic and real runs never share a table or a figure.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from models_genesis_tf.config import SCRATCH
from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import published, statistics
from models_genesis_tf.evaluation.tables import is_share
from models_genesis_tf.experiments import report_figures as figures
from models_genesis_tf.experiments import report_sections as sections
from models_genesis_tf.experiments.comparisons import (
    Arm,
    Comparison,
    Contest,
    Rules,
    adjust,
    arm_labels,
    compare,
    find_contests,
)
from models_genesis_tf.experiments.report_text import (
    describe_rules,
    describe_runs,
    how_to_read,
    published_notes,
)
from models_genesis_tf.experiments.run_folder import make_folder, write_text
from models_genesis_tf.experiments.run_results import LeftOut, read_runs

_KINDS = (("real", "Real data"), ("synthetic", "Synthetic data (phantoms)"))


def report(
    paths: Sequence[Path], folder: Path, metric: str | None, rules: Rules
) -> Path:
    """Compares runs and writes what came out.

    Args:
      paths: Run folders, or folders in which they lie.
      folder: Where `report.md`, `results.csv` and the figures are written.
      metric: Which score is compared; None is that of each task.
      rules: How arms are tested.

    Returns:
      Path of the report.

    Raises:
      InputError: If a path is no folder, no trial has finished in any of them, or the
        report cannot be written.
    """
    runs, left_out = read_runs(paths, metric)
    if not runs:
        found = "; ".join(f"{one.what}: {one.reason}" for one in left_out[:3])
        raise InputError(
            "a report takes a run of finetune with a finished trial. Received: --runs="
            f"{','.join(map(str, paths))} ({found or 'no run in them'})"
        )
    contests, differing = find_contests(runs)
    make_folder(folder)
    comparisons = adjust(
        [
            compare(contest, contest.arm(SCRATCH), arm, rules)
            for contest in contests
            if contest.arm(SCRATCH)
            for arm in contest.arms
            if arm.label != SCRATCH
        ]
    )
    left_out += [*differing, *_too_few(contests), *_gaps(comparisons)]
    parts = [
        "# Fine-tuning: what pre-training gains",
        describe_runs(contests, left_out),
    ]
    parts.append(describe_rules(rules))
    for name, title in _KINDS:
        chosen = [one for one in contests if one.run.synthetic == (name == "synthetic")]
        if chosen:
            parts.append(f"## {title}")
            own = [one for one in comparisons if one.contest in chosen]
            parts += _section(name, chosen, own, folder, rules)
    parts += ["## How to read this", how_to_read(comparisons)]
    parts += [
        "## What was left out",
        sections.left_out_table(left_out)
        if left_out
        else "Nothing: every run and trial that was found is in the tables.",
    ]
    write_text(folder / "results.csv", _rows(contests, comparisons))
    write_text(folder / "report.md", "\n\n".join(parts) + "\n")
    return folder / "report.md"


def _too_few(contests: Sequence[Contest]) -> list[LeftOut]:
    """Arms, and whole contests, that no test can be made with."""
    alone = [
        LeftOut(one.title, "has no run from scratch, so that no gain is measured")
        for one in contests
        if not one.arm(SCRATCH)
    ]
    return alone + [
        LeftOut(
            str(arm.trials[0].folder),
            f"is the only trial of {arm.label} for {contest.title}; a test takes 2, so "
            "it is in the tables alone",
        )
        for contest in contests
        for arm in contest.arms
        if len(arm.trials) == 1
    ]


def _gaps(comparisons: Sequence[Comparison]) -> list[LeftOut]:
    """Comparisons without a test, or without an interval over patients, and why."""
    return [
        LeftOut(f"{one.contest.full_title}: {one.arm.label}", f"{what}: {note}")
        for one in comparisons
        for what, note in (
            ("no test", one.test_note),
            ("no interval over patients", one.patients_note),
        )
        if note
    ]


def _section(
    name: str,
    contests: Sequence[Contest],
    comparisons: Sequence[Comparison],
    folder: Path,
    rules: Rules,
) -> list[str]:
    """The parts of a report on real or on synthetic data; draws their figures."""
    parts = []
    fullest, labels = _fullest(contests), arm_labels(contests)
    main = [one for one in comparisons if one.contest in fullest]
    if comparisons:
        parts += [
            "### From scratch against pre-trained",
            sections.gains_table(comparisons),
        ]
    met = [one.contest for one in comparisons]
    if alone := [contest for contest in contests if contest not in met]:
        parts += ["### Scores without a comparison", sections.scores_table(alone)]
    path = folder / f"{name}_scores.png"
    figures.draw_bars(fullest, main, labels, path)
    parts.append(_figure("Scores of every start", path))
    measured = [
        one for one in main if one.interval and is_share(one.contest.run.metric)
    ]
    if measured:
        path = folder / f"{name}_differences.png"
        figures.draw_forest(measured, path)
        parts.append(_figure("Differences from training from scratch", path))
    if table := sections.published_table(main):
        parts += ["### Beside the paper", table]
    many = [
        one for one in fullest if sum(arm.label != SCRATCH for arm in one.arms) >= 2
    ]
    if many:
        parts += ["### Ablation", sections.ablation_table(many, rules)]
    several = [one for one in contests if _shares(one, contests) > 1]
    if several:
        path = folder / f"{name}_label_shares.png"
        figures.draw_fractions(several, labels, path)
        parts += ["### Shares of the labels", sections.scores_table(several)]
        parts.append(_figure("Scores by share of the labelled patients", path))
    if table := sections.dimensions_table(contests, rules):
        parts += ["### Two and three dimensions", table]
    if notes := published_notes(contests):
        parts += ["### Of what the published numbers are", notes]
    path = folder / f"{name}_learning.png"
    if figures.draw_learning(fullest, labels, path):
        parts += ["### Learning curves", _figure("Validation loss", path)]
    return parts


def _fullest(contests: Sequence[Contest]) -> list[Contest]:
    """The contest on most labels of every task."""
    return list({one.question: one for one in reversed(contests)}.values())[::-1]


def _shares(contest: Contest, contests: Sequence[Contest]) -> int:
    return sum(one.question == contest.question for one in contests)


def _figure(caption: str, path: Path) -> str:
    return f"![{caption}]({path.name})"


def _rows(contests: Sequence[Contest], comparisons: Sequence[Comparison]) -> str:
    """The text of results.csv, one row for each arm, in the metric's own unit."""
    by_arm = {(id(one.contest), one.arm.label): one for one in comparisons}
    rows = [
        _row(contest, arm, by_arm.get((id(contest), arm.label)))
        for contest in contests
        for arm in contest.arms
    ]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


_COLUMNS = (
    *("synthetic", "task", "data", "dimension", "metric", "score_split"),
    *("train_fraction", "start", "pretrainings", "trials", "mean", "sd", "low", "high"),
    *("difference", "difference_low", "difference_high", "test", "p_value"),
    *("adjusted_p", "paired_p", "effect_size", "patients_low", "patients_high"),
    *("published_mean", "published_sd", "published_in"),
)


def _row(contest: Contest, arm: Arm, one: Comparison | None) -> dict:
    run, summary = contest.run, statistics.summarise(arm.scores)
    row = {
        "synthetic": run.synthetic,
        "task": run.task,
        "data": run.data,
        "dimension": run.dimension,
        "metric": run.metric,
        "score_split": run.score_split,
        "train_fraction": run.train_fraction,
        "start": arm.label,
        "pretrainings": arm.pretrainings,
        "trials": summary.n,
        "mean": summary.mean,
    }
    if summary.n > 1:
        interval = statistics.t_interval(arm.scores)
        row |= {"sd": summary.sd, "low": interval.low, "high": interval.high}
    if one:
        row |= _comparison_columns(one)
    if theirs := sections.published_score(contest, arm):
        row |= {
            "published_mean": theirs.mean / 100,
            "published_sd": theirs.sd / 100 if theirs.sd is not None else None,
            "published_in": published.TABLES[theirs.table],
        }
    return row


def _comparison_columns(one: Comparison) -> dict:
    columns = {"difference": one.difference}
    if one.interval:
        columns["difference_low"] = one.interval.low
        columns["difference_high"] = one.interval.high
        columns["effect_size"] = one.effect_size
    if one.test:
        columns["test"] = one.test.describe()
        columns["p_value"], columns["adjusted_p"] = one.test.p_value, one.adjusted_p
    if one.paired:
        columns["paired_p"] = one.paired.p_value
    if one.patients:
        columns["patients_low"] = one.patients.low
        columns["patients_high"] = one.patients.high
    return columns
