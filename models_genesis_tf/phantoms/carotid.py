"""B-mode ultrasound of a carotid artery along its course, drawn at random.

Skin is up, the artery runs across: the common carotid artery, its bulb, where it widens
before it forks, and what follows. On the far wall of the common carotid artery two
bright lines, one intima-media thickness apart, mark lumen and adventitia. Lengths are
millimetres: along the artery from the bulb's middle, towards the head, and in depth
from the artery's axis there.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models_genesis_tf.phantoms.painting import smooth_noise

LABELS = ("bulb", "roi", "background")
SIZE = 128  # pixels along x and y
_AXIAL, _LATERAL = 0.1, 0.26  # standard deviations of the pulse and the beam, mm
_LUMEN, _MEDIA = 0.03, 0.25  # amplitude of echoes relative to other tissue's
_INTIMA, _ADVENTITIA = 2.1, 2.8  # of what they mirror
_BACKGROUNDS = {"above": 0.2, "below": 0.15, "near wall": 0.25, "beyond": 0.4}


@dataclass(frozen=True)
class Artery:
    """What all images of a patient share.

    Attributes:
      pixel: Side of a pixel, mm.
      diameter: Of the common carotid artery's lumen, mm.
      widening: By how much the bulb's diameter is larger, relative to `diameter`.
      thickness: Of intima and media, mm.
      slope: Of the artery's axis, mm of depth per mm.
      phase: Where the axis bends, radians.
      fork: Relative width of what follows the bulb.
      head_left: Whether the head is on the left of the picture.
    """

    pixel: float
    diameter: float
    widening: float
    thickness: float
    slope: float
    phase: float
    fork: float
    head_left: bool


@dataclass(frozen=True)
class _Wall:
    """Where pixels lie to the artery: float64 `(x, y)` but for what varies along x.

    Attributes:
      far: mm beyond the far wall's surface, negative in the lumen and before.
      near: mm before the near wall's surface, negative in the lumen and beyond.
      clear: `(x, 1)`: how much of a wall's echo comes back, 0..1: little from oblique
        walls and none from beyond the bulb.
    """

    far: np.ndarray
    near: np.ndarray
    clear: np.ndarray


def draw_artery(rng: np.random.Generator) -> Artery:
    """Draws a patient.

    Args:
      rng: Generator to draw from.

    Returns:
      The patient's artery.
    """
    return Artery(
        pixel=rng.uniform(0.115, 0.14),
        diameter=rng.uniform(5.2, 6.8),
        widening=rng.uniform(0.2, 0.5),
        thickness=rng.uniform(0.55, 1.0),
        slope=rng.uniform(-0.1, 0.1),
        phase=rng.uniform(0, 2 * np.pi),
        fork=rng.uniform(0.7, 1.0),
        head_left=bool(rng.random() < 0.5),
    )


def draw_frame(rng: np.random.Generator, artery: Artery, label: str) -> np.ndarray:
    """Draws one image of an artery.

    Args:
      rng: Generator to draw from.
      artery: Whose image it is.
      label: One of `LABELS`: "bulb", "roi" around the far wall's double line, or
        "background" around other tissue, a vein, the near wall or what is beyond
        the bulb.

    Returns:
      uint8 `(x, y)` of `SIZE` x `SIZE` pixels, y down.
    """
    u, v = _place(rng, artery, label)
    wall = _measure_wall(rng, artery, u, v)
    scatter, mirror = _draw_tissue(rng, u, v, artery.pixel)
    if label == "background" and rng.random() < 0.6:
        scatter, mirror = _add_vein(rng, wall, u, v, scatter, mirror)
    scatter, mirror = _add_artery(rng, artery, wall, scatter, mirror)
    image = _display(rng, draw_echo(rng, scatter, mirror, artery.pixel))
    return image[::-1] if artery.head_left else image


def draw_echo(
    rng: np.random.Generator, scatter: np.ndarray, mirror: np.ndarray, pixel: float
) -> np.ndarray:
    """Draws the envelope of the echoes.

    Many scatterers in reach of the pulse add up with random phases: where nothing
    mirrors, amplitudes are Rayleigh distributed.

    Args:
      rng: Generator to draw from.
      scatter: `(x, y)` root of the mean square amplitude of scattered echoes.
      mirror: `(x, y)` amplitude of echoes from even surfaces.
      pixel: Side of a pixel, mm.

    Returns:
      `(x, y)` amplitudes, 0 or more.
    """
    widths = np.array((_LATERAL, _AXIAL)) / pixel
    noise = rng.standard_normal((2, *scatter.shape))
    noise *= np.sqrt(2 * np.pi * widths.prod())  # the pulse averages this out again
    real = ndimage.gaussian_filter(scatter * noise[0] + mirror, widths)
    return np.hypot(real, ndimage.gaussian_filter(scatter * noise[1], widths))


def _place(rng: np.random.Generator, artery: Artery, label: str) -> tuple:
    """Coordinates of the pixels: `(x, 1)` along the artery and `(1, y)` in depth."""
    radius = artery.diameter / 2
    if label == "bulb":
        along, side = 0.0, rng.uniform(-3, 3)
    elif label == "roi":
        along, side = rng.uniform(-24, -13), radius + rng.uniform(-3, 3)
    else:  # none shows the far wall before the bulb
        kind = rng.choice(list(_BACKGROUNDS), p=list(_BACKGROUNDS.values()))
        along = rng.uniform(18, 26) if kind == "beyond" else rng.uniform(-24, 6)
        side = {
            "above": -radius - rng.uniform(9, 14),
            "below": radius + rng.uniform(10.5, 16),
            "near wall": -radius - rng.uniform(4.5, 8),
            "beyond": rng.uniform(-3, 3),
        }[kind]
    middle = _axis(artery, along) + side
    steps = (np.arange(SIZE) - (SIZE - 1) / 2) * artery.pixel
    return (along + rng.uniform(-4, 4) + steps)[:, None], (middle + steps)[None, :]


def _axis(artery: Artery, u):
    """Depth of the artery's axis; beyond the bulb it dives or rises."""
    bend = 0.012 * np.cos(artery.phase) * np.maximum(u - 5, 0) ** 2
    return artery.slope * u + 0.5 * np.sin(u / 8 + artery.phase) + bend


