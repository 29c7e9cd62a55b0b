"""A chest radiograph: rays through the chest phantom, and a detector behind it.

The patient stands, rays run along y from back to front. Lengths are millimetres from
the middle of the volume; x runs to the patient's left, y to the back, z to the head.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.chest import paint_trees
from models_genesis_tf.phantoms.chest_body import (
    AIR,
    MUSCLE,
    draw_body,
    paint_body,
    paint_great_vessels,
)
from models_genesis_tf.phantoms.painting import Canvas, make_canvas, paint, paint_tube
from models_genesis_tf.phantoms.xray_findings import Trunk, paint_findings

SIZE = 256  # pixels along x and y
FIELD = 345.0  # mm, side of the image
_VOXELS, _SPACING = (272, 112, 248), (1.42, 2.5, 1.42)
_WATER = 0.019  # attenuation of water per mm, of some 70 keV
_BODY = 0.6  # attenuation that is more than the air beside the patient
_CORTEX = 250.0  # HU
_BONE = 6.0  # what cortex attenuates more, at this energy, than its HU tell


def draw_patient(rng: np.random.Generator) -> Trunk:
    """Draws a patient without a finding.

    Args:
      rng: Generator to draw from.

    Returns:
      What all radiographs of the patient show.
    """
    canvas = make_canvas(_VOXELS, _SPACING, AIR)
    body = draw_body(rng)
    lungs = paint_body(canvas, body, rng)
    _paint_shoulders(canvas)
    paint_great_vessels(canvas, body)
    lungs &= canvas.values < -500
    paint_trees(canvas, lungs, rng)
    return Trunk(canvas, lungs, body)


def draw_radiograph(
    rng: np.random.Generator, patient: Trunk, findings: Collection[str]
) -> np.ndarray:
    """Draws one image of a patient.

    Args:
      rng: Generator to draw from.
      patient: Who it is; stays as it is.
      findings: Some of `xray_findings.FINDINGS`.

    Returns:
      uint8 `(x, y)` of `SIZE` x `SIZE` pixels: x to the patient's left, which is right
      in the picture, y down; what absorbs more is brighter.
    """
    canvas = replace(patient.canvas, values=patient.canvas.values.copy())
    trunk = replace(patient, canvas=canvas, lungs=patient.lungs.copy())
    paint_findings(trunk, findings, rng)
    return _develop(_detect(_place(project(canvas), rng), rng), rng)


def project(canvas: Canvas) -> np.ndarray:
    """Adds up what a ray meets from back to front.

    Args:
      canvas: HU.

    Returns:
      float32 `(x, z)`: attenuation, of which exp(-attenuation) passes.
    """
    density = 1 + canvas.values / 1000
    density += _BONE / 1000 * np.maximum(canvas.values - _CORTEX, 0)
    return _WATER * canvas.spacing[1] * np.maximum(density, 0).sum(1)


def _paint_shoulders(canvas: Canvas) -> None:
    """Air beside the neck, and the upper arms' bones."""
    x, y, z = canvas.x, canvas.y, canvas.z
    across = np.abs(x)
    neck = np.hypot(x / 56, (y - 22) / 62)
    slope = 163 - 0.3 * np.maximum(across - 56, 0) - ((y - 22) / 11) ** 2
    paint(canvas, (neck > 1) & (z > slope), AIR)
    for side in (-1, 1):
        head = np.array((side * 172.0, 22.0, 96.0))
        elbow = np.array((side * 225.0, 22.0, -20.0))
        paint_tube(canvas, head, elbow, (38.0, 34.0), MUSCLE)
        for radii, value in (((21.0, 12.0), 420.0), ((17.0, 7.0), 180.0)):
            paint_tube(canvas, head, elbow, radii, value)


def _place(attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How the patient stands before the detector: `(x, y)` in the image's pixels."""
    turn = np.deg2rad(rng.normal(0, 1.2))
    scale = FIELD / SIZE / np.array(_SPACING)[[0, 2]] * rng.uniform(0.95, 1.03, 2)
    rotation = np.array(((np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))))
    matrix = rotation * scale
    middle = (np.array(attenuation.shape) - 1) / 2 + rng.normal(0, 3, 2)
    offset = middle - matrix @ np.full(2, (SIZE - 1) / 2)
    upright = attenuation[:, ::-1]
    return ndimage.affine_transform(
        upright, matrix, offset, (SIZE, SIZE), order=1, mode="nearest"
    )


def _detect(attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the detector counts, as attenuation: blur, scatter and quantum noise."""
    counts = ndimage.gaussian_filter(np.exp(-attenuation), rng.uniform(0.3, 0.6))
    scatter = ndimage.gaussian_filter(np.minimum(counts, 0.3), 22)
    counts = counts + rng.uniform(0.15, 0.45) * scatter
    noise = rng.uniform(0.0012, 0.003) * rng.standard_normal(counts.shape)
    counts += noise * np.sqrt(counts)
    return -np.log(np.maximum(counts, 1e-4))


def _develop(attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Display values: contrasts evened out, then an exposure that varies."""
    wide = ndimage.gaussian_filter(attenuation, 18)
    values = attenuation + rng.uniform(0.2, 0.9) * (attenuation - wide)
    low, high = np.percentile(values[attenuation > _BODY], (4, 98))
    values = (values - low) / (high - low)
    level, width = rng.uniform(-0.4, -0.02), rng.uniform(0.95, 1.35)
    values = np.clip((values - level) / (width - level), 0, 1)
    values **= np.exp(rng.uniform(-0.3, 0.3))
    return np.round(255 * values).astype(np.uint8)
