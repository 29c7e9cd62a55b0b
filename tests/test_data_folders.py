"""Data are where the user says, where they are looked for, or made up."""

from pathlib import Path

import pytest

from models_genesis_tf.experiments.data_folders import (
    DataFolder,
    find_data,
    make_once,
)


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


def test_a_folder_is_made_once():
    made = []

    def make(path: Path) -> None:
        made.append(path)
        path.mkdir(parents=True)
        (path / "scan").touch()

    folder = Path("data/phantom/luna16")
    for _ in range(2):
        make_once(folder, make)
    assert len(made) == 1
    assert [entry.name for entry in folder.parent.iterdir()] == ["luna16"]
    assert [entry.name for entry in folder.iterdir()] == ["scan"]


def test_a_folder_whose_making_fails_is_not_taken_for_complete():
    def fail(path: Path) -> None:
        path.mkdir(parents=True)
        raise OSError("disk full")

    folder = Path("data/phantom/luna16")
    with pytest.raises(OSError, match="disk full"):
        make_once(folder, fail)
    assert not folder.exists()
