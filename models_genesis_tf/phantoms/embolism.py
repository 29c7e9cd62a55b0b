"""Candidates of a pulmonary embolism, drawn from a random number generator.

A patch of a CT angiogram around a place where an artery of the lung looks dark. The
artery runs along the first axis. An embolus is a filling defect within its lumen; what
else draws a detector's eye lies beside it or is no defect: a fork, a lymph node that
touches the artery, a mucus plug in the airway at its side, blood that mixes, a vein
with little contrast medium. All are as dark as emboli, so that shape and place tell
them, not brightness. Lengths are millimetres from the middle.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from models_genesis_tf.phantoms.fields import bumps, cover_beyond
from models_genesis_tf.phantoms.painting import (
    Canvas,
    make_canvas,
    paint_ball,
    paint_tube,
)
from models_genesis_tf.phantoms.scanner import to_stored
from models_genesis_tf.phantoms.strokes import blend, draw_direction, draw_lumps

SIZE = 64  # voxels of a side of a patch
FIELD_OF_VIEW = 20.0  # mm
_GRID = (64, 76, 76)  # voxels of the scan around a candidate
_STEP = 0.45  # mm between them
_AIR = -960.0


@dataclass(frozen=True)
class Patient:
    """What all candidates of a patient share.

    Attributes:
      contrast: HU of blood in the arteries.
      lung: HU of the lung between its vessels.
      noise: Standard deviation of the scanner's noise, HU.
    """

    contrast: float
    lung: float
    noise: float


@dataclass(frozen=True)
class _Vessel:
    """An artery along x and the airway at its side."""

    radius: float  # mm
    ends: tuple[np.ndarray, np.ndarray]  # (3,) mm; between them it passes the middle
    contrast: float
    airway: np.ndarray  # (3,) mm, a point of its axis
    airway_radius: float
    tissue: float  # HU of soft tissue beside it


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draws a patient.

    Args:
      rng: Generator to draw from.

    Returns:
      The patient.
    """
    return Patient(
        contrast=rng.uniform(240, 420),
        lung=rng.uniform(-880, -800),
        noise=rng.uniform(12, 26),
    )


def draw_scene(rng: np.random.Generator, patient: Patient, kind: str) -> np.ndarray:
    """Draws the scan around one candidate.

    Args:
      rng: Generator to draw from.
      patient: Whose candidate it is.
      kind: "embolus" or one of `DECOYS`.

    Returns:
      float32 `(x, y, z)`, HU, voxels of 0.45 mm; views of it are patches.
    """
    canvas = make_canvas(_GRID, (_STEP, _STEP, _STEP), patient.lung)
    blend(canvas, 1.0, patient.lung + 30 * bumps(canvas, 6, rng))
    vessel = _draw_vessel(rng, patient)
    _paint_surroundings(canvas, vessel, rng)
    _paint_artery(canvas, vessel, rng)
    _PAINTERS[kind](canvas, vessel, rng)
    values = ndimage.gaussian_filter(canvas.values, 0.9)
    noise = ndimage.gaussian_filter(rng.standard_normal(_GRID, np.float32), 0.8)
    return values + noise * np.float32(patient.noise / noise.std())


