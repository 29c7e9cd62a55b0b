"""Metrics of classification follow their definitions and scikit-learn's."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.classification_metrics import (
    accuracy,
    auc,
    average_precision,
    mean_auc,
    sensitivity_specificity,
)


@pytest.fixture
def cases(rng):
    """Labels and scores of 60 cases with many ties."""
    labels = rng.random(60) < 0.3
    return labels, np.round(rng.random(60) + 0.3 * labels, 1).astype(np.float32)


def test_auc_is_the_chance_that_a_positive_scores_higher(cases):
    labels, scores = cases
    pairs = scores[labels][:, None] - scores[~labels][None]
    assert (pairs == 0).sum() > 20
    chance = np.mean((pairs > 0) + 0.5 * (pairs == 0))
    assert auc(labels, scores) == pytest.approx(chance, abs=1e-12)
    assert auc(~labels, scores) == pytest.approx(1 - chance, abs=1e-12)
    assert auc(labels, scores) == sklearn_metrics.roc_auc_score(labels, scores)


def test_average_precision_sums_precision_over_gains_of_recall(cases):
    labels, scores = cases
    total, recall = 0.0, 0.0
    for threshold in np.unique(scores)[::-1]:
        called = scores >= threshold
        gained = np.mean(called[labels])
        total += (gained - recall) * np.mean(labels[called])
        recall = gained
    assert average_precision(labels, scores) == pytest.approx(total, abs=1e-12)
    expected = sklearn_metrics.average_precision_score(labels, scores)
    assert average_precision(labels, scores) == expected


def test_perfect_and_reversed_and_constant_scores():
    labels = np.array([0, 0, 1, 1, 1])
    assert auc(labels, labels) == average_precision(labels, labels) == 1.0
    assert auc(labels, -labels) == 0.0
    assert auc(labels, np.full(5, 0.7)) == 0.5
    assert average_precision(labels, np.full(5, 0.7)) == pytest.approx(0.6)


@pytest.mark.parametrize("label", [0, 1])
def test_auc_of_one_class_is_refused_and_the_class_named(label):
    with pytest.raises(InputError, match=f"Received: 4 of class {label} only"):
        auc(np.full(4, label), np.arange(4))


def test_average_precision_without_a_positive_is_refused():
    with pytest.raises(InputError, match="Received: 4 of class 0 only"):
        average_precision(np.zeros(4), np.arange(4))
    assert average_precision(np.ones(4), np.arange(4)) == 1.0


def test_a_score_at_the_threshold_is_negative():
    labels = np.array([1, 1, 1, 1, 0, 0])
    scores = np.array([0.9, 0.6, 0.51, 0.5, 0.5, 0.7])
    assert sensitivity_specificity(labels, scores) == (0.75, 0.5)
    assert sensitivity_specificity(labels, scores, 0.65) == (0.25, 0.5)
    assert sensitivity_specificity(labels, scores, 0.49) == (1.0, 0.0)


def test_the_threshold_is_compared_in_the_type_of_the_scores():
    # float32(0.55) is above the float64 number 0.55.
    scores = np.array([0.55, 0.55], np.float32)
    assert sensitivity_specificity(np.array([0, 1]), scores, 0.55) == (0.0, 1.0)


def test_sensitivity_without_positives_and_specificity_without_negatives_are_nan():
    scores = np.array([0.2, 0.8])
    sensitivity, specificity = sensitivity_specificity(np.zeros(2), scores)
    assert math.isnan(sensitivity)
    assert specificity == 0.5
    sensitivity, specificity = sensitivity_specificity(np.ones(2), scores)
    assert sensitivity == 0.5
    assert math.isnan(specificity)


def test_accuracy_is_the_share_of_right_classes(rng):
    labels, predictions = rng.integers(0, 5, (2, 40))
    expected = sklearn_metrics.accuracy_score(labels, predictions)
    assert accuracy(labels, predictions, 5) == expected
    assert accuracy(np.array([0, 1, 1, 1]), np.array([0.9, 0.9, 0.1, 0.6]) > 0.5) == 0.5


def test_mean_auc_is_that_of_scikit_learn_over_all_classes(rng):
    labels = rng.integers(0, 4, 80)
    scores = rng.dirichlet(np.ones(4), 80)
    expected = sklearn_metrics.roc_auc_score(
        labels, scores, multi_class="ovr", average="macro"
    )
    value, left_out = mean_auc(labels, scores, 4)
    assert value == pytest.approx(expected, abs=1e-12)
    assert left_out == ()


def test_mean_auc_leaves_out_classes_of_no_case_and_names_them(rng):
    labels = rng.choice([0, 2, 3], 50)
    scores = rng.random((50, 5))
    value, left_out = mean_auc(labels, scores, 5)
    areas = [auc(labels == k, scores[:, k]) for k in (0, 2, 3)]
    assert value == pytest.approx(np.mean(areas), abs=1e-12)
    assert left_out == (1, 4)


def test_mean_auc_takes_several_findings_in_a_case(rng):
    labels = (rng.random((40, 4)) < 0.4).astype(np.int64)
    labels[:, 1], labels[:, 2] = 0, 1
    scores = rng.random((40, 4))
    value, left_out = mean_auc(labels, scores, 4)
    areas = [auc(labels[:, k], scores[:, k]) for k in (0, 3)]
    assert value == pytest.approx(np.mean(areas), abs=1e-12)
    assert left_out == (1, 2)


def test_mean_auc_of_one_class_alone_is_refused(rng):
    with pytest.raises(InputError, match="Received: none of 3 in 6 cases"):
        mean_auc(np.full(6, 2), rng.random((6, 3)), 3)


def test_malformed_input_is_refused():
    labels, scores = np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3])
    for metric in (auc, average_precision, sensitivity_specificity):
        with pytest.raises(InputError, match=r"prediction=\(2,\)"):
            metric(labels, scores[:2])
        with pytest.raises(InputError, match="from 0 to 1. Received: labels=0 to 2"):
            metric(2 * labels, scores)
        with pytest.raises(InputError, match="finite. Received: scores"):
            metric(labels, scores * np.inf)
        with pytest.raises(InputError, match=r"Received: labels=\(3, 1\)"):
            metric(labels[:, None], scores[:, None])
    with pytest.raises(InputError, match="from 0 to 1. Received: predictions=0 to 2"):
        accuracy(labels, np.array([0, 1, 2]))
    with pytest.raises(InputError, match=r"Received: labels=\(3,\), .*=\(3, 2\)"):
        mean_auc(labels, np.ones((3, 2)), 3)
    with pytest.raises(InputError, match=r"Received: labels=\(3, 3\), .*=\(3, 2\)"):
        mean_auc(np.eye(3), np.ones((3, 2)), 2)
