"""Which runs may be compared with which.

Arms (from scratch, or from one pre-training) meet where all else is equal: cases,
split, budget, metric, share of the labels. What differs is left out and named.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from models_genesis_tf.config import SCRATCH
from models_genesis_tf.evaluation import statistics
from models_genesis_tf.experiments.run_results import (
    GENESIS,
    GENESIS_CT,
    GENESIS_XRAY,
    IMAGENET,
    RunScores,
    TrialScore,
)
from models_genesis_tf.experiments.run_search import LeftOut

# As the paper lists them; other arms come after these by name.
ARM_ORDER = (
    *(SCRATCH, IMAGENET, GENESIS_CT, GENESIS_XRAY),
    *("nonlinear", "local_shuffling", "outpainting", "inpainting", "autoencoder"),
    *("distortion", "painting", GENESIS),
)
_MEANINGS = {"split": "the split of the cases", "cases": "the cases or their labels"}


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
    def is_spread(self) -> bool:
        """Whether each trial, by seed and number, was done from one start alone."""
        return len({(one.seed, one.number) for one in self.trials}) == len(self.trials)

    @property
    def scores(self) -> tuple[float, ...]:
        """The score of each trial; of trials done from each start, that start's mean.

        Such trials share their cases and resemble each other: they are no independent
        draws.
        """
        if self.is_spread:
            return tuple(trial.score for trial in self.trials)
        return tuple(
            statistics.summarise([trial.score for trial in own]).mean
            for own in self.by_start().values()
        )

    def by_start(self) -> dict[str, list[TrialScore]]:
        """The trials of each pre-training, by the SHA-256 of its file."""
        trials: dict[str, list[TrialScore]] = {}
        for start, trial in zip(self.weights, self.trials, strict=True):
            trials.setdefault(start, []).append(trial)
        return trials

    def by_key(self) -> dict[tuple[int, int], float] | None:
        """Scores by seed and number of the trial; None if trials share these."""
        if not self.is_spread:
            return None
        return {(trial.seed, trial.number): trial.score for trial in self.trials}


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

    def circumstances(self, family: str) -> tuple:
        """What tests have in common that are corrected for their number.

        Args:
          family: "share" or "all", as `Rules.family`.
        """
        run = self.run
        share = run.train_fraction if family == "share" else None
        return run.synthetic, share, run.score_split

    def arm(self, label: str) -> Arm | None:
        """Finds an arm by its label."""
        return next((arm for arm in self.arms if arm.label == label), None)


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
    found: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        starts = found.setdefault(run.arm, {})
        starts.setdefault(run.pretraining, []).append(run.pretraining_name)
    labels = {}
    for arm, starts in found.items():
        names = {start: _common_name(own) for start, own in starts.items()}
        for start, name in names.items():
            label = arm
            if len(names) > 1:
                twins = list(names.values()).count(name) > 1
                label = f"{arm} ({name}{' ' + start[:6] if twins else ''})"
            labels[arm, start] = label
    return labels


def _common_name(names: Sequence[str]) -> str:
    """The name of a pre-training, of several seeds what their names begin with."""
    return os.path.commonprefix(names).rstrip("_-") or names[0]


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
