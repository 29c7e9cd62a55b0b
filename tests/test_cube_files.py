"""Cube files, own and foreign, are read where they lie and checked."""

import csv

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import cube_files
from models_genesis_tf.imaging.cube_files import open_cubes, stable_hash
from models_genesis_tf.imaging.fold_writer import FoldWriter, fold_name

SIZE = (8, 8, 8)


def _write_fold(folder, fold, cubes, source="scan", dataset="other"):
    path = folder / fold_name(32, cubes.shape[1:], fold)
    with FoldWriter(path, cubes.shape[1:]) as writer:
        rows = [
            (source, 0, 0, 5 * k, 1.0, 1.0, 1.0, "0.5", dataset)
            for k in range(len(cubes))
        ]
        writer.add(cubes, rows)
    return path


def _cubes(rng, count=3):
    return rng.random((count, *SIZE)).astype(np.float32)


def test_stable_hashes_are_sha256_s_first_8_bytes():
    # printf 'abc' | sha256sum
    assert stable_hash("abc") == 0xBA7816BF8F01CFEA


def test_a_folder_s_cubes_are_read_in_the_order_of_folds(tmp_path, rng):
    cubes = _cubes(rng, 6)
    _write_fold(tmp_path, 10, cubes[3:], "b", "luna16")
    _write_fold(tmp_path, 2, cubes[:3], "a")
    found = open_cubes(tmp_path)
    assert len(found) == 6 and found.cube_shape == (*SIZE, 1)
    for index, cube in enumerate(cubes):
        assert found[index].dtype == np.float32
        np.testing.assert_array_equal(found[index], cube[..., np.newaxis])
    assert found.sources.tolist() == ["a"] * 3 + ["b"] * 3
    assert found.folds.tolist() == [2] * 3 + [10] * 3
    assert found.starts_z.tolist() == [0, 5, 10] * 2
    assert found.datasets.tolist() == ["other"] * 3 + ["luna16"] * 3
    assert found.has_provenance
    assert [path.name.split("_")[-1] for path in found.files] == ["2.npy", "10.npy"]


@pytest.mark.parametrize("index", [-1, 3])
def test_positions_beyond_the_cubes_are_index_errors(tmp_path, rng, index):
    _write_fold(tmp_path, 0, _cubes(rng))
    with pytest.raises(IndexError):
        open_cubes(tmp_path)[index]


def test_files_are_memory_mapped_and_a_cube_is_a_copy(tmp_path, rng):
    path = _write_fold(tmp_path, 0, _cubes(rng))
    found = open_cubes(tmp_path)
    assert all(isinstance(array, np.memmap) for array in found.arrays)
    before = path.read_bytes()
    cube = found[1]
    assert not isinstance(cube, np.memmap)
    cube[:] = 0
    assert path.read_bytes() == before and found[1].any()


@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("channels", [1, 3])
def test_official_files_have_float64_cubes_and_a_channel_axis(
    tmp_path, rng, where, channels
):
    cubes = rng.random((2, *SIZE, channels))
    stored = np.moveaxis(cubes, -1, 1) if where == "first" else cubes
    np.save(tmp_path / "bat_32_8x8x8_4.npy", stored)
    found = open_cubes(tmp_path)
    assert cube_files.is_cube_folder(tmp_path)
    assert found.cube_shape == (*SIZE, channels) and found[1].dtype == np.float32
    np.testing.assert_array_equal(found[1], cubes[1].astype(np.float32))
    assert not found.has_provenance
    assert found.folds.tolist() == [4, 4] and found.starts_z.tolist() == [-1, -1]
    assert found.sources.tolist() == ["bat_32_8x8x8_4"] * 2


def test_other_files_are_no_cubes(tmp_path):
    for name in ("bat_x.npy", "cubes.npy", "bat_32_s_8x8x8_0.npy.part"):
        np.save(tmp_path / name, np.zeros(3))
    assert not cube_files.is_cube_folder(tmp_path)
    with pytest.raises(InputError, match="--data_dir holds cube files.*Received"):
        open_cubes(tmp_path)


