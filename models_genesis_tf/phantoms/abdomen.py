"""An abdominal CT with its liver and the liver's lesions, from a random generator.

Trunk with fat, muscle, ribs and spine; lung bases and heart; liver with vessels,
lesions and cysts; gall bladder, spleen, kidneys, stomach, pancreas, bowel and great
vessels, as in the portal venous phase. Spleen, kidneys and what fills the bowel are as
bright as the liver, muscle and bowel walls as its lesions. Lengths are millimetres from
the middle of the volume; x runs to the patient's left, y to the back, z to the head.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.fields import bumps, ellipsoid
from models_genesis_tf.phantoms.liver import draw_liver, paint_liver
from models_genesis_tf.phantoms.painting import Canvas, make_canvas, paint
from models_genesis_tf.phantoms.scanner import draw_noise, to_stored
from models_genesis_tf.phantoms.strokes import paint_path

AIR, FAT, LUNG = -1000.0, -100.0, -850.0  # HU
_SIDE = 128  # voxels along x and y
_GAP = 1.05  # of the liver's radius: what lies beside it keeps off that far


@dataclass(frozen=True)
class Abdomen:
    """A synthetic scan.

    Attributes:
      array: int16 `(x, y, z)`, HU.
      labels: uint8 `(x, y, z)`: 1 liver, 2 lesion, 0 what is neither.
      spacing: mm along x, y and z.
    """

    array: np.ndarray
    labels: np.ndarray
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class _Body:
    """One patient's measures, mm, and brightness, HU."""

    width: float  # half the width within the muscles
    depth: float
    fat: float
    spine_y: float
    dome: float  # height of the right diaphragm
    rib_gap: float
    muscle: float
    liver: float
    blood: float


def draw_abdomen(rng: np.random.Generator) -> Abdomen:
    """Draws one abdomen.

    Args:
      rng: Generator to draw from.

    Returns:
      The scan, 128 x 128 voxels of 2.55 to 2.75 mm in 48 to 63 slices over 200 mm,
      and its labels.
    """
    slices = int(rng.integers(48, 64))
    spacing = (*[rng.uniform(2.55, 2.75)] * 2, 200 / slices)
    canvas = make_canvas((_SIDE, _SIDE, slices), spacing, AIR)
    body = _draw_body(rng)
    bent = _bend(canvas, rng)
    cage = _cage_radius(bent, body)
    _paint_trunk(bent, cage, body, rng)
    below = bent.z < _diaphragm(bent, body)
    _paint_chest(bent, cage, below, body, rng)
    cavity = below & (cage < 0.95) & ~_near_spine(bent, body)
    liver = draw_liver(bent, cavity, body.dome, rng)
    free = cavity & (liver.radius > _GAP)
    _paint_bowel(canvas, free, body, rng)
    _paint_organs(bent, free, body, rng)
    _paint_bones(bent, cage, body)
    _paint_great_vessels(canvas, body)
    labels = paint_liver(canvas, liver, body.liver, body.blood, rng)
    return Abdomen(_scan(canvas, rng), labels, spacing)


def _draw_body(rng: np.random.Generator) -> _Body:
    liver = rng.uniform(85, 118)
    return _Body(
        width=rng.uniform(126, 138),
        depth=rng.uniform(86, 98),
        fat=rng.uniform(4, 16),
        spine_y=rng.uniform(44, 52),
        dome=rng.uniform(62, 82),
        rib_gap=rng.uniform(27, 32),
        muscle=rng.uniform(54, 72),
        liver=liver,
        blood=liver + rng.uniform(30, 70),
    )


def _bend(canvas: Canvas, rng: np.random.Generator) -> Canvas:
    """The same values with bent coordinates, each of the volume's shape."""
    x, y, z = (
        axis + 4 * bumps(canvas, 45, rng) for axis in (canvas.x, canvas.y, canvas.z)
    )
    return replace(canvas, x=x, y=y, z=z)


def _cage_radius(canvas: Canvas, body: _Body) -> np.ndarray:
    """Distance from the trunk's axis, 1 on the inner side of its wall."""
    across, deep = np.abs(canvas.x) / body.width, np.abs(canvas.y) / body.depth
    return (across**2.4 + deep**2.4) ** (1 / 2.4)


def _diaphragm(canvas: Canvas, body: _Body) -> np.ndarray:
    x, y = canvas.x, canvas.y
    right = -(((x + 62) / 9) ** 2) - ((y - 2) / 10) ** 2
    left = -12 - ((x - 66) / 8.5) ** 2 - ((y - 2) / 10) ** 2
    return body.dome + np.maximum(right, left)


