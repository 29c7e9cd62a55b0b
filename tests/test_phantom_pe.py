"""Candidates lie on disk in the documented form, and cannot be told by brightness."""

import collections
from pathlib import Path

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.phantoms import pe
from models_genesis_tf.phantoms.marker import is_complete, is_phantom
from tests.written_files import contents, read_rows


@pytest.fixture
def blank_views(monkeypatch):
    """Patches that take no time."""

    def draw(rng, scene):
        return rng.integers(-1000, 400, (2, 2, 2)).astype(np.int16)

    monkeypatch.setattr(pe, "draw_scene", lambda rng, patient, kind: None)
    monkeypatch.setattr(pe, "draw_view", draw)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Two real patients."""
    folder = tmp_path_factory.mktemp("pe")
    pe.write(folder, 2, seed=3)
    return folder


def _rows(folder: Path) -> list[dict[str, str]]:
    return read_rows(folder / "candidates.csv")


def _labels(folder: Path) -> dict[str, dict[str, set[str]]]:
    """The labels of each candidate of each patient."""
    found = collections.defaultdict(lambda: collections.defaultdict(set))
    for row in _rows(folder):
        found[row["patient"]][row["candidate"]].add(row["label"])
    return found


def test_the_table_names_every_patch_and_nothing_else_is_there(written):
    rows = _rows(written)
    assert list(rows[0]) == ["file", "patient", "candidate", "label"]
    files = [row["file"] for row in rows]
    assert len(set(files)) == len(files)
    assert set(contents(written)) == {*files, "candidates.csv", "phantom.json"}
    for row in rows:
        folder, patient, name = row["file"].split("/")
        assert (folder, patient) == ("patches", row["patient"])
        assert name.startswith(row["candidate"] + "_") and name.endswith(".npy")
    assert is_complete(written) and is_phantom(written / files[0])


def test_patches_are_int16_cubes_of_64_voxels(written):
    for row in _rows(written):
        patch = np.load(written / row["file"])
        assert patch.dtype == np.int16 and patch.shape == (64, 64, 64)


def test_views_of_a_candidate_differ(written):
    data = contents(written)
    patches = [data[row["file"]] for row in _rows(written)]
    assert len(set(patches)) == len(patches)


def test_patients_have_five_to_eight_candidates_of_three_patches(blank_views, tmp_path):
    pe.write(tmp_path, 60)
    counts = [len(candidates) for candidates in _labels(tmp_path).values()]
    assert len(counts) == 60 and set(counts) == {5, 6, 7, 8}
    patches = collections.Counter(
        (row["patient"], row["candidate"]) for row in _rows(tmp_path)
    )
    assert set(patches.values()) == {3}


def test_every_patient_has_both_classes_and_a_fifth_are_emboli(blank_views, tmp_path):
    pe.write(tmp_path, 60)
    labels = []
    for candidates in _labels(tmp_path).values():
        assert all(len(found) == 1 for found in candidates.values())
        own = [int(label) for found in candidates.values() for label in found]
        assert 0 < sum(own) < len(own)
        labels += own
    assert 0.15 < np.mean(labels) < 0.25
    assert len({next(iter(c["00"])) for c in _labels(tmp_path).values()}) == 2


def test_patients_do_not_depend_on_their_number_but_on_the_seed(
    written, blank_views, tmp_path
):
    pe.write(tmp_path / "three", 3, seed=3)
    pe.write(tmp_path / "five", 5, seed=3)
    pe.write(tmp_path / "other", 3, seed=4)
    five = contents(tmp_path / "five")
    for name, content in contents(tmp_path / "three").items():
        if name.endswith(".npy"):
            assert five[name] == content
    assert _rows(tmp_path / "five")[: len(_rows(tmp_path / "three"))] == _rows(
        tmp_path / "three"
    )
    assert contents(tmp_path / "other") != contents(tmp_path / "three")


def test_a_second_attempt_writes_the_same(written, tmp_path):
    pe.write(tmp_path, 1, seed=3)
    first = contents(tmp_path)
    pe.write(tmp_path, 2, seed=3)
    assert contents(tmp_path) == contents(written)
    assert {name for name in first if name.endswith(".npy")} < set(contents(written))


def test_other_files_are_not_mixed_with_phantoms(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="phantoms go to an empty folder"):
        pe.write(tmp_path, 1)
