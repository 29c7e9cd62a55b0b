"""Emboli lie within the lumen; decoys are as dark, and lie elsewhere."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models_genesis_tf.phantoms.embolism import (
    DECOYS,
    FIELD_OF_VIEW,
    SIZE,
    draw_patient,
    draw_scene,
    draw_view,
)

KINDS = [("embolus", *DECOYS)[k % 6] for k in range(24)]
MANY_KINDS = [("embolus", *DECOYS)[k % 6] for k in range(200)]


def _draw(k: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng([3, k])
    return draw_view(rng, draw_scene(rng, draw_patient(rng), kind))


@pytest.fixture(scope="module")
def drawn() -> list[np.ndarray]:
    """One view of each of some candidates, an embolus in every six."""
    return [_draw(k, kind) for k, kind in enumerate(KINDS)]


def _centre(patch: np.ndarray, side: int) -> np.ndarray:
    low = (SIZE - side) // 2
    return patch[(slice(low, low + side),) * 3]


def test_patches_are_int16_cubes_of_20_mm_with_lung_and_contrast(drawn):
    assert FIELD_OF_VIEW == 20.0
    for patch in drawn:
        assert patch.dtype == np.int16 and patch.shape == (64, 64, 64)
        assert (patch < -700).any() and patch.max() > 90
        assert patch.min() >= -1024 and patch.max() < 700


@pytest.mark.slow
def test_mean_brightness_does_not_tell_emboli_from_decoys():
    numbers = []
    for k, kind in enumerate(MANY_KINDS):
        patch = _draw(k, kind)
        soft = ((patch > 0) & (patch < 110)).mean()
        numbers.append((patch.mean(), _centre(patch, 16).mean(), soft))
    for values in np.transpose(numbers):
        auc = roc_auc_score([kind == "embolus" for kind in MANY_KINDS], values)
        assert max(auc, 1 - auc) < 0.7


def test_the_vessel_runs_along_the_first_axis(drawn):
    for patch, kind in zip(drawn, KINDS, strict=True):
        if kind in ("embolus", "mixing", "vein"):
            bright = np.clip(patch, -800, 200).astype(float)
            ends = bright[[2, -3], 20:44, 20:44].mean()
            sides = [bright[20:44, [2, -3], 20:44], bright[20:44, 20:44, [2, -3]]]
            assert ends > np.mean([part.mean() for part in sides]) + 50


@pytest.fixture(scope="module")
def emboli() -> list[np.ndarray]:
    return [_draw(k, "embolus").astype(float) for k in range(24)]


def test_an_embolus_is_dark_in_a_vessel_that_is_bright_before_or_after_it(emboli):
    middles = [np.median(_centre(values, 4)) for values in emboli]
    ends = [values[[2, 61], 26:38, 26:38].max() for values in emboli]
    assert np.mean(np.less(middles, 150)) > 0.8
    assert 20 < np.median(middles) < 110
    assert min(ends) > 200


def test_most_emboli_leave_contrast_medium_around_them(emboli):
    ringed = []
    for values in emboli:
        plane = values[28:36].mean(0)
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        rays = 31.5 + np.outer(np.arange(4, 18), np.cos(angles))
        others = 31.5 + np.outer(np.arange(4, 18), np.sin(angles))
        brightest = plane[rays.astype(int), others.astype(int)].max(0)
        ringed.append((brightest > 170).mean() > 0.6)
    assert 0.5 < np.mean(ringed) < 0.95


@pytest.mark.parametrize("kind", ["node", "plug"])
def test_soft_tissue_of_these_decoys_is_beside_the_bright_lumen(kind):
    for k in range(6):
        values = _draw(k, kind).astype(float)
        plane = values[28:36].mean(0)
        lumen = np.argwhere(plane > 180)
        tissue = np.argwhere((plane > 0) & (plane < 100))
        assert len(lumen) > 40 and len(tissue) > 40
        assert np.linalg.norm(lumen.mean(0) - 31.5) > 3  # the vessel lies to the side


def test_a_vein_and_mixing_blood_have_no_border_within_the_lumen():
    for kind, least in (("vein", 60), ("mixing", 60)):
        for k in range(6):
            core = _centre(_draw(k, kind), 8).astype(float)
            assert core.mean() > least
            steps = np.abs(np.diff(core.mean(0), axis=0)).max()
            assert steps < 40  # HU from voxel to voxel


def test_views_show_the_same_place_turned_about_the_vessel():
    rng = np.random.default_rng(0)
    scene = draw_scene(rng, draw_patient(rng), "embolus")
    views = [draw_view(rng, scene) for _ in range(6)]
    assert len({view.tobytes() for view in views}) == 6
    middles = [np.median(_centre(view, 4)) for view in views]
    assert np.ptp(middles) < 60
    means = [view[:, 22:42, 22:42].mean() for view in views]
    assert np.ptp(means) < 100


def test_the_same_generator_draws_the_same_patch():
    for kind in ("embolus", *DECOYS):
        np.testing.assert_array_equal(_draw(1, kind), _draw(1, kind))
        assert (_draw(1, kind) != _draw(2, kind)).any()
