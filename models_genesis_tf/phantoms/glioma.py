"""A glioma for a brain MR: where it lies, what it pushes aside, and its parts."""

from dataclasses import dataclass, replace

import numpy as np

from models_genesis_tf.phantoms import tissues
from models_genesis_tf.phantoms.fields import bumps, ellipsoid
from models_genesis_tf.phantoms.painting import Canvas

GRADES = ("HGG", "LGG")
_PARTS = {  # the label of each tissue
    tissues.NECROTIC: 1,
    tissues.NON_ENHANCING: 1,
    tissues.OEDEMA: 2,
    tissues.ENHANCING: 4,
}


@dataclass(frozen=True)
class Glioma:
    """A tumour.

    Attributes:
      grade: One of `GRADES`.
      centre: `(3,)` mm.
      stretch: `(3,)` how long it is along each axis, about 1.
      core: Mean radius of the core, mm.
      oedema: Mean radius of the oedema around it, mm.
      rim: Thickness of the enhancing rim, mm.
      pressure: How far it pushes what it displaces, relative to its distance.
    """

    grade: str
    centre: np.ndarray
    stretch: np.ndarray
    core: float
    oedema: float
    rim: float
    pressure: float


def draw_glioma(rng: np.random.Generator, grade: str) -> Glioma:
    """Draws a tumour in one of the hemispheres.

    Args:
      rng: Generator to draw from.
      grade: One of `GRADES`: a low grade's core is large, its oedema thin, and it
        hardly enhances.

    Returns:
      The tumour.
    """
    high = grade == "HGG"
    side = rng.choice((-1, 1))
    core = rng.uniform(12, 20) if high else rng.uniform(13, 20)
    return Glioma(
        grade=grade,
        centre=np.array((side, 1, 1)) * rng.uniform((22, -48, 0), (44, 48, 44)),
        stretch=rng.uniform(0.8, 1.25, 3),
        core=core,
        oedema=core + (rng.uniform(5, 10) if high else rng.uniform(4, 9)),
        rim=rng.uniform(2.5, 5),
        pressure=rng.uniform(0.2, 0.45),
    )


def push(canvas: Canvas, glioma: Glioma) -> Canvas:
    """Finds where the tissue came from that a tumour has pushed aside.

    Args:
      canvas: Its coordinates have the volume's shape.
      glioma: The tumour.

    Returns:
      The same values with the coordinates of the places of origin, for formulas that
      draw a brain without a tumour.
    """
    reach = glioma.core + 0.6 * glioma.oedema
    scale = 1 - glioma.pressure * np.exp(-((_distance(canvas, glioma) / reach) ** 2))
    x, y, z = (
        middle + scale * (axis - middle)
        for axis, middle in zip(_axes(canvas), glioma.centre.tolist(), strict=True)
    )
    return replace(canvas, x=x, y=y, z=z)


def add_glioma(
    classes: np.ndarray, canvas: Canvas, glioma: Glioma, rng: np.random.Generator
) -> np.ndarray:
    """Puts a tumour into a map of tissues.

    Oedema follows the white matter, spares the outer cortex and does not enter
    ventricles; the core takes all that it finds.

    Args:
      classes: uint8 `(x, y, z)`, the tissue of each voxel; changed in place.
      canvas: Its coordinates have the volume's shape.
      glioma: The tumour.
      rng: Generator to draw from.

    Returns:
      uint8 `(x, y, z)`: 1 necrotic and non-enhancing core, 2 oedema, 4 enhancing
      tumour, 0 everything else.
    """
    distance = _distance(canvas, glioma)
    lumps = [bumps(canvas, length, rng) for length in (26, 16, 9, 9)]
    barrier = np.zeros(tissues.NON_ENHANCING + 1, np.float32)
    barrier[tissues.GREY], barrier[tissues.CSF] = 0.25, 0.4
    barrier[tissues.NUCLEUS] = 0.15
    barrier[[tissues.VENTRICLE, tissues.STEM]] = np.inf
    spread = distance / glioma.oedema + 0.3 * lumps[0] + 0.12 * lumps[2]
    spread += 0.5 * (canvas.x * glioma.centre[0] < 0)  # the other hemisphere
    oedema = spread + barrier[classes] < 1
    depth = glioma.core * (1 - 0.26 * lumps[1] - 0.1 * lumps[3]) - distance  # mm
    brain = classes != tissues.OUTSIDE
    classes[oedema & brain] = tissues.OEDEMA
    core = (depth > 0) & brain
    rim = depth < glioma.rim * (1 + 0.4 * lumps[2])
    if glioma.grade == "HGG":
        classes[core] = tissues.NECROTIC
        classes[core & rim] = tissues.ENHANCING
    else:
        classes[core] = tissues.NON_ENHANCING
        classes[core & (lumps[3] > 1.5)] = tissues.ENHANCING
    return _labels(classes)


def _labels(classes: np.ndarray) -> np.ndarray:
    table = np.zeros(tissues.NON_ENHANCING + 1, np.uint8)
    table[list(_PARTS)] = list(_PARTS.values())
    return table[classes]


def _axes(canvas: Canvas) -> tuple[np.ndarray, ...]:
    return canvas.x, canvas.y, canvas.z


def _distance(canvas: Canvas, glioma: Glioma) -> np.ndarray:
    """From the tumour's centre, mm; less along the axes that it is stretched on."""
    return ellipsoid(canvas, glioma.centre, glioma.stretch)