def draw_view(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """Cuts a patch out of a scene, turned about the artery and a little beside it.

    Args:
      rng: Generator to draw the turn and the shift from.
      scene: As `draw_scene` gives it.

    Returns:
      int16 `(64, 64, 64)`, HU, 20 mm a side, the artery along the first axis.
    """
    angles = rng.uniform(0, 360), *rng.normal(0, 4, 2)  # degrees about x, y and z
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    middle = (np.array(_GRID) - 1) / 2 + rng.uniform(-1, 1, 3) / _STEP
    matrix = turn * (FIELD_OF_VIEW / SIZE / _STEP)
    offset = middle - matrix @ np.full(3, (SIZE - 1) / 2)
    patch = ndimage.affine_transform(
        scene, matrix, offset, (SIZE, SIZE, SIZE), order=1, mode="nearest"
    )
    return to_stored(patch)


def _draw_vessel(rng, patient: Patient) -> _Vessel:
    radius, airway_radius = rng.uniform(2.8, 4.6), rng.uniform(1.6, 3.2)
    angle = rng.uniform(0, 2 * np.pi)
    away = radius + airway_radius + rng.uniform(1.0, 1.8)
    bend = rng.uniform(-0.9, 0.9, 2)
    return _Vessel(
        radius=radius,
        ends=(np.array((-16.0, *bend)), np.array((16.0, *bend))),
        contrast=patient.contrast + rng.uniform(-30, 30),
        airway=np.array((0.0, away * np.cos(angle), away * np.sin(angle))),
        airway_radius=airway_radius,
        tissue=rng.uniform(20, 70),
    )


def _paint_surroundings(canvas: Canvas, vessel: _Vessel, rng) -> None:
    """Small vessels, the airway and, near a hilum, soft tissue."""
    for _ in range(rng.integers(3, 8)):
        place = rng.uniform(-14, 14, 3)
        reach = rng.uniform(5, 15) * draw_direction(rng)
        radii = rng.uniform(0.5, 1.2), rng.uniform(0.4, 0.9)
        paint_tube(canvas, place - reach, place + reach, radii, vessel.contrast - 60)
    if rng.random() < 0.65:
        side = _across(rng)
        far = vessel.radius + rng.uniform(0.5, 9)
        depth = canvas.y * side[1] + canvas.z * side[2] - far
        blend(
            canvas,
            cover_beyond(canvas, depth + 1.5 * bumps(canvas, 6, rng)),
            vessel.tissue,
        )
    _paint_airway(canvas, vessel, _AIR)


def _paint_airway(canvas: Canvas, vessel: _Vessel, value: float) -> None:
    along = np.array((20.0, 0.0, 0.0))
    for extra, filling in ((0.9, vessel.tissue), (0.0, value)):
        radius = vessel.airway_radius + extra
        ends = vessel.airway - along, vessel.airway + along
        paint_tube(canvas, *ends, (radius, radius), filling)


def _paint_artery(canvas: Canvas, vessel: _Vessel, rng) -> None:
    """A wall and a lumen along x, a little bent, with side branches."""
    branches = []
    for _ in range(rng.integers(0, 3)):
        start = np.array((rng.uniform(-10, 10), 0, 0))
        end = start + 14 * _across(rng) + np.array((rng.uniform(4, 10), 0, 0))
        branches.append((start, end, rng.uniform(0.9, 1.6)))
    for extra, value in ((0.5, vessel.tissue), (0.0, vessel.contrast)):
        _paint_course(canvas, vessel, extra, value)
        for start, end, radius in branches:
            paint_tube(canvas, start, end, (radius + 0.6 * extra,) * 2, value)


def _paint_course(canvas: Canvas, vessel: _Vessel, extra: float, value) -> None:
    for end in vessel.ends:
        radius = vessel.radius + extra
        paint_tube(canvas, np.zeros(3), end, (radius, radius), value)


def _paint_embolus(canvas: Canvas, vessel: _Vessel, rng) -> None:
    """A clot of irregular shape that fills the lumen in part or, in some, wholly."""
    own = make_canvas(_GRID, canvas.spacing, 0.0)
    occluding = rng.random() < 0.25
    share = 1.2 if occluding else rng.uniform(0.45, 0.75)
    free = 0 if occluding else (1 - share) * vessel.radius
    shift = rng.uniform(0, free) * _across(rng)
    length = rng.uniform(3, 5) if occluding else rng.uniform(3, 9)
    for along in np.arange(-length / 2, length / 2 + 0.1, 1.0):
        place = shift + np.array((along, *rng.normal(0, 0.25, 2)))
        size = share * vessel.radius * rng.uniform(0.85, 1.05)
        paint_ball(own, place, size, 1.0, draw_lumps(4, 0.15, rng))
    inside = vessel.radius - np.hypot(canvas.y, canvas.z)
    clot = own.values * cover_beyond(canvas, inside)
    blend(canvas, clot, rng.uniform(20, 90))


def _paint_fork(canvas: Canvas, vessel: _Vessel, rng) -> None:
    """The artery parts in two: lung and tissue lie in the notch between them."""
    side = _across(rng)
    radius = rng.uniform(0.6, 0.9) * vessel.radius
    slope = rng.uniform(0.5, 0.7)  # of the branch, sideways mm for each along
    parting = (vessel.radius + radius * np.hypot(1, slope)) / slope
    start = np.array((-parting, 0, 0))
    end = start + 30 * (np.array((1.0, 0, 0)) + slope * side)
    notch = (vessel.radius + 0.4) * side
    wedge = notch + np.array((6.0, 0, 0)) + 3 * slope * side
    paint_tube(canvas, start, end, (radius + 0.5,) * 2, vessel.tissue)
    paint_tube(canvas, notch, wedge, (0.8, rng.uniform(1, 2.5)), rng.uniform(20, 90))
    paint_tube(canvas, start, end, (radius, radius), vessel.contrast)
    _paint_course(canvas, vessel, 0.0, vessel.contrast)
    _move(canvas, notch + np.array((rng.uniform(-1, 2), 0, 0)))


def _paint_node(canvas: Canvas, vessel: _Vessel, rng) -> None:
    """A lymph node that touches the artery's wall."""
    side = _across(rng)
    size = rng.uniform(2.5, 4.5)
    value = rng.uniform(20, 90)
    for along in np.arange(-size, size + 0.1, 1.5):
        radius = size * np.sqrt(1.2 - 0.6 * (along / size) ** 2)
        place = np.array((along, 0, 0)) + (vessel.radius + 0.3 + radius) * side
        paint_ball(canvas, place, radius, value, draw_lumps(4, 0.12, rng))
    _move(canvas, vessel.radius * rng.uniform(0.7, 1.2) * side)


def _paint_plug(canvas: Canvas, vessel: _Vessel, rng) -> None:
    """Mucus in the airway beside the artery."""
    _paint_airway(canvas, vessel, _AIR)
    half = np.array((rng.uniform(3, 8), 0.0, 0.0))
    ends = vessel.airway - half, vessel.airway + half
    paint_tube(canvas, *ends, (vessel.airway_radius,) * 2, rng.uniform(10, 80))
    _move(canvas, rng.uniform(0.55, 0.8) * vessel.airway)


def _paint_mixing(canvas: Canvas, vessel: _Vessel, rng) -> None:
    """Blood without contrast medium streams in, at a side or in the middle."""
    side = _across(rng)
    depth = (canvas.y * side[1] + canvas.z * side[2]) / vessel.radius
    distance = np.hypot(canvas.y, canvas.z)
    if rng.random() < 0.5:
        share = np.clip(0.5 + 0.4 * depth + 0.15 * bumps(canvas, 5, rng), 0, 1)
    else:
        share = np.exp(-((distance / (0.75 * vessel.radius)) ** 2))
    dilution = rng.uniform(0.6, 0.9) * share * np.exp(-((canvas.x / 9) ** 2))
    inside = cover_beyond(canvas, vessel.radius - distance)
    blend(canvas, inside * dilution, rng.uniform(20, 60))


def _paint_vein(canvas: Canvas, vessel: _Vessel, rng) -> None:
    """The vessel is a vein that little contrast medium has reached."""
    inside = cover_beyond(canvas, vessel.radius - np.hypot(canvas.y, canvas.z))
    blend(canvas, inside, rng.uniform(90, 190))


def _move(canvas: Canvas, place: np.ndarray) -> None:
    """Brings a place to the middle."""
    shift = -place / _STEP
    canvas.values[:] = ndimage.shift(canvas.values, shift, order=0, mode="nearest")


def _across(rng: np.random.Generator) -> np.ndarray:
    """A direction at right angles to the artery."""
    angle = rng.uniform(0, 2 * np.pi)
    return np.array((0.0, np.cos(angle), np.sin(angle)))


_Painter = Callable[[Canvas, _Vessel, np.random.Generator], None]
_PAINTERS: dict[str, _Painter] = {
    "embolus": _paint_embolus,
    "fork": _paint_fork,
    "node": _paint_node,
    "plug": _paint_plug,
    "mixing": _paint_mixing,
    "vein": _paint_vein,
}
DECOYS = ("fork", "node", "plug", "mixing", "vein")
