"""What the metrics share: checks of their inputs, and means over classes and cases.

A scoring loop calls `class_scores` and `foreground_classes` for each case, keeps the
numbers alone, and ends with `mean_over_cases`: it never holds two label maps at once.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_genesis_tf.errors import InputError


@dataclass(frozen=True)
class CaseMean:
    """A metric's mean over the cases of a part of a data set.

    Attributes:
      mean: Over the classes of `per_class`; nan if there is none, or if one is nan.
      per_class: The mean over the cases of each class that occurs, in the metric's own
        unit; nan if the class has no value in any case.
      left_out: The classes that occur in no case, which have no part in the mean.
      undefined: How many values of `per_class`'s classes were nan and left out.
    """

    mean: float
    per_class: dict[int, float]
    left_out: tuple[int, ...]
    undefined: int


def lower_is_better(metric: str) -> bool:
    """Says which way a metric improves.

    Args:
      metric: Name of a score, as in results.json.

    Returns:
      True for distances, False for shares and areas.
    """
    return metric.startswith("hd95_mm")


def checked_labels(values: np.ndarray, num_classes: int, name: str) -> np.ndarray:
    """Checks that an array holds class numbers.

    Args:
      values: Any shape; bool, integers, or floats without a fraction.
      num_classes: Labels are 0..num_classes-1.
      name: What the array is called in an error.

    Returns:
      The array in its own type.

    Raises:
      InputError: If it is empty, holds another value, or is not made of numbers.
    """
    array = _checked_numbers(values, name)
    low, high = array.min(), array.max()
    # NaN fails both comparisons.
    fits = low >= 0 and high < num_classes
    if not fits or (array.dtype.kind == "f" and (array != np.floor(array)).any()):
        raise InputError(
            f"labels are whole numbers from 0 to {num_classes - 1}. "
            f"Received: {name}={low} to {high}"
        )
    return array


def checked_mask(values: np.ndarray, name: str) -> np.ndarray:
    """Checks that an array holds 0 and 1 alone.

    Args:
      values: Any shape; bool, integers or floats.
      name: What the array is called in an error.

    Returns:
      The array as bool.

    Raises:
      InputError: If it is empty or holds another value.
    """
    return checked_labels(values, 2, name).astype(bool, copy=False)


def checked_scores(values: np.ndarray, name: str) -> np.ndarray:
    """Checks that an array holds finite numbers.

    Args:
      values: Any shape.
      name: What the array is called in an error.

    Returns:
      The array in its own type.

    Raises:
      InputError: If it is empty, or a value is NaN or infinite.
    """
    array = _checked_numbers(values, name)
    # One NaN makes both extremes NaN.
    if not (math.isfinite(array.min()) and math.isfinite(array.max())):
        raise InputError(
            f"scores are finite. Received: {name}={array.min()} to {array.max()}"
        )
    return array


def check_same_shape(truth: np.ndarray, prediction: np.ndarray) -> None:
    """Checks that a prediction lies on the grid of the truth.

    Args:
      truth: An array.
      prediction: Another.

    Raises:
      InputError: If their shapes differ.
    """
    if truth.shape != prediction.shape:
        raise InputError(
            "truth and prediction have one shape. "
            f"Received: truth={truth.shape}, prediction={prediction.shape}"
        )


def checked_masks(
    truth: np.ndarray, prediction: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Checks the two masks of one case.

    Args:
      truth: Any shape; bool, or numbers that are 0 and 1.
      prediction: The same shape.

    Returns:
      Both as bool.

    Raises:
      InputError: If they are empty, hold another value, or differ in shape.
    """
    truth = checked_mask(truth, "truth")
    prediction = checked_mask(prediction, "prediction")
    check_same_shape(truth, prediction)
    return truth, prediction


def class_scores(
    truth: np.ndarray,
    prediction: np.ndarray,
    num_classes: int,
    metric: Callable[[np.ndarray, np.ndarray], float],
) -> dict[int, float]:
    """A metric of masks for each foreground class of one case's label map.

    Args:
      truth: Labels 0..num_classes-1 on any grid, 0 being the background.
      prediction: Labels of the same kind and shape.
      num_classes: Classes including the background; 1, as of a network with a single
        sigmoid channel, means masks of 0 and 1, like 2.
      metric: Takes a bool mask of the truth and one of the prediction.

    Returns:
      The metric of "is class k" against the rest, for k = 1..num_classes-1, or {1: ...}
      for masks; in a class that is in neither map it is the metric's own value for two
      empty masks.

    Raises:
      InputError: If a label is out of range or the shapes differ.
    """
    classes = _foreground(num_classes)
    truth = checked_labels(truth, len(classes) + 1, "truth")
    prediction = checked_labels(prediction, len(classes) + 1, "prediction")
    check_same_shape(truth, prediction)
    return {label: metric(truth == label, prediction == label) for label in classes}


def foreground_classes(truth: np.ndarray, num_classes: int) -> frozenset[int]:
    """The foreground classes that occur in one case.

    Args:
      truth: Labels 0..num_classes-1 on any grid, 0 being the background.
      num_classes: As for `class_scores`.

    Returns:
      Those of 1..num_classes-1 that one voxel or more has.

    Raises:
      InputError: If a label is out of range.
    """
    classes = _foreground(num_classes)
    truth = checked_labels(truth, len(classes) + 1, "truth")
    return frozenset(label for label in classes if (truth == label).any())


def mean_over_cases(
    per_case: Sequence[Mapping[int, float]], occurs: Sequence[Collection[int]]
) -> CaseMean:
    """Mean of a metric over cases, then over the foreground classes.

    Whether a class counts is a matter of the truth alone, so that it is the same for
    every model that is scored on these cases. In a case without the class the metric's
    value for an empty truth counts. Values that are nan, as the distance to an empty
    mask, are left out and counted: a mean with many of them flatters.

    Args:
      per_case: What `class_scores` gave for each case.
      occurs: The classes in the truth of each case, as from `foreground_classes`.

    Returns:
      The mean, the means of the classes, and what was left out.

    Raises:
      InputError: If there is no case, or the cases differ in their classes.
    """
    if not per_case or len(per_case) != len(occurs):
        raise InputError(
            "a mean takes one case or more, each with its classes. "
            f"Received: {len(per_case)} cases, classes of {len(occurs)}"
        )
    classes = sorted(per_case[0])
    for case in per_case:
        if sorted(case) != classes:
            raise InputError(
                "every case is scored for the same classes. "
                f"Received: {classes} and {sorted(case)}"
            )
    present = set().union(*occurs)
    counted = [label for label in classes if label in present]
    values = np.array([[case[label] for label in counted] for case in per_case])
    per_class = {
        label: _mean(column[~np.isnan(column)])
        for label, column in zip(counted, values.T, strict=True)
    }
    return CaseMean(
        mean=_mean(list(per_class.values())),
        per_class=per_class,
        left_out=tuple(label for label in classes if label not in present),
        undefined=int(np.isnan(values).sum()),
    )


def _checked_numbers(values: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise InputError(
            "a metric takes numbers, one or more. "
            f"Received: {name} of type {array.dtype} and shape {array.shape}"
        )
    return array


def _foreground(num_classes: int) -> range:
    if num_classes < 1:
        raise InputError(f"there is one class or more. Received: {num_classes=}")
    return range(1, max(num_classes, 2))


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else math.nan
