"""A liver for an abdominal CT: its shape, its vessels, its lesions and its decoys.

Lesions are darker than the liver, as vessels, cysts and the gall bladder are brighter
or darker still; only lesions are labelled as such.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.fields import bumps, ellipsoid, largest_piece
from models_genesis_tf.phantoms.painting import (
    Canvas,
    make_canvas,
    paint,
    paint_ball,
    paint_tube,
    to_mm,
)
from models_genesis_tf.phantoms.strokes import blend, draw_lumps
from models_genesis_tf.phantoms.trees import grow_tree

LESION = (40.0, 80.0)  # HU, as muscle and bowel
CYST = (0.0, 20.0)  # HU
MAX_LESIONS = 5
_DIAMETERS = (10.0, 45.0)  # mm


@dataclass(frozen=True)
class Liver:
    """The shape of a liver.

    Attributes:
      radius: float32 `(x, y, z)`: 1 on the liver's free surface, less within.
      mask: bool `(x, y, z)`: where the liver is.
      bladder: bool `(x, y, z)`: where the gall bladder is, beside the liver.
      dome: Height of the diaphragm above the liver, mm from the volume's middle.
    """

    radius: np.ndarray
    mask: np.ndarray
    bladder: np.ndarray
    dome: float


def draw_liver(
    canvas: Canvas, room: np.ndarray, dome: float, rng: np.random.Generator
) -> Liver:
    """Draws a right lobe under the diaphragm and a left one across the middle.

    Args:
      canvas: Whose coordinates are used, each of the volume's shape if they are bent.
      room: bool `(x, y, z)`: where a liver can be: below the diaphragm and within
        the ribs.
      dome: Height of the right diaphragm, mm.
      rng: Generator to draw from.

    Returns:
      The shape; nothing is painted.
    """
    shift = rng.uniform(-6, 6, (4, 3))
    right = ellipsoid(
        canvas, shift[0] + (-66, -4, dome - 62), (82, 92, rng.uniform(68, 92))
    )
    left = ellipsoid(
        canvas, shift[1] + (8, -48, dome - 42), (rng.uniform(48, 76), 42, 34)
    )
    sharpness = 7.0  # of the groove where the lobes meet
    lobes = -np.log(np.exp(-sharpness * right) + np.exp(-sharpness * left)) / sharpness
    lobes += 0.05 * bumps(canvas, 40, rng) + 0.02 * bumps(canvas, 16, rng)
    kidney = ellipsoid(canvas, shift[2] / 2 + (-56, 38, dome - 102), (35, 33, 60))
    bladder = ellipsoid(canvas, shift[3] + (-44, -50, dome - 108), (15, 20, 27))
    radius = lobes
    for dent in (kidney, bladder):
        radius = np.maximum(radius, 1 / np.maximum(dent, 0.1))
    fissure = (np.abs(canvas.x + 6) < 2) & (canvas.y < -28) & (canvas.z < dome - 48)
    mask = largest_piece(room & (radius < 1) & ~fissure)
    return Liver(radius, mask, room & (bladder < 0.95), dome)


def paint_liver(
    canvas: Canvas, liver: Liver, value: float, blood: float, rng: np.random.Generator
) -> np.ndarray:
    """Paints the liver with vessels, cysts and lesions, and the gall bladder.

    Args:
      canvas: Changed in place; it is not bent.
      liver: The shape.
      value: Brightness of the liver, HU.
      blood: Brightness of its vessels, HU.
      rng: Generator to draw from.

    Returns:
      uint8 `(x, y, z)`: 1 liver, 2 lesion, 0 what is neither.
    """
    grain = 4 * bumps(canvas, 8, rng) + 3 * bumps(canvas, 30, rng)
    paint(canvas, liver.bladder, rng.uniform(10, 20))
    paint(canvas, liver.mask, value + grain)
    places = _places_in(liver.mask, canvas, rng)
    _paint_vessels(canvas, liver, places[:110], blood, rng)
    places = places[110:]
    for place in places[: rng.integers(0, 4)]:
        cyst = _blob(canvas, place, rng.uniform(4, 14), 0.06, rng)
        blend(canvas, cyst * liver.mask, rng.uniform(*CYST))
    labels = liver.mask.astype(np.uint8)
    darkness = min(rng.uniform(*LESION), value - 22)
    for place in places[4 : 4 + rng.integers(0, MAX_LESIONS + 1)]:
        diameter = np.exp(rng.uniform(*np.log(_DIAMETERS)))
        lesion = _blob(canvas, place, diameter / 2, 0.22, rng) * liver.mask
        own = np.clip(darkness + rng.uniform(-8, 8), *LESION)
        blend(canvas, lesion, own + 4 * bumps(canvas, 10, rng))
        labels[lesion >= 0.5] = 2
    return labels


def _paint_vessels(canvas: Canvas, liver: Liver, ends, blood: float, rng) -> None:
    """Three veins' tree from above, the portal vein's from the middle below."""
    half = len(ends) // 2
    roots = ((-22.0, 12.0, liver.dome - 26), (-26.0, 2.0, liver.dome - 84))
    for root, own in zip(roots, (ends[:half], ends[half:]), strict=True):
        for start, end, leaves in grow_tree(np.array(root), own, rng):
            radii = 1.5 * leaves**0.35, 1.4 * leaves**0.35
            paint_tube(canvas, start, end, radii, blood, liver.mask)


def _blob(canvas: Canvas, centre, radius: float, height: float, rng) -> np.ndarray:
    """A lumpy ball's share of each voxel."""
    cover = make_canvas(canvas.values.shape, canvas.spacing, 0.0)
    paint_ball(cover, centre, radius, 1.0, draw_lumps(5, height, rng))
    return cover.values


def _places_in(mask: np.ndarray, canvas: Canvas, rng) -> np.ndarray:
    """Points away from the surface of a mask, shuffled: `(n, 3)` mm."""
    voxels = rng.permutation(np.argwhere(ndimage.binary_erosion(mask, iterations=2)))
    return to_mm(canvas, voxels)
