"""Synthetic chests are built as chests are, and hold the nodules that they list."""

import numpy as np
import pytest
from scipy import ndimage

from models_genesis_tf.evaluation.classification_metrics import auc
from models_genesis_tf.phantoms import chest
from models_genesis_tf.phantoms.chest import Chest, draw_chest

SMALL, LARGE = (128, 128, 64), (256, 256, 128)
SEEDS = range(7)


def _draw_twins(seed: int, size) -> tuple[Chest, Chest]:
    """A chest, and the same without the nodules' paint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chest, "paint_ball", lambda *arguments: None)
        without = draw_chest(np.random.default_rng(seed), size)
    return draw_chest(np.random.default_rng(seed), size), without


@pytest.fixture(scope="module")
def twins() -> list[tuple[Chest, Chest]]:
    """Small chests with and without their nodules' paint."""
    return [_draw_twins(seed, SMALL) for seed in SEEDS]


@pytest.fixture(scope="module")
def chests(twins) -> list[Chest]:
    return [drawn for drawn, _ in twins]


@pytest.fixture(scope="module")
def large_twins() -> tuple[Chest, Chest]:
    """A chest of the size that users get, with three solid nodules, and its twin."""
    return _draw_twins(0, LARGE)


def _axes(drawn: Chest) -> list[np.ndarray]:
    """mm from the middle along x, y and z, shaped to broadcast."""
    axes = [
        (np.arange(side) - (side - 1) / 2) * step
        for side, step in zip(drawn.array.shape, drawn.spacing, strict=True)
    ]
    return list(np.ix_(*axes))


def _distance(drawn: Chest, centre) -> np.ndarray:
    axes = _axes(drawn)
    square = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
    return np.sqrt(square)


def _ball(drawn: Chest, x, y, z, radius=6.0) -> np.ndarray:
    """HU of the voxels about a place in mm."""
    return drawn.array[_distance(drawn, (x, y, z)) < radius]


def _lungs(drawn: Chest) -> np.ndarray:
    """What is darker than -500 HU and not joined to the air around the body."""
    labels, _ = ndimage.label(drawn.array < -500)
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    outside = np.unique(np.concatenate([side.ravel() for side in sides]))
    return (labels > 0) & ~np.isin(labels, outside)


def test_a_chest_is_int16_in_hounsfield_units_on_its_grid(chests):
    for drawn in chests:
        assert drawn.array.dtype == np.int16 and drawn.array.shape == SMALL
        assert drawn.array.min() >= -1024 and drawn.array.max() <= 3071
        extent = np.multiply(drawn.spacing, SMALL)
        np.testing.assert_allclose(extent, (360, 360, 310))


def test_lungs_are_two_of_plausible_density_and_size(chests):
    for drawn in chests:
        lungs = _lungs(drawn)
        assert -900 < np.median(drawn.array[lungs]) < -700
        litres = np.prod(drawn.spacing) / 1e6
        x = _axes(drawn)[0] + np.zeros(SMALL)
        for side in (x < 0, x > 0):
            assert 1.2 < (lungs & side).sum() * litres < 3.5
        assert not lungs[:, :, 0].any()  # they end above the lowest slice


def test_the_back_of_the_lungs_is_denser_than_the_front(chests):
    for drawn in chests:
        lungs = _lungs(drawn)
        y = _axes(drawn)[1] + np.zeros(SMALL)
        front, back = (np.median(drawn.array[lungs & s]) for s in (y < -20, y > 20))
        assert 10 < back - front < 80


def test_air_surrounds_the_body(chests):
    for drawn in chests:
        corner = drawn.array[:12, :12]
        assert corner.max() < -800 and np.median(corner) < -950
        faces = drawn.array[[0, -1]], drawn.array[:, 0]
        assert all(np.median(face) < -950 for face in faces)
        body = drawn.array > -500
        assert 0.25 < body.mean() < 0.55


def test_organs_have_their_density_and_lie_in_their_place(chests):
    for drawn in chests:
        assert 0 < np.median(_ball(drawn, 20, -25, -40, 10)) < 80  # heart
        assert 30 < np.median(_ball(drawn, -60, 0, -125, 12)) < 90  # liver, right
        assert np.median(_ball(drawn, 0, 5.5, 125, 5)) < -900  # windpipe
        assert np.median(_ball(drawn, 75, 0, 20, 12)) < -700  # left lung
        assert np.median(_ball(drawn, -75, 0, 20, 12)) < -700  # right lung
        x, y, _ = _axes(drawn)
        spine = drawn.array[np.hypot(x, y - 66)[..., 0] < 14]  # bodies and discs
        assert 80 < np.median(spine) < 300
        assert (spine > 300).any(axis=0).sum() > 8  # end plates of vertebrae


