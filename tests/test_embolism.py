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

COUNT = 200
KINDS = [("embolus", *DECOYS)[k % 6] for k in range(COUNT)]
LABELS = [kind == "embolus" for kind in KINDS]


def _draw(k: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng([3, k])
    return draw_view(rng, draw_scene(rng, draw_patient(rng), kind))


@pytest.fixture(scope="module")
def drawn() -> list[np.ndarray]:
    """One view of each of 200 candidates, an embolus in every six."""
    return [_draw(k, kind) for k, kind in enumerate(KINDS)]


def _auc(values) -> float:
    """Of the better of both signs."""
    auc = roc_auc_score(LABELS, list(values))
    return max(auc, 1 - auc)


def _centre(patch: np.ndarray, side: int) -> np.ndarray:
    low = (SIZE - side) // 2
    return patch[(slice(low, low + side),) * 3]


def test_patches_are_int16_cubes_of_20_mm_with_lung_and_contrast(drawn):
    assert FIELD_OF_VIEW == 20.0
    for patch in drawn:
        assert patch.dtype == np.int16 and patch.shape == (64, 64, 64)
        assert (patch < -700).any() and patch.max() > 90
        assert patch.min() >= -1024 and patch.max() < 700


def test_mean_brightness_does_not_tell_emboli_from_decoys(drawn):
    assert _auc(patch.mean() for patch in drawn) < 0.7
    assert _auc(_centre(patch, 16).mean() for patch in drawn) < 0.7


def test_the_share_of_soft_tissue_does_not_tell_emboli_from_decoys(drawn):
    assert _auc(((patch > 0) & (patch < 110)).mean() for patch in drawn) < 0.7


def test_the_vessel_runs_along_the_first_axis(drawn):
    for patch, kind in zip(drawn, KINDS, strict=True):
        if kind in ("embolus", "mixing", "vein"):
            bright = np.clip(patch, -800, 200).astype(float)
            ends = bright[[2, -3], 20:44, 20:44].mean()
            sides = [bright[20:44, [2, -3], 20:44], bright[20:44, 20:44, [2, -3]]]
            assert ends > np.mean([part.mean() for part in sides]) + 50


def test_an_embolus_is_dark_within_a_bright_lumen():
    found = []
    for k in range(40):
        values = _draw(k, "embolus").astype(float)
        middle = np.median(_centre(values, 4))
        ahead = max(values[row, 26:38, 26:38].max() for row in (2, 61))
        assert middle < ahead - 100
        found.append(middle)
    assert np.mean(np.less(found, 150)) > 0.9
    assert 20 < np.mean(found) < 100


def test_most_emboli_leave_contrast_medium_around_them():
    ringed = []
    for k in range(40):
        plane = _draw(k, "embolus")[28:36].mean(0)
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        sides = [
            max(
                plane[int(32 + r * np.cos(angle)), int(32 + r * np.sin(angle))]
                for r in range(4, 18)
            )
            for angle in angles
        ]
        ringed.append(np.mean(np.greater(sides, 170)) > 0.6)
    assert 0.5 < np.mean(ringed) < 0.95


@pytest.mark.parametrize("kind", ["node", "plug"])
def test_soft_tissue_of_these_decoys_is_beside_the_bright_lumen(kind):
    for k in range(12):
        values = _draw(k, kind).astype(float)
        plane = values[28:36].mean(0)
        lumen = np.argwhere(plane > 180)
        tissue = np.argwhere((plane > 0) & (plane < 100))
        assert len(lumen) > 40 and len(tissue) > 40
        assert np.linalg.norm(lumen.mean(0) - 31.5) > 3  # the vessel lies to the side


def test_a_vein_and_mixing_blood_have_no_border_within_the_lumen():
    for kind, least in (("vein", 60), ("mixing", 60)):
        for k in range(12):
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
