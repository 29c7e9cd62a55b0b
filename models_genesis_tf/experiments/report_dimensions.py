"""2D networks in a report: beside 3D ones, and their starts against one another.

Runs in two and in three dimensions of one task are different contests; only the table
of 2D and 3D sets them side by side.
"""

import dataclasses
import itertools
from collections.abc import Sequence

from models_genesis_tf.config import SCRATCH
from models_genesis_tf.evaluation import published
from models_genesis_tf.evaluation.statistics import SignificanceTest
from models_genesis_tf.evaluation.tables import (
    MISSING,
    NOT_RUN,
    format_difference,
    format_p,
    is_share,
    markdown_table,
    metric_title,
)
from models_genesis_tf.experiments.comparisons import (
    Comparison,
    Rules,
    adjust_tests,
    compare_trials,
    test_arms,
)
from models_genesis_tf.experiments.contests import Arm, Contest
from models_genesis_tf.experiments.report_sections import (
    describe_arm,
    format_share,
    format_test,
    is_like_published,
    published_test_2d,
)
from models_genesis_tf.experiments.run_results import GENESIS, GENESIS_CT, IMAGENET
from models_genesis_tf.experiments.run_search import LeftOut

_PUBLISHED = "2d_vs_3d"
_GENESIS_2D = (GENESIS_CT, GENESIS)  # whichever there is; CT as in the paper's table
_COLUMNS = (
    *("Task", "Metric", "Scratch 2D", "ImageNet 2D", "Genesis 2D"),
    *("Scratch 3D", "Genesis 3D", "p, 3D Genesis against 2D ImageNet", "p, Holm"),
)
_SAME = ("synthetic", "task", "data", "kind", "metric", "score_split", "train_fraction")

# A contest of 2D networks and that of 3D networks which asks the same, or None.
_Meeting = tuple[Contest, Contest | None]


def dimensions_table(contests: Sequence[Contest], rules: Rules) -> str:
    """Sets 2D networks beside 3D networks, ours and the paper's.

    A row takes both, on the same patients, or a task that the paper's table has.

    Args:
      contests: Of both dimensions, real or synthetic ones.
      rules: How Genesis in 3D is tested against ImageNet in 2D, once for each task.

    Returns:
      A Markdown table; empty if there is no row.
    """
    meetings = [meeting for meeting in _meetings(contests) if _is_row(*meeting)]
    tests = [_test(*meeting, rules) for meeting in meetings]
    adjusted = adjust_tests(
        tests, [two.circumstances(rules.family) for two, _ in meetings]
    )
    rows = []
    for meeting, test, p_value in zip(meetings, tests, adjusted, strict=True):
        rows.append([*_row(*meeting), format_test(test), format_p(p_value)])
        rows += _published_row(*meeting)
    return markdown_table(_COLUMNS, rows) if rows else ""


def _meetings(contests: Sequence[Contest]) -> list[_Meeting]:
    flat = [contest for contest in contests if contest.run.dimension == 2]
    solid = [contest for contest in contests if contest.run.dimension == 3]
    return [(two, next((x for x in solid if _same(two, x)), None)) for two in flat]


def _same(two: Contest, three: Contest) -> bool:
    return all(getattr(two.run, name) == getattr(three.run, name) for name in _SAME)


def _is_row(two: Contest, three: Contest | None) -> bool:
    if three is None:
        return bool(published.find_scores(_PUBLISHED, two.run.task))
    return two.run.patients == three.run.patients


def left_apart(contests: Sequence[Contest]) -> list[LeftOut]:
    """Names what is not set side by side.

    Args:
      contests: Of both dimensions.

    Returns:
      One entry for each task whose 2D and 3D runs are of other patients.
    """
    return [
        LeftOut(
            f"{three.full_title}: 2D and 3D",
            "not side by side: other patients train, validate or are tested",
        )
        for two, three in _meetings(contests)
        if three and two.run.patients != three.run.patients
    ]


