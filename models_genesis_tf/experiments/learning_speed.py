"""How soon a start reaches the lowest validation loss of training from scratch."""

import math
import statistics
from collections.abc import Iterator, Sequence

from models_genesis_tf.evaluation.tables import markdown_table
from models_genesis_tf.experiments.comparisons import Comparison
from models_genesis_tf.experiments.report_sections import format_share
from models_genesis_tf.experiments.run_results import read_history


def speed_table(comparisons: Sequence[Comparison]) -> str:
    """Steps that two starts take to the same validation loss, trial by trial.

    Each trial's mark is the lowest loss that the reference's partner of the same seed
    and number reaches, so that the reference takes the fewest steps it can.

    Args:
      comparisons: Pre-trained arms against a reference.

    Returns:
      A Markdown table of medians; empty if no pair of trials has a history.
    """
    rows = []
    for one in comparisons:
        pairs = list(_pairs_of_steps(one))
        if not pairs:
            continue
        theirs, ours = (statistics.median(steps) for steps in zip(*pairs, strict=True))
        reached = sum(math.isfinite(steps) for _, steps in pairs)
        rows.append(
            [
                one.contest.title,
                format_share(one.contest.run.train_fraction),
                one.arm.label,
                f"{theirs:.0f}",
                f"{ours:.0f}" if math.isfinite(ours) else "not reached",
                f"{reached} of {len(pairs)}",
            ]
        )
    header = (
        *("Task", "Labels", "Start", "Steps of scratch", "Steps of the start"),
        "Trials that reach it",
    )
    return markdown_table(header, rows) if rows else ""


def _pairs_of_steps(one: Comparison) -> Iterator[tuple[float, float]]:
    """Steps of reference and arm to the reference's lowest loss, for each pair."""
    partners = {(trial.seed, trial.number): trial for trial in one.reference.trials}
    for trial in one.arm.trials:
        partner = partners.get((trial.seed, trial.number))
        if partner is None:
            continue
        histories = [read_history(own.folder) for own in (partner, trial)]
        if all(losses for _, losses in histories):
            lowest = min(histories[0][1])
            theirs, ours = (steps_to(*history, lowest) for history in histories)
            yield theirs, ours


def steps_to(steps: Sequence[int], losses: Sequence[float], mark: float) -> float:
    """Finds the step after which a loss is first as low as a mark.

    Args:
      steps: Rising.
      losses: Of the same length, after each step.
      mark: A loss.

    Returns:
      The step; infinity if the loss is never so low.
    """
    reached = (step for step, loss in zip(steps, losses, strict=True) if loss <= mark)
    return next(reached, math.inf)
