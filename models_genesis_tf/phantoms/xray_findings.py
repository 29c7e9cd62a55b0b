"""The eight findings of ChestX-ray8, painted into a chest.

Each takes its share of the lungs, as it does in a patient, and is neither the only
dense nor the only bright thing there. Lengths are millimetres; x runs to the patient's
left, y to the back, z to the head.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.chest_body import (
    AIR,
    BLOOD,
    Body,
    cage_radius,
    diaphragm_height,
    heart_radius,
)
from models_genesis_tf.phantoms.fields import bumps, ellipsoid
from models_genesis_tf.phantoms.painting import (
    Canvas,
    make_canvas,
    paint,
    paint_ball,
    paint_tube,
    to_mm,
    to_voxels,
)
from models_genesis_tf.phantoms.strokes import blend, draw_direction, draw_lumps

_WATER = 15.0  # HU
_STEPS = (4, 2, 4)  # voxels, some 6 mm
_HILUM = 48.0  # mm from the middle; large vessels lie within


@dataclass(frozen=True)
class Trunk:
    """A patient's trunk, without what a scanner or detector adds.

    Attributes:
      canvas: HU.
      lungs: bool `(x, y, z)`: where there is aerated lung.
      body: The patient.
    """

    canvas: Canvas
    lungs: np.ndarray
    body: Body


def paint_findings(
    trunk: Trunk, findings: Collection[str], rng: np.random.Generator
) -> None:
    """Paints findings.

    Args:
      trunk: Changed in place: its values, and its lungs where they are no longer.
      findings: Some of `FINDINGS`.
      rng: Generator to draw from.
    """
    for name, paint_finding in _BRUSHES.items():
        if name in findings:
            paint_finding(trunk, rng)


def _draw_side(rng: np.random.Generator) -> int:
    """-1 for the patient's right, 1 for the left."""
    return int(rng.choice((-1, 1)))


def _lose(trunk: Trunk, where: np.ndarray, value) -> None:
    """A part of the lungs gives way to something else."""
    paint(trunk.canvas, trunk.lungs & where, value)
    np.logical_and(trunk.lungs, ~where, out=trunk.lungs)


def _places(trunk: Trunk, rng: np.random.Generator) -> np.ndarray:
    """Places in the lungs that heart and diaphragm do not hide in a front view."""
    thickness = np.count_nonzero(trunk.lungs, axis=1) * trunk.canvas.spacing[1]
    coarse = trunk.lungs[tuple(slice(None, None, step) for step in _STEPS)]
    voxels = rng.permutation(np.argwhere(ndimage.binary_erosion(coarse)) * _STEPS)
    places = to_mm(trunk.canvas, voxels)
    open_to_view = thickness[voxels[:, 0], voxels[:, 2]] > 90
    return places[open_to_view & (np.abs(places[:, 0]) > _HILUM)]


def _paint_cardiomegaly(trunk: Trunk, rng: np.random.Generator) -> None:
    large = replace(trunk.body, heart=rng.uniform(1.22, 1.42))
    canvas = trunk.canvas
    heart = heart_radius(canvas.x, canvas.y, canvas.z, large) < 0.98
    _lose(trunk, heart, BLOOD)


def _paint_atelectasis(trunk: Trunk, rng: np.random.Generator) -> None:
    """Plates above a diaphragm that rises on this side."""
    canvas, side = trunk.canvas, _draw_side(rng)
    x, y, z = canvas.x, canvas.y, canvas.z
    dome = diaphragm_height(x, y, trunk.body) + rng.uniform(4, 22)
    _lose(trunk, (side * x > 0) & (z < dome), 55.0)
    top = trunk.body.diaphragm + (40 if side > 0 else 52)
    for _ in range(rng.integers(2, 4)):
        middle = np.array((side * rng.uniform(55, 95), rng.uniform(-15, 25)))
        height = top + rng.uniform(14, 55)
        slope = side * rng.uniform(-0.3, 0.3)
        plane = height + slope * (x - middle[0]) + rng.uniform(-0.1, 0.1) * y
        reach = (*rng.uniform((22, 25), (40, 45)), 1e3)
        within = ellipsoid(canvas, (*middle, 0), reach) < 1
        plate = np.abs(z - plane - 1.5 * np.sin(x / 13)) < rng.uniform(1.7, 3.5)
        _lose(trunk, within & plate, 20.0)


