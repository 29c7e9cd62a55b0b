"""How bright the tissues of a brain are on each MR modality, and what a scanner adds.

Brightness is relative to the white matter's, which is 100.
"""

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.fields import bumps
from models_genesis_tf.phantoms.painting import Canvas, make_canvas

MODALITIES = ("flair", "t1", "t1ce", "t2")
OUTSIDE, CSF, VENTRICLE, GREY, WHITE, NUCLEUS, STEM = range(7)
HYPERINTENSE, LACUNE, OEDEMA, ENHANCING, NECROTIC, NON_ENHANCING = range(7, 13)
_TUMOUR = (OEDEMA, ENHANCING, NECROTIC, NON_ENHANCING)
_BRIGHTNESS = {  # by tissue, from CSF on
    "flair": (28, 24, 138, 100, 130, 112, 150, 40, 150, 110, 50, 110),
    "t1": (26, 24, 72, 100, 84, 92, 82, 36, 76, 80, 46, 64),
    "t1ce": (27, 25, 76, 100, 87, 93, 82, 36, 77, 165, 50, 66),
    "t2": (225, 240, 125, 88, 106, 94, 150, 220, 165, 135, 190, 165),
}
_VESSEL = {"flair": 70, "t1": 60, "t1ce": 180, "t2": 50}
_OEDEMA = (1.42, 1.7)  # on FLAIR, relative to white matter
_SCALE = (1.0, 20.0)  # of the stored values


def make_images(
    classes: np.ndarray,
    vessels: np.ndarray,
    spacing: tuple[float, float, float],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Makes an image of each modality.

    Args:
      classes: uint8 `(x, y, z)`, the tissue of each voxel.
      vessels: float32 `(x, y, z)`, the share of each voxel that is a vessel's.
      spacing: mm along x, y and z.
      rng: Generator to draw from.

    Returns:
      int16 `(x, y, z)` of each of `MODALITIES`; 0 where the tissue is `OUTSIDE`, 1 or
      more elsewhere.
    """
    inside = classes != OUTSIDE
    canvas = make_canvas(classes.shape, spacing, 0.0)
    grain = _grain(classes, canvas, rng)
    coil = 0.16 * bumps(canvas, 75, rng)  # the same for all
    images = {}
    for modality in MODALITIES:
        values = _draw_table(modality, rng)[classes]
        values += vessels * (_VESSEL[modality] - values)
        values = ndimage.gaussian_filter(values, 0.5) * (1 + grain)
        values *= np.exp(coil + 0.08 * bumps(canvas, 75, rng))
        noise = rng.uniform(2, 5) * rng.standard_normal((2, *values.shape), np.float32)
        values = np.hypot(values + noise[0], noise[1])  # as in a magnitude image
        values *= np.exp(rng.uniform(*np.log(_SCALE)))
        stored = np.clip(np.round(values), 1, 32767).astype(np.int16)
        images[modality] = np.where(inside, stored, np.int16(0))
    return images


def _draw_table(modality: str, rng: np.random.Generator) -> np.ndarray:
    """float32: brightness of each tissue, which differs a little between scans."""
    table = np.array((0, *_BRIGHTNESS[modality]), np.float32)
    table *= rng.uniform(0.95, 1.05, len(table))
    if modality == "flair":
        table[OEDEMA] = table[WHITE] * rng.uniform(*_OEDEMA)
        table[HYPERINTENSE] = table[OEDEMA] * rng.uniform(0.95, 1.15)
        table[NON_ENHANCING] = table[OEDEMA] * rng.uniform(0.55, 0.75)
    return table


def _grain(classes: np.ndarray, canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Relative texture: fine in normal tissue, coarse in a tumour."""
    fine = 0.035 * bumps(canvas, 4, rng)
    coarse = 0.09 * bumps(canvas, 14, rng)
    return np.where(np.isin(classes, _TUMOUR), coarse, fine)
