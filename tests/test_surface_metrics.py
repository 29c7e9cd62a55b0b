"""Surface distances follow known shapes, brute force and SimpleITK."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.distance import cdist

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import surface_metrics as surfaces

SPACING = (0.7, 1.3, 2.5)


def _blob(rng, shape):
    """A smooth random mask; parts of it reach the border of the image."""
    return ndimage.gaussian_filter(rng.standard_normal(shape), 1.5) > 0.03


def _slow_surface(mask, spacing):
    """Centres of surface voxels in mm, found voxel by voxel."""
    points = []
    for place in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                near = place.copy()
                near[axis] += step
                inside = 0 <= near[axis] < mask.shape[axis]
                if not inside or not mask[tuple(near)]:
                    points.append(tuple(place))
    return np.array(sorted(set(points))) * spacing


def _slow_distances(truth, prediction, spacing):
    table = cdist(_slow_surface(truth, spacing), _slow_surface(prediction, spacing))
    return np.concatenate([table.min(axis=1), table.min(axis=0)])


def _cubes(shift, axis):
    """Two cubes of 4 voxels, the second `shift` voxels further along an axis."""
    cube = np.zeros((14, 14, 14), bool)
    cube[3:7, 3:7, 3:7] = True
    return cube, np.roll(cube, shift, axis)


@pytest.mark.parametrize("shape", [(9, 8, 7), (20, 17)])
@pytest.mark.parametrize("seed", range(3))
def test_distances_are_those_of_every_pair_of_surface_voxels(shape, seed):
    rng = np.random.default_rng(seed)
    truth, prediction = _blob(rng, shape), _blob(rng, shape)
    spacing = SPACING[: len(shape)]
    expected = _slow_distances(truth, prediction, spacing)
    found = surfaces.surface_distances(truth, prediction, spacing)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    value = surfaces.hausdorff95(truth, prediction, spacing)
    assert value == pytest.approx(np.percentile(expected, 95), abs=1e-9)
    near = np.mean(expected <= 1.0)
    assert 0 < near < 1
    assert surfaces.surface_dice(truth, prediction, spacing, 1.0) == near


def test_the_largest_distance_is_that_of_simple_itk_between_the_surfaces(rng):
    masks = [np.pad(_blob(rng, (14, 12, 10)), 1) for _ in range(2)]
    images = []
    for mask in masks:
        image = sitk.GetImageFromArray(mask.astype(np.uint8).transpose())
        image.SetSpacing(SPACING)
        images.append(sitk.LabelContour(image, fullyConnected=False))
    reference = sitk.HausdorffDistanceImageFilter()
    reference.Execute(*images)
    value = surfaces.hausdorff(*masks, SPACING, 100)
    assert value == pytest.approx(reference.GetHausdorffDistance(), abs=1e-5)


@pytest.mark.parametrize(("axis", "shift"), [(0, 1), (1, 3), (2, 2), (2, 6)])
def test_shifted_cubes_are_their_shift_apart(axis, shift):
    apart = shift * SPACING[axis]
    first, second = _cubes(shift, axis)
    largest = surfaces.hausdorff(first, second, SPACING, 100)
    assert largest == pytest.approx(apart)
    # Of 2 * 56 surface voxels, the 2 * 16 of the outer faces are this far.
    assert surfaces.hausdorff95(first, second, SPACING) == pytest.approx(apart)
    assert surfaces.surface_dice(first, second, SPACING, apart) == 1.0
    assert surfaces.surface_dice(first, second, SPACING, apart - 0.01) < 1.0


def test_of_cubes_one_voxel_apart_the_faces_and_what_is_inside_differ():
    first, second = _cubes(1, 2)
    # Outer faces of 16, and inner faces without their rim, 4 voxels, inside the other.
    distances = surfaces.surface_distances(first, second, (1.0, 1.0, 1.0))
    assert np.count_nonzero(distances == 0) == 2 * (56 - 16 - 4)
    assert np.count_nonzero(distances == 1) == 2 * (16 + 4)
    dice = surfaces.surface_dice(first, second, (1.0, 1.0, 1.0), 0.5)
    assert dice == pytest.approx(36 / 56)


def test_both_directions_count():
    truth, prediction = np.zeros((2, 12, 1, 1), bool)
    truth[0], prediction[0], prediction[10] = True, True, True
    # Three surface voxels: 0 and 0 between the shared ones, 10 of the stray one.
    for pair in ((truth, prediction), (prediction, truth)):
        assert sorted(surfaces.surface_distances(*pair, (1, 1, 1))) == [0, 0, 10]
        assert surfaces.hausdorff(*pair, (1, 1, 1), 100) == 10
        assert surfaces.hausdorff95(*pair, (1, 1, 1)) == pytest.approx(9)
        assert surfaces.surface_dice(*pair, (1, 1, 1), 1) == pytest.approx(2 / 3)


def test_the_border_of_the_image_is_a_surface():
    full = np.ones((5, 5, 5), bool)
    smaller = np.zeros_like(full)
    smaller[1:4, 1:4, 1:4] = True
    distances = surfaces.surface_distances(full, smaller, (1, 1, 1))
    assert len(distances) == (125 - 27) + (27 - 1)
    assert distances.max() == pytest.approx(math.sqrt(3))


def test_a_tolerance_of_whole_voxels_holds_in_spite_of_rounding():
    first, second = _cubes(3, 0)
    assert 3 * 0.1 > 0.3
    assert surfaces.surface_dice(first, second, (0.1, 0.1, 0.1), 0.3) == 1.0


def test_empty_masks():
    empty, full = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)
    assert surfaces.hausdorff95(empty, empty, SPACING) == 0.0
    assert surfaces.surface_dice(empty, empty, SPACING, 1.0) == 1.0
    for pair in ((empty, full), (full, empty)):
        assert math.isnan(surfaces.hausdorff95(*pair, SPACING))
        assert surfaces.surface_dice(*pair, SPACING, 1e9) == 0.0


def test_equal_masks_are_nowhere_apart(rng):
    mask = _blob(rng, (8, 8, 8))
    assert surfaces.hausdorff(mask, mask, SPACING, 100) == 0.0
    assert surfaces.surface_dice(mask, mask, SPACING, 0.0) == 1.0


@pytest.mark.parametrize(
    "spacing", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, np.nan, 1.0)]
)
def test_malformed_spacing_is_refused(spacing):
    mask = np.ones((3, 3, 3), bool)
    with pytest.raises(InputError, match="3 positive numbers in mm. Received: spacing"):
        surfaces.hausdorff95(mask, mask, spacing)


def test_malformed_masks_percentiles_and_tolerances_are_refused():
    mask = np.ones((3, 3, 3), bool)
    with pytest.raises(InputError, match=r"prediction=\(3, 3\)"):
        surfaces.surface_dice(mask, mask[0], SPACING, 1.0)
    with pytest.raises(InputError, match="Received: truth=2 to 2"):
        surfaces.hausdorff95(mask * 2, mask, SPACING)
    for percentile in (-1, 101, math.nan):
        with pytest.raises(InputError, match="Received: percentile="):
            surfaces.hausdorff(mask, mask, SPACING, percentile)
    for tolerance in (-0.1, math.nan, math.inf):
        with pytest.raises(InputError, match="Received: tolerance="):
            surfaces.surface_dice(mask, mask, SPACING, tolerance)
