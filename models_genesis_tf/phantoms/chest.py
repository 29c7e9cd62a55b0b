"""A chest CT drawn from a random number generator.

Body with fat and muscle, rib cage, spine, sternum and shoulder blades, lungs with
vessels and airways, heart, great vessels, diaphragm with liver and spleen, nodules of
known place and size, and the scanner's noise. Lengths are millimetres from the middle
of the volume; x runs to the patient's left, y to the back, z to the head.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.painting import (
    Canvas,
    make_canvas,
    paint,
    paint_ball,
    paint_tube,
    slabs,
    smooth_noise,
)
from models_genesis_tf.phantoms.trees import grow_tree

AIR, FAT, MUSCLE, BLOOD, LUNG = -1000.0, -100.0, 45.0, 40.0, -860.0  # HU
_FIELD_OF_VIEW = 360.0  # mm in plane
_HEIGHT = 310.0  # mm along z
_NODULE = 3.0  # mm, the standard deviation of what looks like one
_PLACES = 450  # that are looked at for decoys
_COLLAR_BONE = ((18.0, -56.0, 116.0), (78.0, -42.0, 132.0))  # mm, the left one's ends


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


@dataclass(frozen=True)
class _Body:
    """One patient's measures, mm."""

    width: float  # half the chest's width without fat and muscle
    depth: float
    fat: float
    heart: float
    spine_y: float
    diaphragm: float
    rib_gap: float
    rib_phase: float


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
    body = _draw_body(rng)
    lungs = _paint_body(canvas, body, rng)
    _paint_great_vessels(canvas, body)
    lungs &= canvas.values < -500  # the vessels reach into them
    _paint_trees(canvas, lungs, rng)
    nodules = _paint_nodules(canvas, lungs, rng)
    # Lumps rise to 0.6 of a nodule's radius, less than the gap of 8 mm.
    places = _clear_of(nodules, _places_in(lungs, canvas, rng), 8)
    decoys = _densest(places[:_PLACES], canvas)[:16]
    values = ndimage.gaussian_filter(canvas.values, (0.55, 0.55, 0.4))
    values += _scanner_noise(size, rng)
    array = np.clip(np.round(values), -1024, 3071).astype(np.int16)
    return Chest(array, spacing, nodules, decoys)


def _draw_body(rng: np.random.Generator) -> _Body:
    return _Body(
        width=rng.uniform(118, 134),
        depth=rng.uniform(82, 96),
        fat=rng.uniform(5, 22),
        heart=rng.uniform(0.9, 1.12),
        spine_y=rng.uniform(62, 70),
        diaphragm=rng.uniform(-112, -88),
        rib_gap=rng.uniform(27, 32),
        rib_phase=rng.uniform(0, 30),
    )


def _paint_body(canvas: Canvas, body: _Body, rng) -> np.ndarray:
    """Paints what is a formula of a voxel's place; gives the lungs' mask."""

    def bumps(*lengths: float) -> np.ndarray:  # mm along x, y and z
        cells = [
            length / step for length, step in zip(lengths, canvas.spacing, strict=True)
        ]
        return smooth_noise(canvas.values.shape, cells, rng)

    bends = [3.5 * bumps(45, 45, 45) for _ in range(2)]
    layers, organ, lung = bumps(13, 13, 34), bumps(7, 7, 10), bumps(10, 10, 12)
    lungs = np.empty(canvas.values.shape, bool)
    for rows, slab in slabs(canvas):
        x, y = slab.x + bends[0][rows], slab.y + bends[1][rows]
        radius = _cage_radius(x, y, slab.z, body)
        _paint_table(slab)
        _paint_trunk(slab, x, y, radius, body, layers[rows])
        below = slab.z < _diaphragm(x, y, body)
        _paint_organs(slab, x, y, below & (radius < 0.97), body, organ[rows])
        lungs[rows] = _paint_lungs(slab, x, y, radius, below, body, lung[rows])
        _paint_bones(slab, x, y, radius, body)
    return lungs


def _cage_radius(x, y, z, body: _Body) -> np.ndarray:
    """Distance from the chest's axis, 1 on the inner side of the ribs."""
    taper = np.clip((z + 20) / 190, 0, 1) ** 2.2  # narrower towards the neck
    width = body.width * (1 - 0.42 * taper)
    depth = body.depth * (1 - 0.38 * taper)
    middle = 4 + 10 * taper
    return ((np.abs(x) / width) ** 2.3 + (np.abs(y - middle) / depth) ** 2.3) ** (
        1 / 2.3
    )


def _paint_table(canvas: Canvas) -> None:
    height = 150 - canvas.x**2 / 1400
    paint(canvas, (np.abs(canvas.y - height) < 3.2) & (np.abs(canvas.x) < 170), -620.0)
    paint(canvas, (np.abs(canvas.y - height) < 1.2) & (np.abs(canvas.x) < 170), -160.0)


