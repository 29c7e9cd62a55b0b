"""Scores of classes and their means over cases; inputs that are refused."""

import math

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import metrics
from models_genesis_tf.evaluation.segmentation_metrics import dice


def test_each_foreground_class_is_scored_against_the_rest(rng):
    truth = rng.integers(0, 4, (6, 5, 4))
    prediction = rng.integers(0, 4, (6, 5, 4))
    scores = metrics.class_scores(truth, prediction, 4, dice)
    assert scores == {k: dice(truth == k, prediction == k) for k in (1, 2, 3)}
    assert len(set(scores.values())) == 3


@pytest.mark.parametrize("num_classes", [1, 2])
def test_masks_have_the_one_class_1(rng, num_classes):
    truth, prediction = rng.random((2, 6, 5, 4)) < 0.4
    expected = {1: dice(truth, prediction)}
    assert metrics.class_scores(truth, prediction, num_classes, dice) == expected
    assert metrics.foreground_classes(truth, num_classes) == {1}
    assert metrics.foreground_classes(truth & False, num_classes) == set()


def test_the_classes_of_a_case_are_those_of_its_voxels():
    assert metrics.foreground_classes(np.array([0, 3, 3, 1]), 5) == {1, 3}


def test_a_class_of_no_case_is_left_out_of_the_mean_and_named():
    per_case = [{1: 0.5, 2: 1.0, 3: 1.0}, {1: 0.7, 2: 0.2, 3: 0.0}]
    result = metrics.mean_over_cases(per_case, [{1}, {1, 2}])
    assert result.per_class == pytest.approx({1: 0.6, 2: 0.6})
    assert result.mean == pytest.approx(0.6)
    assert (result.left_out, result.undefined) == ((3,), 0)


def test_without_gaps_the_mean_is_that_of_all_values(rng):
    table = rng.random((7, 3))
    per_case = [dict(enumerate(row, start=1)) for row in table.tolist()]
    result = metrics.mean_over_cases(per_case, [{1, 2, 3}] * 7)
    assert result.mean == pytest.approx(table.mean())


def test_values_that_are_undefined_are_left_out_and_counted():
    per_case = [{1: 4.0, 2: 1.0}, {1: math.nan, 2: 3.0}, {1: 6.0, 2: 8.0}]
    result = metrics.mean_over_cases(per_case, [{1, 2}] * 3)
    assert result.per_class == pytest.approx({1: 5.0, 2: 4.0})
    assert (result.mean, result.undefined) == (4.5, 1)


def test_a_class_without_any_value_makes_the_mean_undefined():
    result = metrics.mean_over_cases([{1: math.nan, 2: 3.0}], [{1, 2}])
    assert math.isnan(result.mean)
    assert math.isnan(result.per_class[1])
    assert (result.per_class[2], result.undefined) == (3.0, 1)


def test_no_class_at_all_gives_no_mean():
    result = metrics.mean_over_cases([{1: 1.0}, {1: 0.0}], [set(), set()])
    assert math.isnan(result.mean)
    assert (result.per_class, result.left_out) == ({}, (1,))


@pytest.mark.parametrize(
    ("per_case", "occurs"),
    [([], []), ([{1: 0.5}], []), ([{1: 0.5}, {1: 0.5, 2: 0.5}], [{1}, {1}])],
)
def test_means_of_nothing_or_of_unlike_cases_are_refused(per_case, occurs):
    with pytest.raises(InputError, match="Received: "):
        metrics.mean_over_cases(per_case, occurs)


@pytest.mark.parametrize(
    "values",
    [[0, 3], [-1, 0], [0.0, 1.5], [0.0, np.nan], [], ["0", "1"], [0, 1j]],
)
def test_what_is_not_a_label_is_refused(values):
    with pytest.raises(InputError, match="Received: truth"):
        metrics.checked_labels(np.array(values), 3, "truth")


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_masks_of_every_type_of_number_become_bool(kind):
    mask = metrics.checked_mask(np.array([[0, 1], [1, 1]], kind), "truth")
    assert mask.dtype == bool
    assert mask.tolist() == [[False, True], [True, True]]


def test_a_mask_holds_no_class_2():
    with pytest.raises(InputError, match="from 0 to 1. Received: truth=0 to 2"):
        metrics.checked_mask(np.array([0, 2]), "truth")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(value):
    with pytest.raises(InputError, match="finite. Received: scores="):
        metrics.checked_scores(np.array([0.1, value, 0.2]), "scores")


def test_label_maps_on_two_grids_are_refused():
    with pytest.raises(InputError, match=r"truth=\(2, 3\), prediction=\(3, 2\)"):
        metrics.class_scores(np.ones((2, 3)), np.ones((3, 2)), 2, dice)


def test_no_class_is_refused():
    with pytest.raises(InputError, match="Received: num_classes=0"):
        metrics.class_scores(np.ones(2), np.ones(2), 0, dice)
