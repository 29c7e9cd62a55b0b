"""Steps to a loss are counted trial by trial, against the partner's lowest loss."""

import math

import pytest

from models_genesis_tf.experiments.comparisons import Rules, compare
from models_genesis_tf.experiments.learning_speed import speed_table, steps_to
from tests.run_folders import SCRATCH_DICE, UNIFIED_DICE, make_run, read_contests


@pytest.mark.parametrize(
    ("mark", "step"), [(0.9, 10), (0.5, 20), (0.45, 30), (0.2, 40), (0.1, math.inf)]
)
def test_the_first_step_at_or_below_the_mark_counts(mark, step):
    losses = [0.9, 0.5, 0.4, 0.2, 0.3]
    assert steps_to([10, 20, 30, 40, 50], losses, mark) == step


def _compare(folder, scratch, unified):
    """Arms whose trials have these validation losses after steps 10, 20 and 30."""
    for arm, dice, losses in (
        ("scratch", SCRATCH_DICE, scratch),
        ("unified", UNIFIED_DICE, unified),
    ):
        run = make_run(folder / arm, dice[: len(losses)], arm)
        for number, trial in enumerate(losses):
            rows = [f"{i},{10 * i},1,{loss},0.1" for i, loss in enumerate(trial, 1)]
            text = "\n".join(["epoch,step,loss,val_loss,learning_rate", *rows])
            (run / f"trial_{number}" / "history.csv").write_text(text)
    (contest,), _ = read_contests(folder)
    return compare(contest, *contest.arms, Rules())


def test_medians_are_those_of_the_pairs_and_misses_are_told(tmp_path):
    scratch = [[3, 2, 1], [3, 1, 2], [1, 2, 3]]  # lowest after 30, 20 and 10 steps
    unified = [[0.5, 0, 0], [2, 1, 0], [3, 2, 2]]  # there after 10, 20 and never
    table = speed_table([_compare(tmp_path, scratch, unified)])
    cells = [cell.strip() for cell in table.splitlines()[-1].strip("|").split("|")]
    assert cells[2:] == ["unified", "20", "20", "2 of 3"]


def test_a_mark_that_most_trials_miss_has_no_median(tmp_path):
    table = speed_table([_compare(tmp_path, [[1, 1, 1]] * 2, [[2, 2, 2]] * 2)])
    assert "| not reached" in table and "0 of 2" in table


def test_without_histories_there_is_no_table(tmp_path):
    one = _compare(tmp_path, [[1, 1, 1]] * 2, [[1, 1, 1]] * 2)
    for path in tmp_path.rglob("history.csv"):
        path.unlink()
    assert speed_table([one]) == speed_table([]) == ""
