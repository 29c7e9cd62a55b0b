"""The slices of cubes are images at places that the cubes' own tell."""

import numpy as np
import pytest

from models_genesis_tf.imaging.axial_slices import AxialSlices
from models_genesis_tf.imaging.cube_files import open_cubes

DEPTH = 6


@pytest.fixture
def cubes(tmp_path, rng) -> np.ndarray:
    """Two files of cubes of `tmp_path`, and what is in them."""
    cubes = rng.random((7, 10, 8, DEPTH)).astype(np.float32)
    np.save(tmp_path / "bat_4_s_10x8x6_0.npy", cubes[:4])
    np.save(tmp_path / "bat_4_s_10x8x6_1.npy", cubes[4:])
    return cubes


def test_slice_i_is_slice_i_mod_depth_of_cube_i_over_depth(tmp_path, cubes):
    slices = AxialSlices(open_cubes(tmp_path))
    assert len(slices) == 7 * DEPTH and slices.cube_shape == (10, 8, 1)
    for i in range(len(slices)):
        image = slices[i]
        np.testing.assert_array_equal(image[..., 0], cubes[i // DEPTH, ..., i % DEPTH])
        assert image.dtype == np.float32 and image.flags.c_contiguous
        assert not isinstance(image, np.memmap)
    assert [path.name[-5] for path in slices.files] == ["0", "1"]


@pytest.mark.parametrize("index", [-1, 7 * DEPTH])
def test_positions_beyond_the_slices_are_index_errors(tmp_path, cubes, index):
    with pytest.raises(IndexError):
        AxialSlices(open_cubes(tmp_path))[index]


def test_the_slices_of_cubes_stand_together(tmp_path, cubes):
    slices = AxialSlices(open_cubes(tmp_path))
    positions = slices.positions(np.array([1, 5]))
    assert positions.tolist() == [*range(6, 12), *range(30, 36)]
    assert slices.describe(32) == "slice 2 of cube 5 of bat_4_s_10x8x6_1"
    assert len(slices.positions(np.array([], int))) == 0


def test_slices_of_official_files_have_channels_last(tmp_path, rng):
    cubes = rng.random((2, 3, 16, 8, DEPTH))
    np.save(tmp_path / "bat_32_16x8x6_0.npy", cubes)
    slices = AxialSlices(open_cubes(tmp_path))
    assert slices.cube_shape == (16, 8, 3)
    expected = np.moveaxis(cubes[1, ..., 4], 0, -1).astype(np.float32)
    np.testing.assert_array_equal(slices[DEPTH + 4], expected)


def test_slices_on_disk_are_cubes_of_one_slice(tmp_path, rng):
    images = rng.random((5, 32, 32, 1)).astype(np.float32)
    np.save(tmp_path / "bat_32_s_32x32x1_0.npy", images)
    slices = AxialSlices(open_cubes(tmp_path))
    assert len(slices) == 5 and slices.cube_shape == (32, 32, 1)
    np.testing.assert_array_equal([slices[i] for i in range(5)], images)
    assert slices.positions(np.array([0, 3])).tolist() == [0, 3]
