"""Trees reach every end, are of one piece and count what each piece serves."""

import collections

import numpy as np
import pytest

from models_genesis_tf.phantoms.trees import grow_tree

ROOT = np.array((3.0, -2.0, 5.0))


@pytest.fixture
def ends(rng) -> np.ndarray:
    return rng.uniform(-60, 60, (80, 3))


def _key(point) -> tuple:
    return tuple(np.round(point, 9))


def test_every_end_is_reached_and_every_piece_hangs_on_another(ends, rng):
    pieces = grow_tree(ROOT, ends, rng)
    reached = {_key(ROOT)}
    for start, end, _ in pieces:  # parents come before their children
        assert _key(start) in reached
        reached.add(_key(end))
    assert {_key(end) for end in ends} <= reached
    assert len(reached) == len(pieces) + 1  # no ring, no piece twice


def test_a_piece_serves_as_many_ends_as_lie_beyond_it(ends, rng):
    pieces = grow_tree(ROOT, ends, rng)
    leaving = collections.Counter()
    for start, _, leaves in pieces:
        leaving[_key(start)] += leaves
    assert leaving[_key(ROOT)] == len(ends)
    own = {_key(end) for end in ends}
    for _, end, leaves in pieces:
        assert leaves == leaving[_key(end)] + (_key(end) in own)


def test_pieces_are_a_few_millimetres_long_and_little_bent(rng):
    pieces = grow_tree(np.zeros(3), np.array([(0.0, 0.0, 60.0)]), rng)
    assert len(pieces) == 10
    points = np.array([end for _, end, _ in pieces])
    np.testing.assert_allclose(points[:, 2], 6 * np.arange(1, 11), atol=4)
    assert 0 < np.abs(points[:-1, :2]).max() < 4
    np.testing.assert_array_equal(points[-1], (0, 0, 60))


def test_an_end_is_joined_to_the_nearest_point_so_far(rng):
    near, far = np.array((10.0, 0, 0)), np.array((10.0, 3.0, 0))
    pieces = grow_tree(np.zeros(3), np.stack([far, near]), rng)
    start, end, _ = pieces[-1]
    np.testing.assert_array_equal(end, far)
    np.testing.assert_array_equal(start, near)


def test_no_ends_make_no_tree(rng):
    assert grow_tree(ROOT, np.zeros((0, 3)), rng) == []


def test_the_same_generator_grows_the_same_tree(ends):
    first, again = (grow_tree(ROOT, ends, np.random.default_rng(4)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one[1], other[1])
        assert one[2] == other[2]
