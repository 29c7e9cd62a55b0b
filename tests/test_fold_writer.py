"""A fold is written whole or not at all."""

import csv

import numpy as np
import pytest

from models_genesis_tf.imaging.fold_writer import COLUMNS, FoldWriter, fold_name

SIZE = (4, 3, 2)


def _rows(source, count):
    return [(source, 1, 2, -3, 0.7, 0.7, 2.5, "0.1000", "other")] * count


def test_fold_names_say_count_size_and_fold():
    assert fold_name(32, (64, 64, 32), 0) == "bat_32_s_64x64x32_0.npy"


def test_a_fold_holds_all_scans_cubes_in_order_with_a_numbered_row_each(tmp_path, rng):
    cubes = rng.random((12, *SIZE)).astype(np.float32)
    path = tmp_path / "bat_9_s_4x3x2_7.npy"
    with FoldWriter(path, SIZE) as writer:
        writer.add(cubes[:9], _rows("a", 9))
        writer.add(cubes[9:], _rows("b", 3))
        assert not path.exists()
    names = {entry.name for entry in tmp_path.iterdir()}
    assert names == {path.name, "bat_9_s_4x3x2_7.csv"}
    loaded = np.load(path)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, cubes)
    with path.with_suffix(".csv").open(newline="") as stream:
        header, *rows = csv.reader(stream)
    columns = "row,source,x,y,z,spacing_x,spacing_y,spacing_z,tissue_fraction,dataset"
    assert ",".join(header) == ",".join(COLUMNS) == columns
    assert [row[0] for row in rows] == [str(number) for number in range(12)]
    assert [row[1] for row in rows] == ["a"] * 9 + ["b"] * 3
    assert rows[0][2:] == ["1", "2", "-3", "0.7", "0.7", "2.5", "0.1000", "other"]


def test_a_file_written_in_parts_equals_numpy_s_own(tmp_path, rng):
    cubes = rng.random((11, *SIZE)).astype(np.float32)
    path = tmp_path / "bat_11_s_4x3x2_0.npy"
    with FoldWriter(path, SIZE) as writer:
        for cube in cubes:
            writer.add(cube[np.newaxis], _rows("a", 1))
    np.save(tmp_path / "whole.npy", cubes)
    assert path.read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_an_error_on_the_way_leaves_nothing_behind(tmp_path):
    path = tmp_path / "bat_1_s_4x3x2_0.npy"
    with pytest.raises(RuntimeError), FoldWriter(path, SIZE) as writer:
        writer.add(np.zeros((1, *SIZE), np.float32), _rows("a", 1))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_fold_without_cubes_leaves_no_file(tmp_path):
    with FoldWriter(tmp_path / "bat_1_s_4x3x2_0.npy", SIZE):
        pass
    assert list(tmp_path.iterdir()) == []
