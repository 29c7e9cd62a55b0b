"""The sentences of a report."""

from collections.abc import Sequence

from models_genesis_tf.evaluation import published
from models_genesis_tf.evaluation.metrics import lower_is_better
from models_genesis_tf.evaluation.statistics import MIN_PATIENTS, SCOPE_NOTE
from models_genesis_tf.experiments.comparisons import Comparison, Rules
from models_genesis_tf.experiments.contests import Contest
from models_genesis_tf.experiments.report_sections import published_score
from models_genesis_tf.experiments.run_search import LeftOut

_TEST_NAMES = {
    "welch": "Welch's t-test",
    "pooled": "Student's t-test with pooled variance",
    "paired": "Student's t-test of pairs of trials",
    "wilcoxon": "Wilcoxon's signed-rank test of pairs of trials",
}


def describe_runs(contests: Sequence[Contest], left_out: Sequence[LeftOut]) -> str:
    """Counts what was compared.

    Args:
      contests: What is in the report.
      left_out: What is not.

    Returns:
      One sentence.
    """
    arms = [arm for contest in contests for arm in contest.arms]
    tasks = {contest.title for contest in contests}
    trials = sum(len(arm.trials) for arm in arms)
    return (
        f"{len(tasks)} task(s), {len(arms)} arm(s), {trials} trial(s); {len(left_out)} "
        "thing(s) left out, named at the end."
    )


def describe_rules(rules: Rules) -> str:
    """Says how p values were made.

    Args:
      rules: The rules.

    Returns:
      A paragraph.
    """
    sides, but = "two-sided", ""
    if rules.sides == "one-sided":
        sides = "one-sided (whether the pre-trained start is better)"
        but = ", but two-sided between two pre-trained starts in 2D"
    shares = {"share": "one share of the labels", "all": "any share of the labels"}
    interval = "Welch's"
    beside = (
        "p, pairs: Student's t-test of pairs, where trials of both arms share seed and "
        "labelled cases"
    )
    if rules.test == "paired":
        interval = "that of the pairs, Welch's if a trial is without its partner"
        beside = "p, Welch: Welch's t-test, which knows nothing of pairs"
        if rules.sides == "two-sided":
            beside += "; one-sided it is half where the pre-trained start is better"
    return (
        f"Scores are means ± standard deviations (n - 1) over n trials. p: {sides} "
        f"{_TEST_NAMES[rules.test]}{but}. p, Holm: the same, corrected for the number "
        "of tasks that a pair of starts was tested on, on "
        f"{shares[rules.family]}. {beside}. The 95 % interval of a difference is "
        f"{interval}; Hedges' g is the difference in standard deviations, corrected "
        "for few trials."
    )


def how_to_read(comparisons: Sequence[Comparison]) -> str:
    """Says what the numbers speak of.

    Args:
      comparisons: All of the report.

    Returns:
      A list in Markdown.
    """
    points = [
        SCOPE_NOTE,
        "The interval over patients draws patients with replacement, all cases of a "
        "patient together and the same for both arms, and takes the mean over trials; "
        f"it takes {MIN_PATIENTS} scored patients.",
        "Marks above bars are of the corrected p values, those beside intervals are "
        "not corrected: * p < 0.05, ** < 0.01, "
        "*** < 0.001, **** < 0.0001, n.s. otherwise.",
        "The best of several starts, chosen by the scores that are reported, flatters "
        "itself: its p value against the second is no test of a choice made "
        "beforehand.",
    ]
    if comparisons:
        points.append(
            "Steps to the lowest validation loss of scratch are medians over pairs of "
            "trials; the mark is the partner's own lowest loss, which favours scratch."
        )
    if any(lower_is_better(one.contest.run.metric) for one in comparisons):
        points.append("HD95 is a distance: a negative difference is a gain.")
    if any(not one.arm.is_spread for one in comparisons):
        points.append(
            "An arm whose trials were done from each of several pre-trainings counts "
            "each of these once, by the mean of its trials: n is their number."
        )
    spread = [
        one for one in comparisons if one.arm.is_spread and one.arm.pretrainings > 1
    ]
    if spread:
        points.append(
            "Where trials are spread over several pre-trainings n counts trials. Those "
            "of one pre-training resemble each other, which p values do not know; so "
            "look whether all pre-trainings agree. Differences from the partner of the "
            "same trial, by pre-training: "
            + "; ".join(filter(None, map(_gains_by_start, spread)))
        )
    return "\n".join(f"- {point}" for point in points)


def _gains_by_start(comparison: Comparison) -> str:
    """Mean differences of the trials of each pre-training that have a partner."""
    partners, contest = comparison.reference.by_key() or {}, comparison.contest
    gains = []
    for trials in comparison.arm.by_start().values():
        own = [
            trial.score - partners[trial.seed, trial.number]
            for trial in trials
            if (trial.seed, trial.number) in partners
        ]
        if own:
            gains.append(f"{sum(own) / len(own):+.3f}")
    if not gains:
        return ""
    return f"{contest.full_title}, {comparison.arm.label}: {', '.join(gains)}"


def published_notes(contests: Sequence[Contest]) -> str:
    """Says what the paper's numbers are of, for the tasks that they stand beside.

    Args:
      contests: Of one section.

    Returns:
      A list in Markdown; empty if there is no published number in the section.
    """
    shown = [
        contest.run
        for contest in contests
        if any(published_score(contest, arm) for arm in contest.arms)
    ]
    points = [
        f"{task.upper()}: the published numbers are of {published.DATA_SETS[task]}, "
        f"over {published.NUM_TRIALS} trials; ours are of the data of these runs. They "
        "compare only where data, split and recipe are the same."
        for task in dict.fromkeys(run.task for run in shown)
    ]
    points += [
        f"{published.TABLES[table]}: {published.NOTES[table]}"
        for table in _published_tables(contests)
    ]
    return "\n".join(f"- {point}" for point in points)


def _published_tables(contests: Sequence[Contest]) -> list[str]:
    """The tables of the authors that are quoted beside contests."""
    tables, tasks = set(), set()
    for contest in contests:
        scores = [published_score(contest, arm) for arm in contest.arms]
        tables |= {score.table for score in scores if score}
        if contest.run.dimension == 2 and any(scores):
            tasks.add(contest.run.task)
    if "ablation" in tables:
        tables.add("scratch_vs_genesis")  # the p values against scratch
    if any(published.find_scores("2d_vs_3d", task) for task in tasks):
        tables.add("2d_vs_3d")
    return [table for table in published.TABLES if table in tables]