def test_bone_is_there_in_plausible_amount_and_mostly_at_the_back(chests):
    for drawn in chests:
        bone = drawn.array > 250
        assert 0.2 < bone.sum() * np.prod(drawn.spacing) / 1e6 < 1.0  # litres
        ribs = bone & (np.abs(_axes(drawn)[0]) > 90)
        assert ribs.any(axis=(0, 1)).mean() > 0.7  # in most slices
        assert (bone & (_axes(drawn)[1] > 0)).sum() > 0.6 * bone.sum()


def test_fat_lies_under_the_skin(chests):
    for drawn in chests:
        fat = (drawn.array > -150) & (drawn.array < -50)
        assert fat.mean() > 0.01
        body = ndimage.binary_fill_holes(drawn.array[:, :, 32] > -500)
        rim = body & ~ndimage.binary_erosion(body, iterations=4)
        assert fat[:, :, 32][rim].mean() > fat[:, :, 32][body & ~rim].mean()


def test_the_noise_of_the_scanner_is_that_of_a_ct(chests):
    levels = [np.std(_ball(drawn, -60, 0, -125, 12)) for drawn in chests]
    assert min(levels) > 12 and max(levels) < 45
    assert max(levels) > 1.2 * min(levels)


def test_two_patients_differ_in_their_anatomy(chests):
    masks = [_lungs(drawn) for drawn in chests]
    for k, one in enumerate(masks):
        for other in masks[:k]:
            dice = 2 * (one & other).sum() / (one.sum() + other.sum())
            assert 0.6 < dice < 0.96
    assert len({len(drawn.nodules) for drawn in chests}) > 1


def test_the_size_changes_the_grid_and_not_the_patient(chests, large_twins):
    _, large = large_twins
    coarse = large.array.reshape(128, 2, 128, 2, 64, 2).mean(axis=(1, 3, 5))
    same = _lungs(Chest(coarse, chests[0].spacing, (), np.zeros((0, 3))))
    dice = [
        2 * (same & lungs).sum() / (same.sum() + lungs.sum())
        for lungs in map(_lungs, chests)
    ]
    assert dice[0] > 0.97 and max(dice[1:]) < 0.95


def test_the_same_generator_draws_the_same_chest(chests):
    again = draw_chest(np.random.default_rng(SEEDS[0]), SMALL)
    np.testing.assert_array_equal(again.array, chests[0].array)
    np.testing.assert_array_equal(again.decoys, chests[0].decoys)
    for one, other in zip(again.nodules, chests[0].nodules, strict=True):
        np.testing.assert_array_equal(one.centre, other.centre)
        assert one.diameter == other.diameter


def test_nodules_are_few_and_of_clinical_size(chests):
    for drawn in chests:
        assert 1 <= len(drawn.nodules) <= 4
    diameters = [nodule.diameter for drawn in chests for nodule in drawn.nodules]
    assert 5 <= min(diameters) < 8 and 11 < max(diameters) <= 22


def test_a_nodule_is_dense_where_the_chest_alone_would_be_lung(twins):
    for drawn, without in twins:
        lungs = _lungs(without)
        for nodule in drawn.nodules:
            inside = _distance(drawn, nodule.centre) < max(nodule.diameter / 3, 3)
            assert lungs[inside].mean() > 0.6  # vessels pass through
            before = np.median(without.array[inside])
            assert before < -650
            assert np.median(drawn.array[inside]) > before + 250


def test_nothing_but_nodules_depends_on_the_nodules(twins):
    for drawn, without in twins:
        far = np.ones(SMALL, bool)
        for nodule in drawn.nodules:  # the largest lumps, and the blur of two voxels
            reach = 0.8 * nodule.diameter + 2.5 * max(drawn.spacing)
            far &= _distance(drawn, nodule.centre) > reach
        np.testing.assert_array_equal(drawn.array[far], without.array[far])


def test_large_nodules_are_solid_or_ground_glass(chests):
    values = np.array(
        [
            np.median(drawn.array[_distance(drawn, nodule.centre) < 4])
            for drawn in chests
            for nodule in drawn.nodules
            if nodule.diameter > 12
        ]
    )
    solid, glass = values > -120, (values > -700) & (values < -350)
    assert (solid | glass).all() and solid.sum() >= 2 and glass.any()


