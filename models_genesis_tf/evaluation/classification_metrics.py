"""Metrics of classification: one label and one score for each case or candidate."""

import math

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.metrics import (
    check_same_shape,
    checked_labels,
    checked_mask,
    checked_scores,
)


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve.

    It is the chance that a positive case scores higher than a negative one, both drawn
    at random; equal scores count one half. Any rising function of the scores gives the
    same.

    Args:
      labels: (n,) of 0 and 1.
      scores: (n,) finite numbers, higher for positive.

    Returns:
      A number in [0, 1]; 0.5 for constant scores.

    Raises:
      InputError: If there are cases of one class only, or the input is malformed.
    """
    labels, scores = _labels_and_scores(labels, scores)
    if labels.all() or not labels.any():
        raise InputError(
            "the area under a ROC curve takes cases of both classes. "
            f"Received: {labels.size} of class {int(labels[0])} only"
        )
    return float(roc_auc_score(labels, scores))


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall curve, as steps without interpolation.

    The sum of the precision at each distinct score, weighted with the recall that is
    gained there; cases of one score are taken together.

    Args:
      labels: (n,) of 0 and 1.
      scores: (n,) finite numbers, higher for positive.

    Returns:
      A number in (0, 1]; the share of positives for constant scores, 1 where every case
      is positive.

    Raises:
      InputError: If no case is positive, or the input is malformed.
    """
    labels, scores = _labels_and_scores(labels, scores)
    if not labels.any():
        raise InputError(
            "average precision takes one positive case or more. "
            f"Received: {labels.size} of class 0 only"
        )
    return float(average_precision_score(labels, scores))


def sensitivity_specificity(
    labels: np.ndarray, scores: np.ndarray, threshold: float = 0.5
) -> tuple[float, float]:
    """Shares of the positive and of the negative cases that are called so.

    Args:
      labels: (n,) of 0 and 1.
      scores: (n,) finite numbers.
      threshold: A case is called positive if its score is above, not at it; compared in
        the type of the scores.

    Returns:
      Sensitivity and specificity in [0, 1]; nan for the first if no case is positive,
      for the second if none is negative.

    Raises:
      InputError: If the input is malformed.
    """
    labels, scores = _labels_and_scores(labels, scores)
    called = scores > float(threshold)
    return _share(called[labels]), _share(~called[~labels])


def accuracy(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int = 2
) -> float:
    """Share of the cases whose class is predicted.

    Args:
      labels: (n,) of 0..num_classes-1.
      predictions: (n,) of the same kind: `scores > threshold`, or the argmax of
        probabilities.
      num_classes: Number of classes.

    Returns:
      A number in [0, 1].

    Raises:
      InputError: If the input is malformed.
    """
    labels = checked_labels(labels, num_classes, "labels")
    predictions = checked_labels(predictions, num_classes, "predictions")
    _check_one_axis(labels)
    check_same_shape(labels, predictions)
    return float(np.mean(labels == predictions))


def mean_auc(
    labels: np.ndarray, probabilities: np.ndarray, num_classes: int
) -> tuple[float, tuple[int, ...]]:
    """Mean over classes of the area under the ROC curve of the class against the rest.

    Args:
      labels: (n,) of 0..num_classes-1; or, where a case may have several findings or
        none, (n, num_classes) of 0 and 1.
      probabilities: (n, num_classes) finite scores; rows need not sum to one.
      num_classes: Number of classes; each weighs the same.

    Returns:
      The mean in [0, 1] over the classes that some cases have and others do not, and
      the classes that were left out because no case or every case has them.

    Raises:
      InputError: If every class is left out, or the input is malformed.
    """
    scores = checked_scores(probabilities, "probabilities")
    labels = np.asarray(labels)
    if labels.ndim == 2:
        members = checked_mask(labels, "labels")
    else:
        labels = checked_labels(labels, num_classes, "labels")
        _check_one_axis(labels)
        members = labels[:, None] == np.arange(num_classes)
    if not members.shape == scores.shape == (len(members), num_classes):
        raise InputError(
            f"there are {num_classes} probabilities for each label. "
            f"Received: labels={labels.shape}, probabilities={scores.shape}"
        )
    usable = members.any(axis=0) & ~members.all(axis=0)
    if not usable.any():
        raise InputError(
            "a mean of areas under ROC curves takes a class that some cases have and "
            f"others do not. Received: none of {num_classes} in {len(members)} cases"
        )
    areas = [auc(members[:, k], scores[:, k]) for k in np.flatnonzero(usable)]
    return float(np.mean(areas)), tuple(np.flatnonzero(~usable).tolist())


def _labels_and_scores(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    labels = checked_mask(labels, "labels")
    scores = checked_scores(scores, "scores")
    _check_one_axis(labels)
    check_same_shape(labels, scores)
    return labels, scores


def _check_one_axis(labels: np.ndarray) -> None:
    if labels.ndim != 1:
        raise InputError(
            f"there is one label for each case, (n,). Received: labels={labels.shape}"
        )


def _share(called: np.ndarray) -> float:
    return float(np.mean(called)) if called.size else math.nan
