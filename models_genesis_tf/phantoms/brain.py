"""A brain MR in four modalities with a glioma, from a random generator.

Skull-stripped: folded cortex, white matter, deep nuclei, ventricles, cerebellum and
brain stem, vessels, and a tumour that pushes them aside. White matter hyperintensities
are as bright on FLAIR as the tumour's oedema, and lacunes as dark as its core. The
coil's field and the scanner's noise lie over all; each image has a scale of its own.
Lengths are millimetres from the middle of the volume; x runs to the patient's left, y
to the back, z to the head.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from models_genesis_tf.phantoms import tissues
from models_genesis_tf.phantoms.fields import bumps
from models_genesis_tf.phantoms.glioma import add_glioma, draw_glioma, push
from models_genesis_tf.phantoms.painting import (
    Canvas,
    make_canvas,
    paint_tube,
    to_mm,
)
from models_genesis_tf.phantoms.trees import grow_tree

SIZE = (112, 128, 88)
SPACING = (1.5625, 1.5625, 1.5625)  # mm
_FOLD = 6.5  # mm between the nodes of the noise that folds the cortex
_HORNS = (  # of a lateral ventricle: from front to back, and to the temple
    ((7, -30, 18), (10, -10, 24), (13, 14, 26), (19, 32, 20), (23, 50, 14)),
    ((20, 31, 18), (33, 16, -6), (32, -6, -10)),
)
_HORN_RADII = (4.2, 2.4)


@dataclass(frozen=True)
class Brain:
    """A synthetic examination.

    Attributes:
      images: int16 `(x, y, z)` of each modality, by its name in `MODALITIES`; 0
        outside of the brain and nowhere else.
      labels: uint8 `(x, y, z)`: 1 necrotic and non-enhancing core, 2 oedema, 4
        enhancing tumour, 0 everything else.
      spacing: mm along x, y and z.
    """

    images: dict[str, np.ndarray]
    labels: np.ndarray
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class _Head:
    """One patient's measures, mm, and relative sizes."""

    radii: tuple[float, float, float]
    tilt: tuple[float, float, float]  # radians
    ventricles: float  # relative to those of a young adult
    sulci: float
    hyperintense: float  # how much of the white matter is


def draw_brain(rng: np.random.Generator, grade: str) -> Brain:
    """Draws one brain.

    Args:
      rng: Generator to draw from.
      grade: "HGG", with an enhancing rim around a necrotic core, or "LGG", most of
        which does not enhance.

    Returns:
      The examination, of `SIZE` voxels of `SPACING`.
    """
    canvas = make_canvas(SIZE, SPACING, 0.0)
    head = _draw_head(rng)
    upright = _turn(canvas, head.tilt)
    glioma = draw_glioma(rng, grade)
    inside = (_cerebrum(upright, head) < 1) | (_hindbrain(upright) < 1)
    classes = _classify(push(upright, glioma), head, rng)
    classes[~inside] = tissues.OUTSIDE
    labels = add_glioma(classes, upright, glioma, rng)
    vessels = _draw_vessels(classes, rng)
    images = tissues.make_images(classes, vessels, SPACING, rng)
    return Brain(images, labels, SPACING)


def _draw_head(rng: np.random.Generator) -> _Head:
    return _Head(
        radii=tuple(rng.uniform((65, 79, 51), (72, 87, 57)).tolist()),
        tilt=tuple(rng.uniform(-0.09, 0.09, 3).tolist()),
        ventricles=rng.uniform(0.8, 1.6),
        sulci=rng.uniform(0.12, 0.3),
        hyperintense=rng.uniform(0, 1),
    )


def _turn(canvas: Canvas, angles: tuple[float, float, float]) -> Canvas:
    """The same values with turned coordinates, each of the volume's shape."""
    turned = Rotation.from_euler("xyz", angles).as_matrix().tolist()
    x, y, z = (a * canvas.x + b * canvas.y + c * canvas.z for a, b, c in turned)
    return replace(canvas, x=x, y=y, z=z)


