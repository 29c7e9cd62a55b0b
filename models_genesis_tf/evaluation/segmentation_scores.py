"""What a segmentation scores, case by case and over all cases."""

import functools
from collections.abc import Sequence

import numpy as np

from models_genesis_tf.evaluation.metrics import (
    class_scores,
    foreground_classes,
    mean_over_cases,
)
from models_genesis_tf.evaluation.segmentation_metrics import (
    OverlapCounts,
    PaperIou,
    dice,
    iou,
)
from models_genesis_tf.evaluation.surface_metrics import (
    distance_percentile,
    share_within,
    surface_distances,
)

SURFACE_TOLERANCE_MM = 2.0


class SegmentationScores:
    """Collects the scores of one case after the other; label maps are not kept.

    Attributes:
      rows: One for each case: case, patient and `<metric>_<class>`.
    """

    def __init__(self, classes: Sequence[str]):
        """Begins with no case.

        Args:
          classes: Names, background first.
        """
        self.rows: list[dict] = []
        self._classes = tuple(classes)
        self._per_metric: dict[str, list[dict[int, float]]] = {}
        self._occurring: list[frozenset[int]] = []
        self._pooled, self._paper = OverlapCounts(), PaperIou()
        self._has_probabilities = True

    def add(
        self,
        case: str,
        patient: str,
        truth: np.ndarray,
        labels: np.ndarray,
        spacing: Sequence[float],
        probability: np.ndarray | None = None,
    ) -> None:
        """Scores one case more.

        Args:
          case: Its name.
          patient: Whose it is.
          truth: `(x, y, z)`, the index of each voxel's class.
          labels: What was predicted, of the same shape.
          spacing: Distance of voxels along x, y and z, mm.
          probability: Of any foreground class, of the same shape, in [0, 1]; None
            leaves out the IoU as in the paper, which is a function of it.

        Raises:
          InputError: If shapes differ or a value is out of range.
        """
        count = len(self._classes)
        measure = functools.partial(surface_distances, spacing=spacing)
        distances = class_scores(truth, labels, count, measure)
        metrics = {
            "dice": class_scores(truth, labels, count, dice),
            "iou": class_scores(truth, labels, count, iou),
            "hd95_mm": {
                k: distance_percentile(values, 95) for k, values in distances.items()
            },
            "surface_dice_2mm": {
                k: share_within(values, SURFACE_TOLERANCE_MM)
                for k, values in distances.items()
            },
        }
        row = {"case": case, "patient": patient}
        for name, values in metrics.items():
            self._per_metric.setdefault(name, []).append(values)
            row |= {f"{name}_{self._classes[k]}": v for k, v in values.items()}
        self.rows.append(row)
        self._occurring.append(foreground_classes(truth, count))
        self._pooled.add(truth > 0, labels > 0)
        if probability is None:
            self._has_probabilities = False
        else:
            self._paper.add(truth > 0, probability)

    def summary(self) -> tuple[dict[str, float], list[str]]:
        """The scores of all cases.

        Returns:
          Score by metric, nan where it is not defined; and what was left out.
        """
        scores, notes = {}, []
        for name, per_case in self._per_metric.items():
            mean = mean_over_cases(per_case, self._occurring)
            scores[f"{name}_mean"] = mean.mean
            scores |= {
                f"{name}_{self._classes[k]}": v for k, v in mean.per_class.items()
            }
            if mean.undefined:
                notes.append(f"{name}: {mean.undefined} values of empty masks left out")
        scores["dice_pooled"] = self._pooled.dice()
        scores["iou_pooled"] = self._pooled.iou()
        if self._has_probabilities:
            scores["paper_iou"] = self._paper.result()
        notes += [
            f"class {self._classes[k]} is in no case: left out of the means"
            for k in mean.left_out
        ]
        return scores, notes
