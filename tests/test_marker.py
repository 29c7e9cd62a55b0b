"""Synthetic data say that they are, and whether all of them are there."""

import json
from pathlib import Path

import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.phantoms.marker import is_complete, is_phantom, marked, pass_on


def _write_set(folder: Path, dataset="luna16", cases=4, seed=1) -> Path:
    with marked(folder, dataset, cases, seed):
        (folder / "scan").touch()
    return folder


def test_a_set_is_synthetic_from_its_first_file_on_and_complete_after_the_last(
    tmp_path,
):
    folder = tmp_path / "deep" / "set"
    assert not is_phantom(folder) and not is_complete(folder)
    with marked(folder, "luna16", 4, 1):
        assert [path.name for path in folder.iterdir()] == ["phantom.json"]
        assert is_phantom(folder) and not is_complete(folder)
    assert is_phantom(folder) and is_complete(folder)
    assert json.loads((folder / "phantom.json").read_text()) == {
        "dataset": "luna16",
        "cases": 4,
        "seed": 1,
        "complete": True,
    }


def test_an_interrupted_set_stays_synthetic_and_incomplete(tmp_path):
    _write_set(tmp_path)
    with pytest.raises(KeyboardInterrupt), marked(tmp_path, "luna16", 4, 1):
        raise KeyboardInterrupt
    assert is_phantom(tmp_path) and not is_complete(tmp_path)
    _write_set(tmp_path)
    assert is_complete(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"scan", "phantom.json"}


def test_all_that_lies_in_a_set_is_synthetic_what_lies_beside_it_is_not(tmp_path):
    folder = _write_set(tmp_path / "data" / "set")
    file = folder / "patient" / "study" / "series" / "slice.dcm"
    file.parent.mkdir(parents=True)
    file.touch()
    for path in (file, *file.parents[:4], folder / "cases.csv", str(folder)):
        assert is_phantom(path), path
    (tmp_path / "data" / "real").mkdir()
    for path in (tmp_path, tmp_path / "data", tmp_path / "data" / "real", "absent"):
        assert not is_phantom(path), path


def test_a_folder_far_above_says_nothing(tmp_path):
    folder = _write_set(tmp_path / "set")
    assert is_phantom(folder / "1" / "2" / "3" / "4")
    assert not is_phantom(folder / "1" / "2" / "3" / "4" / "5")


def test_paths_lead_where_the_data_are(tmp_path, monkeypatch):
    folder = _write_set(tmp_path / "set")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file").symlink_to(folder / "scan")
    assert is_phantom(tmp_path / "link") and is_phantom(tmp_path / "file")
    (tmp_path / "real").mkdir()
    assert not is_phantom(folder / ".." / "real")
    monkeypatch.chdir(folder)
    assert is_phantom("scan") and is_phantom(".") and not is_phantom("../real")


@pytest.mark.parametrize(
    "other", [{"dataset": "nodules"}, {"cases": 3}, {"seed": 2}], ids=str
)
def test_another_set_is_refused_and_what_is_there_is_left_alone(tmp_path, other):
    _write_set(tmp_path)
    before = (tmp_path / "phantom.json").read_text()
    with pytest.raises(InputError, match="Received: .* with 4 cases of luna16, seed 1"):
        _write_set(tmp_path, **other)
    assert (tmp_path / "phantom.json").read_text() == before


def test_a_set_can_be_written_again_and_enlarged(tmp_path):
    _write_set(tmp_path)
    _write_set(tmp_path)
    _write_set(tmp_path, cases=5)
    assert json.loads((tmp_path / "phantom.json").read_text())["cases"] == 5


@pytest.mark.parametrize("name", ["scan.nii", "phantom.json"])
def test_files_of_other_origin_are_refused(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=f"empty folder.* Received: .* with {name}"):
        _write_set(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "{}"


def test_hidden_files_do_not_matter(tmp_path):
    (tmp_path / ".DS_Store").touch()
    assert is_complete(_write_set(tmp_path))


def test_what_is_made_from_phantoms_is_marked_even_if_real_data_are_mixed_in(tmp_path):
    scan = _write_set(tmp_path / "set") / "scan"
    real = tmp_path / "real.nii"
    for name, sources, expected in (
        ("mixed", [real, scan], True),
        ("synthetic", [scan], True),
        ("real", [real], False),
        ("nothing", [], False),
    ):
        folder = tmp_path / name
        folder.mkdir()
        pass_on(sources, folder)
        assert is_phantom(folder) is expected, name
        assert len(list(folder.iterdir())) == int(expected)
    marker = (tmp_path / "set" / "phantom.json").read_text()
    assert (tmp_path / "mixed" / "phantom.json").read_text() == marker
