"""Folders are gone through in one order, links followed, hidden things passed over."""

import os
from pathlib import Path

import pytest

from models_genesis_tf.imaging import folders
from models_genesis_tf.imaging.folders import files_below, is_chosen


@pytest.fixture
def tree(tmp_path):
    for name in ("b/2.nii", "a/1.nii", "a/.hidden", ".Trash/3.nii", "4.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "data"


def test_files_are_sorted_and_hidden_ones_passed_over(tree):
    found = [path.relative_to(tree).as_posix() for path in files_below(tree)]
    assert found == ["4.txt", "a/1.nii", "b/2.nii"]


def test_the_order_does_not_depend_on_the_file_system(tree, monkeypatch):
    first, walk = files_below(tree), os.walk

    def backwards(top, followlinks):
        for parent, below, names in walk(top, followlinks=followlinks):
            below.reverse()
            yield parent, below, names[::-1]

    monkeypatch.setattr(folders.os, "walk", backwards)
    assert files_below(tree) == first


def test_links_to_folders_are_followed_and_circles_end(tree, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "5.nii").touch()
    (tree / "c").symlink_to(tmp_path / "elsewhere")
    (tree / "a" / "circle").symlink_to(tree)
    found = [path.relative_to(tree).as_posix() for path in files_below(tree)]
    assert found == ["4.txt", "a/1.nii", "b/2.nii", "c/5.nii"]


@pytest.mark.parametrize(
    ("include", "exclude", "taken"),
    [
        ((), (), True),
        (("*.nii",), (), True),
        (("*.mha", "a*"), (), True),
        (("*.NII",), (), False),
        ((), ("a*",), False),
        (("a*",), ("*.nii",), False),
        (("ct/*",), (), True),
        (("ct/images/*",), (), False),
        ((), ("*/labels/*",), True),
        ((), ("ct/*",), False),
        (("/data/ct/*",), (), False),
    ],
)
def test_globs_take_names_and_with_a_slash_paths(include, exclude, taken):
    path, folder = Path("/data/ct/a.nii"), Path("/data")
    assert is_chosen(path, folder, include, exclude) == taken
