"""What comes out where arms are compared: tests, intervals, corrected p values."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import statistics
from models_genesis_tf.evaluation.metrics import lower_is_better
from models_genesis_tf.evaluation.statistics import Interval, SignificanceTest
from models_genesis_tf.experiments.case_scores import patient_interval
from models_genesis_tf.experiments.contests import Arm, Contest

TESTS = {
    "welch": statistics.welch_test,
    "pooled": statistics.pooled_test,
    "paired": statistics.paired_test,
    "wilcoxon": statistics.wilcoxon_test,
}
PAIRED_TESTS = ("paired", "wilcoxon")
SIDES = ("two-sided", "one-sided")
FAMILIES = ("share", "all")


@dataclass(frozen=True)
class Rules:
    """How arms are tested.

    Attributes:
      test: A key of `TESTS`, the one that p values are adjusted and marked by.
      sides: "two-sided", or "one-sided": whether the pre-trained arm is better.
      resamples: Of the bootstrap over patients.
      seed: Of the same.
      family: What Holm's correction is over: "share", the tasks that a pair of arms was
        tested on, each share of the labels by itself, or "all" of them on any share.
    """

    test: str = "welch"
    sides: str = "two-sided"
    resamples: int = 2000
    seed: int = 0
    family: str = "share"


@dataclass(frozen=True)
class Comparison:
    """A pre-trained arm against a reference, most often training from scratch.

    Attributes:
      contest: Where they meet.
      reference: The arm compared with.
      arm: The arm whose gain is measured.
      difference: Mean of `arm` minus mean of `reference`, in the metric's unit.
      test: The test of the rules; None if it cannot be done.
      test_note: Why not; empty otherwise.
      welch: Welch's test; None if it cannot be done.
      paired: Student's test of the pairs; None if trials do not pair up.
      interval: 95 % of the difference over trials: that of the pairs if "paired" is the
        test and every trial has its partner, Welch's otherwise; None with fewer than
        two trials.
      effect_size: Hedges' g; nan with fewer than two trials or without spread.
      patients: 95 % of the difference over patients; None if it cannot be had.
      patients_note: Why not; empty otherwise.
      adjusted_p: The test's p value after Holm's correction over tasks.
    """

    contest: Contest
    reference: Arm
    arm: Arm
    difference: float
    test: SignificanceTest | None
    test_note: str
    welch: SignificanceTest | None
    paired: SignificanceTest | None
    interval: Interval | None
    effect_size: float
    patients: Interval | None
    patients_note: str
    adjusted_p: float | None = None


def compare(contest: Contest, reference: Arm, arm: Arm, rules: Rules) -> Comparison:
    """Compares two arms of a contest, over trials and over patients.

    Args:
      contest: Where they meet.
      reference: The arm compared with.
      arm: The arm whose gain is measured.
      rules: How they are tested.

    Returns:
      The comparison, its p value not adjusted yet.
    """
    patients, note = patient_interval(
        contest.run.metric, reference.trials, arm.trials, rules.resamples, rules.seed
    )
    over_trials = compare_trials(contest, reference, arm, rules)
    return dataclasses.replace(over_trials, patients=patients, patients_note=note)


def compare_trials(
    contest: Contest, reference: Arm, arm: Arm, rules: Rules
) -> Comparison:
    """Compares two arms of a contest, over trials alone.

    Args:
      contest: Where they meet.
      reference: The arm compared with.
      arm: The arm whose gain is measured.
      rules: How they are tested.

    Returns:
      The comparison, its p value not adjusted yet, without an interval over patients.
    """
    test, test_note = _test(contest, reference, arm, rules)
    welch, paired = (
        _test(contest, reference, arm, dataclasses.replace(rules, test=name))[0]
        for name in ("welch", "paired")
    )
    effect = float("nan")
    if welch:
        effect = statistics.effect_size(arm.scores, reference.scores)
    return Comparison(
        contest=contest,
        reference=reference,
        arm=arm,
        difference=statistics.summarise(arm.scores).mean
        - statistics.summarise(reference.scores).mean,
        test=test,
        test_note=test_note,
        welch=welch,
        paired=paired,
        interval=_interval(reference, arm, rules, welch, paired),
        effect_size=effect,
        patients=None,
        patients_note="",
    )


def test_arms(
    contest: Contest, reference: Arm, arm: Arm, rules: Rules
) -> SignificanceTest | None:
    """Tests whether two arms differ.

    Args:
      contest: Where they meet.
      reference: The arm compared with.
      arm: The arm whose gain is tested.
      rules: How.

    Returns:
      The test; None with fewer than two trials, if a paired test is asked for and the
      trials do not pair up, or if scores differ without any spread.
    """
    return _test(contest, reference, arm, rules)[0]


def _test(
    contest: Contest, reference: Arm, arm: Arm, rules: Rules
) -> tuple[SignificanceTest | None, str]:
    """The test of the rules, or None and why it cannot be done."""
    scores = arm.scores, reference.scores
    if min(map(len, scores)) < 2:
        return None, "a test takes 2 trials of both starts"
    if rules.test in PAIRED_TESTS:
        scores = _pair_up(reference, arm)
        if scores is None:
            return None, "no 2 pairs of trials share seed, number and labelled cases"
    try:
        return TESTS[rules.test](*scores, _alternative(contest, rules)), ""
    except InputError:
        return None, "scores that differ without any spread between trials"


def _interval(
    reference: Arm,
    arm: Arm,
    rules: Rules,
    welch: SignificanceTest | None,
    paired: SignificanceTest | None,
) -> Interval | None:
    """95 % of the difference; None where its test cannot be done.

    Without any spread an interval of no width would claim certainty, too.
    """
    pairs = _pair_up(reference, arm) if rules.test == "paired" else None
    # Of a part of the trials, the interval would not lie around the difference.
    if pairs and len(pairs[0]) == len(arm.trials) == len(reference.trials):
        return statistics.t_interval(np.subtract(*pairs)) if paired else None
    if welch:
        return statistics.difference_interval(arm.scores, reference.scores)
    return None


def _pair_up(reference: Arm, arm: Arm) -> tuple[list[float], list[float]] | None:
    """Scores of arm and reference by trial; None if they do not pair up."""
    first, second = arm.by_key(), reference.by_key()
    if not first or not second or len(shared := sorted(first.keys() & second)) < 2:
        return None
    return [first[key] for key in shared], [second[key] for key in shared]


def _alternative(contest: Contest, rules: Rules) -> str:
    if rules.sides == "two-sided":
        return "two-sided"
    return "less" if lower_is_better(contest.run.metric) else "greater"


def adjust(comparisons: Sequence[Comparison], rules: Rules) -> list[Comparison]:
    """Corrects p values for the number of tasks that each pair of arms was tested on.

    Args:
      comparisons: Of several tasks and arms.
      rules: Whether shares of the labels are corrected for together.

    Returns:
      The same in their order, with Holm's correction over the tasks of each pair, real
      and synthetic ones, dimensions and scored parts apart.
    """
    families = [
        (one.reference.label, one.arm.label, one.contest.run.dimension)
        + one.contest.circumstances(rules.family)
        for one in comparisons
    ]
    values = adjust_tests([one.test for one in comparisons], families)
    return [
        dataclasses.replace(one, adjusted_p=value)
        for one, value in zip(comparisons, values, strict=True)
    ]


def adjust_tests(
    tests: Sequence[SignificanceTest | None], families: Sequence[tuple]
) -> list[float | None]:
    """Corrects p values after Holm, each family by itself.

    Args:
      tests: One of each question; None where no test can be done.
      families: What each belongs to.

    Returns:
      A p value for each test, None for None.
    """
    adjusted: list[float | None] = [None] * len(tests)
    for family in set(families):
        places = [
            i
            for i, own in enumerate(families)
            if own == family and tests[i] is not None
        ]
        values = statistics.holm_correction([tests[i].p_value for i in places])
        for i, value in zip(places, values, strict=True):
            adjusted[i] = value
    return adjusted