def _paint_trunk(canvas: Canvas, x, y, radius, body: _Body, layers) -> None:
    """Skin, fat, muscle and what fills the cage beside the lungs."""
    shoulders = 26 * np.clip((canvas.z - 70) / 80, 0, 1) ** 1.5
    wall = 15 + shoulders * (np.abs(x) / 110) ** 1.5
    width, depth = body.width + wall, body.depth + 0.75 * wall + 6

    def outline(extra: float) -> np.ndarray:
        across = np.abs(x) / (width + extra)
        deep = np.abs(y - 6) / (depth + 0.8 * extra)
        return (across**2.5 + deep**2.5) < 1

    skin = outline(body.fat + 3)
    paint(canvas, skin, 10.0)
    paint(canvas, outline(body.fat), FAT)
    paint(canvas, outline(0.0), MUSCLE)
    # Fat between the layers of muscle, outside of the ribs.
    paint(canvas, outline(-1.0) & (radius > 1.1) & (np.abs(layers) < 0.28), FAT + 20)
    paint(canvas, radius < 1.02, 30.0)
    abdomen = (radius < 1.0) & (canvas.z < body.diaphragm + 45)
    paint(canvas, abdomen & (layers > 0.5), FAT)


def _diaphragm(x, y, body: _Body) -> np.ndarray:
    """Height of the diaphragm: two domes, the right one higher."""
    right = 54 - ((x + 66) / 9.5) ** 2 - ((y - 2) / 11.5) ** 2
    left = 43 - ((x - 68) / 9.0) ** 2 - ((y - 2) / 11.0) ** 2
    return body.diaphragm + np.maximum(np.maximum(right, left), -60)


def _paint_organs(canvas: Canvas, x, y, below, body: _Body, texture) -> None:
    """Liver, spleen and stomach, below the diaphragm."""
    z = canvas.z - body.diaphragm
    paint(canvas, below & (x < 28), 58 + 6 * texture)
    spleen = ((x - 88) / 34) ** 2 + ((y - 40) / 34) ** 2 + ((z + 8) / 42) ** 2
    paint(canvas, below & (spleen < 1), 48 + 6 * texture)
    stomach = ((x - 52) / 34) ** 2 + ((y + 22) / 36) ** 2 + ((z + 6) / 34) ** 2
    paint(canvas, below & (stomach < 1), 25.0)
    paint(canvas, below & (stomach < 0.7) & (y < -26), AIR + 20)


def _paint_lungs(canvas: Canvas, x, y, radius, below, body, texture) -> np.ndarray:
    """Lungs, heart and the fat around it; gives the lungs' mask."""
    z = canvas.z
    narrow = 19 + 9 * np.clip((40 - z) / 100, 0, 1)
    narrow = narrow + 11 * np.clip(np.abs(y - 6) / 75 - 0.55, 0, 1)
    middle = np.abs(x - 2) < narrow + 4 * np.sin(z / 17)
    scale = body.heart
    heart = (
        ((0.82 * (x - 24) + 0.57 * (y + 24)) / (62 * scale)) ** 2
        + ((-0.57 * (x - 24) + 0.82 * (y + 24)) / (45 * scale)) ** 2
        + ((z - body.diaphragm - 62) / (58 * scale)) ** 2
    )
    spine = x**2 + (0.8 * (y - body.spine_y - 12)) ** 2 < 32**2
    apex = 134 - ((np.abs(x) - 50) / 6.5) ** 2 - ((y - 18) / 8.5) ** 2
    outside = below | middle | (heart < 1) | spine | (z > apex)
    lungs = (radius < 0.965) & ~outside
    fat = (~below & ~lungs & (radius < 0.95) & ~spine) & (heart > 1.0)
    paint(canvas, fat, FAT + 25)
    paint(canvas, (heart < 0.93) & ~below, BLOOD)
    dense = 55 * np.clip((y + 60) / 130, 0, 1)  # blood sinks to the back
    paint(canvas, lungs, LUNG + dense + 22 * texture)
    fissure = np.abs(z - body.diaphragm - 95 + 0.85 * y + 5 * np.sin(x / 21)) < 1.0
    paint(canvas, lungs & fissure, LUNG + 190)
    return lungs


