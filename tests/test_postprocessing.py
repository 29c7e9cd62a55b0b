"""The pieces that stay are those of a flood fill, voxel by voxel."""

import itertools
import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import postprocessing
from models_genesis_tf.imaging.postprocessing import (
    keep_largest_component,
    remove_small,
)

SPACING = (0.5, 0.75, 2.0)  # a voxel of 0.75 mm^3
STEPS = [step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]
AXES = list(itertools.permutations(range(3)))
FLIPS = [axes for many in range(4) for axes in itertools.combinations(range(3), many)]


def _slow_pieces(labels):
    """Pairs of a class and the places of a piece, by first voxel in C order."""
    classes = {tuple(place): labels[tuple(place)] for place in np.argwhere(labels)}
    pieces = []
    while classes:
        start, value = next(iter(classes.items()))
        del classes[start]
        places, waiting = [], [start]
        while waiting:
            place = waiting.pop()
            places.append(place)
            for step in STEPS:
                near = tuple(a + b for a, b in zip(place, step, strict=True))
                if classes.get(near) == value:
                    del classes[near]
                    waiting.append(near)
        pieces.append((value, places))
    return pieces


def _drawn(pieces, shape):
    labels = np.zeros(shape, np.uint8)
    for value, places in pieces:
        labels[tuple(np.transpose(places))] = value
    return labels


def _slow_largest(labels):
    best = {}
    for value, places in _slow_pieces(labels):
        if len(places) > len(best.get(value, [])):
            best[value] = places
    return _drawn(best.items(), labels.shape)


def _slow_remove_small(labels, fewest):
    pieces = _slow_pieces(labels)
    return _drawn([piece for piece in pieces if len(piece[1]) >= fewest], labels.shape)


def _sparse(seed, shape=(9, 8, 7), values=(0, 1, 2, 7, 255)):
    """Random labels of many pieces of several voxels."""
    rng = np.random.default_rng(seed)
    share = [1.1 - 0.1 * len(values)] + [0.1] * (len(values) - 1)
    return rng.choice(np.array(values, np.uint8), shape, p=share)


def _two_blocks(first, second):
    """A block of 4 voxels and one of 6, apart, of the given classes."""
    labels = np.zeros((10, 6, 5), np.uint8)
    labels[1, 1:3, 1:3] = first
    labels[5:8, 2, 3:5] = second
    return labels


def _both(labels):
    return keep_largest_component(labels), remove_small(labels, SPACING, 3.01)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("values", [(0, 1), (0, 1, 2, 7, 255)])
def test_pieces_that_stay_are_those_of_a_flood_fill(seed, values):
    labels = _sparse(seed, values=values)
    assert len(_slow_pieces(labels)) >= len(values)
    expected = _slow_largest(labels)
    np.testing.assert_array_equal(keep_largest_component(labels), expected)
    for fewest in (1, 2, 3, 5):
        expected = _slow_remove_small(labels, fewest)
        found = remove_small(labels, SPACING, fewest * 0.75)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", range(12))
def test_equal_pieces_are_told_apart_by_their_first_voxel(seed):
    labels = np.zeros((7, 9, 11), np.uint8)
    places = np.random.default_rng(seed).random((4, 5, 6)) < 0.2
    labels[::2, ::2, ::2][places] = 3  # single voxels, all apart
    found = np.argwhere(keep_largest_component(labels))
    np.testing.assert_array_equal(found, np.argwhere(labels)[:1])


def test_the_first_of_equal_pieces_may_have_a_later_box():
    labels = np.zeros((6, 6, 6), np.uint8)
    late = [(0, 5, 5), (1, 5, 5), (2, 5, 5)]
    early = [(0, 0, 0), (0, 0, 1), (0, 0, 2)]
    for place in late + early:
        labels[place] = 4
    expected = _drawn([(4, early)], labels.shape)
    np.testing.assert_array_equal(keep_largest_component(labels), expected)
    np.testing.assert_array_equal(
        keep_largest_component(labels[:, ::-1, ::-1]),
        _drawn([(4, late)], labels.shape)[:, ::-1, ::-1],
    )


@pytest.mark.parametrize("step", STEPS)
def test_voxels_that_touch_at_a_face_an_edge_or_a_corner_are_one_piece(step):
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[2, 2, 2] = labels[tuple(2 + np.array(step))] = 1
    np.testing.assert_array_equal(keep_largest_component(labels), labels)
    np.testing.assert_array_equal(remove_small(labels, (1, 1, 1), 2), labels)