def test_a_solid_nodule_fills_the_ball_of_its_diameter(large_twins):
    drawn, without = large_twins
    assert len(drawn.nodules) == 3
    for nodule in drawn.nodules:
        distance = _distance(drawn, nodule.centre)
        assert -30 < np.median(drawn.array[distance < nodule.diameter / 4]) < 100
        # Half way between lung and soft tissue; vessels of the twin do not count.
        near = distance < nodule.diameter
        dense = near & (drawn.array > -400) & (without.array < -400)
        volume = dense.sum() * np.prod(drawn.spacing)
        assert volume == pytest.approx(np.pi / 6 * nodule.diameter**3, rel=0.35)
        for axis, place in zip(_axes(drawn), nodule.centre, strict=True):
            assert (axis * dense).sum() / dense.sum() == pytest.approx(place, abs=1.5)


def test_nodules_and_decoys_keep_apart_even_where_they_crowd(monkeypatch):
    places_in = chest._places_in

    def crowded(*arguments):
        places = places_in(*arguments)
        return places[np.argsort(np.linalg.norm(places - (75, 0, 20), axis=1))]

    monkeypatch.setattr(chest, "_places_in", crowded)
    drawn = draw_chest(np.random.default_rng(4), SMALL)
    assert len(drawn.nodules) == 3
    for k, one in enumerate(drawn.nodules):
        for other in drawn.nodules[:k]:
            gap = np.linalg.norm(one.centre - other.centre)
            assert gap > (one.diameter + other.diameter) / 2
        distance = np.linalg.norm(drawn.decoys - one.centre, axis=1)
        assert distance.min() > one.diameter / 2 + 8


def test_a_decoy_lies_in_a_lung_and_away_from_nodules(twins):
    for drawn, without in twins:
        assert drawn.decoys.shape == (16, 3)
        lungs = ndimage.binary_closing(_lungs(without), iterations=2)  # vessels too
        middle = (np.array(SMALL) - 1) / 2
        voxels = np.round(drawn.decoys / drawn.spacing + middle).astype(int)
        assert lungs[tuple(voxels.T)].all()
        for nodule in drawn.nodules:
            distance = np.linalg.norm(drawn.decoys - nodule.centre, axis=1)
            # The largest lumps reach out to 1.6 radii.
            assert distance.min() > 0.8 * nodule.diameter


def test_places_near_nodules_are_left_out_and_no_others(twins):
    lungs = _lungs(twins[0][1])
    canvas = chest.make_canvas(SMALL, twins[0][0].spacing, 0.0)
    places = chest._places_in(lungs, canvas, np.random.default_rng(0))
    nodules = twins[0][0].nodules
    kept = chest._clear_of(nodules, places, 8)
    assert 0.5 * len(places) < len(kept) < len(places)
    for nodule in nodules:
        distance = np.linalg.norm(kept - nodule.centre, axis=1)
        assert distance.min() > nodule.diameter / 2 + 8
    left_out = set(map(tuple, places)) - set(map(tuple, kept))
    for place in left_out:
        gaps = [np.linalg.norm(place - n.centre) - n.diameter / 2 for n in nodules]
        assert min(gaps) <= 8


@pytest.mark.slow
def test_mean_density_does_not_tell_nodules_from_decoys():
    """Of cubes of 7, 13 and 33 mm around them, over eight patients."""
    labels, means = [], {3: [], 6: [], 16: []}
    for case in range(8):
        chest = draw_chest(np.random.default_rng([0, 6, case]), (128, 128, 64))
        places = [nodule.centre for nodule in chest.nodules]
        labels += [1] * len(places) + [0] * len(chest.decoys)
        middle = (np.array(chest.array.shape) - 1) / 2
        for place in [*places, *chest.decoys]:
            voxel = np.round(place / chest.spacing + middle).astype(int)
            for reach, values in means.items():
                half = np.maximum(1, np.round(np.divide(reach, chest.spacing)))
                low = np.maximum(voxel - half, 0).astype(int)
                high = (voxel + half + 1).astype(int)
                box = tuple(map(slice, low, high))
                values.append(np.clip(chest.array[box], -1000, 1000).mean())
    for values in means.values():
        area = auc(np.array(labels), np.array(values))
        assert max(area, 1 - area) < 0.7