def _truncate(path, cubes):
    np.save(path, cubes)
    path.write_bytes(path.read_bytes()[:-5])


DAMAGES = {
    "two axes": lambda path, cubes: np.save(path, cubes[:, 0, 0]),
    "no cubes": lambda path, cubes: np.save(path, cubes[:0]),
    "objects": lambda path, cubes: np.save(path, cubes.astype(object)),
    "integers": lambda path, cubes: np.save(path, cubes.astype(np.int16)),
    "other shape": lambda path, cubes: np.save(path, cubes[:, :4]),
    "in HU": lambda path, cubes: np.save(path, cubes * 2000 - 1000),
    "NaN": lambda path, cubes: np.save(path, cubes * np.nan),
    "empty file": lambda path, cubes: path.write_bytes(b""),
    "an archive": lambda path, cubes: path.write_bytes(b"PK\x03\x04" + bytes(100)),
    "truncated": _truncate,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cube_file_is_named_in_one_line(tmp_path, rng, damage):
    path = tmp_path / "bat_32_s_8x8x8_0.npy"
    DAMAGES[damage](path, _cubes(rng))
    with pytest.raises(InputError) as caught:
        open_cubes(tmp_path)
    message = str(caught.value)
    assert "Received: " in message and str(path) in message and "\n" not in message


def test_files_of_one_folder_have_one_shape(tmp_path, rng):
    np.save(tmp_path / "bat_32_8x8x8_0.npy", _cubes(rng))
    np.save(tmp_path / "bat_32_8x8x16_1.npy", np.zeros((1, 8, 8, 16)))
    with pytest.raises(InputError, match=r"Received: .*_1.npy with float64 \(1, 8"):
        open_cubes(tmp_path)


@pytest.mark.parametrize(
    ("damage", "received"),
    [
        (lambda rows: rows[:-1], "with 2 rows"),
        (lambda rows: rows + rows[:1], "with 4 rows"),
        (lambda rows: [{**row, "source": ""} for row in rows], "source=,"),
        (lambda rows: [{**row, "z": "up"} for row in rows], "z=up"),
        (lambda rows: [{"row": row["row"]} for row in rows], "row=0"),
    ],
)
def test_a_csv_that_does_not_fit_its_cubes_is_refused(tmp_path, rng, damage, received):
    table = _write_fold(tmp_path, 0, _cubes(rng)).with_suffix(".csv")
    with table.open(newline="") as stream:
        rows = damage(list(csv.DictReader(stream)))
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError, match="here 3. Received: .*csv with") as caught:
        open_cubes(tmp_path)
    assert received in str(caught.value)


def test_a_csv_that_is_not_text_is_refused(tmp_path, rng):
    table = _write_fold(tmp_path, 0, _cubes(rng)).with_suffix(".csv")
    table.write_bytes(b"row,source,z,dataset\n\xff\xfe\n")
    with pytest.raises(InputError, match="Received: .*csv"):
        open_cubes(tmp_path)


def test_the_sources_and_the_cubes_per_volume_of_a_file_are_known(tmp_path, rng):
    path = _write_fold(tmp_path, 0, _cubes(rng), "some/scan")
    assert cube_files.sources_of(path) == {"some/scan"}
    assert cube_files.cubes_per_volume_of(path) == 32
    assert cube_files.cubes_per_volume_of(tmp_path / "bat_16_8x8x8_0.npy") == 16


def test_the_window_of_cubes_is_read_beside_them(tmp_path, rng):
    path = _write_fold(tmp_path, 0, _cubes(rng))
    assert cube_files.window_of(path) is None
    (tmp_path / "cubes.json").write_text('{"window": "-100,300"}')
    assert cube_files.window_of(path) == "-100,300"