@pytest.mark.parametrize("axis", range(3))
def test_pieces_do_not_reach_round_the_border(axis):
    labels = np.zeros((5, 5, 5), np.uint8)
    labels.swapaxes(0, axis)[[0, 4], 2, 2] = 1
    found = keep_largest_component(labels).swapaxes(0, axis)
    assert np.argwhere(found).tolist() == [[0, 2, 2]]
    assert not remove_small(labels, (1, 1, 1), 2).any()


def test_only_voxels_of_one_class_form_a_piece():
    labels = np.zeros((6, 3, 3), np.uint8)
    labels[:, 1, 1] = [1, 1, 2, 1, 2, 2]
    found = keep_largest_component(labels)
    assert found[:, 1, 1].tolist() == [1, 1, 0, 0, 2, 2]
    found = remove_small(labels, (1, 1, 1), 1.5)
    assert found[:, 1, 1].tolist() == [1, 1, 0, 0, 2, 2]


def test_the_larger_of_two_blocks_stays_and_each_class_has_its_own():
    same = _two_blocks(1, 1)
    np.testing.assert_array_equal(keep_largest_component(same), _two_blocks(0, 1))
    other = _two_blocks(1, 2)
    np.testing.assert_array_equal(keep_largest_component(other), other)


def test_the_limit_is_a_volume_and_a_piece_of_exactly_the_limit_stays():
    labels = _two_blocks(1, 2)  # 3 mm^3 and 4.5 mm^3
    for limit, first, second in [
        (0, 1, 2),
        (3, 1, 2),
        (3.001, 0, 2),
        (4.5, 0, 2),
        (4.501, 0, 0),
    ]:
        found = remove_small(labels, SPACING, limit)
        np.testing.assert_array_equal(found, _two_blocks(first, second))


def test_a_limit_that_floating_point_misses_by_little_is_reached():
    spacing = (0.6, 0.6, 2.5)
    assert 6 * math.prod(spacing) < 5.4  # the case that a plain comparison loses
    labels = _two_blocks(1, 2)
    expected = _two_blocks(0, 2)
    np.testing.assert_array_equal(remove_small(labels, spacing, 5.4), expected)
    stored = np.array(spacing, np.float32)
    np.testing.assert_array_equal(remove_small(labels, stored, 5.4), expected)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 12345, 2 * 10**6])
def test_the_limit_in_voxels_is_exact_for_every_rounding_of_the_spacing(count):
    rng = np.random.default_rng(count)
    for thousandths in rng.integers(300, 5000, (200, 3)).tolist():
        spacing = [part / 1000 for part in thousandths]
        limit = float(Fraction(count * math.prod(thousandths), 10**9))
        for stored in (spacing, spacing[::-1], np.float32(spacing)):
            assert postprocessing._fewest_voxels(stored, limit) == count


@pytest.mark.parametrize("excess", [1e-6, 0.4, 0.6, 1])
def test_a_limit_between_two_numbers_of_voxels_takes_the_higher(excess):
    assert postprocessing._fewest_voxels((1, 1, 1), 0) == 0
    for count in range(5):
        limit = (count + excess) * 0.75
        assert postprocessing._fewest_voxels(SPACING, limit) == count + 1


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("axes", AXES)
def test_flips_and_swapped_axes_change_nothing_but_the_place(axes, flips):
    def moved(array):
        return np.flip(array.transpose(axes), flips)

    labels = _two_blocks(1, 1) + _sparse(3, (10, 6, 5), (0, 3, 8))
    labels[_two_blocks(1, 1) > 0] = 1
    spacing = [SPACING[axis] for axis in axes]
    expected = moved(remove_small(labels, SPACING, 2.0))
    np.testing.assert_array_equal(remove_small(moved(labels), spacing, 2.0), expected)
    found = keep_largest_component(moved(labels))
    np.testing.assert_array_equal(found == 1, moved(_two_blocks(0, 1)) == 1)
    for value in (3, 8):  # ties go by place, sizes do not
        size = np.count_nonzero(keep_largest_component(labels) == value)
        assert np.count_nonzero(found == value) == size


