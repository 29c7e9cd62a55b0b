"""A chest CT drawn from a random number generator.

A trunk with lungs (`chest_body`), vessels and airways in them, nodules of known place
and size, and the scanner's noise. Lengths are millimetres from the middle of the
volume; x runs to the patient's left, y to the back, z to the head.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.chest_body import (
    AIR,
    BLOOD,
    draw_body,
    paint_body,
    paint_great_vessels,
    paint_table,
)
from models_genesis_tf.phantoms.painting import (
    Canvas,
    make_canvas,
    paint_ball,
    paint_tube,
    to_mm,
    to_voxels,
)
from models_genesis_tf.phantoms.scanner import draw_noise, to_stored
from models_genesis_tf.phantoms.strokes import draw_lumps
from models_genesis_tf.phantoms.trees import grow_tree

_FIELD_OF_VIEW = 360.0  # mm in plane
_HEIGHT = 310.0  # mm along z
_DECOY_WIDTH = 3.0  # mm, standard deviation of the blob that a decoy looks like
_DECOY_PLACES = 450  # of which the densest are decoys


@dataclass(frozen=True)
class Nodule:
    """A lung nodule.

    Attributes:
      centre: `(3,)` mm from the middle of the volume.
      diameter: mm.
    """

    centre: np.ndarray
    diameter: float


@dataclass(frozen=True)
class Chest:
    """A synthetic scan.

    Attributes:
      array: int16 `(x, y, z)`, HU.
      spacing: mm along x, y and z.
      nodules: What is in the lungs.
      decoys: `(n, 3)` places in the lungs that are no nodules but as dense, mostly
        vessels and where they cross, mm from the middle.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    nodules: tuple[Nodule, ...]
    decoys: np.ndarray


def draw_chest(rng: np.random.Generator, size: tuple[int, int, int]) -> Chest:
    """Draws one chest.

    Args:
      rng: Generator to draw from.
      size: Voxels along x, y and z; they span 360 x 360 x 310 mm.

    Returns:
      The scan and what is known about it.
    """
    spacing = (_FIELD_OF_VIEW / size[0], _FIELD_OF_VIEW / size[1], _HEIGHT / size[2])
    canvas = make_canvas(size, spacing, AIR)
    body = draw_body(rng)
    paint_table(canvas)
    lungs = paint_body(canvas, body, rng)
    paint_great_vessels(canvas, body)
    lungs &= canvas.values < -500  # the vessels reach into them
    paint_trees(canvas, lungs, rng)
    nodules = _paint_nodules(canvas, lungs, rng)
    # Lumps rise to 0.6 of a nodule's radius, less than the gap of 8 mm.
    places = _clear_of(nodules, _places_in(lungs, canvas, rng), 8)
    decoys = _densest(places[:_DECOY_PLACES], canvas)[:16]
    values = ndimage.gaussian_filter(canvas.values, (0.55, 0.55, 0.4))
    noise = draw_noise(size, rng)
    values += noise * np.float32(rng.uniform(14, 32) / noise.std())
    return Chest(to_stored(values), spacing, nodules, decoys)


def paint_trees(canvas: Canvas, lungs: np.ndarray, rng: np.random.Generator) -> None:
    """Paints vessels and airways from each hilum to everywhere in its lung.

    Args:
      canvas: Changed in place.
      lungs: bool `(x, y, z)`: where the lungs are.
      rng: Generator to draw from.
    """
    fork = np.array((0.0, 14.0, 30.0))
    windpipe = np.array((0.0, 4.0, 160.0))
    paint_tube(canvas, windpipe, fork, (10.8, 10.8), 20.0)
    ends = _places_in(lungs, canvas, rng)[:900]
    for side in (-1, 1):
        own = ends[side * ends[:, 0] > 0]
        thirds = len(own) // 3
        for part, forward in ((own[:thirds], -2.0), (own[thirds : 2 * thirds], 14.0)):
            hilum = np.array((side * 32.0, forward, 6.0))
            for start, end, leaves in grow_tree(hilum, part, rng):
                radii = 0.62 * leaves**0.42, 0.58 * leaves**0.42
                where = None if radii[0] > 3.2 else lungs
                paint_tube(canvas, start, end, radii, BLOOD, where)
        hilum = np.array((side * 34.0, 16.0, 6.0))
        airways = grow_tree(hilum, own[2 * thirds :][:60], rng)
        airways = [(fork, hilum, 300), *(part for part in airways if part[2] > 2)]
        for extra, value in ((1.1, -10.0), (0.0, AIR + 5)):
            for start, end, leaves in airways:
                radius = 0.9 * leaves**0.36 + extra
                paint_tube(canvas, start, end, (radius, radius), value)
    paint_tube(canvas, windpipe, fork, (9.0, 9.0), AIR + 5)


def _paint_nodules(canvas: Canvas, lungs, rng) -> tuple[Nodule, ...]:
    nodules = []
    places = _places_in(lungs, canvas, rng)
    for _ in range(rng.integers(1, 5)):
        diameter = float(np.exp(rng.uniform(np.log(5), np.log(22))))
        centre = _clear_of(nodules, places, diameter)[0]
        lumps = draw_lumps(4, 0.15, rng)
        value = rng.uniform(0, 70) if rng.random() < 0.8 else rng.uniform(-650, -400)
        paint_ball(canvas, centre, diameter / 2, value, lumps)
        nodules.append(Nodule(centre, diameter))
    return tuple(nodules)


def _clear_of(nodules: Iterable[Nodule], places: np.ndarray, gap: float) -> np.ndarray:
    """Those places that are farther than a gap, mm, from the edge of any nodule."""
    for nodule in nodules:
        distance = np.linalg.norm(places - nodule.centre, axis=1)
        places = places[distance > nodule.diameter / 2 + gap]
    return places


def _densest(places: np.ndarray, canvas: Canvas) -> np.ndarray:
    """Sorts places by how dense what surrounds them is, the densest first."""
    widths = [_DECOY_WIDTH / step for step in canvas.spacing]
    density = ndimage.gaussian_filter(canvas.values, widths)
    voxels = np.round(to_voxels(canvas, places)).astype(int)
    values = density[tuple(voxels.T)]
    return places[np.argsort(-values, kind="stable")]


def _places_in(
    lungs: np.ndarray, canvas: Canvas, rng: np.random.Generator
) -> np.ndarray:
    """Points all over the lungs, away from their surface, shuffled: `(n, 3)` mm."""
    steps = [max(1, round(6 / step)) for step in canvas.spacing]
    coarse = lungs[:: steps[0], :: steps[1], :: steps[2]]
    voxels = rng.permutation(np.argwhere(ndimage.binary_erosion(coarse)) * steps)
    return to_mm(canvas, voxels)
