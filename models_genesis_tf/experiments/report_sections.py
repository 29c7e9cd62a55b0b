"""The tables of a report: contests in, Markdown out."""

import dataclasses
import math
from collections.abc import Sequence

from models_genesis_tf.config import SCRATCH
from models_genesis_tf.evaluation import published, statistics
from models_genesis_tf.evaluation.metrics import lower_is_better
from models_genesis_tf.evaluation.tables import (
    MISSING,
    format_difference,
    format_p,
    format_score,
    is_share,
    markdown_table,
    metric_title,
)
from models_genesis_tf.experiments.comparisons import Comparison, Rules, test_arms
from models_genesis_tf.experiments.contests import Arm, Contest, arm_labels
from models_genesis_tf.experiments.run_results import (
    GENESIS_CT,
    GENESIS_XRAY,
    RunScores,
)
from models_genesis_tf.experiments.run_search import LeftOut

# Of 2D networks: the figures with their p values, then the one table that has ECC.
_FIGURES_2D = ("chest_ct_2d", "chest_xray_2d")
_TABLES_2D = (*_FIGURES_2D, "2d_vs_3d")
_ARMS_2D = {GENESIS_CT: "genesis", GENESIS_XRAY: "genesis_chest_xray"}


def gains_table(comparisons: Sequence[Comparison], rules: Rules) -> str:
    """Pre-trained arms against training from scratch.

    Args:
      comparisons: With p values adjusted.
      rules: How they were tested.

    Returns:
      A Markdown table, one row for each comparison.
    """
    beside = "p, Welch" if rules.test == "paired" else "p, pairs"
    header = (
        *("Task", "Metric", "Labels", "Start", "Scratch", "Pre-trained"),
        *("Difference [95 %]", "p", "p, Holm", beside, "Hedges' g"),
        "Difference over patients [95 %]",
    )
    return markdown_table(header, [_gain_row(one, rules) for one in comparisons])


def _gain_row(one: Comparison, rules: Rules) -> list[str]:
    contest, percent = one.contest, is_share(one.contest.run.metric)
    low, high = (one.interval.low, one.interval.high) if one.interval else (None, None)
    over_patients = MISSING
    if one.patients:
        over_patients = format_difference(
            one.difference, one.patients.low, one.patients.high, percent
        )
    return [
        contest.title,
        metric_title(contest.run.metric),
        format_share(contest.run.train_fraction),
        one.arm.label,
        describe_arm(one.reference, contest),
        describe_arm(one.arm, contest),
        format_difference(one.difference, low, high, percent),
        format_test(one.test),
        format_p(one.adjusted_p) if one.test else MISSING,
        format_test(one.welch if rules.test == "paired" else one.paired),
        MISSING if math.isnan(one.effect_size) else f"{one.effect_size:+.2f}",
        over_patients,
    ]


def describe_arm(arm: Arm | None, contest: Contest) -> str:
    """Mean, standard deviation and number of trials.

    Args:
      arm: An arm, or None.
      contest: Where it stands.

    Returns:
      Such as "85.72 ± 0.51 (n = 3)"; a dash for None.
    """
    if arm is None:
        return MISSING
    summary = statistics.summarise(arm.scores)
    score = format_score(summary.mean, summary.sd, is_share(contest.run.metric))
    return f"{score} (n = {summary.n})"


def format_share(fraction: float) -> str:
    """Writes a share of the labels.

    Args:
      fraction: In (0, 1].

    Returns:
      Such as "30 %".
    """
    return f"{100 * fraction:g} %"


def published_table(comparisons: Sequence[Comparison]) -> str:
    """Ours beside the paper's, for tasks that it has.

    Args:
      comparisons: Pre-trained arms against scratch.

    Returns:
      A Markdown table; empty if no comparison has a published counterpart.
    """
    rows = []
    for one in comparisons:
        run = one.contest.run
        scratch = published_score(one.contest, one.reference)
        score = published_score(one.contest, one.arm)
        if scratch is None and score is None:
            continue
        test = _published_gain_test(one, score)
        rows.append(
            [
                one.contest.title,
                metric_title(run.metric),
                one.arm.label,
                describe_arm(one.reference, one.contest),
                scratch.printed if scratch else MISSING,
                describe_arm(one.arm, one.contest),
                score.printed if score else MISSING,
                format_test(one.test),
                test.printed if test else MISSING,
            ]
        )
    header = (
        *("Task", "Metric", "Start", "Scratch, ours", "Scratch, published"),
        *("Pre-trained, ours", "Pre-trained, published", "p, ours", "p, published"),
    )
    return markdown_table(header, rows) if rows else ""


def _published_gain_test(
    one: Comparison, score: published.PublishedScore | None
) -> published.PublishedTest | None:
    """The paper's p value against scratch, which it has for its best variant alone."""
    table, task = "scratch_vs_genesis", one.contest.run.task
    if one.contest.run.dimension == 2:
        return published_test_2d(one)
    best = published.find_score(table, task, "genesis")
    if score is None or best is None or best.printed != score.printed:
        return None
    return published.find_test(table, task, SCRATCH, "genesis")


