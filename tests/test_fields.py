"""Arrays over a canvas that shapes are made of."""

import numpy as np
import pytest

from models_genesis_tf.phantoms.fields import (
    bumps,
    cover_beyond,
    ellipsoid,
    largest_piece,
)
from models_genesis_tf.phantoms.painting import make_canvas


def test_an_ellipsoids_surface_is_at_one():
    canvas = make_canvas((9, 9, 9), (1.0, 2.0, 3.0), 0.0)
    radius = ellipsoid(canvas, (1, 2, -3), (2, 4, 6))
    assert radius.dtype == np.float32
    assert radius[5, 5, 3] == 0  # voxel (4, 4, 4) is the middle
    for surface in ((7, 5, 3), (5, 3, 3), (5, 5, 5)):
        assert radius[surface] == pytest.approx(1)


def test_bumps_change_over_their_length_and_hardly_between_neighbours():
    canvas = make_canvas((80, 40, 40), (1.0, 2.0, 2.0), 0.0)
    field = bumps(canvas, 10, np.random.default_rng(0))
    assert field.shape == (80, 40, 40) and field.dtype == np.float32
    assert abs(field.mean()) < 0.2 and 0.6 < field.std() < 1.05
    near = np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1]
    far = np.corrcoef(field[30:].ravel(), field[:-30].ravel())[0, 1]
    assert near > 0.95 and abs(far) < 0.2


def test_bumps_are_as_far_apart_as_asked_whatever_the_spacing():
    canvas = make_canvas((64, 64, 32), (1.0, 1.0, 2.0), 0.0)
    field = bumps(canvas, 8.0, np.random.default_rng(0))
    along_x = np.corrcoef(field[2:].ravel(), field[:-2].ravel())[0, 1]  # 2 mm
    along_z = np.corrcoef(field[:, :, 1:].ravel(), field[:, :, :-1].ravel())[0, 1]
    assert along_x > 0.7 and abs(along_z - along_x) < 0.1


def test_a_surface_through_a_voxels_centre_covers_half_of_it():
    canvas = make_canvas((5, 1, 1), (2.0, 1.0, 1.0), 0.0)
    cover = cover_beyond(canvas, canvas.x)  # x is -4, -2, 0, 2 and 4 mm
    assert cover.ravel().tolist() == [0, 0, 0.5, 1, 1]


def test_of_several_pieces_the_largest_is_kept():
    mask = np.zeros((6, 6, 3), bool)
    mask[0, 0, 0] = mask[5, 5, 2] = True
    mask[2:4, 2:4, 1] = True
    mask[4, 4, 1] = True  # touches the square by an edge alone
    expected = np.zeros_like(mask)
    expected[2:4, 2:4, 1] = True
    np.testing.assert_array_equal(largest_piece(mask), expected)
