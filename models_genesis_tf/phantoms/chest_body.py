"""The trunk of a chest CT: a patient's measures, and what they make of each voxel.

Skin, fat and muscle, rib cage, spine, sternum and shoulder blades, lungs, heart, great
vessels, diaphragm with liver, spleen and stomach. Lengths are millimetres from the
middle of the volume; x runs to the patient's left, y to the back, z to the head.
"""

from dataclasses import dataclass

import numpy as np

from models_genesis_tf.phantoms.painting import (
    Canvas,
    paint,
    paint_tube,
    slabs,
    smooth_noise,
)
from models_genesis_tf.phantoms.strokes import paint_path

AIR, FAT, MUSCLE, BLOOD, LUNG = -1000.0, -100.0, 45.0, 40.0, -860.0  # HU
_COLLAR_BONE = ((18.0, -56.0, 116.0), (78.0, -42.0, 132.0))  # mm, the left one's ends


@dataclass(frozen=True)
class Body:
    """One patient's measures.

    Attributes:
      width: mm from the chest's axis to the inner side of the ribs at the side.
      depth: mm from the chest's axis to the inner side of the ribs at front and back.
      fat: Thickness of the fat under the skin, mm.
      heart: Size of the heart, relative to an average one.
      spine_y: y of the middle of the vertebrae, mm.
      diaphragm: Height of the diaphragm's edge, mm.
      rib_gap: Distance of one rib from the next, mm.
      rib_phase: Height of the ribs, mm.
    """

    width: float
    depth: float
    fat: float
    heart: float
    spine_y: float
    diaphragm: float
    rib_gap: float
    rib_phase: float


def draw_body(rng: np.random.Generator) -> Body:
    """Draws a patient.

    Args:
      rng: Generator to draw from.

    Returns:
      The measures.
    """
    return Body(
        width=rng.uniform(118, 134),
        depth=rng.uniform(82, 96),
        fat=rng.uniform(5, 22),
        heart=rng.uniform(0.9, 1.12),
        spine_y=rng.uniform(62, 70),
        diaphragm=rng.uniform(-112, -88),
        rib_gap=rng.uniform(27, 32),
        rib_phase=rng.uniform(0, 30),
    )


def paint_body(canvas: Canvas, body: Body, rng: np.random.Generator) -> np.ndarray:
    """Paints what is a formula of a voxel's place, all but vessels and airways.

    Args:
      canvas: Changed in place.
      body: The patient.
      rng: Generator to draw from.

    Returns:
      bool `(x, y, z)`: where the lungs are.
    """

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
        radius = cage_radius(x, y, slab.z, body)
        _paint_trunk(slab, x, y, radius, body, layers[rows])
        below = slab.z < diaphragm_height(x, y, body)
        _paint_organs(slab, x, y, below & (radius < 0.97), body, organ[rows])
        lungs[rows] = _paint_lungs(slab, x, y, radius, below, body, lung[rows])
        _paint_bones(slab, x, y, radius, body)
    return lungs


def paint_table(canvas: Canvas) -> None:
    """Paints the scanner's table, under a patient who lies on the back.

    Args:
      canvas: Changed in place.
    """
    height = 150 - canvas.x**2 / 1400
    paint(canvas, (np.abs(canvas.y - height) < 3.2) & (np.abs(canvas.x) < 170), -620.0)
    paint(canvas, (np.abs(canvas.y - height) < 1.2) & (np.abs(canvas.x) < 170), -160.0)


def paint_great_vessels(canvas: Canvas, body: Body) -> None:
    """Paints aorta, lung arteries, upper vena cava and gullet.

    Args:
      canvas: Changed in place.
      body: The patient.
    """
    top = body.diaphragm + 172
    spine = body.spine_y
    aorta = [(16, -6, top - 62), (-10, -18, top - 40), (-6, -12, top - 6)]
    aorta += [(8, 8, top + 4), (20, spine - 22, top - 8)]
    aorta += [(22, spine - 14, top - 40), (14, spine - 20, -155)]
    paint_path(canvas, aorta, 13.5, BLOOD + 8)
    lung_artery = [(18, -22, top - 66), (16, -14, top - 34), (30, 6, top - 34)]
    paint_path(canvas, lung_artery, 12.0, BLOOD + 4)
    paint_path(canvas, [(16, -10, top - 38), (-34, 4, top - 44)], 9.5, BLOOD + 4)
    cava = [(-20, -14, top + 34), (-21, -10, top - 50), (-23, 4, body.diaphragm + 10)]
    paint_path(canvas, cava, 9.0, BLOOD)
    for x, y in ((14, -8), (-14, -12), (4, -16)):
        paint_path(canvas, [(x, y, top + 2), (1.5 * x, y - 4, 156)], 4.5, BLOOD + 8)
    paint_path(canvas, [(6, spine - 24, 156), (10, spine - 22, -100)], 6.5, 32.0)


def cage_radius(x, y, z, body: Body) -> np.ndarray:
    """Measures the distance from the chest's axis.

    Args:
      x: mm.
      y: mm.
      z: mm; all three broadcast.
      body: The patient.

    Returns:
      1 on the inner side of the ribs.
    """
    taper = np.clip((z + 20) / 190, 0, 1) ** 2.2  # narrower towards the neck
    width = body.width * (1 - 0.42 * taper)
    depth = body.depth * (1 - 0.38 * taper)
    middle = 4 + 10 * taper
    return ((np.abs(x) / width) ** 2.3 + (np.abs(y - middle) / depth) ** 2.3) ** (
        1 / 2.3
    )


def diaphragm_height(x, y, body: Body) -> np.ndarray:
    """Measures the height of the diaphragm: two domes, the right one higher.

    Args:
      x: mm.
      y: mm; both broadcast.
      body: The patient.

    Returns:
      mm from the middle of the volume.
    """
    right = 54 - ((x + 66) / 9.5) ** 2 - ((y - 2) / 11.5) ** 2
    left = 43 - ((x - 68) / 9.0) ** 2 - ((y - 2) / 11.0) ** 2
    return body.diaphragm + np.maximum(np.maximum(right, left), -60)


def heart_radius(x, y, z, body: Body) -> np.ndarray:
    """Measures the distance from the heart's centre, relative to its size.

    Args:
      x: mm.
      y: mm.
      z: mm; all three broadcast.
      body: The patient.

    Returns:
      1 on its surface.
    """
    scale = body.heart
    return np.sqrt(
        ((0.82 * (x - 24) + 0.57 * (y + 24)) / (62 * scale)) ** 2
        + ((-0.57 * (x - 24) + 0.82 * (y + 24)) / (45 * scale)) ** 2
        + ((z - body.diaphragm - 62) / (58 * scale)) ** 2
    )


def _paint_trunk(canvas: Canvas, x, y, radius, body: Body, layers) -> None:
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


def _paint_organs(canvas: Canvas, x, y, below, body: Body, texture) -> None:
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
    heart = heart_radius(x, y, z, body) ** 2
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


def _paint_bones(canvas: Canvas, x, y, radius, body: Body) -> None:
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
