"""Which runs may be compared with which, and what comes out of it.

Arms (from scratch, or from one pre-training) are compared where all else is equal:
cases, split, budget, metric, share of the labels. What differs is left out and named.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from models_genesis_tf.config import SCRATCH
from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import statistics
from models_genesis_tf.evaluation.metrics import lower_is_better
from models_genesis_tf.evaluation.statistics import Interval, SignificanceTest
from models_genesis_tf.experiments.case_scores import patient_interval
from models_genesis_tf.experiments.run_results import (
    GENESIS,
    GENESIS_CT,
    GENESIS_XRAY,
    IMAGENET,
    LeftOut,
    RunScores,
    TrialScore,
)

TESTS = {
    "welch": statistics.welch_test,
    "pooled": statistics.pooled_test,
    "paired": statistics.paired_test,
    "wilcoxon": statistics.wilcoxon_test,
}
PAIRED_TESTS = ("paired", "wilcoxon")
SIDES = ("two-sided", "one-sided")
# As the paper lists them; other arms come after these by name.
ARM_ORDER = (
    *(SCRATCH, IMAGENET, GENESIS_CT, GENESIS_XRAY),
    *("nonlinear", "local_shuffling", "outpainting", "inpainting", "autoencoder"),
    *("distortion", "painting", GENESIS),
)
_MEANINGS = {"split": "the split of the cases", "cases": "the cases or their labels"}


@dataclass(frozen=True)
class Rules:
    """How arms are tested.

    Attributes:
      test: A key of `TESTS`, the one that p values are adjusted and marked by.
      sides: "two-sided", or "one-sided": whether the pre-trained arm is better.
      resamples: Of the bootstrap over patients.
      seed: Of the same.
    """

    test: str = "welch"
    sides: str = "two-sided"
    resamples: int = 2000
    seed: int = 0


_WELCH = Rules()  # the test that belongs to the interval of a difference


@dataclass(frozen=True)
class Arm:
    """The trials of one start.

    Attributes:
      label: For tables and figures.
      trials: By seed, number and pre-training.
      weights: Of each trial, the SHA-256 of the file that it started from.
    """

    label: str
    trials: tuple[TrialScore, ...]
    weights: tuple[str, ...]

    @property
    def name(self) -> str:
        """The label without what tells it from others of its scheme."""
        return self.label.partition(" (")[0]

    @property
    def pretrainings(self) -> int:
        """How many pre-trainings, alike but for their seed, the trials start from."""
        return len(set(self.weights))

    @property
    def scores(self) -> tuple[float, ...]:
        """The score of each trial, or the mean of each of several pre-trainings.

        Trials of one pre-training resemble each other: they are no independent draws.
        """
        if self.pretrainings == 1:
            return tuple(trial.score for trial in self.trials)
        by_start: dict[str, list[float]] = {}
        for start, trial in zip(self.weights, self.trials, strict=True):
            by_start.setdefault(start, []).append(trial.score)
        return tuple(statistics.summarise(own).mean for own in by_start.values())

    def by_key(self) -> dict[tuple[int, int], float] | None:
        """Scores by seed and number of the trial; None of several pre-trainings."""
        if self.pretrainings > 1:
            return None
        keys = {(trial.seed, trial.number): trial.score for trial in self.trials}
        return keys if len(keys) == len(self.trials) else None


@dataclass(frozen=True)
class Contest:
    """Arms that are alike in all but their start.

    Attributes:
      run: One of its runs, which says what they have in common.
      arms: In the order of `ARM_ORDER`.
    """

    run: RunScores
    arms: tuple[Arm, ...]

    @property
    def title(self) -> str:
        """The task for people, with what is not as usual."""
        name = self.run.task.upper()
        if self.run.task == "custom":
            name = self.run.data
        elif self.run.data:
            name += f" ({self.run.data})"
        name += ", 2D" if self.run.dimension == 2 else ""
        return name + (", validation" if self.run.score_split == "valid" else "")

    @property
    def full_title(self) -> str:
        """The title with the share of the labels, where that is not all."""
        share = self.run.train_fraction
        return self.title + (f", {100 * share:g} % of labels" if share < 1 else "")

    @property
    def question(self) -> tuple:
        """What is asked, on whatever share of the labels."""
        return _task_key(self.run)

    @property
    def circumstances(self) -> tuple:
        """What tests have in common that are corrected for their number."""
        run = self.run
        return run.synthetic, run.train_fraction, run.score_split

    def arm(self, label: str) -> Arm | None:
        """Finds an arm by its label."""
        return next((arm for arm in self.arms if arm.label == label), None)


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
      paired: Student's test of the pairs; None if trials do not pair up.
      interval: 95 % of the difference over trials; None with fewer than two trials.
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
    paired: SignificanceTest | None
    interval: Interval | None
    effect_size: float
    patients: Interval | None
    patients_note: str
    adjusted_p: float | None = None


def find_contests(
    runs: Sequence[RunScores],
) -> tuple[list[Contest], list[LeftOut]]:
    """Sorts runs into contests.

    Of the runs of one task those are kept whose cases, split and budget the most arms
    share, and training from scratch if it is among them.

    Args:
      runs: As from `read_runs`.

    Returns:
      Contests by task and falling share of labels, real data first; and what was left
      out because it differs from the rest.
    """
    by_task: dict[tuple, list[RunScores]] = {}
    for run in runs:
        by_task.setdefault(_task_key(run), []).append(run)
    contests, left_out = [], []
    for _, alike in sorted(by_task.items()):
        kept, differing = _same_budget(alike)
        left_out += differing
        labels = _labels(kept)
        for fraction in sorted({run.train_fraction for run in kept}, reverse=True):
            chosen = [run for run in kept if run.train_fraction == fraction]
            arms, differing = _make_arms(chosen, labels)
            left_out += differing
            contests.append(Contest(chosen[0], arms))
    return contests, left_out


def arm_labels(contests: Sequence[Contest]) -> list[str]:
    """Lists the arms of several contests.

    Args:
      contests: Of any tasks.

    Returns:
      Each label once, in the order of `ARM_ORDER`.
    """
    labels = {arm.label for contest in contests for arm in contest.arms}
    return sorted(labels, key=_rank)


def _task_key(run: RunScores) -> tuple:
    return (
        *(run.synthetic, run.task, run.data, run.kind, run.dimension),
        *(run.metric, run.score_split),
    )


def _labels(runs: Sequence[RunScores]) -> dict[tuple[str, str], str]:
    """What an arm is called: its scheme, and its weights where schemes are alike."""
    names: dict[str, dict[str, str]] = {}
    for run in runs:
        names.setdefault(run.arm, {}).setdefault(run.pretraining, run.pretraining_name)
    labels = {}
    for arm, starts in names.items():
        for start, name in starts.items():
            label = arm
            if len(starts) > 1:
                twins = list(starts.values()).count(name) > 1
                label = f"{arm} ({name}{' ' + start[:6] if twins else ''})"
            labels[arm, start] = label
    return labels


def _same_budget(
    runs: Sequence[RunScores],
) -> tuple[list[RunScores], list[LeftOut]]:
    """Keeps the runs of one task that may be compared."""
    budgets = [run.budget for run in runs]

    def support(budget: dict) -> tuple[bool, int, int]:
        alike = [run for run in runs if run.budget == budget]
        arms = {(run.arm, run.pretraining) for run in alike}
        trials = sum(len(run.trials) for run in alike)
        return any(arm == SCRATCH for arm, _ in arms), len(arms), trials

    chosen = max(budgets, key=support)  # the first of equals
    kept = [run for run in runs if run.budget == chosen]
    left_out = [
        LeftOut(str(run.folder), _describe_difference(run.budget, chosen))
        for run in runs
        if run.budget != chosen
    ]
    return kept, left_out


def _describe_difference(budget: dict, chosen: dict) -> str:
    parts = []
    for name in sorted(budget.keys() | chosen.keys()):
        ours, theirs = budget.get(name), chosen.get(name)
        if name in _MEANINGS and ours != theirs:
            parts.append(_MEANINGS[name])
        elif ours != theirs:
            parts.append(f"{name} ({ours}, not {theirs})")
    return f"differs from the runs it belongs with in {', '.join(parts)}"


def _make_arms(
    runs: Sequence[RunScores], labels: dict[tuple[str, str], str]
) -> tuple[tuple[Arm, ...], list[LeftOut]]:
    """Gathers trials by arm; trials done twice, or on other cases, are left out."""
    by_arm: dict[str, list[tuple[RunScores, TrialScore]]] = {}
    seen: dict[tuple, TrialScore] = {}
    subsets: dict[tuple[int, int], str] = {}
    left_out = []
    ordered = sorted(runs, key=lambda run: _rank(labels[run.arm, run.pretraining]))
    for run in ordered:
        for trial in run.trials:
            key = (trial.seed, trial.number)
            full_key = (run.arm, run.pretraining, run.weights_sha256, *key)
            subset = subsets.setdefault(key, trial.subset_sha256)
            if trial.subset_sha256 != subset:
                reason = "trained on other cases than the same trial of other arms"
                left_out.append(LeftOut(str(trial.folder), reason))
            elif full_key in seen:
                reason = f"is the same trial as {seen[full_key].folder}"
                left_out.append(LeftOut(str(trial.folder), reason))
            else:
                seen[full_key] = trial
                label = labels[run.arm, run.pretraining]
                by_arm.setdefault(label, []).append((run, trial))
    arms = []
    for label, members in by_arm.items():
        members.sort(key=lambda m: (m[1].seed, m[1].number, m[0].weights_sha256))
        starts = tuple(run.weights_sha256 for run, _ in members)
        arms.append(Arm(label, tuple(trial for _, trial in members), starts))
    return tuple(arms), left_out


def _rank(label: str) -> tuple[int, str]:
    name = label.partition(" (")[0]
    known = ARM_ORDER.index(name) if name in ARM_ORDER else len(ARM_ORDER)
    return known, label


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
    interval, effect = None, float("nan")
    # Without any spread an interval of no width would claim certainty, too.
    if _test(contest, reference, arm, _WELCH)[0]:
        interval = statistics.difference_interval(arm.scores, reference.scores)
        effect = statistics.effect_size(arm.scores, reference.scores)
    return Comparison(
        contest=contest,
        reference=reference,
        arm=arm,
        difference=statistics.summarise(arm.scores).mean
        - statistics.summarise(reference.scores).mean,
        test=test,
        test_note=test_note,
        paired=_test(contest, reference, arm, _paired(rules))[0],
        interval=interval,
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


def _paired(rules: Rules) -> Rules:
    return dataclasses.replace(rules, test="paired")


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


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Corrects p values for the number of tasks that each pair of arms was tested on.

    Args:
      comparisons: Of several tasks and arms.

    Returns:
      The same in their order, with Holm's correction over the tasks of each pair, real
      and synthetic ones, shares of the labels, dimensions and scored parts apart.
    """
    families = [
        (one.reference.label, one.arm.label, one.contest.run.dimension)
        + one.contest.circumstances
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
