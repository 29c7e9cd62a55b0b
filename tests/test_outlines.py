"""Outlines run through the pixels just outside, and enclose the region exactly."""

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from scipy import ndimage

from models_genesis_tf.phantoms.outlines import close_region, outlines


def _fill(region: np.ndarray) -> np.ndarray:
    """What the outlines of a region say, by an independent filling of polygons."""
    pixels = np.argwhere(np.ones(region.shape, bool))
    filled = np.zeros(region.shape, bool)
    for points, inside in sorted(outlines(region), key=lambda found: not found[1]):
        within = Polygon(points).contains_points(pixels, radius=0)
        on_line = (pixels[:, None] == points).all(2).any(1)
        enclosed = (within & ~on_line).reshape(region.shape)
        line = on_line.reshape(region.shape)
        filled = filled | enclosed if inside else filled & ~(enclosed | line)
    return filled


def _random_region(k: int) -> np.ndarray:
    """Blobs in several pieces with bays, and a round hole in every second region."""
    rng = np.random.default_rng(k)
    x, y = np.mgrid[:40, :40]
    region = np.zeros((40, 40), bool)
    for _ in range(8):
        column, row, radius = *rng.uniform(8, 32, 2), rng.uniform(1, 6)
        region |= (x - column) ** 2 + (y - row) ** 2 < radius**2
    region = ndimage.binary_fill_holes(close_region(region))
    depth = ndimage.distance_transform_edt(region)
    if k % 2:
        column, row = np.unravel_index(np.argmax(depth), depth.shape)
        inner = depth.max() - 2.5
        region &= (x - column) ** 2 + (y - row) ** 2 > inner**2
    return region


def test_a_single_pixel_has_its_four_neighbours_as_its_outline():
    region = np.zeros((7, 9), bool)
    region[3, 5] = True
    ((points, inside),) = outlines(region)
    assert inside
    assert points.tolist() == [[2, 5], [3, 4], [4, 5], [3, 6], [2, 5]] or (
        points.tolist() == [[2, 5], [3, 6], [4, 5], [3, 4], [2, 5]]
    )


def test_a_square_has_all_pixels_beside_its_sides():
    region = np.zeros((8, 8), bool)
    region[2:5, 3:6] = True
    ((points, inside),) = outlines(region)
    beside = {(1, y) for y in (3, 4, 5)} | {(5, y) for y in (3, 4, 5)}
    beside |= {(x, 2) for x in (2, 3, 4)} | {(x, 6) for x in (2, 3, 4)}
    assert inside
    assert {tuple(point) for point in points.tolist()} == beside
    assert len(points) == len(beside) + 1


def test_a_hole_has_an_outline_of_its_own_within_it():
    region = np.zeros((13, 13), bool)
    region[2:11, 2:11] = True
    region[5:8, 5:8] = False
    found = outlines(region)
    assert [inside for _, inside in found] == [True, False]
    hole = {tuple(point) for point in found[1][0].tolist()}
    assert hole == {(x, y) for x in (5, 6, 7) for y in (5, 6, 7)} - {(6, 6)}


@pytest.mark.parametrize("k", range(60))
def test_what_lies_strictly_inside_is_the_region(k):
    region = _random_region(k)
    np.testing.assert_array_equal(_fill(region), region)


def test_some_of_these_regions_have_holes_and_some_have_several_pieces():
    found = [[inside for _, inside in outlines(_random_region(k))] for k in range(60)]
    assert sum(False in sides for sides in found) > 20
    assert sum(sides.count(True) > 1 for sides in found) > 20


@pytest.mark.parametrize("k", range(60))
def test_outlines_are_closed_chains_of_neighbours_outside_of_the_region(k):
    region = _random_region(k)
    for points, _ in outlines(region):
        assert points[0].tolist() == points[-1].tolist()
        assert (np.abs(np.diff(points, axis=0)).max(1) == 1).all()
        assert not region[tuple(points.T)].any()


def test_regions_lose_nothing_when_they_are_closed():
    rng = np.random.default_rng(0)
    region = np.pad(rng.random((20, 20)) < 0.4, 3)
    closed = close_region(region)
    assert (closed | ~region).all()
    np.testing.assert_array_equal(close_region(closed), closed)


def test_closing_keeps_a_region_at_the_edge():
    region = np.zeros((6, 6), bool)
    region[:2, :] = True
    np.testing.assert_array_equal(close_region(region), region)