def _near_spine(canvas: Canvas, body: _Body) -> np.ndarray:
    back = canvas.y - body.spine_y
    cava = (canvas.x + 22) ** 2 + (back + 29) ** 2 < 13**2
    return cava | (canvas.x**2 + (0.8 * (back - 16)) ** 2 < 33**2)


def _paint_trunk(canvas: Canvas, cage, body: _Body, rng) -> None:
    """Table, skin, fat and muscle; within them fat, where the organs go."""
    height = 128 - canvas.x**2 / 1600
    paint(canvas, np.abs(canvas.y - height) < 2.5, -500.0)
    wall = 13 + 5 * np.clip(canvas.z / 100, -1, 1)

    def outline(extra) -> np.ndarray:
        across = np.abs(canvas.x) / (body.width + extra)
        deep = np.abs(canvas.y - 6) / (body.depth + 6 + 0.8 * extra)
        return across**2.4 + deep**2.4 < 1

    paint(canvas, outline(wall + body.fat + 3), 15.0)
    paint(canvas, outline(wall + body.fat), FAT)
    paint(canvas, outline(wall), body.muscle)
    layers = np.abs(bumps(canvas, 16, rng)) < 0.22
    paint(canvas, outline(wall - 1) & (cage > 1.04) & layers, FAT + 25)
    paint(canvas, cage < 1, FAT + 5 + 12 * bumps(canvas, 12, rng))
    for side in (-1, 1):  # of the back, and beside the spine
        back = (side * 32, body.spine_y + 32, 0)
        paint(canvas, ellipsoid(canvas, back, (27, 22, 900)) < 1, body.muscle)
        psoas = (side * 34, body.spine_y + 2, -100)
        paint(canvas, ellipsoid(canvas, psoas, (17, 18, 95)) < 1, body.muscle)


def _paint_chest(canvas: Canvas, cage, below, body: _Body, rng) -> None:
    """Lung bases, heart, and the diaphragm under them."""
    above = ~below & (cage < 0.97)
    paint(canvas, above, FAT + 20)
    spine = _near_spine(canvas, body)
    middle = (np.abs(canvas.x - 6) < 22) & (np.abs(canvas.y) > 8)
    lungs = above & ~spine & ~middle
    paint(canvas, lungs, LUNG + 35 * bumps(canvas, 9, rng))
    paint(canvas, lungs & (bumps(canvas, 10, rng) > 1.75), -150.0)
    heart = ellipsoid(canvas, (22, -34, body.dome + 22), (58, 46, 38))
    paint(canvas, above & (heart < 1.1), FAT + 20)
    paint(canvas, above & (heart < 1), body.blood - 20)
    edge = np.abs(canvas.z - _diaphragm(canvas, body)) < 2.5
    paint(canvas, edge & (cage < 0.97) & ~spine, body.muscle)


def _paint_organs(canvas: Canvas, free, body: _Body, rng) -> None:
    """Spleen, stomach and kidneys, each with its own texture."""
    shift = rng.uniform(-8, 8, (4, 3))
    grain = 5 * bumps(canvas, 9, rng)
    place = shift[0] + (body.width - 34, 34, body.dome - 58)
    spleen = ellipsoid(canvas, place, (34, 46, rng.uniform(38, 54)))
    hilum = ellipsoid(canvas, place - (34, 22, 0), (30, 34, 60))
    spleen = free & (spleen < 1) & (hilum > 1)
    paint(canvas, spleen, body.liver + rng.uniform(-10, 20) + grain)

    place = shift[1] + (50, -26, body.dome - 55)
    stomach = ellipsoid(canvas, place, (46, 38, rng.uniform(36, 54)))
    stomach = np.where(free & ~spleen, stomach, np.inf)
    paint(canvas, stomach < 1, body.muscle + 25)
    paint(canvas, stomach < 0.88, rng.uniform(10, 230) + 2 * grain)
    gas = canvas.y < place[1] - rng.uniform(8, 24)
    paint(canvas, (stomach < 0.86) & gas, AIR)

    for side, drop, move in zip((-1, 1), (95, 82), shift[2:], strict=True):
        centre = 0.6 * move + (side * 58, body.spine_y - 10, body.dome - drop)
        _paint_kidney(canvas, centre, side, free, body, rng)


