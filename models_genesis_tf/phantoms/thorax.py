"""A part of a chest CT with nodules, drawn from a random number generator.

Most of one lung with its vessels, between chest wall, mediastinum and diaphragm.
Nodules have the brightness of vessels and wall, some touch them, some are hollow, and
there are decoys: crossings of thick vessels, scars and plaques on the wall. Lengths are
millimetres from the middle of the volume; x runs to the patient's left, y to the back,
z to the head.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.fields import bumps, cover_beyond
from models_genesis_tf.phantoms.painting import (
    Canvas,
    make_canvas,
    paint,
    paint_ball,
    paint_tube,
    to_mm,
    to_voxels,
)
from models_genesis_tf.phantoms.scanner import draw_noise, to_stored
from models_genesis_tf.phantoms.strokes import (
    blend,
    draw_direction,
    draw_lumps,
    paint_ribs,
)
from models_genesis_tf.phantoms.trees import grow_tree

DIAMETERS = (8.0, 22.0)  # mm
_FAT = -95.0  # HU
_GAP = 12.0  # mm between the surfaces of two nodules
_RIM = np.array((25.0, 25.0, 17.0))  # mm that lie around a nodule's centre
_BLUR = 0.5  # standard deviation of the scanner's blur, voxels
_HILUM = -42.0  # mm from the middle of the volume, away from the chest wall


@dataclass(frozen=True)
class Body:
    """What all scans of a patient share.

    Attributes:
      spacing: mm along x, y and z.
      side: -1 for the right lung, 1 for the left one.
      width: mm from the cage's axis to the ribs at the side.
      depth: mm from the cage's axis to the ribs at front and back.
      diaphragm: Height of its dome, mm.
      rib_phase: Height of the ribs, mm.
      lung: HU of the lung between its vessels.
      tissue: HU of blood and muscle.
      noise: Standard deviation of the scanner's noise, HU.
    """

    spacing: tuple[float, float, float]
    side: int
    width: float
    depth: float
    diaphragm: float
    rib_phase: float
    lung: float
    tissue: float
    noise: float


@dataclass(frozen=True)
class Nodule:
    """A lung nodule.

    Attributes:
      cover: float32 `(x, y, z)`, 0..1: its share of each voxel, blurred as by the
        scanner; a cavity is no part of it.
      spacing: mm along x, y and z.
    """

    cover: np.ndarray
    spacing: tuple[float, float, float]

    @property
    def mask(self) -> np.ndarray:
        """Where it makes up half of the voxel or more, bool `(x, y, z)`."""
        return self.cover >= 0.5

    @property
    def centre(self) -> np.ndarray:
        """Centre of its volume, voxels."""
        return np.argwhere(self.mask).mean(0)

    @property
    def diameter(self) -> float:
        """Diameter of a ball of its volume and its cavity's, mm."""
        box = ndimage.find_objects(self.mask, 1)[0]
        volume = np.count_nonzero(ndimage.binary_fill_holes(self.mask[box]))
        return float((6 * volume * np.prod(self.spacing) / np.pi) ** (1 / 3))


@dataclass(frozen=True)
class Thorax:
    """A synthetic scan of a part of the chest.

    Attributes:
      array: int16 `(x, y, z)`, HU.
      spacing: mm along x, y and z.
      nodules: Nodules drawn with one of `DIAMETERS`; those that the lung's surface
        cuts are smaller. A small volume may have room for none.
      specks: `(n, 3)` voxels: centres of nodules below 3 mm.
      decoys: `(n, 3)` voxels: what is no nodule, such as crossings of vessels.
    """

    array: np.ndarray
    spacing: tuple[float, float, float]
    nodules: tuple[Nodule, ...]
    specks: np.ndarray
    decoys: np.ndarray


def draw_body(rng: np.random.Generator) -> Body:
    """Draws a patient.

    Args:
      rng: Generator to draw from.

    Returns:
      The patient; voxels have about 1.3 x 1.3 x 2.1 mm.
    """
    in_plane = round(rng.uniform(1.2, 1.4), 3)
    return Body(
        spacing=(in_plane, in_plane, round(rng.uniform(1.9, 2.3), 2)),
        side=int(rng.choice((-1, 1))),
        width=rng.uniform(102, 114),
        depth=rng.uniform(72, 84),
        diaphragm=rng.uniform(-48, -34),
        rib_phase=rng.uniform(0, 26),
        lung=rng.uniform(-890, -820),
        tissue=rng.uniform(25, 60),
        noise=rng.uniform(12, 24),
    )


