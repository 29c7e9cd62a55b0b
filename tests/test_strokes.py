"""Strokes that several drawings share."""

import numpy as np

from models_genesis_tf.phantoms.painting import make_canvas
from models_genesis_tf.phantoms.strokes import (
    blend,
    draw_direction,
    draw_lumps,
    paint_path,
    paint_ribs,
)


def test_a_value_takes_its_share_of_each_voxel():
    canvas = make_canvas((2, 1, 1), (1.0, 1.0, 1.0), -800.0)
    blend(canvas, np.array([0.25, 1.0])[:, None, None], 40.0)
    assert canvas.values.ravel().tolist() == [-590.0, 40.0]


def test_a_path_is_a_tube_through_its_points():
    canvas = make_canvas((21, 21, 21), (1.0, 1.0, 1.0), 0.0)
    paint_path(canvas, [(-6, -6, 0), (6, -6, 0), (6, 6, 0)], 2.5, 9.0)
    on_path = canvas.values[[4, 10, 16, 16, 16], [4, 4, 4, 10, 16], 10]
    assert (on_path == 9).all()
    assert canvas.values[10, 10, 10] == 0  # between the ends, off the path
    assert canvas.values[10, 4 + 2, 10] == 9 and canvas.values[10, 4 + 3, 10] == 0


def test_a_path_changes_nothing_where_it_must_not():
    canvas = make_canvas((21, 21, 21), (1.0, 1.0, 1.0), 0.0)
    where = np.broadcast_to(canvas.x > 0, canvas.values.shape)
    paint_path(canvas, [(-6, 0, 0), (6, 0, 0)], 2.5, 9.0, where)
    assert not canvas.values[:11].any() and canvas.values[14, 10, 10] == 9


def test_a_rib_is_bone_around_marrow_and_higher_than_thick():
    canvas = make_canvas((21, 1, 21), (1.0, 1.0, 1.0), 0.0)
    paint_ribs(canvas, canvas.x, canvas.z)
    assert canvas.values[10, 0, 10] == 180  # the middle
    assert canvas.values[10 + 3, 0, 10] == canvas.values[10, 0, 10 + 5] == 430
    assert canvas.values[10 + 5, 0, 10] == canvas.values[10, 0, 10 + 7] == 0


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
