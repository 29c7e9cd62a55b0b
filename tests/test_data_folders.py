"""Data are where the user says, where they are looked for, or made up."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.data_folders import (
    DataFolder,
    find_data,
    make_chest_phantoms,
)
from models_genesis_tf.phantoms import luna16
from models_genesis_tf.phantoms.chest import Chest
from models_genesis_tf.phantoms.data_sets import DATA_SETS
from models_genesis_tf.phantoms.marker import is_complete, marked


@pytest.fixture(autouse=True)
def empty_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELS_GENESIS_DATA", raising=False)


def test_a_folder_that_was_given_is_taken_even_if_it_is_absent():
    Path("data/luna16").mkdir(parents=True)
    assert find_data("else/where", "luna16") == DataFolder(Path("else/where"), False)


def test_the_folder_of_the_environment_comes_before_that_below_data(
    tmp_path, monkeypatch
):
    Path("data/luna16").mkdir(parents=True)
    monkeypatch.setenv("MODELS_GENESIS_DATA", str(tmp_path / "store"))
    assert find_data(None, "luna16") == DataFolder(Path("data/luna16"), False)
    (tmp_path / "store" / "luna16").mkdir(parents=True)
    found = find_data(None, "luna16")
    assert found == DataFolder(tmp_path / "store" / "luna16", False)


@pytest.mark.parametrize("data_dir", [None, "phantom"])
def test_phantoms_are_named_where_there_is_nothing_else_or_they_are_asked_for(
    data_dir,
):
    if data_dir:
        Path("data/luna16").mkdir(parents=True)
    found = find_data(data_dir, "luna16")
    assert found == DataFolder(Path("data/phantom/luna16"), True)
    assert not found.path.exists()


def test_phantoms_that_are_given_or_found_are_no_demonstration():
    for folder in (Path("data/luna16"), Path("phantoms")):
        with marked(folder, "luna16", 1, 0):
            pass
    assert not find_data("phantoms", "luna16").demonstration
    assert not find_data(None, "luna16").demonstration


@pytest.fixture
def drawn(monkeypatch) -> list:
    """Chests that take no time; one entry for each that was drawn."""
    chests = []

    def draw(rng, size):
        chests.append(Chest(np.zeros((4, 4, 4), np.int16), (1, 1, 1), (), []))
        return chests[-1]

    monkeypatch.setattr(luna16, "draw_chest", draw)
    few = dataclasses.replace(DATA_SETS["luna16"], demonstration_cases=3)
    monkeypatch.setitem(DATA_SETS, "luna16", few)
    return chests


FOLDER = Path("data/phantom/luna16")


def test_chest_phantoms_are_made_once(drawn, capsys):
    for _ in range(2):
        make_chest_phantoms(FOLDER)
        assert capsys.readouterr().out.startswith(f"synthetic data in {FOLDER}, ")
    assert len(drawn) == 3
    assert len(list(FOLDER.glob("subset*/*.mhd"))) == 3


def test_a_set_whose_making_was_interrupted_is_completed(drawn, monkeypatch):
    def fail(path, columns, rows):
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(luna16, "write_table", fail)
        make_chest_phantoms(FOLDER)
    assert FOLDER.is_dir() and not is_complete(FOLDER)
    make_chest_phantoms(FOLDER)
    assert is_complete(FOLDER)
    assert len(list(FOLDER.glob("subset*/*.mhd"))) == 3
    assert len(list(FOLDER.glob("*.csv"))) == 2


def test_a_folder_of_other_origin_is_neither_used_nor_touched(drawn):
    (FOLDER / "subset0").mkdir(parents=True)
    (FOLDER / "subset0" / "real.mhd").touch()
    with pytest.raises(InputError, match="empty folder.* Received: .*luna16 with subs"):
        make_chest_phantoms(FOLDER)
    assert [path.name for path in FOLDER.rglob("*.*")] == ["real.mhd"]
    assert not drawn


def test_a_complete_set_of_another_size_stands_in_for_the_usual_one(drawn):
    luna16.write(FOLDER, 2, seed=8)
    make_chest_phantoms(FOLDER)
    assert len(drawn) == 2


def test_a_set_whose_writing_was_interrupted_is_not_taken_for_a_smaller_one(tmp_path):
    folder = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt), marked(folder, "lits", 3, 0):
        raise KeyboardInterrupt
    with pytest.raises(InputError, match=f"complete; .*Received: {folder}, whose wr"):
        find_data(str(folder), "lits")
    with marked(folder, "lits", 3, 0):
        pass
    assert find_data(str(folder), "lits") == DataFolder(folder, False)
