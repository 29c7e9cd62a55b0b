"""Arrays to PNG figures.

Scans and cubes are drawn as a radiologist expects them from arrays in LPS order: axial
slices with the patient's left on the right and the back below, coronal and sagittal
slices with the head up.
"""

import os
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PLANES = ("axial", "coronal", "sagittal")


def plane_slice(cube: np.ndarray, plane: str) -> np.ndarray:
    """Cuts the middle slice of a cube, oriented for display with row 0 on top.

    Args:
      cube: `(x, y, z)`, any dtype, in LPS order; or `(x, y)`, an axial slice itself.
      plane: One of `PLANES`.

    Returns:
      2D array `(row, column)`.
    """
    if cube.ndim == 2:
        return cube.T
    x, y, z = (side // 2 for side in cube.shape)
    if plane == "axial":
        return cube[:, :, z].T
    if plane == "coronal":
        return cube[:, y, ::-1].T
    return cube[x, :, ::-1].T


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure as PNG beside its name and renames it when complete.

    Args:
      figure: The figure.
      path: File to write; its folder is created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    FigureCanvasAgg(figure)
    figure.savefig(temporary, format="png", dpi=120, bbox_inches="tight")
    os.replace(temporary, path)


def draw_slice(axes, image: np.ndarray, title: str = "", aspect: float = 1.0) -> None:
    """Draws one grey slice with values 0 (black) to 1 (white).

    Args:
      axes: matplotlib axes.
      image: 2D, `(row, column)`, in [0, 1].
      title: Text above it.
      aspect: Height of a pixel divided by its width.
    """
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=aspect)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])


def save_restoration_panel(
    path: str | Path,
    original: np.ndarray,
    deformed: np.ndarray,
    restored: np.ndarray | None = None,
) -> None:
    """Draws original, deformed and restored cube, a row for each of three planes.

    Args:
      path: PNG file to write.
      original: `(x, y, z)` float in [0, 1], or a slice `(x, y)`, which is one row.
      deformed: The same shape; the network's input.
      restored: The same shape; the network's output. None leaves its column out.
    """
    columns = {
        "original": original,
        f"deformed (MSE {_squared_error(deformed, original):.4f})": deformed,
    }
    if restored is not None:
        error = _squared_error(restored, original)
        columns[f"restored (MSE {error:.4f})"] = restored
    planes = PLANES if original.ndim == 3 else PLANES[:1]
    shapes = [plane_slice(original, plane).shape for plane in planes]
    heights = [rows / columns for rows, columns in shapes]
    size = (2.5 * len(columns), 0.5 + 2.5 * sum(heights))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(
        len(planes), len(columns), height_ratios=heights, squeeze=False
    )
    for column, (title, cube) in enumerate(columns.items()):
        for row, plane in enumerate(planes):
            axes = grid[row, column]
            draw_slice(axes, plane_slice(cube, plane), title if row == 0 else "")
            if column == 0:
                axes.set_ylabel(plane, fontsize=9)
    save_figure(figure, path)


def save_overview_panel(
    path: str | Path,
    originals: list[np.ndarray],
    deformed: list[np.ndarray],
    restored: list[np.ndarray],
) -> None:
    """Draws the axial slices of several cubes: original, deformed, restored rows.

    Args:
      path: PNG file to write.
      originals: Cubes `(x, y, z)` or slices `(x, y)` in [0, 1], a column each.
      deformed: Their deformed forms.
      restored: What the network made of those.
    """
    rows = {"original": originals, "deformed": deformed, "restored": restored}
    count = len(originals)
    figure = Figure(figsize=(1.6 * count, 5.2), layout="constrained")
    grid = figure.subplots(3, count, squeeze=False)
    for row, (name, cubes) in enumerate(rows.items()):
        for column, cube in enumerate(cubes):
            draw_slice(grid[row, column], plane_slice(cube, "axial"))
        grid[row, 0].set_ylabel(name, fontsize=10)
    save_figure(figure, path)


def montage(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Puts the axial slices of cubes side by side.

    Args:
      rows: Lists of cubes `(x, y, z)` or slices `(x, y)` in [0, 1], all of one shape.

    Returns:
      2D array `(row, column)`.
    """
    return np.block([[plane_slice(cube, "axial") for cube in row] for row in rows])


def _squared_error(cube: np.ndarray, original: np.ndarray) -> float:
    return float(np.mean(np.square(cube - original)))
