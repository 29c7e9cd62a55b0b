"""Nodules of known place that only their shape tells from what is around them."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from models_genesis_tf.phantoms.lidc import SIZE
from models_genesis_tf.phantoms.thorax import draw_body, draw_thorax


def _draw(k: int):
    rng = np.random.default_rng([3, k])
    return draw_thorax(rng, draw_body(rng), SIZE)


@pytest.fixture(scope="module")
def drawn() -> list:
    return [_draw(k) for k in range(8)]


def _crop(thorax, centre) -> tuple[slice, ...]:
    """The voxels that a patch of 64 x 64 x 32 mm around a nodule shows."""
    half = np.array((32, 32, 16)) / thorax.spacing
    low = np.maximum(np.round(centre - half), 0).astype(int)
    return tuple(
        slice(*ends) for ends in zip(low, low + np.int64(2 * half), strict=True)
    )


def test_scans_are_int16_with_the_values_of_a_chest(drawn):
    for one in drawn:
        assert one.array.dtype == np.int16 and one.array.shape == SIZE
        assert (one.array < -700).mean() > 0.2  # lung
        assert (np.abs(one.array) < 150).mean() > 0.1  # soft tissue
        assert one.array.max() > 300  # bone
        x, y, z = one.spacing
        assert x == y and 1.2 <= x <= 1.4 and 1.9 <= z <= 2.3


def test_every_scan_has_one_to_three_whole_nodules(drawn):
    assert {len(one.nodules) for one in drawn} == {1, 2, 3}
    for one in drawn:
        for nodule in one.nodules:
            places = np.argwhere(nodule.mask)
            assert (places.min(0) > 0).all()
            assert (places.max(0) < np.array(SIZE) - 1).all()
            assert 6.5 < nodule.diameter < 23


def test_nodules_lie_apart(drawn):
    for one in drawn:
        union = sum(nodule.mask.astype(int) for nodule in one.nodules)
        assert union.max() == 1
        near = [ndimage.binary_dilation(n.mask, iterations=2) for n in one.nodules]
        assert sum(mask.astype(int) for mask in near).max() == 1


def test_a_solid_nodules_diameter_is_that_of_a_ball_of_its_volume(drawn):
    for one in drawn:
        volumes = [n.mask.sum() for n in one.nodules if not _is_hollow(n)]
        expected = [n.diameter for n in one.nodules if not _is_hollow(n)]
        volumes = np.array(volumes) * np.prod(one.spacing)
        np.testing.assert_allclose(np.pi / 6 * np.power(expected, 3), volumes)


def _is_hollow(nodule) -> bool:
    mask = nodule.mask[ndimage.find_objects(nodule.mask, 1)[0]]
    return bool((ndimage.binary_fill_holes(mask) & ~mask).any())


def test_the_brightness_of_a_voxel_does_not_tell_nodules_from_other_tissue(drawn):
    values, labels = [], []
    for one in drawn:
        union = sum(nodule.mask.astype(int) for nodule in one.nodules) > 0
        for nodule in one.nodules:
            box = _crop(one, nodule.centre)
            tissue = one.array[box] > -300
            values.append(one.array[box][tissue])
            labels.append(union[box][tissue])
    auc = roc_auc_score(np.concatenate(labels), np.concatenate(values))
    assert 0.3 < auc < 0.7


def test_mean_brightness_of_nodules_is_within_the_range_of_other_tissue(drawn):
    for one in drawn:
        union = sum(nodule.mask.astype(int) for nodule in one.nodules) > 0
        around = ndimage.binary_dilation(union, iterations=2)
        other = one.array[(one.array > -300) & ~around]
        low, high = np.percentile(other, (5, 95))
        for nodule in one.nodules:
            core = ndimage.binary_erosion(nodule.mask)
            assert low < one.array[core].mean() < high


def test_some_nodules_are_hollow_and_some_touch_the_lungs_surface(drawn):
    hollow, touching = [], []
    for one in drawn:
        for nodule in one.nodules:
            hollow.append(_is_hollow(nodule))
            ring = ndimage.binary_dilation(nodule.mask, iterations=2) & ~nodule.mask
            touching.append((one.array[ring] > -200).mean() > 0.12)
    assert 0 < sum(hollow) < len(hollow) / 3
    assert len(touching) / 6 < sum(touching) < len(touching) / 1.5


def test_specks_are_small_and_bright_and_decoys_lie_beside_nodules(drawn):
    assert sum(len(one.specks) for one in drawn) > 3
    for one in drawn:
        for place in np.round(one.specks).astype(int):
            assert one.array[tuple(place)] > -600
        union = sum(nodule.mask.astype(int) for nodule in one.nodules)
        assert not union[tuple(np.round(one.decoys).astype(int).T)].any()


def test_the_same_generator_draws_the_same_scan():
    np.testing.assert_array_equal(_draw(1).array, _draw(1).array)
    assert (_draw(1).array != _draw(2).array).any()