def _paint_kidney(canvas: Canvas, centre, side: int, free, body: _Body, rng) -> None:
    """A kidney in its fat, now and then with cysts, which look like others' lesions."""
    kidney = np.where(free, ellipsoid(canvas, centre, (28, 27, 54)), np.inf)
    paint(canvas, kidney < 1.25, FAT + 5)
    cortex = body.liver + rng.uniform(0, 60)
    paint(canvas, kidney < 1, cortex + 5 * bumps(canvas, 8, rng))
    pyramids = (kidney < 0.76) & (bumps(canvas, 15, rng) > 0.1)
    paint(canvas, pyramids, cortex - rng.uniform(10, 45))
    sinus = ellipsoid(canvas, np.subtract(centre, (side * 14, -3, 0)), (16, 11, 26))
    paint(canvas, (kidney < 1) & (sinus < 1), FAT + 30)
    for _ in range(rng.integers(0, 3)):
        place = centre + rng.normal(0, (14, 14, 26))
        cyst = ellipsoid(canvas, place, [rng.uniform(6, 17)] * 3)
        paint(canvas, free & (cyst < 1), rng.uniform(0, 20))


def _paint_bowel(canvas: Canvas, free, body: _Body, rng: np.random.Generator) -> None:
    """Loops that fill the cavity below the organs, and the pancreas behind them."""
    room = free & (canvas.y < body.spine_y - 14) & (canvas.z < body.dome - 70)
    low = np.array((-0.85 * body.width, -0.85 * body.depth, -115))
    high = np.array((0.85 * body.width, body.spine_y - 20, body.dome - 85))
    for _ in range(rng.integers(22, 30)):
        points = [rng.uniform(low, high)]
        for _ in range(rng.integers(4, 9)):
            step = points[-1] + rng.normal(0, (28, 22, 16))
            points.append(np.clip(step, low, high))
        radius = rng.uniform(11, 18)
        content = rng.uniform(30, 240) if rng.random() < 0.85 else AIR
        for extra, value in ((2.5, body.muscle + 25), (0, content)):
            paint_path(canvas, points, radius - 3 + extra, value, room)
    pancreas = np.array([(-32, 0, -112), (-4, -8, -92), (34, 6, -80), (72, 20, -70)])
    pancreas[:, 2] += round(body.dome)
    paint_path(canvas, pancreas, 14, FAT, free)
    paint_path(canvas, pancreas, 10.5, body.liver - rng.uniform(5, 25), free)


def _paint_bones(canvas: Canvas, cage, body: _Body) -> None:
    """Ribs, which slope down towards the front, and the spine."""
    x, y, z = canvas.x, canvas.y, canvas.z
    front = np.clip(0.5 - y / (2 * body.depth), 0, 1)
    height = np.mod(z + 70 * front, body.rib_gap) - body.rib_gap / 2
    shape = ((cage - 1.06) * 115 / 4.5) ** 2 + (height / 6.5) ** 2
    ribs = (np.abs(x) > 34) & (z > 45 * front**2 + 60 * (y < -60) - 60)
    paint(canvas, ribs & (shape < 1), 420.0)
    paint(canvas, ribs & (shape < 0.4), 160.0)

    back = y - body.spine_y
    level = np.mod(z, body.rib_gap + 5)
    ring = np.sqrt((x / 1.2) ** 2 + back**2)
    paint(canvas, ring < 18.5, np.where(level < 7, 95.0, 195.0))
    paint(canvas, (np.abs(ring - 17.5) < 1.5) & (level >= 7), 430.0)
    canal = np.sqrt(x**2 + (back - 27) ** 2)
    paint(canvas, canal < 14, 350.0)
    paint(canvas, canal < 9.5, 25.0)
    spread = (np.abs(back - 26 - 0.15 * np.abs(x)) < 4) & (np.abs(x) < 38)
    paint(canvas, spread & (np.abs(level - 15) < 6) & (canal > 9.5), 320.0)
    tip = (np.abs(x) < 3.5) & (back > 36) & (back < 62) & (np.abs(level - 13) < 9)
    paint(canvas, tip, 320.0)


def _paint_great_vessels(canvas: Canvas, body: _Body) -> None:
    front = body.spine_y - 30
    aorta = [(12, front + 4, 110), (8, front, 0), (6, front, -110)]
    paint_path(canvas, aorta, 13, FAT)
    paint_path(canvas, aorta, 10.5, body.blood + 5)
    for z, end in ((body.dome - 88, (4, -30, 0)), (body.dome - 75, (36, -14, 8))):
        start = np.array((8, front, z))
        paint_path(canvas, [start, start + end], 4, body.blood + 5)
    cava = [(-20, front - 2, body.dome), (-23, front + 2, 0), (-20, front + 4, -110)]
    paint_path(canvas, cava, 11, body.blood - 8)


def _scan(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """What a scanner with a soft kernel makes of the body, int16."""
    values = ndimage.gaussian_filter(canvas.values, (0.55, 0.55, 0.4))
    noise = draw_noise(values.shape, rng)
    values += noise * np.float32(rng.uniform(11, 22) / noise.std())
    return to_stored(values)
