"""Resampling keeps what lies where: closed forms on ramps, and world positions."""

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.imaging.resampling import resample_volume
from models_genesis_tf.imaging.volumes import Volume, new_volume

SPACINGS = [(1.0, 1.0, 1.0), (0.5, 2.0, 1.5), (3.0, 0.4, 0.9), (0.7, 0.8, 1.25)]


def world_grid(volume: Volume) -> np.ndarray:
    """World position of each voxel's centre, `(x, y, z, 3)` in mm."""
    indices = np.stack(np.indices(volume.array.shape), axis=-1)
    direction = np.reshape(volume.direction, (3, 3))
    return np.array(volume.origin) + (indices * volume.spacing) @ direction.T


def tilted(volume: Volume, rng: np.random.Generator) -> Volume:
    """The same scan turned in the world by a random rotation."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return dataclasses.replace(volume, direction=tuple(rotation.ravel().tolist()))


@pytest.fixture
def scan(rng) -> Volume:
    """A scan of noise, 12 x 10 x 8 voxels of 0.7 x 0.8 x 2.5 mm, turned obliquely."""
    array = rng.integers(-1000, 1000, (12, 10, 8)).astype(np.int16)
    return tilted(new_volume(array, (0.7, 0.8, 2.5), (-20, 30, -400)), rng)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_new_grid_has_the_spacing_and_spans_the_box(scan, spacing):
    new = resample_volume(scan, spacing)
    assert new.spacing == spacing
    assert new.direction == scan.direction
    old_sides = np.array(scan.array.shape) * scan.spacing
    new_sides = np.array(new.array.shape) * new.spacing
    assert (np.abs(new_sides - old_sides) <= np.array(spacing) / 2 + 1e-9).all()
    # The first voxels' outer corners are one point.
    direction = np.reshape(scan.direction, (3, 3))
    old_corner = np.array(scan.origin) - direction @ np.array(scan.spacing) / 2
    new_corner = np.array(new.origin) - direction @ np.array(new.spacing) / 2
    np.testing.assert_allclose(new_corner, old_corner, atol=1e-9)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_linear_interpolation_gives_a_ramp_of_the_world_back(scan, spacing):
    """Intensity = a . position + b is the same function on both grids."""
    slope, offset = np.array([3.0, -2.0, 0.5]), 40.0
    ramp = dataclasses.replace(scan, array=world_grid(scan) @ slope + offset)
    new = resample_volume(ramp, spacing)
    inside = np.ones(new.array.shape, bool)
    for axis in range(3):
        scale = spacing[axis] / scan.spacing[axis]
        place = (np.arange(new.array.shape[axis]) + 0.5) * scale - 0.5
        fits = (place >= 0) & (place <= scan.array.shape[axis] - 1)
        inside &= np.expand_dims(fits, [other for other in range(3) if other != axis])
    assert inside.mean() > 0.3
    expected = world_grid(new) @ slope + offset
    np.testing.assert_allclose(new.array[inside], expected[inside], atol=2e-3)
    assert new.array.dtype == np.float32


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("spacing", [(1.1, 0.33, 1.3), (0.31, 1.7, 4.1)])
def test_every_voxel_is_what_simpleitk_finds_at_its_place(scan, order, spacing):
    new = resample_volume(scan, spacing, order)
    image = sitk.GetImageFromArray(scan.array.T.astype(np.float32))
    image.SetSpacing(scan.spacing)
    image.SetOrigin(scan.origin)
    image.SetDirection(scan.direction)
    resample = sitk.ResampleImageFilter()
    resample.SetSize([int(side) for side in new.array.shape])
    resample.SetOutputSpacing(new.spacing)
    resample.SetOutputOrigin(new.origin)
    resample.SetOutputDirection(new.direction)
    resample.SetInterpolator([sitk.sitkNearestNeighbor, sitk.sitkLinear][order])
    resample.UseNearestNeighborExtrapolatorOn()
    expected = sitk.GetArrayFromImage(resample.Execute(image)).T
    core = tuple(slice(2, -2) if side > 4 else slice(None) for side in expected.shape)
    np.testing.assert_allclose(new.array[core], expected[core], atol=1e-2)


def test_order_0_keeps_labels_and_where_they_are(rng):
    labels = rng.integers(0, 5, (6, 7, 8)).astype(np.uint8)
    finer = resample_volume(new_volume(labels, (2, 2, 2)), (1, 1, 1), order=0)
    expected = labels.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(finer.array, expected)
    odd = resample_volume(new_volume(labels, (2, 2, 2)), (1.3, 0.7, 3.1), order=0)
    assert set(np.unique(odd.array)) <= set(np.unique(labels))


def test_there_and_back_by_nearest_neighbours_is_identity(rng):
    labels = rng.integers(0, 5, (6, 7, 8)).astype(np.uint8)
    volume = new_volume(labels, (3, 2, 1), (5, 6, 7))
    finer = resample_volume(volume, (1, 1, 1), order=0)
    back = resample_volume(finer, (3, 2, 1), order=0)
    np.testing.assert_array_equal(back.array, labels)
    np.testing.assert_allclose(back.origin, volume.origin, atol=1e-12)


def test_the_same_spacing_changes_nothing(scan):
    assert resample_volume(scan, scan.spacing) is scan
    assert resample_volume(scan, (0.7 + 1e-8, 0.8, 2.5)) is scan


@pytest.mark.parametrize("order", [0, 1, 3])
def test_a_constant_scan_stays_constant_up_to_its_edges(order):
    volume = new_volume(np.full((9, 8, 7), -1000, np.int16), (1, 1, 2))
    new = resample_volume(volume, (0.6, 1.7, 0.9), order)
    assert new.array.shape == (15, 5, 16)
    np.testing.assert_allclose(new.array, -1000, atol=1e-3)


def test_a_scan_thinner_than_one_new_voxel_keeps_one(rng):
    volume = new_volume(rng.random((8, 8, 2)), (1, 1, 0.1))
    assert resample_volume(volume, (1, 1, 5)).array.shape == (8, 8, 1)


def test_the_argument_is_left_alone(scan):
    before = scan.array.copy()
    scan.array.flags.writeable = False
    resample_volume(scan, (1, 1, 1))
    np.testing.assert_array_equal(scan.array, before)
