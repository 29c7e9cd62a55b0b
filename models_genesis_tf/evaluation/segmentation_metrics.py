"""Overlaps of segmentation: the masks of one case, or the voxels of all cases pooled.

Masks are arrays of bool or of 0 and 1 on any grid, 2D or 3D. For label maps of several
classes see `metrics.class_scores`.
"""

from collections.abc import Sequence

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.metrics import (
    check_same_shape,
    checked_mask,
    checked_masks,
    checked_scores,
)

PAPER_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
_ROUNDING = 1e-3


class OverlapCounts:
    """Counts voxels of one case after the other, for overlaps pooled over all of them.

    Attributes:
      cases: How many were added.
      common: Voxels in both masks.
      truth: Voxels in the truth.
      prediction: Voxels in the prediction.
    """

    def __init__(self):
        self.cases = self.common = self.truth = self.prediction = 0

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Counts one case more.

        Args:
          truth: A mask.
          prediction: A mask of the same shape.

        Raises:
          InputError: If the shapes differ or a value is neither 0 nor 1.
        """
        truth, prediction = checked_masks(truth, prediction)
        self.cases += 1
        self.common += np.count_nonzero(truth & prediction)
        self.truth += np.count_nonzero(truth)
        self.prediction += np.count_nonzero(prediction)

    def dice(self) -> float:
        """Twice the common voxels over the sum of both masks' voxels.

        Returns:
          A number in [0, 1]; 1 if all masks are empty.

        Raises:
          InputError: If no case was added.
        """
        return self._ratio(2 * self.common, self.truth + self.prediction)

    def iou(self) -> float:
        """The common voxels over the voxels in either mask.

        Returns:
          A number in [0, 1]; 1 if all masks are empty.

        Raises:
          InputError: If no case was added.
        """
        return self._ratio(self.common, self.truth + self.prediction - self.common)

    def _ratio(self, part: int, whole: int) -> float:
        _check_some_case(self.cases)
        return float(part / whole) if whole else 1.0


class PaperIou:
    """The segmentation IoU of the published tables, one case after the other.

    At each threshold .50, .55, ..., .95 a voxel is foreground if its probability is
    above, not at it, compared in single precision. Over all voxels of all cases at once
    this gives the IoU of the foreground and that of the background; a class that is in
    neither the truth nor the prediction is left out, as TensorFlow's `mean_iou` does.
    The result is the mean over the thresholds of the mean of the two. With the
    background in it, it is far above the plain IoU of small structures.

    The original kept one running value over training and validation batches, which
    depended on their order; this one does not.
    """

    def __init__(self):
        self._cases = self._voxels = self._truth = 0
        self._common = np.zeros(len(PAPER_THRESHOLDS), np.int64)
        self._predicted = np.zeros(len(PAPER_THRESHOLDS), np.int64)

    def add(self, truth: np.ndarray, probability: np.ndarray) -> None:
        """Counts one case more.

        Args:
          truth: A mask.
          probability: The same shape, in [0, 1], of the foreground.

        Raises:
          InputError: If the shapes differ, the truth is not a mask, or a probability is
            not finite or out of range.
        """
        truth = checked_mask(truth, "truth")
        probability = _checked_probability(probability)
        check_same_shape(truth, probability)
        self._cases += 1
        self._voxels += truth.size
        self._truth += np.count_nonzero(truth)
        for index, threshold in enumerate(PAPER_THRESHOLDS):
            predicted = probability > np.float32(threshold)
            self._predicted[index] += np.count_nonzero(predicted)
            self._common[index] += np.count_nonzero(predicted & truth)

    def result(self) -> float:
        """The IoU of what was added so far.

        Returns:
          A number in [0, 1]; 1 if every mask is empty and no probability is above 0.5.

        Raises:
          InputError: If no case was added.
        """
        _check_some_case(self._cases)
        union = self._truth + self._predicted - self._common
        foreground = _ratio_or_nan(self._common, union)
        background = _ratio_or_nan(self._voxels - union, self._voxels - self._common)
        return float(np.nanmean([foreground, background], axis=0).mean())


def dice(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Dice coefficient of one case: twice the common voxels over both masks' sum.

    Args:
      truth: A mask.
      prediction: A mask of the same shape.

    Returns:
      A number in [0, 1]; by definition 1 if both masks are empty, 0 if one is.

    Raises:
      InputError: If the shapes differ or a value is neither 0 nor 1.
    """
    return pooled_dice([truth], [prediction])


def iou(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Intersection over union of one case's foreground, also called Jaccard index.

    Args:
      truth: A mask.
      prediction: A mask of the same shape.

    Returns:
      A number in [0, 1]; by definition 1 if both masks are empty, 0 if one is.

    Raises:
      InputError: If the shapes differ or a value is neither 0 nor 1.
    """
    return pooled_iou([truth], [prediction])


def pooled_dice(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> float:
    """Dice coefficient over the voxels of all cases at once; large structures rule it.

    Args:
      truths: One mask for each case; shapes may differ between cases.
      predictions: The masks predicted for them.

    Returns:
      A number in [0, 1]; 1 if all masks are empty. `OverlapCounts` gives the same
      without holding the masks.

    Raises:
      InputError: If there is no case, numbers or shapes differ, or a value is neither 0
        nor 1.
    """
    return _overlap(truths, predictions).dice()


def pooled_iou(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> float:
    """Intersection over union of the foreground over the voxels of all cases at once.

    Args:
      truths: One mask for each case; shapes may differ between cases.
      predictions: The masks predicted for them.

    Returns:
      A number in [0, 1]; 1 if all masks are empty. `OverlapCounts` gives the same
      without holding the masks.

    Raises:
      InputError: If there is no case, numbers or shapes differ, or a value is neither 0
        nor 1.
    """
    return _overlap(truths, predictions).iou()


def paper_iou(
    truths: Sequence[np.ndarray], probabilities: Sequence[np.ndarray]
) -> float:
    """The segmentation IoU of the published tables, as `PaperIou` defines it.

    Args:
      truths: One mask for each case; shapes may differ between cases.
      probabilities: Their foreground probabilities in [0, 1].

    Returns:
      A number in [0, 1], background included; 1 if every mask is empty and no
      probability is above 0.5.

    Raises:
      InputError: If there is no case, numbers or shapes differ, or a value is out of
        range.
    """
    _check_same_number(truths, probabilities)
    counts = PaperIou()
    for truth, probability in zip(truths, probabilities, strict=True):
        counts.add(truth, probability)
    return counts.result()


def _overlap(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> OverlapCounts:
    _check_same_number(truths, predictions)
    counts = OverlapCounts()
    for truth, prediction in zip(truths, predictions, strict=True):
        counts.add(truth, prediction)
    return counts


def _checked_probability(values: np.ndarray) -> np.ndarray:
    """The values as float32; averages of windows may pass 1 by rounding."""
    array = checked_scores(values, "probability")
    low, high = array.min(), array.max()
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise InputError(
            f"probabilities are in [0, 1]. Received: probability={low} to {high}"
        )
    return array.astype(np.float32, copy=False)


def _check_same_number(truths: Sequence, predictions: Sequence) -> None:
    if len(truths) != len(predictions):
        raise InputError(
            "there is one prediction for each truth. "
            f"Received: {len(truths)} truths, {len(predictions)} predictions"
        )


def _check_some_case(cases: int) -> None:
    if not cases:
        raise InputError("a pooled score takes one case or more. Received: cases=0")


def _ratio_or_nan(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