def _radius(x, y, z, radii) -> np.ndarray:
    """Distance from an ellipsoid's centre, 1 on its surface."""
    return np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2)


def _cerebrum(canvas: Canvas, head: _Head) -> np.ndarray:
    """Distance from the cerebrum's middle, 1 on its surface; flat underneath."""
    z = canvas.z - 10
    z = np.where(z < 0, z * 1.35, z)
    narrow = 1 + 0.12 * np.clip(-canvas.y / 80, 0, 1)  # the forehead
    return _radius(canvas.x * narrow, canvas.y, z, head.radii)


def _hindbrain(canvas: Canvas) -> np.ndarray:
    """Distance from the middle of cerebellum or brain stem, 1 on its surface."""
    x, y, z = canvas.x, canvas.y, canvas.z
    halves = _radius(np.abs(x) - 20, y - 42, z + 34, (31, 31, 23))
    stem = np.hypot(x, y - 18 + 0.25 * z) / (13 + 0.05 * z)
    return np.minimum(halves, np.where((z < 5) & (z > -63), stem, np.inf))


def _classify(canvas: Canvas, head: _Head, rng: np.random.Generator) -> np.ndarray:
    """The tissue of each voxel of a brain without a tumour, uint8."""
    radius = _cerebrum(canvas, head)
    depth = (1 - radius) * float(np.mean(head.radii))  # mm, about
    classes = np.full(canvas.values.shape, tissues.WHITE, np.uint8)
    fold = np.abs(_folds(canvas, radius, rng))
    classes[(depth < 4.6) | (fold < 0.85 * (1 - depth / 28))] = tissues.GREY
    classes[(depth < 1.2) | (fold < head.sulci * (1 - depth / 17))] = tissues.CSF
    _add_fissures(classes, canvas, radius)
    _add_nuclei(classes, canvas)
    ventricles = _ventricles(canvas, head)
    _add_small_lesions(classes, canvas, ventricles, head, rng)
    classes[ventricles < 0] = tissues.VENTRICLE
    _add_hindbrain(classes, canvas, radius)
    return classes


def _folds(canvas: Canvas, radius: np.ndarray, rng) -> np.ndarray:
    """Noise that hardly changes with depth: it is near 0 on sheets that go inwards."""
    field = bumps(canvas, _FOLD, rng)
    inwards = 0.85 / np.clip(radius, 0.4, 1.1) ** 0.85
    places = [
        axis * inwards / step + (side - 1) / 2
        for axis, step, side in zip(
            (canvas.x, canvas.y, canvas.z), SPACING, SIZE, strict=True
        )
    ]
    return ndimage.map_coordinates(field, places, order=1, mode="nearest")


def _add_fissures(classes: np.ndarray, canvas: Canvas, radius) -> None:
    """Between the hemispheres, around the corpus callosum, and above the temples."""
    x, y, z = np.abs(canvas.x), canvas.y, canvas.z
    callosum = np.hypot(y / 46, (z - 6) / 30) < 1
    between = ~callosum & (z > -12)
    side = (x > 30) & (y > -48) & (y < 26) & (radius > 0.55)
    height = np.abs(z + 3 - 0.25 * y)
    classes[(between & (x < 4.2)) | (side & (height < 4.5))] = tissues.GREY
    classes[(between & (x < 1.2)) | (side & (height < 1.3))] = tissues.CSF
    cistern = _radius(x, y + 6, z + 24, (15, 13, 10)) < 1
    classes[cistern] = tissues.CSF


def _add_nuclei(classes: np.ndarray, canvas: Canvas) -> None:
    x, y, z = np.abs(canvas.x), canvas.y, canvas.z
    thalamus = _radius(x - 11, y - 8, z - 12, (9, 14, 9))
    caudate = _radius(x - 14, y + 20, z - 18, (5, 11, 8))
    lentiform = _radius(x - 26 + 0.15 * y, y + 4, z - 9, (8, 17, 9))
    insula = (np.abs(x - 40) < 2.2) & (np.abs(y + 6) < 20) & (np.abs(z - 9) < 13)
    for nucleus in (thalamus, caudate, lentiform):
        classes[nucleus < 1] = tissues.NUCLEUS
    classes[insula] = tissues.GREY