def draw_thorax(
    rng: np.random.Generator, body: Body, size: tuple[int, int, int]
) -> Thorax:
    """Draws one scan of a patient.

    Args:
      rng: Generator to draw from.
      body: The patient.
      size: Voxels along x, y and z.

    Returns:
      The scan and what is known about it.
    """
    canvas = make_canvas(size, body.spacing, body.lung)
    texture = 22 * bumps(canvas, 12, rng) + 18 * bumps(canvas, 4.5, rng)
    blend(canvas, 1.0, body.lung + texture)
    depth = _paint_chest(canvas, body, rng)
    lung = (depth < 0) & (canvas.values < -500)
    _paint_vessels(canvas, body, lung, rng)
    decoys = _paint_decoys(canvas, body, lung, depth, rng)
    covers = [
        _paint_nodule(canvas, body, centre, radius, depth, rng)
        for centre, radius in _places_of_nodules(canvas, lung, depth, rng)
    ]
    specks = _paint_specks(canvas, body, lung, covers, rng)
    values = ndimage.gaussian_filter(canvas.values, _BLUR)
    noise = draw_noise(size, rng)
    values += noise * np.float32(body.noise / noise.std())
    nodules = [
        Nodule(ndimage.gaussian_filter(cover, _BLUR), body.spacing) for cover in covers
    ]
    taken = sum(covers, np.zeros(size))
    places = np.round(decoys).astype(int)
    decoys = decoys[taken[tuple(places.T)] == 0]
    return Thorax(to_stored(values), body.spacing, tuple(nodules), specks, decoys)


def _paint_chest(canvas: Canvas, body: Body, rng) -> np.ndarray:
    """Paints what the lung lies in; gives mm from the lung's surface, < 0 inside."""
    u = body.side * canvas.x + 2.5 * bumps(canvas, 40, rng)  # towards the ribs
    y = canvas.y + 2.5 * bumps(canvas, 40, rng)
    z = canvas.z
    cage = (np.abs(u + 62) / body.width) ** 2.3 + (np.abs(y) / body.depth) ** 2.3
    wall = (cage ** (1 / 2.3) - 1) * 88 + 0.5 * bumps(canvas, 12, rng)
    heart = np.sqrt(((u + 74) / 44) ** 2 + ((y + 26) / 36) ** 2 + ((z + 26) / 52) ** 2)
    middle = np.maximum(_HILUM - 12 - u + 5 * np.sin(z / 15), (1 - heart) * 40)
    dome = body.diaphragm - ((u - 2) / 8) ** 2 - ((y - 6) / 10) ** 2 - z
    inner = np.maximum(middle, dome)
    tissue = body.tissue + 5 * bumps(canvas, 9, rng)
    blend(canvas, cover_beyond(canvas, inner), tissue)
    fat = (middle > 3) & (heart > 1.04) & (np.abs(bumps(canvas, 11, rng)) < 0.5)
    paint(canvas, fat, _FAT + 20)
    blend(canvas, cover_beyond(canvas, wall), tissue)
    layer = 1.5 + 1.4 * bumps(canvas, 9, rng) - np.abs(wall - 6)
    blend(canvas, cover_beyond(canvas, layer), _FAT)
    blend(canvas, cover_beyond(canvas, wall - 22), _FAT)
    height = np.mod(z + 0.5 * y + body.rib_phase, 26) - 13
    paint_ribs(canvas, wall - 11, height)
    return np.maximum(wall, inner)


def _paint_vessels(canvas: Canvas, body: Body, lung, rng) -> None:
    """Two trees, an artery's and a vein's, from the hilum to all over the lung."""
    ends = _places_in(lung, canvas, rng)[:300]
    for turn in range(2):
        hilum = np.array((body.side * _HILUM, 10.0 - 20 * turn, 8.0 - 14 * turn))
        for start, end, leaves in grow_tree(hilum, ends[turn::2], rng):
            radii = 0.7 * leaves**0.4, 0.66 * leaves**0.4
            paint_tube(canvas, start, end, radii, body.tissue + 5)


