"""A lung lesion and what lies around it, drawn from a random number generator.

A patch of a chest CT: lung with its texture and vessels, sometimes the chest wall, the
scanner's blur and noise, and one lesion of irregular shape, with or without spicules.
Vessels and wall are as bright as the lesion, so that its shape alone tells it from
them; its size and its brightness do not tell whether it is spiculated. Lengths are
millimetres; x runs to the patient's left, y to the back, z to the head.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.fields import bumps, cover_beyond, largest_piece
from models_genesis_tf.phantoms.painting import (
    Canvas,
    make_canvas,
    paint_ball,
    paint_tube,
)
from models_genesis_tf.phantoms.scanner import draw_noise, to_stored
from models_genesis_tf.phantoms.strokes import (
    blend,
    draw_direction,
    draw_lumps,
    paint_ribs,
)
from models_genesis_tf.phantoms.trees import grow_tree

SIZE = (48, 48, 32)
SHAPES = ("smooth", "spiculated")
_DIAMETERS = (8.0, 20.0)  # mm
_BRIGHTNESS = (-200.0, 90.0)  # HU
_FAT = -95.0  # HU
# Spicules add to the volume and, being half lung, take from the mean brightness. The
# body makes up for both.
_BODY = {"smooth": 0.88, "spiculated": 0.775}  # radius relative to the drawn one
_GAIN = {"smooth": 0.0, "spiculated": 25.0}  # HU


@dataclass(frozen=True)
class Patient:
    """What all patches of a patient share.

    Attributes:
      spacing: mm along x, y and z.
      lung: HU of the lung between its vessels.
      blur: Standard deviation of the scanner's blur, voxels.
      noise: Standard deviation of the scanner's noise, HU.
    """

    spacing: tuple[float, float, float]
    lung: float
    blur: float
    noise: float


@dataclass(frozen=True)
class Lesion:
    """A patch of a scan around a lesion.

    Attributes:
      array: int16 `(x, y, z)`, HU.
      mask: bool `(x, y, z)`: where the lesion, blurred as by the scanner, makes up
        half of the voxel or more; one piece.
      spacing: mm along x, y and z.
    """

    array: np.ndarray
    mask: np.ndarray
    spacing: tuple[float, float, float]

    @property
    def diameter(self) -> float:
        """Diameter of a ball of the mask's volume, mm."""
        volume = float(np.count_nonzero(self.mask) * np.prod(self.spacing))
        return (6 * volume / np.pi) ** (1 / 3)


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draws a patient.

    Args:
      rng: Generator to draw from.

    Returns:
      The patient; voxels have about 1 x 1 x 1.5 mm.
    """
    in_plane, between = rng.uniform(0.9, 1.1), rng.uniform(1.35, 1.65)
    return Patient(
        spacing=(in_plane, in_plane, between),
        lung=rng.uniform(-900, -800),
        blur=rng.uniform(0.45, 0.75),
        noise=rng.uniform(14, 32),
    )


def draw_lesion(rng: np.random.Generator, patient: Patient, shape: str) -> Lesion:
    """Draws one lesion with its surroundings.

    Args:
      rng: Generator to draw from.
      patient: Whose lesion it is.
      shape: One of `SHAPES`.

    Returns:
      The patch of `SIZE` voxels.
    """
    canvas = make_canvas(SIZE, patient.spacing, patient.lung)
    centre = rng.uniform(-6, 6, 3)
    radius = np.exp(rng.uniform(*np.log(_DIAMETERS))) / 2
    value = rng.uniform(*_BRIGHTNESS) + _GAIN[shape]
    _paint_texture(canvas, rng)
    _paint_vessels(canvas, centre, radius, value, rng)
    cover = _draw_cover(patient, shape, centre, radius, rng)
    blend(canvas, cover, value)
    if rng.random() < 0.4:
        wall = _paint_wall(canvas, centre, radius, value, rng)
        cover *= 1 - wall
    values = ndimage.gaussian_filter(canvas.values, patient.blur)
    noise = draw_noise(SIZE, rng)
    values += noise * np.float32(patient.noise / noise.std())
    # Blur and wall cut small bits off, such as the tips of spicules.
    mask = largest_piece(ndimage.gaussian_filter(cover, patient.blur) >= 0.5)
    return Lesion(to_stored(values), mask, patient.spacing)


def _paint_texture(canvas: Canvas, rng: np.random.Generator) -> None:
    values = canvas.values
    values += 22 * bumps(canvas, 12, rng) + 30 * bumps(canvas, 3.5, rng)
    values += rng.uniform(0, 1) * canvas.y  # blood sinks to the back


def _paint_vessels(
    canvas: Canvas, centre: np.ndarray, radius: float, value: float, rng
) -> None:
    """Trees from outside of the patch that run across it, and into the lesion."""
    half = np.array(SIZE) * canvas.spacing / 2
    for _ in range(rng.integers(2, 4)):
        root = 1.3 * half * draw_direction(rng)
        opposite = -root + rng.normal(0, 6, (1, 3))
        near = centre + rng.normal(0, 0.8 * radius, (2, 3))
        others = rng.uniform(-1.1, 1.1, (rng.integers(9, 19), 3)) * half
        ends = np.concatenate([opposite, near, others])
        for start, end, leaves in grow_tree(root, ends, rng):
            radii = 0.75 * leaves**0.42, 0.7 * leaves**0.42
            paint_tube(canvas, start, end, radii, value)


def _draw_cover(
    patient: Patient, shape: str, centre: np.ndarray, radius: float, rng
) -> np.ndarray:
    """The share of each voxel that is the lesion's: a body of lobes, and spicules."""
    canvas = make_canvas(SIZE, patient.spacing, 0.0)
    body = _BODY[shape] * radius
    paint_ball(canvas, centre, body, 1.0, draw_lumps(6, 0.3, rng))
    for _ in range(3):
        lobe = centre + rng.uniform(0.4, 0.8) * body * draw_direction(rng)
        size = rng.uniform(0.5, 0.75) * body
        paint_ball(canvas, lobe, size, 1.0, draw_lumps(3, 0.2, rng))
    for _ in range(rng.integers(16, 26) if shape == "spiculated" else 0):
        direction = draw_direction(rng)
        start = centre + 0.6 * radius * direction
        end = centre + (radius + rng.uniform(3, 8)) * direction + rng.normal(0, 1, 3)
        radii = rng.uniform(1.4, 1.9), rng.uniform(0.4, 0.9)
        paint_tube(canvas, start, end, radii, 1.0)
    return canvas.values


