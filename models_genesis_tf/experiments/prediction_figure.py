"""A scan with the contour of its mask, as a figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from models_genesis_tf.evaluation.figure_parts import COLOURS
from models_genesis_tf.imaging.panels import PLANES, draw_slice, save_figure

_WIDTH = 4.0  # of a plane in inches
_LINES = (COLOURS[2], *COLOURS[4:])  # the first of them too dark upon a scan


def save_mask_panel(
    path: Path, image: np.ndarray, labels: np.ndarray, spacing: Sequence[float]
) -> None:
    """Draws three planes through a mask's centre, with the contour of each class.

    Of a picture there is the one plane.

    Args:
      path: PNG file to write.
      image: `(x, y, z)` in [0, 1], in LPS order.
      labels: The same shape, classes; 0 is background. Of an empty mask the planes
        cross in the middle of the scan.
      spacing: Distance of voxels along x, y and z, mm.
    """
    centre = mask_centre(labels)
    planes = PLANES[:1] if labels.shape[2] == 1 else PLANES
    size = (len(planes) * _WIDTH, 1.3 * _WIDTH)
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(1, len(planes), squeeze=False).flat
    for axes, plane in zip(places, planes, strict=True):
        x, y = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}[plane]
        position = ({0, 1, 2} - {x, y}).pop()
        title = f"{plane}, {'xyz'[position]} = {centre[position]}"
        aspect = spacing[y] / spacing[x]
        draw_slice(axes, _plane(image, plane, centre), title, aspect)
        classes = _plane(labels, plane, centre)
        for index in np.unique(classes[classes > 0]).tolist():
            # Beyond the edge lies nothing, so that a mask that ends there is closed.
            inside = np.pad(classes == index, 1).astype(float)
            rows, columns = (np.arange(-1, side + 1) for side in classes.shape)
            colour = _LINES[(index - 1) % len(_LINES)]
            axes.contour(columns, rows, inside, [0.5], colors=[colour], linewidths=1)
    save_figure(figure, path)


def mask_centre(labels: np.ndarray) -> tuple[int, int, int]:
    """Finds the voxel in the middle of a mask.

    Args:
      labels: `(x, y, z)`, classes; 0 is background.

    Returns:
      The mean place of all classes but 0, rounded; the middle of an empty mask.
    """
    centre = []
    for axis, side in enumerate(labels.shape):
        others = tuple(other for other in range(3) if other != axis)
        counts = np.count_nonzero(labels, axis=others)
        total = counts.sum()
        mean = (counts @ np.arange(side)) / total if total else side // 2
        centre.append(int(round(float(mean))))
    return tuple(centre)


def _plane(array: np.ndarray, plane: str, centre: Sequence[int]) -> np.ndarray:
    """One plane for display, oriented as `imaging.panels.plane_slice` does."""
    x, y, z = centre
    if plane == "axial":
        return array[:, :, z].T
    if plane == "coronal":
        return array[:, y, ::-1].T
    return array[x, :, ::-1].T
