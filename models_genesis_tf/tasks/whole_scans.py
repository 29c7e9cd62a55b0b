"""The scans of a segmentation; several of its cases may be places in one."""

from collections.abc import Iterable

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import Volume
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.label_maps import LabelValues, read_label, to_classes


def group_by_scan(cases: Iterable[Case]) -> dict[str, tuple[Case, ...]]:
    """Finds which cases lie in one scan.

    Args:
      cases: Segmentation cases.

    Returns:
      The cases of each scan by its name: that of the case where it is the whole scan,
      else the series; both in the order given.

    Raises:
      InputError: If a case is a row of an array, whose scan is not known.
    """
    scans: dict[str, list[Case]] = {}
    for case in cases:
        if case.row is not None:
            raise InputError(
                "whole scans are scored where the scans are there. "
                f"Received: {case.image}, which holds patches"
            )
        name = case.name if case.centre is None else case.series or str(case.image)
        scans.setdefault(name, []).append(case)
    return {name: tuple(found) for name, found in scans.items()}


def read_truth(
    cases: Iterable[Case], volume: Volume, label_values: LabelValues
) -> np.ndarray:
    """Reads the label map of a whole scan.

    Args:
      cases: Those of the scan.
      volume: The scan, as read.
      label_values: The label maps' values that become classes 0, 1, ...

    Returns:
      uint8 `(x, y, z)` on the scan's grid: of several cases' classes the highest.

    Raises:
      InputError: If a label map cannot be read, does not lie on the scan's grid or
        holds a value that is no class.
    """
    truth = np.zeros(volume.array.shape, np.uint8)
    for case in cases:
        classes = to_classes(read_label(case, volume), label_values)
        np.maximum(truth, classes, out=truth)
    return truth