def _paint_bones(canvas: Canvas, x, y, radius, body: _Body) -> None:
    """Ribs, spine, sternum, shoulder blades and collar bones."""
    z = canvas.z
    front = np.clip(0.5 - (y - 6) / (2 * body.depth), 0, 1)  # 0 at the back, 1 in front
    height = np.mod(z + 62 * front + body.rib_phase, body.rib_gap) - body.rib_gap / 2
    across = (radius - 1.075) * 108
    shape = (across / 4.2) ** 2 + (height / 6.2) ** 2
    ribs = (z < 138) & ((np.abs(x) > 16) & ((y > -58) | (np.abs(x) > 34)))
    paint(canvas, ribs & (shape < 1), 420.0)
    paint(canvas, ribs & (shape < 0.42), 130.0)
    cartilage = (y < -50) & (np.abs(x) > 15) & (z < 110)
    paint(canvas, cartilage & (np.abs(x) < 52) & (shape < 1), 110.0)

    back = y - body.spine_y
    level = np.mod(z + body.rib_phase, body.rib_gap)
    disc = level < 5.5
    ring = np.sqrt((x / 1.12) ** 2 + back**2)
    paint(canvas, ring < 17, np.where(disc, 85.0, 190.0))
    shell = (np.abs(ring - 16.2) < 1.5) | (np.abs(level - 5.5) < 1.4)
    paint(canvas, (ring < 17.2) & shell & ~disc, 430.0)
    canal = np.sqrt(x**2 + (back - 26) ** 2)
    paint(canvas, canal < 13.5, 330.0)
    paint(canvas, canal < 9.5, 20.0)
    spread = (np.abs(back - 24 - 0.15 * np.abs(x)) < 4.5) & (np.abs(x) < 36)
    paint(canvas, spread & (np.abs(level - 13) < 6) & (canal > 9.5), 300.0)
    spine_tip = (np.abs(x) < 3.2) & (back > 35) & (back < 62)
    paint(canvas, spine_tip & (np.abs(level - 11) < 7), 300.0)

    depth = y + body.depth * (1 - 0.38 * np.clip((z + 20) / 190, 0, 1) ** 2.2) - 2
    bar = (np.abs(x) < 16) & (np.abs(depth) < 5.5) & (z > -62) & (z < 92)
    paint(canvas, bar, 330.0)
    paint(canvas, bar & (np.abs(x) < 13) & (np.abs(depth) < 3.5), 140.0)
    for side in (-1, 1):
        lateral = side * x
        blade = np.abs(y - 74 + 0.42 * (lateral - 70)) < 3.2
        blade = blade & (lateral > 62) & (lateral < 62 + 0.42 * (z + 40)) & (z < 118)
        paint(canvas, blade & (radius > 1.14), 330.0)
        collar = [np.array(end) * (side, 1, 1) for end in _COLLAR_BONE]
        paint_tube(canvas, *collar, (6.5, 6.0), 420.0)
        paint_tube(canvas, *collar, (3.5, 3.0), 150.0)


def _paint_great_vessels(canvas: Canvas, body: _Body) -> None:
    top = body.diaphragm + 172
    spine = body.spine_y
    aorta = [(16, -6, top - 62), (-10, -18, top - 40), (-6, -12, top - 6)]
    aorta += [(8, 8, top + 4), (20, spine - 22, top - 8)]
    aorta += [(22, spine - 14, top - 40), (14, spine - 20, -155)]
    _paint_path(canvas, aorta, 13.5, BLOOD + 8)
    lung_artery = [(18, -22, top - 66), (16, -14, top - 34), (30, 6, top - 34)]
    _paint_path(canvas, lung_artery, 12.0, BLOOD + 4)
    _paint_path(canvas, [(16, -10, top - 38), (-34, 4, top - 44)], 9.5, BLOOD + 4)
    cava = [(-20, -14, top + 34), (-21, -10, top - 50), (-23, 4, body.diaphragm + 10)]
    _paint_path(canvas, cava, 9.0, BLOOD)
    for x, y in ((14, -8), (-14, -12), (4, -16)):
        _paint_path(canvas, [(x, y, top + 2), (1.5 * x, y - 4, 156)], 4.5, BLOOD + 8)
    _paint_path(canvas, [(6, spine - 24, 156), (10, spine - 22, -100)], 6.5, 32.0)


def _paint_path(canvas: Canvas, points, radius: float, value: float) -> None:
    points = np.array(points, float)
    for start, end in zip(points[:-1], points[1:], strict=True):
        paint_tube(canvas, start, end, (radius, radius), value)


def _paint_trees(canvas: Canvas, lungs: np.ndarray, rng: np.random.Generator) -> None:
    """Vessels and airways from each hilum to everywhere in its lung."""
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
        lumps = np.c_[rng.standard_normal((4, 3)), rng.uniform(-0.15, 0.15, 4)]
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
    widths = [_NODULE / step for step in canvas.spacing]
    density = ndimage.gaussian_filter(canvas.values, widths)
    voxels = places / canvas.spacing + (np.array(density.shape) - 1) / 2
    values = density[tuple(np.round(voxels).astype(int).T)]
    return places[np.argsort(-values, kind="stable")]


def _places_in(
    lungs: np.ndarray, canvas: Canvas, rng: np.random.Generator
) -> np.ndarray:
    """Points all over the lungs, away from their surface, shuffled: `(n, 3)` mm."""
    steps = [max(1, round(6 / step)) for step in canvas.spacing]
    coarse = lungs[:: steps[0], :: steps[1], :: steps[2]]
    voxels = rng.permutation(np.argwhere(ndimage.binary_erosion(coarse)) * steps)
    return (voxels - (np.array(lungs.shape) - 1) / 2) * canvas.spacing


def _scanner_noise(size: tuple[int, int, int], rng) -> np.ndarray:
    """Noise with the grain of a soft reconstruction kernel."""
    noise = rng.standard_normal(size, np.float32)
    noise = ndimage.gaussian_filter(noise, (0.6, 0.6, 0))
    return noise * np.float32(rng.uniform(14, 32) / noise.std())
