"""Runs are found wherever they lie; what lies beside them is named."""

import json
from pathlib import Path

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.run_search import LeftOut, find_runs
from tests.run_folders import make_run


def _find(*paths: Path) -> tuple[list[Path], dict[str, str]]:
    """The folders of runs, and why other things are left out by their names."""
    found = list(find_runs(paths))
    left_out = [one for one in found if isinstance(one, LeftOut)]
    runs = [one for one in found if isinstance(one, Path)]
    return runs, {Path(one.what).name: one.reason for one in left_out}


def test_runs_are_found_below_a_folder_once_and_in_order(tmp_path):
    for name in ("b", "a/deeper", "c"):
        make_run(tmp_path / name, [0.5])
    runs, left_out = _find(tmp_path, tmp_path / "b")
    names = [run.relative_to(tmp_path).as_posix() for run in runs]
    assert names == ["a/deeper", "b", "c"]
    assert left_out == {}


def test_runs_inside_a_pre_training_are_found_and_deep_ones_are_named(tmp_path):
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "run.json").write_text(json.dumps({"settings": {}}))
    (tmp_path / "pretrain" / "history.csv").write_text("")
    (tmp_path / "pretrain" / "samples").mkdir()
    (tmp_path / "pretrain" / "samples" / "overview.png").write_text("")
    make_run(tmp_path / "pretrain" / "finetune", [0.5])
    make_run(tmp_path / "a" / "b" / "c" / "d" / "e" / "f", [0.5])
    runs, left_out = _find(tmp_path)
    assert [run.name for run in runs] == ["finetune"]
    assert left_out == {"e": "lies more than 4 levels deep"}


@pytest.mark.parametrize(
    "record", ['{"settings": {"train_fraction": 1}}', "[]", '{"settings"', "\xff"]
)
def test_a_run_that_began_or_is_damaged_is_found_without_results(tmp_path, record):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_bytes(record.encode("latin-1"))
    assert _find(tmp_path) == ([tmp_path / "run"], {})


def test_a_run_that_is_named_twice_is_found_once(tmp_path):
    make_run(tmp_path / "run", [0.5], asked=2)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    runs, left_out = _find(tmp_path, tmp_path / "run")
    assert len(runs) == 1 and left_out == {}


def test_a_path_that_is_no_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="--runs are folders. Received: --runs=.*gone"):
        _find(tmp_path / "gone")
