"""What a run says before and after is right and easy to read."""

import pytest

from models_genesis_tf.experiments.run_summary import (
    describe_end,
    duration,
    quantity,
    table,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (8.24, "8.2 s"),
        (60, "1 min 0 s"),
        (150.9, "2 min 30 s"),
        (3600, "1 h 0 min"),
        (5 * 3600 + 12 * 60 + 59, "5 h 12 min"),
        (3 * 86400 + 4.5 * 3600, "3 d 4 h"),
    ],
)
def test_times_are_written_in_two_units(seconds, text):
    assert duration(seconds) == text


def test_bytes_are_written_in_powers_of_two():
    assert quantity(3 * 2**20) == "3 MiB"
    assert quantity(1.5 * 2**30) == "1.5 GiB"


def test_values_of_a_table_stand_below_each_other():
    lines = table({"a": "1", "longer": "2"}).splitlines()
    assert lines == ["a       1", "longer  2"]


def test_the_end_names_the_losses_to_beat():
    record = {
        "epochs": 3,
        "steps": 12,
        "wall_seconds": 61.0,
        "best_val_loss": 0.012344,
        "baselines": {"constant": 0.05, "unchanged": 0.1},
        "examples_per_second": 7.5,
        "input_wait_share": 0.254,
    }
    text = describe_end(record)
    assert "3 epochs, 12 steps in 1 min 1 s" in text
    assert "0.01234 (a constant cube 0.05000, the deformed cube 0.10000)" in text
    assert "7.5 cubes/s, 25 % of training waits for input" in text