def _ventricles(canvas: Canvas, head: _Head) -> np.ndarray:
    """Distance from the ventricles' wall, mm, less than 0 within."""
    x, y, z = np.abs(canvas.x), canvas.y, canvas.z
    slit = np.maximum(np.abs(y) - 14, np.abs(z - 8) - 9)
    distance = np.maximum(x - 1.8 * head.ventricles, slit)
    fourth = 4 * head.ventricles * (_radius(x, y - 34, z + 30, (6, 5, 9)) - 1)
    distance = np.minimum(distance, fourth)
    for points, radii in zip(_HORNS, _HORN_RADII, strict=True):
        for start, end in zip(points[:-1], points[1:], strict=True):
            tube = _from_segment((x, y, z), start, end) - radii * head.ventricles
            distance = np.minimum(distance, tube)
    return distance


def _from_segment(places, start, end) -> np.ndarray:
    """Distance from a segment, mm."""
    steps = [last - first for first, last in zip(start, end, strict=True)]
    offsets = [axis - first for axis, first in zip(places, start, strict=True)]
    along = sum(axis * step for axis, step in zip(offsets, steps, strict=True))
    along = np.clip(along / sum(step**2 for step in steps), 0, 1)
    return np.sqrt(
        sum(
            (axis - along * step) ** 2
            for axis, step in zip(offsets, steps, strict=True)
        )
    )


def _add_small_lesions(classes, canvas: Canvas, ventricles, head: _Head, rng) -> None:
    """Hyperintensities around the ventricles and elsewhere, and lacunes."""
    white = (classes == tissues.WHITE) & (canvas.z > -15)
    edge = 5.5 * head.hyperintense + 2.5 * bumps(canvas, 14, rng) - 0.5
    spots = bumps(canvas, 9, rng) > 2.5 - 0.8 * head.hyperintense
    classes[white & ((ventricles < edge) | spots)] = tissues.HYPERINTENSE
    deep = (classes == tissues.NUCLEUS) | white
    classes[deep & (bumps(canvas, 7, rng) > 2.75)] = tissues.LACUNE


def _add_hindbrain(classes: np.ndarray, canvas: Canvas, radius) -> None:
    """Cerebellum with its leaves, and the brain stem."""
    x, y, z = np.abs(canvas.x), canvas.y, canvas.z
    low = _hindbrain(canvas)
    here = radius >= 1
    classes[here] = tissues.CSF
    leaves = np.sin(1.15 * np.hypot(z + 22, 0.8 * (y - 20)) + 0.05 * x) > -0.35
    classes[here & (low < 0.95)] = tissues.GREY
    classes[here & (low < 0.85) & ~leaves] = tissues.WHITE
    classes[here & (low < 0.45)] = tissues.WHITE
    stem = np.hypot(x, y - 18 + 0.25 * z) < 11
    classes[(z < 0) & stem] = tissues.STEM
    fourth = _radius(x, y - 34, z + 30, (6, 5, 9))
    classes[fourth < 1] = tissues.VENTRICLE


def _draw_vessels(classes: np.ndarray, rng) -> np.ndarray:
    """The share of each voxel that is a vessel's: a tree from below into the sulci."""
    vessels = make_canvas(SIZE, SPACING, 0.0)
    voxels = rng.permutation(np.argwhere(classes == tissues.CSF))[:90]
    ends = to_mm(vessels, voxels)
    for side in (-1, 1):
        own = ends[side * ends[:, 0] > 0]
        for start, end, leaves in grow_tree(np.array((6.0 * side, -2, -20)), own, rng):
            radii = 0.65 * leaves**0.35, 0.6 * leaves**0.35
            paint_tube(vessels, start, end, radii, 1.0)
    return vessels.values
