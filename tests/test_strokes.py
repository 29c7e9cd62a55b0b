"""Strokes that drawings in tissue share."""

import numpy as np

from models_genesis_tf.phantoms.painting import make_canvas
from models_genesis_tf.phantoms.strokes import (
    blend,
    bumps,
    cover_beyond,
    draw_direction,
    draw_lumps,
)


def test_a_value_takes_its_share_of_each_voxel():
    canvas = make_canvas((2, 1, 1), (1.0, 1.0, 1.0), -800.0)
    blend(canvas, np.array([0.25, 1.0])[:, None, None], 40.0)
    assert canvas.values.ravel().tolist() == [-590.0, 40.0]


def test_a_surface_through_a_voxels_centre_covers_half_of_it():
    canvas = make_canvas((5, 1, 1), (2.0, 1.0, 1.0), 0.0)
    cover = cover_beyond(canvas, canvas.x)  # x is -4, -2, 0, 2 and 4 mm
    assert cover.ravel().tolist() == [0, 0, 0.5, 1, 1]


def test_bumps_are_as_far_apart_as_asked_whatever_the_spacing():
    canvas = make_canvas((64, 64, 32), (1.0, 1.0, 2.0), 0.0)
    field = bumps(canvas, 8.0, np.random.default_rng(0))
    assert field.shape == (64, 64, 32)
    assert abs(field.mean()) < 0.15 and 0.5 < field.std() < 1.2
    near, far = (np.corrcoef(field[k:].ravel(), field[:-k].ravel()) for k in (2, 24))
    assert near[0, 1] > 0.7 and abs(far[0, 1]) < 0.3
    along_z = np.corrcoef(field[:, :, 1:].ravel(), field[:, :, :-1].ravel())
    assert abs(along_z[0, 1] - near[0, 1]) < 0.1  # one step of 2 mm


def test_lumps_are_directions_and_heights_of_both_signs():
    lumps = draw_lumps(200, 0.3, np.random.default_rng(0))
    assert lumps.shape == (200, 4)
    assert np.abs(lumps[:, 3]).max() <= 0.3
    assert lumps[:, 3].min() < -0.25 and lumps[:, 3].max() > 0.25


def test_directions_have_length_one_and_point_everywhere():
    rng = np.random.default_rng(0)
    directions = np.array([draw_direction(rng) for _ in range(400)])
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert (np.abs(directions.mean(0)) < 0.1).all()