def _smooth_step(u, start: float, end: float):
    share = np.clip((u - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)


def _measure_wall(rng: np.random.Generator, artery: Artery, u, v) -> _Wall:
    widened = _smooth_step(u, -9, -2) * (1 - _smooth_step(u, 3, 11))
    width = 1 + artery.widening * widened
    width = width + (artery.fork - 1) * _smooth_step(u, 3, 11)
    radius = artery.diameter / 2 * width
    axis = _axis(artery, u)
    tilt = np.gradient(axis + radius, artery.pixel, axis=0)
    cosine = 1 / np.hypot(1, tilt)
    uneven = np.clip(0.65 + 0.4 * smooth_noise((SIZE, 1), (25, 1), rng), 0.1, 1.2)
    clear = np.exp(-((tilt / 0.3) ** 2)) * (1 - 0.6 * widened) * uneven
    clear = clear * (1 - 0.8 * _smooth_step(u, 6, 14))
    return _Wall((v - axis - radius) * cosine, (axis - radius - v) * cosine, clear)


def _draw_tissue(rng: np.random.Generator, u, v, pixel: float) -> tuple:
    """Muscle and fat with their fibres, and sheets of fascia that mirror."""
    shape = (SIZE, SIZE)
    fibres = smooth_noise(shape, (4.0 / pixel, 0.6 / pixel), rng)
    lobes = smooth_noise(shape, (5.0 / pixel, 3.0 / pixel), rng)
    scatter = np.exp(rng.uniform(0.25, 0.6) * fibres + rng.uniform(0.3, 0.7) * lobes)
    mirror = np.zeros(shape)
    for _ in range(rng.integers(2, 6)):
        height = rng.uniform(v.min(), v.max()) + rng.uniform(-0.2, 0.2) * (u - u.mean())
        height = height + 0.4 * np.sin(u / rng.uniform(3, 7) + rng.uniform(0, 7))
        there = np.clip(smooth_noise((SIZE, 1), (4.0 / pixel, 1), rng) + 0.3, 0, 1)
        sheet = np.exp(-(((v - height) / 0.14) ** 2))
        mirror += rng.uniform(1.4, 4.2) * there * sheet
    return scatter, mirror


def _add_vein(rng: np.random.Generator, wall: _Wall, u, v, scatter, mirror) -> tuple:
    """A vein, which has a thin wall, where the artery is not."""
    centre = u.mean() + rng.uniform(-5, 5), v.mean() + rng.uniform(-5, 5)
    radii = rng.uniform((6, 1.8), (16, 4.0))
    ring = np.hypot((u - centre[0]) / radii[0], (v - centre[1]) / radii[1])
    depth = (1 - ring) * radii[1] - np.clip(0.6 - np.maximum(wall.far, wall.near), 0, 9)
    blood = np.clip(depth / 0.15 + 0.5, 0, 1)
    scatter = scatter + blood * (_LUMEN - scatter)
    level = np.abs(v - centre[1]) / radii[1] / np.maximum(ring, 0.1)  # to the beam
    mirror = mirror * (1 - blood) + 1.8 * level**2 * np.exp(-((depth / 0.15) ** 2))
    return scatter, mirror


def _add_artery(
    rng: np.random.Generator, artery: Artery, wall: _Wall, scatter, mirror
) -> tuple:
    """Lumen, the far wall's double line, and the near wall, which is blurred."""
    inner = np.clip(0.5 - np.maximum(wall.far, wall.near) / 0.1, 0, 1)
    lining = np.clip(wall.far / 0.1 + 0.5, 0, 1)
    lining *= np.clip((artery.thickness - wall.far) / 0.1 + 0.5, 0, 1)
    haze = rng.uniform(0.2, 0.6) * np.exp(wall.near / 1.2) * (wall.near < 0)
    scatter = scatter + inner * (_LUMEN + haze - scatter)
    scatter = scatter + lining * (_MEDIA - scatter)
    mirror = mirror * (1 - inner) * (1 - lining)
    beyond = wall.far - artery.thickness
    sheath = _ridge(beyond, 0.1, 0.55)
    outer = _ridge(wall.near, 0.25, 0.7)
    intima = np.exp(-((wall.far / 0.11) ** 2))
    strength = rng.uniform(0.7, 1.3) * wall.clear
    mirror = mirror + strength * (_INTIMA * intima + _ADVENTITIA * sheath)
    scatter = scatter + strength * (4.0 * sheath + 3.0 * outer)
    scatter = scatter + 1.2 * (sheath + outer)  # what comes back from any wall
    return scatter, mirror


def _ridge(distance: np.ndarray, rise: float, decay: float) -> np.ndarray:
    """1 at a surface; falls off before it and beyond it, widths in mm."""
    before = np.exp(-((distance / rise) ** 2))
    return np.where(distance > 0, np.exp(-np.maximum(distance, 0) / decay), before)


def _display(rng: np.random.Generator, envelope: np.ndarray) -> np.ndarray:
    """Logarithmic grey values; the gain is set by hand, along the depth too."""
    decibels = 20 * np.log10(np.maximum(envelope, 1e-4))
    decibels += 3.0 * smooth_noise((1, SIZE), (1, 40), rng)  # slides for depths
    decibels += rng.uniform(-8, 8) * np.linspace(-0.5, 0.5, SIZE)
    shadow = np.clip(smooth_noise((SIZE, 1), (22, 1), rng) - 0.9, 0, 1)
    decibels -= 14 * shadow * np.linspace(0.2, 1, SIZE)
    low = np.mean(np.maximum(decibels, -30)) - rng.uniform(14, 26)
    values = (decibels - low) / rng.uniform(42, 64)
    return np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
