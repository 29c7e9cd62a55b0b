"""Draws `framework.png`: pre-training on cubes, and where the weights go from there.

It takes about half a minute, where the package is installed:

    python docs/figures/framework.py

The scan is synthetic, and the restored cube is what `genesis-small-ct` makes of the
deformed one. Shuffling, intensity map and inner painting are all applied here, so that
each can be seen. All places are in inches from the lower left corner.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle

import models_genesis_tf as genesis
from models_genesis_tf.imaging.cube_sampling import sample_cubes
from models_genesis_tf.imaging.panels import plane_slice
from models_genesis_tf.imaging.volumes import new_volume
from models_genesis_tf.imaging.windows import scale_to_unit
from models_genesis_tf.phantoms.chest import draw_chest

WIDTH, HEIGHT, DPI = 12.0, 6.25, 110
INK, PALE, TRAINED, NEW = "#222222", "#888888", "#a9c3dc", "#ecd09a"
SHOWN = (8, 21, 20)  # cubes with much to see; the first one is deformed
RATES = {"flip_rate": 0.0, "outpainting_share": 0.0}
RATES |= dict.fromkeys(("local_shuffling_rate", "nonlinear_rate", "painting_rate"), 1.0)


def make_slices() -> list[np.ndarray]:
    """Axial slices: a scan, three cubes; a cube deformed, as it was, and restored."""
    chest = draw_chest(np.random.default_rng(1), (256, 256, 128))
    scan = new_volume(chest.array, chest.spacing, (0.0, 0.0, 0.0))
    config = genesis.CubeConfig(acceptance="foreground", window="ct", min_tissue=0.3)
    cubes = sample_cubes(scan, config, "framework").cubes[list(SHOWN)]
    transforms, rng = genesis.TransformConfig(**RATES), np.random.default_rng(7)
    pair = genesis.genesis_pair(cubes[0, ..., np.newaxis], rng, transforms)
    network = genesis.build_unet3d(pair[0].shape, base_filters=8)
    genesis.transfer_weights(genesis.load_pretrained("genesis-small-ct"), network)
    restored = network.predict(pair[0][None], verbose=0)[0]
    arrays = [scale_to_unit(chest.array, -1000, 1000), *cubes]
    arrays += [cube[..., 0] for cube in (*pair, restored)]
    return [plane_slice(array, "axial") for array in arrays]


def write(axes, x: float, y: float, text: str, **options) -> None:
    usual = {"ha": "center", "va": "center", "color": INK, "fontsize": 13}
    axes.text(x, y, text, **(usual | options))


def tile(axes, image: np.ndarray, x: float, y: float, side: float) -> None:
    """A grey image whose lower left corner is (x, y)."""
    axes.imshow(image, "gray", vmin=0, vmax=1, extent=(x, x + side, y, y + side))
    axes.add_patch(Rectangle((x, y), side, side, fill=False, ec=PALE, lw=0.8))


def block(axes, x, y, width, left, right, colour) -> None:
    """A block with edges of two heights; (x, y) is the middle of the left one."""
    corners = [(x, y - left / 2), (x, y + left / 2)]
    corners += [(x + width, y + right / 2), (x + width, y - right / 2)]
    axes.add_patch(Polygon(corners, fc=colour, ec=INK, lw=1))


def arrow(axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 14, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, color=INK, lw=1.3, **style))


def draw_network(axes, x: float, y: float, scale: float, decoder: bool = True) -> float:
    """Draws an encoder, and a decoder with skips between them; gives the right edge."""
    width, high, low, gap = 1.3 * scale, 1.6 * scale, 0.56 * scale, 0.14 * scale
    block(axes, x, y, width, high, low, TRAINED)
    write(axes, x + 0.45 * width, y, "encoder", fontsize=12)
    if not decoder:
        return x + width
    block(axes, x + width + gap, y, width, low, high, TRAINED)
    write(axes, x + 1.55 * width + gap, y, "decoder", fontsize=12)
    for share in (0.25, 0.5, 0.75):  # where the sloping edges are at this height
        level = y + (low + share * (high - low)) / 2
        ends = x + width * (1 - share), x + width * (1 + share) + gap
        axes.plot(ends, (level, level), color=PALE, lw=1)
    axes.plot((x + width, x + width + gap), (y, y), color=INK, lw=1.3)
    return x + 2 * width + gap


def draw_pretraining(axes, y: float = 4.6) -> None:
    scan, *cubes, deformed, original, restored = make_slices()
    write(axes, 0.25, 5.95, "Pre-training, without labels", ha="left", weight="bold")
    tile(axes, scan, 0.25, 2.8, 2.1)
    for number, cube in enumerate(cubes):
        tile(axes, cube, 3.05, 4.42 - 1.01 * number, 0.88)
    tile(axes, deformed, 4.63, 3.9, 1.4)
    tile(axes, original, 4.63, 2.4, 1.4)
    right = draw_network(axes, 6.66, y, 1.0)
    tile(axes, restored, right + 0.6, 3.9, 1.4)
    middle = right + 1.3
    for x, name in ((3.49, "cubes"), (5.33, "deformed"), (middle, "restored")):
        write(axes, x, 5.52, name)
    write(axes, 1.3, 5.12, "scans")
    write(axes, 5.33, 2.2, "original")
    write(axes, (6.66 + right) / 2, 5.62, "3D U-Net")
    for start, height in ((2.46, 3.85), (4.04, 3.85), (6.13, y), (right + 0.08, y)):
        arrow(axes, (start, height), (start + 0.46, height))
    block(axes, 6.75, 3.1, 2.56, 0.5, 0.5, "white")
    write(axes, 8.03, 3.1, "mean squared error")
    axes.plot((middle, middle), (3.84, 3.1), color=INK, lw=1.3)
    arrow(axes, (middle, 3.1), (9.36, 3.1))
    arrow(axes, (6.13, 3.1), (6.7, 3.1))


def draw_transfer(axes, y: float = 0.74) -> None:
    axes.plot((0.25, WIDTH - 0.25), (1.96, 1.96), color=PALE, lw=0.8)
    write(axes, 0.25, 1.66, "Transfer, with labels", ha="left", weight="bold")
    for x, colour, text in ((9.16, TRAINED, "pre-trained"), (10.95, NEW, "new")):
        block(axes, x, 1.66, 0.26, 0.2, 0.2, colour)
        write(axes, x + 0.36, 1.66, text, ha="left", fontsize=12)
    for x, decoder, kind, tasks in (
        (0.25, False, "classification", "NCC, ECC; in 2D DXC, IUC"),
        (6.66, True, "segmentation", "NCS, LCS, BMS"),
    ):
        x = draw_network(axes, x, y, 0.76, decoder)
        arrow(axes, (x + 0.06, y), (x + 0.42, y))
        block(axes, x + 0.48, y, 0.3, 0.7, 0.7, NEW)
        arrow(axes, (x + 0.84, y), (x + 1.2, y))
        write(axes, x + 1.3, y + 0.15, kind, ha="left")
        write(axes, x + 1.3, y - 0.15, tasks, ha="left", fontsize=12)


if __name__ == "__main__":
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white")
    page = figure.add_axes((0, 0, 1, 1))
    draw_pretraining(page)
    draw_transfer(page)
    page.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    page.set_axis_off()
    figure.savefig(Path(__file__).with_suffix(".png"), pil_kwargs={"optimize": True})