def _paint_pneumothorax(trunk: Trunk, rng: np.random.Generator) -> None:
    """The lung shrinks towards its hilum, more so from above."""
    canvas, side = trunk.canvas, _draw_side(rng)
    hilum = np.array((side * 30.0, 10.0, trunk.body.diaphragm + rng.uniform(20, 60)))
    shrunk = rng.uniform((0.72, 0.86, 0.74), (0.9, 0.96, 0.92))
    own = trunk.lungs & (side * canvas.x > 0)
    sources = [
        np.round(middle + (np.arange(length) - middle) / share)
        .clip(0, length - 1)
        .astype(int)
        for middle, length, share in zip(
            to_voxels(canvas, hilum), own.shape, shrunk, strict=True
        )
    ]
    rest = own & own[np.ix_(*sources)]
    pleura = rest & ~ndimage.binary_erosion(rest)
    blend(canvas, rest, np.maximum(canvas.values, -750))
    paint(canvas, pleura, -350.0)
    _lose(trunk, own & ~rest, AIR + 5)


def _paint_effusion(trunk: Trunk, rng: np.random.Generator) -> None:
    """Fluid that fills the angle at the diaphragm and climbs along the wall."""
    canvas, body = trunk.canvas, trunk.body
    level = body.diaphragm + rng.uniform(18, 60)
    radius = cage_radius(canvas.x, canvas.y, canvas.z, body)
    climb = rng.uniform(25, 45) * np.clip((radius - 0.6) / 0.36, 0, 1.05) ** 3
    climb = climb + 14 * np.clip((48 - np.abs(canvas.x)) / 24, 0, 1) ** 2
    fluid = canvas.z < level + climb + 1.5 * bumps(canvas, 30, rng)
    _lose(trunk, fluid & (_draw_side(rng) * canvas.x > 0), _WATER)


def _paint_infiltration(trunk: Trunk, rng: np.random.Generator) -> None:
    """Small ill-defined patches in both lungs, most in one zone."""
    canvas = trunk.canvas
    cloud = np.clip(bumps(canvas, 12, rng) + 0.7 * bumps(canvas, 30, rng), 0, 1)
    height = trunk.body.diaphragm + rng.uniform(60, 150)
    zone = np.exp(-(((canvas.z - height) / rng.uniform(45, 70)) ** 2))
    share = rng.uniform(0.45, 0.7) * cloud * zone * trunk.lungs
    blend(canvas, share, _WATER)


def _paint_pneumonia(trunk: Trunk, rng: np.random.Generator) -> None:
    """A part of one lung without air but in its bronchi, its border a haze."""
    canvas = trunk.canvas
    centre = _places(trunk, rng)[0]
    radii = rng.uniform((28, 34, 26), (42, 55, 40))
    edge = ellipsoid(canvas, centre, radii) + 0.22 * bumps(canvas, 16, rng)
    share = np.clip(2.2 * (1 - edge) + 0.3, 0, 0.9)
    share *= np.clip(0.75 + 0.35 * bumps(canvas, 10, rng), 0.25, 1)
    same_side = canvas.x * float(centre[0]) > 0
    blend(canvas, share * (trunk.lungs & same_side), _WATER)
    hilum = np.array((np.sign(centre[0]) * 34.0, 16.0, 6.0))
    for _ in range(4):
        end = centre + 0.8 * radii * draw_direction(rng)
        start = centre + 0.4 * (hilum - centre)
        paint_tube(canvas, start, end, (3.0, 1.8), AIR + 30, trunk.lungs)


def _paint_lump(trunk: Trunk, centre: np.ndarray, radius: float, rng) -> None:
    own = make_canvas(trunk.lungs.shape, trunk.canvas.spacing, 0.0)
    paint_ball(own, centre, radius, 1.0, draw_lumps(6, 0.22, rng))
    lobe = centre + 0.5 * radius * draw_direction(rng)
    paint_ball(own, lobe, 0.65 * radius, 1.0, draw_lumps(3, 0.2, rng))
    blend(trunk.canvas, own.values * trunk.lungs, rng.uniform(10, 60))


def _paint_mass(trunk: Trunk, rng: np.random.Generator) -> None:
    """A lump of more than 3 cm, which is what tells it from a nodule."""
    _paint_lump(trunk, _places(trunk, rng)[0], rng.uniform(17, 27), rng)


def _paint_nodule(trunk: Trunk, rng: np.random.Generator) -> None:
    for centre in _places(trunk, rng)[: rng.integers(1, 4)]:
        _paint_lump(trunk, centre, rng.uniform(7, 12), rng)


# In the order of painting: what takes space from the lungs comes first.
_BRUSHES = {
    "Cardiomegaly": _paint_cardiomegaly,
    "Atelectasis": _paint_atelectasis,
    "Pneumothorax": _paint_pneumothorax,
    "Effusion": _paint_effusion,
    "Infiltration": _paint_infiltration,
    "Pneumonia": _paint_pneumonia,
    "Mass": _paint_mass,
    "Nodule": _paint_nodule,
}
FINDINGS = tuple(sorted(_BRUSHES))
