"""Brushes that the phantoms are painted with: soft shapes on a grid in millimetres."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

_SLAB = 16  # rows


@dataclass(frozen=True)
class Canvas:
    """A volume and the millimetre coordinates of its voxels.

    Attributes:
      values: float32 `(x, y, z)`, changed by the brushes.
      spacing: mm along x, y and z.
      x: float32 `(x, 1, 1)`, mm from the middle, towards the patient's left.
      y: float32 `(1, y, 1)`, towards the back.
      z: float32 `(1, 1, z)`, towards the head.
    """

    values: np.ndarray
    spacing: tuple[float, float, float]
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray


def make_canvas(
    size: tuple[int, int, int], spacing: tuple[float, float, float], background: float
) -> Canvas:
    """Makes an even canvas around the middle of the volume.

    Args:
      size: Voxels along x, y and z.
      spacing: mm along x, y and z.
      background: Value of every voxel, HU for a CT.

    Returns:
      The canvas.
    """
    axes = [
        ((np.arange(side) - (side - 1) / 2) * step).astype(np.float32)
        for side, step in zip(size, spacing, strict=True)
    ]
    values = np.full(size, background, np.float32)
    return Canvas(
        values,
        spacing,
        axes[0][:, None, None],
        axes[1][None, :, None],
        axes[2][None, None, :],
    )


def to_mm(canvas: Canvas, voxels: np.ndarray) -> np.ndarray:
    """Turns places in voxels into places in millimetres.

    Args:
      canvas: On whose grid they are.
      voxels: `(n, 3)`, 0 at the centre of the first voxel.

    Returns:
      `(n, 3)` mm from the middle.
    """
    return (voxels - (np.array(canvas.values.shape) - 1) / 2) * canvas.spacing


def to_voxels(canvas: Canvas, places: np.ndarray) -> np.ndarray:
    """Turns places in millimetres into places in voxels.

    Args:
      canvas: On whose grid they are.
      places: `(n, 3)` mm from the middle.

    Returns:
      `(n, 3)`, 0 at the centre of the first voxel.
    """
    return places / canvas.spacing + (np.array(canvas.values.shape) - 1) / 2


def slabs(canvas: Canvas) -> Iterator[tuple[slice, Canvas]]:
    """Cuts a canvas into slabs across x, whose arrays fit a processor's cache.

    Args:
      canvas: What is cut.

    Yields:
      Rows of x, and the canvas of these rows; painting it paints the whole.
    """
    for first in range(0, len(canvas.values), _SLAB):
        rows = slice(first, first + _SLAB)
        yield rows, replace(canvas, values=canvas.values[rows], x=canvas.x[rows])


def smooth_noise(
    shape: tuple[int, ...], cells: tuple[float, ...], rng: np.random.Generator
) -> np.ndarray:
    """Random bumps: a coarse grid of normal values, interpolated.

    Args:
      shape: Of the result.
      cells: Voxels between the coarse grid's nodes along each axis; a little fewer
        if the nodes would not end with the axis.
      rng: Generator to draw from.

    Returns:
      float32 of that shape, mean near 0; the standard deviation is 1 at the nodes and
      0.7 to 0.85 over all, for interpolation smooths.
    """
    nodes = [
        math.ceil((side - 1) / cell) + 1
        for side, cell in zip(shape, cells, strict=True)
    ]
    field = rng.standard_normal(nodes).astype(np.float32)
    field = ndimage.gaussian_filter(field, 0.7, mode="wrap")
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    for side in shape:  # each turn takes the first axis and appends it anew
        places = np.linspace(0, len(field) - 1, side)[:, None]
        weights = np.maximum(1 - np.abs(places - np.arange(len(field))), 0)
        field = np.tensordot(field, weights.astype(np.float32), (0, 1))
    return field


def paint(canvas: Canvas, inside: np.ndarray, value) -> None:
    """Sets voxels to a value.

    Args:
      canvas: Changed in place.
      inside: bool that broadcasts to the canvas.
      value: A number, or an array that broadcasts to the canvas.
    """
    np.copyto(canvas.values, value, where=inside)


def paint_tube(
    canvas: Canvas,
    start: np.ndarray,
    end: np.ndarray,
    radii: tuple[float, float],
    value: float,
    where: np.ndarray | None = None,
) -> None:
    """Paints a capsule between two points, its edge softened over one voxel.

    Args:
      canvas: Changed in place.
      start: `(3,)` mm from the middle.
      end: `(3,)` mm from the middle.
      radii: Radius at the start and at the end, mm; a tube thinner than a voxel is
        fainter, down to half the value on its axis.
      value: What is painted.
      where: bool of the canvas's shape; elsewhere nothing changes.
    """
    voxel = canvas.spacing[0]
    reach = max(radii) + voxel / 2
    box = _box(canvas, np.minimum(start, end) - reach, np.maximum(start, end) + reach)
    points = _points(canvas, box, start)
    axis = (end - start).tolist()
    length = max(sum(step**2 for step in axis), 1e-6)
    along = sum(point * step for point, step in zip(points, axis, strict=True))
    along = np.clip(along / length, 0, 1)
    square = sum(
        (point - along * step) ** 2 for point, step in zip(points, axis, strict=True)
    )
    radius = radii[0] + (radii[1] - radii[0]) * along
    cover = np.clip((radius - np.sqrt(square)) / voxel + 0.5, 0, 1)
    if where is not None:
        cover = cover * where[box]
    region = canvas.values[box]
    region += cover * (value - region)


def paint_ball(
    canvas: Canvas,
    centre: np.ndarray,
    radius: float,
    value: float,
    lumps: np.ndarray,
) -> None:
    """Paints a ball with a lumpy, soft surface.

    Args:
      canvas: Changed in place.
      centre: `(3,)` mm from the middle.
      radius: Mean radius, mm.
      value: What is painted.
      lumps: `(n, 4)`: a direction (3) and a relative height (1) of each bump.
    """
    voxel = canvas.spacing[0]
    reach = radius * (1 + np.abs(lumps[:, 3]).sum()) + voxel / 2
    box = _box(canvas, centre - reach, centre + reach)
    points = _points(canvas, box, centre)
    distance = np.sqrt(sum(point**2 for point in points))
    surface = radius
    for *direction, height in lumps.tolist():
        towards = sum(p * d for p, d in zip(points, direction, strict=True))
        cosine = towards / np.maximum(distance * math.hypot(*direction), 1e-3)
        surface = surface + radius * height * cosine**3
    cover = np.clip((surface - distance) / voxel + 0.5, 0, 1)
    region = canvas.values[box]
    region += cover * (value - region)


def _box(canvas: Canvas, low: np.ndarray, high: np.ndarray) -> tuple[slice, ...]:
    """The canvas's voxels between two corners in mm; none if it lies elsewhere."""
    axes = (canvas.x.ravel(), canvas.y.ravel(), canvas.z.ravel())
    return tuple(
        slice(*np.searchsorted(axis, ends))
        for axis, ends in zip(axes, np.stack([low, high], 1), strict=True)
    )


def _points(canvas: Canvas, box: tuple[slice, ...], start: np.ndarray) -> tuple:
    """Coordinates of a box's voxels from a point, mm along x, y and z."""
    x, y, z = start.tolist()  # plain numbers leave float32 as it is
    return (
        canvas.x[box[0]] - x,
        canvas.y[:, box[1]] - y,
        canvas.z[:, :, box[2]] - z,
    )
