"""Patches hold one lesion that only its shape tells from what is around it."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from models_genesis_tf.phantoms import lesion
from models_genesis_tf.phantoms.lesion import SHAPES, SIZE, draw_lesion, draw_patient

COUNT = 150
SPICULATED = np.arange(COUNT) % 2


def _draw(k: int):
    rng = np.random.default_rng([3, k])
    return draw_lesion(rng, draw_patient(rng), SHAPES[k % 2])


@pytest.fixture(scope="module")
def drawn() -> list:
    """Lesions of as many patients, smooth and spiculated in turn."""
    return [_draw(k) for k in range(COUNT)]


def _surface(mask: np.ndarray, spacing) -> float:
    """mm2 of the faces between the lesion's voxels and others."""
    padded = np.pad(mask, 1).astype(int)
    voxel = np.prod(spacing)
    return sum(
        np.abs(np.diff(padded, axis=axis)).sum() * voxel / step
        for axis, step in enumerate(spacing)
    )


def _auc(values) -> float:
    return roc_auc_score(SPICULATED, list(values))


def _dice(found: np.ndarray, mask: np.ndarray) -> float:
    return 2 * (found & mask).sum() / (found.sum() + mask.sum())


def test_patches_are_int16_and_masks_bool_on_the_same_grid(drawn):
    for one in drawn:
        assert one.array.dtype == np.int16 and one.array.shape == SIZE == (48, 48, 32)
        assert one.mask.dtype == bool and one.mask.shape == SIZE
        assert one.array.min() >= -1024 and one.array.max() < 900
        x, y, z = one.spacing
        assert x == y and 0.9 <= x <= 1.1 and 1.35 <= z <= 1.65
    assert len({one.spacing for one in drawn}) == COUNT


def test_a_lesion_is_one_piece_around_the_middle_and_inside_of_the_patch(drawn):
    for one in drawn:
        _, pieces = ndimage.label(one.mask)
        assert pieces == 1
        places = np.argwhere(one.mask)
        middle = (places.mean(0) - (np.array(SIZE) - 1) / 2) * one.spacing
        assert (np.abs(middle) < 10).all()
        assert (places.min(0) > 0).all() and (places.max(0) < np.array(SIZE) - 1).all()


def test_diameters_are_those_of_balls_of_the_masks_volumes(drawn):
    for one in drawn:
        volume = one.mask.sum() * np.prod(one.spacing)
        assert np.pi / 6 * one.diameter**3 == pytest.approx(volume)
        assert 6 < one.diameter < 21


def test_neither_size_nor_brightness_tells_the_classes_apart(drawn):
    assert 0.35 < _auc(one.diameter for one in drawn) < 0.65
    assert 0.35 < _auc(one.array[one.mask].mean() for one in drawn) < 0.65
    assert 0.35 < _auc(one.array.mean() for one in drawn) < 0.65
    assert 0.35 < _auc(one.array.std() for one in drawn) < 0.65


def test_the_shape_tells_the_classes_apart(drawn):
    def roughness(one) -> float:
        volume = one.mask.sum() * np.prod(one.spacing)
        return _surface(one.mask, one.spacing) / volume ** (2 / 3)

    assert _auc(map(roughness, drawn)) > 0.95


def test_no_threshold_of_the_intensity_finds_the_lesions(drawn):
    thresholds = range(-800, 300, 50)
    dice = [
        np.mean([_dice(one.array > threshold, one.mask) for one in drawn])
        for threshold in thresholds
    ]
    assert max(dice) < 0.5
    # Nor does the best threshold for each single patch.
    best = [max(_dice(one.array > t, one.mask) for t in thresholds) for one in drawn]
    assert np.mean(best) < 0.5


def test_vessels_are_as_bright_as_the_lesion(monkeypatch):
    """Without wall, blur and noise nothing else is as bright."""
    monkeypatch.setattr(
        lesion.ndimage, "gaussian_filter", lambda values, sigma: values.copy()
    )
    monkeypatch.setattr(lesion, "_paint_texture", lambda canvas, rng: None)
    monkeypatch.setattr(lesion, "_paint_wall", lambda canvas, *rest: canvas.values * 0)
    for k in range(6):
        rng = np.random.default_rng([3, k])
        patient = dataclasses.replace(draw_patient(rng), noise=0.0)
        one = draw_lesion(rng, patient, SHAPES[k % 2])
        value = one.array[one.mask].max()
        vessels = one.array[~ndimage.binary_dilation(one.mask, iterations=2)]
        assert vessels.max() == value
        assert (vessels == value).sum() > 20


def test_two_lesions_in_five_touch_the_chest_wall(monkeypatch):
    shares = []
    paint_wall = lesion._paint_wall

    def watched(*arguments):
        shares.append(paint_wall(*arguments))
        return shares[-1]

    monkeypatch.setattr(lesion, "_paint_wall", watched)
    touching = 0
    for k in range(40):
        shares.clear()
        one = _draw(k)
        if shares:
            (wall,) = shares
            assert not (one.mask & (wall == 1)).any()
            touching += (
                ndimage.binary_dilation(one.mask, iterations=2) & (wall > 0.5)
            ).any()
    assert 8 < touching < 24


def test_the_same_generator_draws_the_same_patch():
    one, same = _draw(5), _draw(5)
    np.testing.assert_array_equal(one.array, same.array)
    np.testing.assert_array_equal(one.mask, same.mask)