@pytest.mark.parametrize("seed", range(5))
def test_classes_do_not_affect_each_other(seed):
    labels = _sparse(seed)
    for value in (1, 2, 7, 255):
        alone = np.where(labels == value, labels, 0).astype(np.uint8)
        for together, apart in zip(_both(labels), _both(alone), strict=True):
            np.testing.assert_array_equal(np.where(together == value, value, 0), apart)


@pytest.mark.parametrize("seed", range(5))
def test_a_second_time_changes_nothing(seed):
    once, large = _both(_sparse(seed))
    np.testing.assert_array_equal(keep_largest_component(once), once)
    np.testing.assert_array_equal(remove_small(large, SPACING, 3.01), large)


@pytest.mark.parametrize("shape", [(4, 3, 2), (1, 1, 1), (0, 4, 4)])
def test_without_a_voxel_of_any_class_all_stays_empty(shape):
    empty = np.zeros(shape, np.uint8)
    for found in _both(empty):
        np.testing.assert_array_equal(found, empty, strict=True)


def test_full_masks_and_every_class_value_stay():
    full = np.full((4, 3, 2), 255, np.uint8)
    values = np.arange(256, dtype=np.uint8).reshape(8, 8, 4)
    for labels in (full, values):
        np.testing.assert_array_equal(keep_largest_component(labels), labels)
        np.testing.assert_array_equal(remove_small(labels, (1, 1, 1), 1), labels)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_result_is_new_and_the_input_is_only_read(order):
    labels = np.asarray(_sparse(0), order=order)
    before = labels.copy()
    labels.flags.writeable = False
    for found in _both(labels):
        assert found.dtype == np.uint8
        assert found.flags.writeable
        assert not np.shares_memory(found, labels)
    np.testing.assert_array_equal(labels, before)
    kept = keep_largest_component(before)
    np.testing.assert_array_equal(keep_largest_component(labels), kept)


def test_sizes_are_counted_over_the_borders_of_parts(monkeypatch):
    labels = _sparse(1, (12, 11, 10), (0, 1, 2))
    expected = _both(labels)
    monkeypatch.setattr(postprocessing, "_CHUNK", 1)
    for found, wanted in zip(_both(labels), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_no_array_of_64_bits_a_voxel_is_made():
    labels = np.zeros((192, 192, 192), np.uint8)
    labels[:90], labels[92:] = 1, 1
    tracemalloc.start()
    try:
        found = keep_largest_component(labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.count_nonzero(found) == 100 * 192**2
    assert 5 * labels.size < peak < 8 * labels.size


@pytest.mark.parametrize(
    ("labels", "received"),
    [
        (np.zeros((2, 3), np.uint8), r"uint8 of shape \(2, 3\)"),
        (np.zeros((2, 3, 4), np.int64), r"int64 of shape \(2, 3, 4\)"),
        (np.zeros((2, 3, 4), bool), r"bool of shape \(2, 3, 4\)"),
    ],
)
def test_other_arrays_than_labels_are_refused(labels, received):
    message = f"labels are uint8 with three axes. Received: {received}"
    with pytest.raises(InputError, match=message):
        keep_largest_component(labels)
    with pytest.raises(InputError, match=message):
        remove_small(labels, SPACING, 1.0)


@pytest.mark.parametrize(
    ("spacing", "received"),
    [
        ((1, 1), r"\(1, 1\)"),
        ((1, 1, 1, 1), r"\(1, 1, 1, 1\)"),
        ((1, 0, 1), r"\(1, 0, 1\)"),
        ((-1, -1, 1), r"\(-1, -1, 1\)"),
        ((1, math.nan, 1), r"\(1, nan, 1\)"),
        ((1, 1, math.inf), r"\(1, 1, inf\)"),
    ],
)
def test_a_spacing_that_is_no_spacing_is_refused(spacing, received):
    rule = "spacing_mm is a positive number for each of three axes. Received: "
    with pytest.raises(InputError, match=rule + received):
        remove_small(_two_blocks(1, 2), spacing, 1.0)


@pytest.mark.parametrize("limit", [-0.1, math.nan, math.inf])
def test_a_limit_that_is_no_volume_is_refused(limit):
    rule = f"min_size_mm3 is a finite number, at least 0. Received: {limit}"
    with pytest.raises(InputError, match=rule):
        remove_small(_two_blocks(1, 2), SPACING, limit)
