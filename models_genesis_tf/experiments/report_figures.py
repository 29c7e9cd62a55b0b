"""The figures of a report: contests in, PNG files out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models_genesis_tf.evaluation import published, statistics
from models_genesis_tf.evaluation.curves import (
    FractionCurve,
    FractionPanel,
    LearningCurve,
    LearningPanel,
    fraction_curves,
    learning_curves,
)
from models_genesis_tf.evaluation.figures import (
    ArmScores,
    BarPanel,
    ForestRow,
    Mark,
    bar_chart,
    forest_plot,
)
from models_genesis_tf.evaluation.tables import format_p, is_share, metric_title
from models_genesis_tf.experiments.comparisons import Comparison
from models_genesis_tf.experiments.contests import Arm, Contest, arm_labels
from models_genesis_tf.experiments.report_sections import published_score
from models_genesis_tf.experiments.run_results import read_history

_BAND = "95 % interval over trials"


def draw_bars(
    contests: Sequence[Contest],
    comparisons: Sequence[Comparison],
    labels: Sequence[str],
    path: Path,
) -> None:
    """Draws the score of every arm with marks of significance between pairs.

    Args:
      contests: One panel each.
      comparisons: Of two starts each, with adjusted p values; those of other contests
        are not drawn.
      labels: Of all arms, in the order of their colours.
      path: PNG to write.
    """
    panels = []
    for contest in contests:
        marks = tuple(
            Mark(
                contest.arms.index(one.reference),
                contest.arms.index(one.arm),
                statistics.significance_mark(one.adjusted_p),
            )
            for one in comparisons
            if one.contest is contest and one.test is not None
        )
        arms = tuple(_arm_scores(contest, arm) for arm in contest.arms)
        title, axis = contest.full_title, metric_title(contest.run.metric)
        panels.append(BarPanel(title, axis, arms, marks))
    bar_chart(panels, path, labels)


def _arm_scores(contest: Contest, arm: Arm) -> ArmScores:
    scale, theirs = _scale(contest), published_score(contest, arm)
    return ArmScores(
        arm.label,
        tuple(scale * score for score in arm.scores),
        (theirs.mean, theirs.sd) if theirs and theirs.sd is not None else None,
    )


def _scale(contest: Contest) -> int:
    return 100 if is_share(contest.run.metric) else 1


def draw_forest(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draws what pre-training gained, with intervals.

    Args:
      comparisons: Of metrics in per cent, against scratch, each with an interval.
      path: PNG to write.
    """
    rows = []
    for one in comparisons:
        note = f"n = {len(one.reference.scores)} and {len(one.arm.scores)}"
        if one.test:
            p_value = format_p(one.test.p_value)
            note += f", p {p_value if p_value[0] == '<' else f'= {p_value}'}"
        rows.append(
            ForestRow(
                f"{one.contest.full_title}: {one.arm.label}",
                100 * one.difference,
                100 * one.interval.low,
                100 * one.interval.high,
                note,
                _published_gain(one),
            )
        )
    forest_plot(rows, "pre-trained minus scratch (percentage points)", path)


def _published_gain(one: Comparison) -> tuple[float, float, float] | None:
    """The paper's difference with its 95 % interval, from means and deviations."""
    scores = [published_score(one.contest, arm) for arm in (one.arm, one.reference)]
    if any(score is None or score.sd is None for score in scores):
        return None
    first, second = (
        statistics.Summary(score.mean, score.sd, published.NUM_TRIALS)
        for score in scores
    )
    interval = statistics.difference_interval(first, second)
    return first.mean - second.mean, interval.low, interval.high


def draw_fractions(
    contests: Sequence[Contest], labels: Sequence[str], path: Path
) -> None:
    """Draws scores over the share of the labels.

    Args:
      contests: Of tasks with several shares, those of a task after one another.
      labels: Of all arms, in the order of their colours.
      path: PNG to write.
    """
    panels = []
    for question in dict.fromkeys(contest.question for contest in contests):
        alike = [contest for contest in contests if contest.question == question]
        curves = tuple(_fraction_curve(label, alike) for label in arm_labels(alike))
        panels.append(
            FractionPanel(alike[0].title, metric_title(alike[0].run.metric), curves)
        )
    fraction_curves(panels, path, _BAND, labels)


def _fraction_curve(label: str, contests: Sequence[Contest]) -> FractionCurve:
    points = []
    for contest in contests:
        if arm := contest.arm(label):
            scores = _scale(contest) * np.array(arm.scores)
            low = high = float("nan")
            if len(scores) > 1:
                interval = statistics.t_interval(scores)
                low, high = interval.low, interval.high
            points.append((contest.run.train_fraction, scores.mean(), low, high))
    return FractionCurve(label, *map(tuple, zip(*sorted(points), strict=True)))


def draw_learning(
    contests: Sequence[Contest], labels: Sequence[str], path: Path
) -> bool:
    """Draws the validation loss of every trial.

    Args:
      contests: One panel each.
      labels: Of all arms, in the order of their colours.
      path: PNG to write.

    Returns:
      Whether any trial has a history; if none has, nothing is drawn.
    """
    panels = []
    for contest in contests:
        curves = []
        for arm in contest.arms:
            read = [read_history(trial.folder) for trial in arm.trials]
            trials = tuple(tuple(map(np.array, pair)) for pair in read if pair[0])
            if trials:
                curves.append(LearningCurve(arm.label, trials))
        if curves:
            axis = "validation loss"
            panels.append(LearningPanel(contest.full_title, axis, tuple(curves)))
    if panels:
        learning_curves(panels, path, labels)
    return bool(panels)