def _paint_decoys(canvas: Canvas, body: Body, lung, depth, rng) -> np.ndarray:
    """Thick vessels that cross, scars and plaques; gives their places in voxels."""
    near_wall = (depth > -7) & (depth < -4) & lung
    crossings = _places_in(lung & (depth < -12), canvas, rng)[: rng.integers(2, 5)]
    scars = _places_in(lung & (depth < -9), canvas, rng)[: rng.integers(1, 3)]
    plaques = _places_in(near_wall, canvas, rng)[: rng.integers(1, 3)]
    for place in crossings:
        for _ in range(2):
            reach = rng.uniform(12, 20) * draw_direction(rng)
            radii = rng.uniform(1.8, 3.4), rng.uniform(1.5, 2.6)
            shift = rng.normal(0, 1, 3)
            paint_tube(canvas, place - reach, place + reach + shift, radii, body.tissue)
    for place in scars:
        along, across = 9 * draw_direction(rng), 5 * draw_direction(rng)
        for share in np.linspace(-1, 1, 7):
            middle = place + share * across
            paint_tube(canvas, middle - along, middle + along, (1.3, 0.8), body.tissue)
    for place in plaques:
        for _ in range(8):
            spot = place + rng.normal(0, (4, 4, 6))
            paint_ball(canvas, spot, 3.0, body.tissue, np.zeros((1, 4)))
    return to_voxels(canvas, np.concatenate([crossings, scars, plaques]))


def _places_of_nodules(canvas: Canvas, lung, depth, rng) -> list[tuple]:
    """Centres and radii, mm; a third of the nodules touches the lung's surface."""
    found: list[tuple[np.ndarray, float]] = []
    half = np.array(lung.shape) * canvas.spacing / 2
    for _ in range(rng.integers(1, 4)):
        radius = np.exp(rng.uniform(*np.log(DIAMETERS))) / 2
        attached = rng.random() < 0.35
        low, high = (-0.8, -0.2) if attached else (-np.inf, -1.25)
        ring = lung & (depth > low * radius) & (depth < high * radius)
        places = _places_in(ring, canvas, rng)
        places = places[(np.abs(places) < half - _RIM).all(1)]
        for centre, other in found:
            distance = np.linalg.norm(places - centre, axis=1)
            places = places[distance > radius + other + _GAP]
        if len(places):
            found.append((places[0], radius))
    return found


def _paint_nodule(
    canvas: Canvas, body: Body, centre: np.ndarray, radius: float, depth, rng
) -> np.ndarray:
    """Paints a nodule; gives its share of each voxel."""
    own = make_canvas(canvas.values.shape, canvas.spacing, 0.0)
    paint_ball(own, centre, 0.92 * radius, 1.0, draw_lumps(5, 0.3, rng))
    for _ in range(2):
        lobe = centre + rng.uniform(0.3, 0.6) * radius * draw_direction(rng)
        paint_ball(
            own, lobe, rng.uniform(0.5, 0.7) * radius, 1.0, draw_lumps(3, 0.2, rng)
        )
    share = own.values * (1 - cover_beyond(canvas, depth))
    blend(canvas, share, body.tissue + rng.uniform(-30, 25))
    if radius > 7 and rng.random() < 0.3:
        hollow = make_canvas(canvas.values.shape, canvas.spacing, 0.0)
        middle = centre + rng.uniform(-0.15, 0.15, 3) * radius
        paint_ball(hollow, middle, 0.45 * radius, 1.0, draw_lumps(3, 0.2, rng))
        blend(canvas, hollow.values * share, -930.0)
        share = share * (1 - hollow.values)
    return share


def _paint_specks(canvas: Canvas, body: Body, lung, covers, rng) -> np.ndarray:
    """Nodules below 3 mm, away from others; gives their centres in voxels."""
    clear = ndimage.binary_erosion(lung, iterations=3) & (canvas.values < -600)
    clear &= ndimage.gaussian_filter(sum(covers, np.zeros(lung.shape)), 4) < 0.01
    places = _places_in(clear, canvas, rng)[: rng.integers(0, 3)]
    for place in places:
        paint_ball(canvas, place, 1.4, body.tissue, np.zeros((1, 4)))
    return to_voxels(canvas, places)


def _places_in(where: np.ndarray, canvas: Canvas, rng) -> np.ndarray:
    """Some points all over a region, shuffled: `(n, 3)` mm from the middle."""
    coarse = np.argwhere(where[1::3, 1::3, 1::2]) * (3, 3, 2) + 1
    return to_mm(canvas, rng.permutation(coarse))
