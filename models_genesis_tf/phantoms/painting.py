"""Brushes that the phantoms are painted with: soft shapes on a grid in millimetres."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


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


def smooth_noise(
    shape: tuple[int, ...], cells: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Random bumps: a coarse grid of normal values, interpolated.

    Args:
      shape: Of the result.
      cells: Voxels between the coarse grid's nodes along each axis.
      rng: Generator to draw from.

    Returns:
      float32 of that shape, mean near 0 and standard deviation near 1.
    """
    nodes = [side // cell + 2 for side, cell in zip(shape, cells, strict=True)]
    field = rng.standard_normal(nodes).astype(np.float32)
    field = ndimage.gaussian_filter(field, 0.7, mode="wrap")
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    for axis, side in enumerate(shape):
        places = np.linspace(0, field.shape[axis] - 1.001, side)
        low = places.astype(int)
        weights = (places - low).astype(np.float32)
        weights = weights.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        field = (1 - weights) * field.take(low, axis) + weights * field.take(
            low + 1, axis
        )
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
      radii: Radius at the start and at the end, mm; below half a voxel it becomes
        fainter instead of thinner.
      value: What is painted.
      where: bool of the canvas's shape; elsewhere nothing changes.
    """
    reach = max(radii) + 2 * max(canvas.spacing)
    box = _box(canvas, np.minimum(start, end) - reach, np.maximum(start, end) + reach)
    if any(part.start >= part.stop for part in box):
        return
    points = (canvas.x[box[0]], canvas.y[:, box[1]], canvas.z[:, :, box[2]])
    axis = end - start
    along = sum(
        (point - low) * step
        for point, low, step in zip(points, start, axis, strict=True)
    )
    along = np.clip(along / max(float(axis @ axis), 1e-6), 0, 1)
    square = sum(
        (point - low - along * step) ** 2
        for point, low, step in zip(points, start, axis, strict=True)
    )
    radius = radii[0] + (radii[1] - radii[0]) * along
    voxel = canvas.spacing[0]
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
    reach = 1.4 * radius + 2 * max(canvas.spacing)
    box = _box(canvas, centre - reach, centre + reach)
    points = (
        canvas.x[box[0]] - centre[0],
        canvas.y[:, box[1]] - centre[1],
        canvas.z[:, :, box[2]] - centre[2],
    )
    distance = np.sqrt(sum(point**2 for point in points))
    surface = radius
    for *direction, height in lumps:
        towards = sum(p * d for p, d in zip(points, direction, strict=True))
        cosine = towards / np.maximum(distance, 1e-3)
        surface = surface + radius * height * cosine**3
    cover = np.clip((surface - distance) / canvas.spacing[0] + 0.5, 0, 1)
    region = canvas.values[box]
    region += cover * (value - region)


def _box(canvas: Canvas, low: np.ndarray, high: np.ndarray) -> tuple[slice, ...]:
    """Voxels between two corners in mm, cut to the canvas."""
    box = []
    for axis, side in enumerate(canvas.values.shape):
        step = canvas.spacing[axis]
        middle = (side - 1) / 2
        first = int(np.clip(np.floor(low[axis] / step + middle), 0, side))
        last = int(np.clip(np.ceil(high[axis] / step + middle) + 1, 0, side))
        box.append(slice(first, last))
    return tuple(box)
