"""Resampling keeps what lies where: closed forms on ramps, and world positions."""

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.imaging.interpolation import interpolate
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


def _picture(array: np.ndarray) -> Volume:
    return new_volume(array[..., None], (1.0, 1.0, 1.0))


def _mean_of_neighbours(line: np.ndarray, count: int, scale: float) -> list[float]:
    """The weighted mean over all old pixels, one new pixel at a time."""
    values = []
    for number in range(count):
        centre = min(max((number + 0.5) * scale - 0.5, 0), len(line) - 1)
        weights = [
            max(0.0, 1 - abs(place - centre) / max(1, scale))
            for place in range(len(line))
        ]
        values.append(float(np.dot(weights, line) / sum(weights)))
    return values


@pytest.mark.parametrize("scale", [(32 / 7, 3.0), (2.0, 40 / 9), (1.5, 0.5)])
def test_a_pixel_of_a_resized_picture_is_the_mean_around_it(rng, scale):
    picture = rng.random((32, 40))
    resized = resample_volume(_picture(picture), (*scale, 1.0)).array
    sides = [round(side / step) for side, step in zip((32, 40), scale, strict=True)]
    assert resized.shape == (*sides, 1) and resized.dtype == np.float32
    rows = [_mean_of_neighbours(row, sides[1], scale[1]) for row in picture]
    lines = np.transpose(rows)
    columns = [_mean_of_neighbours(line, sides[0], scale[0]) for line in lines]
    np.testing.assert_allclose(resized[..., 0], np.transpose(columns), atol=1e-5)


def test_fine_stripes_become_grey_and_do_not_alias():
    picture = np.zeros((1024, 1024))
    picture[::2] = 1
    scale = 1024 / 224
    spacing = (scale, scale, 1.0)
    resized = resample_volume(_picture(picture), spacing).array
    assert resized.shape == (224, 224, 1)
    # Of a triangle s to either side, every second sample's share is 1/2 to 1/(4 s^2).
    np.testing.assert_allclose(resized[1:-1], 0.5, atol=0.25 / scale**2)
    bare = interpolate(picture[..., None].astype(np.float32), (224, 224), spacing[:2])
    assert bare.max() - bare.min() > 0.8


def test_a_picture_that_is_enlarged_is_interpolated(rng):
    picture = rng.random((9, 7)).astype(np.float32)
    resized = resample_volume(_picture(picture), (0.5, 0.25, 1.0)).array
    expected = interpolate(picture[..., None], (18, 28), (0.5, 0.25))
    np.testing.assert_allclose(resized, expected, atol=1e-6)


def test_a_ramp_stays_a_ramp_where_the_mean_sees_both_sides():
    x, y = np.indices((64, 48)).astype(float)
    resized = resample_volume(_picture(3 * x - 2 * y + 5), (4.0, 3.0, 1.0)).array
    x, y = np.indices((16, 16)) * [[[4.0]], [[3.0]]] + [[[1.5]], [[1.0]]]
    inside = (slice(1, -1),) * 2
    np.testing.assert_allclose(
        resized[..., 0][inside], (3 * x - 2 * y + 5)[inside], atol=1e-3
    )


def test_labels_of_a_picture_are_not_averaged(rng):
    labels = rng.choice(np.array([0, 7], np.uint8), (8, 6))
    resized = resample_volume(_picture(labels), (0.5, 0.5, 1.0), order=0).array
    np.testing.assert_array_equal(resized[..., 0], labels.repeat(2, 0).repeat(2, 1))