def _paint_wall(
    canvas: Canvas, centre: np.ndarray, radius: float, value: float, rng
) -> np.ndarray:
    """Paints the chest wall that the lesion touches; gives its share of each voxel."""
    outwards = rng.standard_normal(3) * (1, 1, 0.25)
    outwards /= np.linalg.norm(outwards)
    sideways = np.cross(outwards, (0, 0, 1))
    sideways /= np.linalg.norm(sideways)
    across = _distance(canvas, centre, sideways)
    depth = _distance(canvas, centre, outwards) - rng.uniform(0.5, 1) * radius
    # The chest is round, and not quite even.
    depth = depth + across**2 / 220 + 0.8 * bumps(canvas, 14, rng)
    wall = cover_beyond(canvas, depth)
    blend(canvas, wall, value)

    muscle = rng.uniform(3, 6)  # mm between the pleura and the fat
    layer = 1.2 + 1.5 * bumps(canvas, 9, rng) - np.abs(depth - muscle - 1.5)
    blend(canvas, np.clip(layer, 0, 1) * wall, _FAT)
    height = np.mod(canvas.z + 0.5 * across + rng.uniform(0, 26), 26) - 13
    paint_ribs(canvas, depth - muscle - 6, height)
    return wall


def _distance(canvas: Canvas, point: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Of every voxel from the plane through a point across a direction, mm."""
    axes = (canvas.x, canvas.y, canvas.z)
    return sum(
        (axis - start) * step
        for axis, start, step in zip(
            axes, point.tolist(), direction.tolist(), strict=True
        )
    )