def _test(two: Contest, three: Contest | None, rules: Rules) -> SignificanceTest | None:
    """Genesis in 3D against ImageNet in 2D, as the paper has it."""
    imagenet, genesis = _find(two, IMAGENET), _find(three, GENESIS)
    if not (imagenet and genesis):
        return None
    return test_arms(three, imagenet, genesis, rules)


def _row(two: Contest, three: Contest | None) -> list[str]:
    """Title and scores; the first of several starts of one name is named."""
    cells = [
        _cell(two, SCRATCH),
        _cell(two, IMAGENET),
        _cell(two, *_GENESIS_2D),
        _cell(three, SCRATCH),
        _cell(three, GENESIS),
    ]
    return [(three or two).full_title, metric_title(two.run.metric), *cells]


def _cell(contest: Contest | None, *names: str) -> str:
    arm = _find(contest, *names)
    if arm is None:
        return NOT_RUN
    text = describe_arm(arm, contest)
    return text if arm.label == arm.name else f"{text}, {arm.label}"


def _find(contest: Contest | None, *names: str) -> Arm | None:
    """The first arm of the first of the names that has one."""
    arms = contest.arms if contest else ()
    found = (arm for name in names for arm in arms if arm.name == name)
    return next(found, None)


def _published_row(two: Contest, three: Contest | None) -> list[list[str]]:
    """The paper's row of the same task, where it reports the same metric."""
    run = two.run
    scores = {
        (score.arm, score.dimension): score
        for score in published.find_scores(_PUBLISHED, run.task)
    }
    # In 2D the paper's IoU has no definition: what counts is its name in 3D.
    if not (is_like_published(run) and scores):
        return []
    if scores["genesis", 3].metric != run.metric:
        return []
    columns = itertools.chain(
        ((arm, 2) for arm in (SCRATCH, IMAGENET, "genesis")),
        ((arm, 3) for arm in (SCRATCH, "genesis")),
    )
    test = published.find_test(_PUBLISHED, run.task, "genesis", IMAGENET)
    return [
        [
            f"{(three or two).title}, published",
            metric_title(run.metric),
            *(scores[column].printed for column in columns),
            *(test.printed, MISSING),
        ]
    ]


def compare_starts(contests: Sequence[Contest], rules: Rules) -> list[Comparison]:
    """Compares pre-trained starts of 2D networks with ImageNet and with Genesis CT.

    The authors' figures of 2D networks test all pairs of their starts. None of these
    is a reference to gain on, so that the tests are two-sided whatever the rules say.

    Args:
      contests: Of any dimension.
      rules: How starts are tested.

    Returns:
      Comparisons over trials of the contests in two dimensions, not adjusted yet.
    """
    both = dataclasses.replace(rules, sides="two-sided")
    return [
        compare_trials(contest, reference, arm, both)
        for contest in contests
        if contest.run.dimension == 2
        for reference, arm in itertools.combinations(contest.arms, 2)
        if reference.name in (IMAGENET, GENESIS_CT)
    ]


def starts_table(comparisons: Sequence[Comparison]) -> str:
    """Pre-trained starts of 2D networks against one another.

    Args:
      comparisons: As from `compare_starts`, with p values adjusted.

    Returns:
      A Markdown table, one row for each comparison.
    """
    header = (
        *("Task", "Metric", "Labels", "Start", "Against", "Difference [95 %]"),
        *("p", "p, Holm", "p, published"),
    )
    return markdown_table(header, [_start_row(one) for one in comparisons])


def _start_row(one: Comparison) -> list[str]:
    run, theirs = one.contest.run, published_test_2d(one)
    low, high = (one.interval.low, one.interval.high) if one.interval else (None, None)
    return [
        one.contest.title,
        metric_title(run.metric),
        format_share(run.train_fraction),
        one.arm.label,
        one.reference.label,
        format_difference(one.difference, low, high, is_share(run.metric)),
        format_test(one.test),
        format_p(one.adjusted_p),
        theirs.printed if theirs else MISSING,
    ]
