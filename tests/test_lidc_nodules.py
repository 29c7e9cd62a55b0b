"""Outlines of several readers become nodules, and nodules label maps."""

import itertools

import numpy as np
import pytest

from models_genesis_tf.tasks.lidc_nodules import cluster_outlines, consensus
from models_genesis_tf.tasks.lidc_xml import Contour, Outline

PIXEL = (0.5, 0.5)  # mm
GAP = 2.0  # mm


def square(
    reader: int, left: int, top: int, side: int, heights: tuple[float, ...] = (0.0,)
) -> Outline:
    """Encloses `side` x `side` pixels from (left, top) on each slice."""
    points = [(-1, -1), (side, -1), (side, side), (-1, side)]
    points = np.array(points) + (left, top)
    contours = (Contour(f"uid{height}", height, True, points) for height in heights)
    return Outline(reader, "a name of the reader's own", tuple(contours))


def clusters(outlines: list[Outline]) -> list[list[int]]:
    """Readers of each nodule found, sorted."""
    found = cluster_outlines(outlines, PIXEL, GAP)
    return [sorted(outline.reader for outline in nodule) for nodule in found]


def test_two_nodules_are_told_apart_and_a_reader_may_have_missed_one():
    first = [square(reader, 10, 10 + reader, 4) for reader in (0, 1, 2, 3)]
    second = [square(reader, 40, 10 + reader, 4) for reader in (0, 2, 3)]
    assert clusters(first + second) == [[0, 1, 2, 3], [0, 2, 3]]


def test_outlines_are_one_nodule_up_to_the_gap_of_slices():
    """Outlines at columns 11 and 15 are 2.0 mm apart, at 11 and 16 2.5 mm."""
    near = [square(0, 10, 10, 1), square(1, 16, 10, 1)]
    far = [square(0, 10, 10, 1), square(1, 17, 10, 1)]
    assert clusters(near) == [[0, 1]]
    assert clusters(far) == [[0], [1]]
    assert clusters([square(0, 10, 10, 4), square(1, 10, 10, 4, (2.0,))]) == [[0, 1]]
    assert clusters([square(0, 10, 10, 4), square(1, 10, 10, 4, (2.1,))]) == [[0], [1]]


def test_an_outline_deep_inside_another_is_of_the_same_nodule():
    assert clusters([square(0, 10, 10, 40), square(1, 28, 28, 3)]) == [[0, 1]]


def test_two_near_nodules_of_the_same_readers_are_divided():
    """They lie 1.0 mm apart, within the gap; each reader outlined both."""
    first = [square(reader, 10, 10, 4) for reader in (0, 1, 2, 3)]
    second = [square(reader, 17, 10, 4) for reader in (0, 1, 2)]
    assert clusters(first + second) == [[0, 1, 2, 3], [0, 1, 2]]


def test_a_crowd_does_not_divide_another_nodule():
    """Two readers of a far nodule are 1.5 mm apart; near ones part below 1.0 mm."""
    crowd = [square(reader, 10, 10, 4) for reader in (0, 1)]
    crowd += [square(reader, 17, 10, 4) for reader in (0, 1)]
    loose = [square(0, 60, 10, 1), square(1, 65, 10, 1)]
    assert clusters(crowd + loose) == [[0, 1], [0, 1], [0, 1]]


def test_pieces_within_the_outline_of_another_reader_stay_together():
    """Nothing tells whether it is one nodule or two (Armato et al. 2011, figure 8)."""
    pieces = [square(1, 12, 12, 4), square(1, 24, 12, 4)]
    assert clusters([square(0, 10, 10, 20), *pieces]) == [[0, 1, 1]]
    doubled = [square(reader, 10, 10, 4) for reader in (0, 0, 1, 2, 3, 3)]
    assert clusters(doubled) == [[0, 0, 1, 2, 3, 3]]


def test_the_order_of_readers_in_the_file_does_not_matter():
    outlines = [
        square(0, 10, 10, 4, (0.0, 2.0)),
        square(1, 11, 10, 4, (0.0, 2.0, 4.0)),
        square(0, 18, 10, 4),
        square(1, 18, 11, 4),
        square(2, 60, 60, 5, (-6.0,)),
    ]
    expected = cluster_outlines(outlines, PIXEL, GAP)
    assert [len(nodule) for nodule in expected] == [1, 2, 2]
    for shuffled in itertools.permutations(outlines):
        assert cluster_outlines(shuffled, PIXEL, GAP) == expected


def test_no_outlines_are_no_nodules():
    assert cluster_outlines((), PIXEL, GAP) == ()


def test_two_of_four_readers_are_half():
    outlines = [square(reader, 10 + reader, 10, 4) for reader in range(4)]
    columns = consensus(outlines)["uid0.0"][::4, 0]
    np.testing.assert_array_equal(columns, [11, 12, 13, 14, 15])


def test_one_of_three_readers_is_less_than_half():
    outlines = [square(0, 10, 10, 4), square(1, 10, 10, 4), square(2, 10, 8, 6)]
    pixels = consensus(outlines)["uid0.0"]
    expected = list(itertools.product(range(10, 14), range(10, 14)))
    np.testing.assert_array_equal(pixels, expected)


def test_one_of_two_readers_is_half_and_slices_differ():
    outlines = [square(0, 10, 10, 2, (0.0,)), square(1, 10, 10, 2, (0.0, 2.0))]
    nodule = consensus(outlines)
    assert sorted(nodule) == ["uid0.0", "uid2.0"]
    third = [*outlines, square(2, 10, 10, 1, (0.0,))]
    assert sorted(consensus(third)) == ["uid0.0"]
    assert len(consensus(third)["uid0.0"]) == 4


def test_a_reader_with_two_outlines_has_one_vote():
    outlines = [square(0, 10, 10, 4), square(0, 10, 10, 4), square(1, 10, 20, 1)]
    outlines.append(square(2, 10, 20, 1))
    pixels = consensus(outlines)["uid0.0"]
    np.testing.assert_array_equal(pixels, [[10, 20]])


@pytest.mark.parametrize("readers", [3, 4])
def test_readers_who_share_no_pixel_agree_on_none(readers):
    outlines = [square(reader, 10 + 3 * reader, 10, 2) for reader in range(readers)]
    assert consensus(outlines) == {}