def published_test_2d(one: Comparison) -> published.PublishedTest | None:
    """The p value of two starts of a 2D network in the authors' figures.

    Args:
      one: The same two starts of ours.

    Returns:
      The test, from the first figure that has it; None if there is none.
    """
    scores = [published_score(one.contest, arm) for arm in (one.reference, one.arm)]
    if None in scores:
        return None
    task, arms = one.contest.run.task, [score.arm for score in scores]
    tests = (published.find_test(table, task, *arms) for table in _FIGURES_2D)
    return next((test for test in tests if test), None)


def published_score(contest: Contest, arm: Arm) -> published.PublishedScore | None:
    """The paper's number for an arm, where it reports the same metric.

    Args:
      contest: Where the arm stands; see `is_like_published`.
      arm: An arm.

    Returns:
      The number, from the first table that has it; None if there is none.
    """
    run, name = contest.run, arm.name
    if not is_like_published(run):
        return None
    tables = ("ablation",)
    if run.dimension == 2:
        tables, name = _TABLES_2D, _ARMS_2D.get(name, name)
    for table in tables:
        score = published.find_score(table, run.task, name, run.dimension)
        if score is not None and score.metric == run.metric:
            return score
    return None


def is_like_published(run: RunScores) -> bool:
    """Says whether the paper's numbers may stand beside a run's.

    Args:
      run: Of any task.

    Returns:
      Whether it learned the task as it is usually set, from all labels, and was scored
      on test cases that are no phantoms.
    """
    on_all = run.train_fraction == 1 and run.score_split == "test"
    return on_all and not run.synthetic and not run.data


def ablation_table(contests: Sequence[Contest], rules: Rules) -> str:
    """All starts by task, the best in bold, the paper's beneath ours.

    Args:
      contests: Those with two pre-trained arms or more.
      rules: How the best is tested against the second.

    Returns:
      A Markdown table.
    """
    labels = arm_labels(contests)
    bests = [_ranked(contest.arms, contest)[:2] for contest in contests]
    rows = []
    for label in labels:
        cells, theirs = [], []
        for contest, (best, _) in zip(contests, bests, strict=True):
            arm = contest.arm(label)
            text = describe_arm(arm, contest)
            cells.append(f"**{text}**" if arm is best else text)
            score = published_score(contest, arm) if arm else None
            theirs.append(score.printed if score else MISSING)
        rows.append([label, *cells])
        if any(text != MISSING for text in theirs):
            rows.append([f"{label}, published", *theirs])
    rows.append(
        [
            "p, best against second",
            *(
                _best_p(contest, *pair, rules)
                for contest, pair in zip(contests, bests, strict=True)
            ),
        ]
    )
    theirs = [_published_best_p(contest) for contest in contests]
    if any(text != MISSING for text in theirs):
        rows.append(["p, best against second, published", *theirs])
    header = [f"{one.full_title}, {metric_title(one.run.metric)}" for one in contests]
    return markdown_table(["Start", *header], rows)


def _ranked(arms: Sequence[Arm], contest: Contest) -> list[Arm]:
    """Arms by their means, the best first."""
    return sorted(
        arms,
        key=lambda arm: statistics.summarise(arm.scores).mean,
        reverse=not lower_is_better(contest.run.metric),
    )


def _best_p(contest: Contest, best: Arm, second: Arm, rules: Rules) -> str:
    both = dataclasses.replace(rules, sides="two-sided")  # the best may be scratch
    return format_test(test_arms(contest, second, best, both))


def format_test(test: statistics.SignificanceTest | None) -> str:
    """Writes the p value of a test.

    Args:
      test: A test, or None.

    Returns:
      As `format_p`; a dash for None.
    """
    return format_p(test.p_value) if test else MISSING


def _published_best_p(contest: Contest) -> str:
    """The paper's p value of its best variant against its second."""
    run = contest.run
    tests = [
        test
        for test in published.TESTS
        if (test.table, test.task, run.dimension) == ("ablation", run.task, 3)
    ]
    same = any(published_score(contest, arm) for arm in contest.arms)
    return tests[0].printed if tests and same else MISSING


def scores_table(contests: Sequence[Contest]) -> str:
    """Scores by task, share of the labels and start.

    Args:
      contests: One row each.

    Returns:
      A Markdown table.
    """
    labels = arm_labels(contests)
    rows = [
        [
            contest.title,
            metric_title(contest.run.metric),
            format_share(contest.run.train_fraction),
            *(describe_arm(contest.arm(label), contest) for label in labels),
        ]
        for contest in contests
    ]
    return markdown_table(("Task", "Metric", "Labels", *labels), rows)


def left_out_table(left_out: Sequence[LeftOut]) -> str:
    """What has no part in the report.

    Args:
      left_out: Names and reasons.

    Returns:
      A Markdown table.
    """
    rows = [[f"`{one.what}`", one.reason] for one in left_out]
    return markdown_table(("Left out", "Why"), rows)
