"""Run folders in, report out: Markdown, one csv file, figures.

Synthetic and real runs never share a table or a figure.
"""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

from models_genesis_tf.config import SCRATCH
from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import published, statistics
from models_genesis_tf.evaluation.tables import is_share
from models_genesis_tf.experiments import report_dimensions as dimensions
from models_genesis_tf.experiments import report_figures as figures
from models_genesis_tf.experiments import report_sections as sections
from models_genesis_tf.experiments.comparisons import Comparison, Rules, adjust, compare
from models_genesis_tf.experiments.contests import (
    Arm,
    Contest,
    arm_labels,
    find_contests,
)
from models_genesis_tf.experiments.learning_speed import speed_table
from models_genesis_tf.experiments.report_beside import (
    describe_baselines,
    describe_crossings,
)
from models_genesis_tf.experiments.report_making import describe_making
from models_genesis_tf.experiments.report_text import (
    describe_rules,
    describe_runs,
    how_to_read,
    published_notes,
)
from models_genesis_tf.experiments.run_folder import make_folder, write_text
from models_genesis_tf.experiments.run_results import (
    GENESIS_CT,
    GENESIS_XRAY,
    IMAGENET,
    read_runs,
)
from models_genesis_tf.experiments.run_search import LeftOut

_FIGURE = re.compile(r"(!\[[^\]]*\]\()")  # up to the name of its file
_KINDS = (("real", "Real data"), ("synthetic", "Synthetic data (phantoms)"))
# No schemes of one pre-training: what differs between them is more than that.
_NO_SCHEMES = (SCRATCH, IMAGENET, GENESIS_CT, GENESIS_XRAY)


def report(
    paths: Sequence[Path],
    folder: Path,
    metric: str | None,
    rules: Rules,
    page: bool = False,
) -> Path:
    """Compares runs and writes what came out.

    Args:
      paths: Run folders, or folders in which they lie.
      folder: Where `report.md`, `results.csv` and the figures are written.
      metric: Which score is compared; None is that of each task.
      rules: How arms are tested.
      page: Whether the report stands beside the folder, under its name, instead.

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
        ],
        rules,
    )
    starts = adjust(dimensions.compare_starts(contests, rules), rules)
    left_out += [*differing, *_too_few(contests), *_gaps([*comparisons, *starts])]
    left_out += dimensions.left_apart(contests)
    parts = [
        "# Fine-tuning: what pre-training gains",
        describe_runs(contests, left_out),
    ]
    parts.append(describe_rules(rules))
    for name, title in _KINDS:
        chosen = [one for one in contests if one.run.synthetic == (name == "synthetic")]
        if chosen:
            parts.append(f"## {title}")
            own, own_starts = (
                [one for one in all_of_them if one.contest in chosen]
                for all_of_them in (comparisons, starts)
            )
            parts += _section(name, chosen, own, own_starts, folder, rules)
    parts += describe_baselines(paths)
    parts += describe_crossings(paths, folder)
    parts += ["## How to read this", how_to_read(comparisons)]
    parts += ["## How the runs were made", describe_making(runs)]
    parts += [
        "## What was left out",
        sections.left_out_table(left_out)
        if left_out
        else "Nothing: every run and trial that was found is in the tables.",
    ]
    write_text(folder / "results.csv", _rows(contests, comparisons))
    text = "\n\n".join(parts) + "\n"
    if not page:
        write_text(folder / "report.md", text)
        return folder / "report.md"
    path = folder.with_name(f"{folder.name}.md")
    write_text(path, _FIGURE.sub(rf"\1{folder.name}/", text))
    return path


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
        LeftOut(f"{one.contest.full_title}: {_starts(one)}", f"{what}: {note}")
        for one in comparisons
        for what, note in (
            ("no test", one.test_note),
            ("no interval over patients", one.patients_note),
        )
        if note
    ]


def _starts(one: Comparison) -> str:
    """The start that is compared, and with which, if not with scratch."""
    if one.reference.label == SCRATCH:
        return one.arm.label
    return f"{one.arm.label} against {one.reference.label}"


def _section(
    name: str,
    contests: Sequence[Contest],
    comparisons: Sequence[Comparison],
    starts: Sequence[Comparison],
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
            sections.gains_table(comparisons, rules),
        ]
    met = [one.contest for one in comparisons]
    if alone := [contest for contest in contests if contest not in met]:
        parts += ["### Scores without a comparison", sections.scores_table(alone)]
    parts += _bars(name, fullest, [*main, *starts], labels, folder)
    measured = [
        one for one in main if one.interval and is_share(one.contest.run.metric)
    ]
    if measured:
        path = folder / f"{name}_differences.png"
        figures.draw_forest(measured, path)
        parts.append(_figure("Differences from training from scratch", path))
    if table := sections.published_table(main):
        parts += ["### Beside the paper", table]
    if many := [one for one in fullest if _schemes(one) >= 2]:
        parts += ["### Ablation", sections.ablation_table(many, rules)]
    several = [one for one in contests if _shares(one, contests) > 1]
    if several:
        path = folder / f"{name}_label_shares.png"
        figures.draw_fractions(several, labels, path)
        parts += ["### Shares of the labels", sections.scores_table(several)]
        parts.append(_figure("Scores by share of the labelled patients", path))
    if starts:
        parts += ["### Starts in 2D against one another"]
        parts.append(dimensions.starts_table(starts))
    if table := dimensions.dimensions_table(contests, rules):
        parts += ["### 2D and 3D", table]
    if notes := published_notes(contests):
        parts += ["### Of what the published numbers are", notes]
    path = folder / f"{name}_learning.png"
    if figures.draw_learning(fullest, labels, path):
        parts += ["### Learning curves", _figure("Validation loss", path)]
    if table := speed_table(comparisons):
        parts += ["### Steps to the lowest validation loss of scratch", table]
    return parts


def _bars(
    name: str,
    contests: Sequence[Contest],
    comparisons: Sequence[Comparison],
    labels: Sequence[str],
    folder: Path,
) -> list[str]:
    """Draws the bars of 3D networks, and those of 2D networks in a figure of theirs."""
    parts = []
    for dimension, suffix in ((3, ""), (2, "_2d")):
        drawn = [one for one in contests if one.run.dimension == dimension]
        if drawn:
            path = folder / f"{name}_scores{suffix}.png"
            figures.draw_bars(drawn, comparisons, labels, path)
            caption = f"Scores of every start in {dimension}D"
            parts.append(_figure(caption, path))
    return parts


def _schemes(contest: Contest) -> int:
    """How many schemes of pre-training there are."""
    return len({arm.name for arm in contest.arms} - set(_NO_SCHEMES))


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
    *("adjusted_p", "welch_p", "paired_p", "effect_size"),
    *("patients_low", "patients_high"),
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
    if not math.isnan(one.effect_size):
        columns["effect_size"] = one.effect_size
    if one.test:
        columns["test"] = one.test.describe()
        columns["p_value"], columns["adjusted_p"] = one.test.p_value, one.adjusted_p
    if one.welch:
        columns["welch_p"] = one.welch.p_value
    if one.paired:
        columns["paired_p"] = one.paired.p_value
    if one.patients:
        columns["patients_low"] = one.patients.low
        columns["patients_high"] = one.patients.high
    return columns
