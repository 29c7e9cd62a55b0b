"""One figure of a scan: its cubes under each transform, and which cubes are taken.

Axial slices are cubes of one slice; transforms see them without that axis.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from models_genesis_tf.config import CubeConfig, TransformConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import acceptance, cube_sampling, panels, windows
from models_genesis_tf.imaging.volumes import Volume
from models_genesis_tf.transforms.nonlinear import (
    IntensityCurve,
    apply_nonlinear,
    draw_nonlinear,
)
from models_genesis_tf.transforms.painting import inpainting, outpainting
from models_genesis_tf.transforms.shuffling import shuffling

_STREAM = 7
_CURVES = 3  # of each direction
_FAINT_CURVES = 30
_SHOWN = 7  # cubes in a row
_TRIES = 2000
_CURVE_COLOURS = ("tab:blue", "tab:green", "tab:purple")
_ACCEPTED, _REJECTED = "limegreen", "tomato"


def save_preview(
    volume: Volume,
    path: str | Path,
    cube_config: CubeConfig,
    transforms: TransformConfig,
    seed: int = 0,
) -> str:
    """Draws a scan's cubes under the transforms, and cubes taken and left.

    Args:
      volume: The scan.
      path: PNG file to write.
      cube_config: Which cubes are cut.
      transforms: Rates and sizes of the transforms.
      seed: Of every draw.

    Returns:
      How the scan is treated: rule, window, share of windows taken.

    Raises:
      InputError: If no window of the scan is accepted.
    """
    rng = np.random.default_rng([seed, _STREAM])
    array = volume.array
    rule = acceptance.make_rule(array, cube_config)
    window = cube_sampling.choose_window(array, cube_config, rule)
    low, high = windows.intensity_range(array, window)
    accepted, rejected, share = _judge_windows(array, rule, rng)
    size = cube_config.cube_size

    def cube_at(start: tuple[int, int, int]) -> np.ndarray:
        cube = cube_sampling.cut(array, rule, start, size, (low, high))
        return (cube[:, :, 0] if cube_config.takes_slices else cube)[..., np.newaxis]

    # The one with the most to see.
    cube = max(map(cube_at, accepted), key=lambda cube: _axial(cube).std())
    figure = Figure(figsize=(13, 8.6), layout="constrained")
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=(1, 1, 1.05))
    _draw_transforms(top, cube, transforms, rng)
    _draw_curves(middle, cube, transforms, rng)
    _draw_cubes(
        bottom,
        volume,
        rule,
        accepted,
        rejected,
        (low, high),
        cube_at,
    )
    panels.save_figure(figure, path)
    return (
        f"rule {rule.name}, window {window.name} ({low:g} to {high:g}), "
        f"{share:.0%} of windows accepted"
    )


def _judge_windows(array, rule, rng):
    """Draws windows until both kinds fill a row; gives them and the share taken."""
    depth = rule.size[2]
    looked_at = cube_sampling.looked_at_size(rule)
    kinds: dict[bool, list[tuple[int, int, int]]] = {True: [], False: []}
    for _ in range(_TRIES):
        start = cube_sampling.draw_start(rule, rng)
        window = cube_sampling.crop(array, start, looked_at, -np.inf)
        kinds[bool(acceptance.accepts(rule, window, depth))].append(start)
        if min(map(len, kinds.values())) >= 3 * _SHOWN:
            break
    if not kinds[True]:
        raise InputError(
            f"a preview takes a scan with accepted windows. Received: none in {_TRIES} "
            f"draws under acceptance={rule.name}"
        )
    share = len(kinds[True]) / sum(map(len, kinds.values()))
    return list(dict.fromkeys(kinds[True])), list(dict.fromkeys(kinds[False])), share


def _axial(cube: np.ndarray) -> np.ndarray:
    return panels.plane_slice(cube[..., 0], "axial")


def _draw_transforms(figure, cube: np.ndarray, config: TransformConfig, rng) -> None:
    """One slice as it is and under each transform, then under several together."""
    increasing, inverted = (_draw_curve(rng, config, up) for up in (True, False))
    together = outpainting(
        apply_nonlinear(shuffling(cube, rng, config), increasing), rng, config
    )
    shown = {
        "original": cube,
        "non-linear": apply_nonlinear(cube, increasing),
        "non-linear, inverted": apply_nonlinear(cube, inverted),
        "local shuffling": shuffling(cube, rng, config),
        "in-painting": _inpainting_in_sight(cube, rng, config),
        "out-painting": outpainting(cube, rng, config),
        "shuffling, non-linear,\nout-painting": together,
    }
    what = "cube under each transform, axial slice"
    if cube.ndim == 3:
        what = "slice under each transform"
    figure.suptitle(f"One {what}", fontsize=11)
    for axes, (title, deformed) in zip(
        figure.subplots(1, _SHOWN), shown.items(), strict=True
    ):
        panels.draw_slice(axes, _axial(deformed), title)


def _inpainting_in_sight(cube: np.ndarray, rng, config: TransformConfig) -> np.ndarray:
    """Draws until a window crosses the slice that is shown."""
    while True:
        painted = inpainting(cube, rng, config)
        if (_axial(painted) != _axial(cube)).any():
            return painted


def _draw_curves(figure, cube: np.ndarray, config: TransformConfig, rng) -> None:
    """The chart of some intensity maps, and the slice under each of them."""
    figure.suptitle("Intensity maps and what they do to the slice", fontsize=11)
    chart, pictures = figure.subfigures(1, 2, width_ratios=(1, 2.9))
    axes = chart.subplots()
    axes.set_xlabel("intensity in", fontsize=8)
    axes.set_ylabel("intensity out", fontsize=8)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)
    ramp = np.linspace(0, 1, 512, dtype=np.float32)
    for _ in range(_FAINT_CURVES):
        curve = draw_nonlinear((), rng, config)
        axes.plot(ramp, apply_nonlinear(ramp, curve), color="0.85", linewidth=0.7)
    grid = pictures.subplots(1, 2 * _CURVES)
    for number, place in enumerate(grid):
        colour, rising = _CURVE_COLOURS[number % _CURVES], number < _CURVES
        curve = _draw_curve(rng, config, rising)
        style = "-" if rising else "--"
        axes.plot(ramp, apply_nonlinear(ramp, curve), style, color=colour)
        axes.plot(curve.x[1:3], curve.y[1:3], "o", color=colour, markersize=3)
        mapped = apply_nonlinear(cube, curve)
        title = f"{'increasing' if rising else 'inverted'} {number % _CURVES + 1}"
        panels.draw_slice(place, _axial(mapped), title)
        place.title.set_color(colour)
    axes.set_title("dots: control points", fontsize=8)


def _draw_curve(rng, config: TransformConfig, increasing: bool) -> IntensityCurve:
    """Draws curves until one has the direction wanted."""
    while True:
        curve = draw_nonlinear((), rng, config)
        if (curve.y[0] < curve.y[-1]) == increasing:
            return curve


def _draw_cubes(
    figure, volume: Volume, rule, accepted, rejected, bounds, cube_at
) -> None:
    """The scan with windows on it, and cubes taken and left beside it."""
    what = "Slices" if rule.size[2] == 1 else "Cubes"
    figure.suptitle(f"{what} taken and left under rule {rule.name}", fontsize=11)
    scan, cubes = figure.subfigures(1, 2, width_ratios=(1, 2.9))
    axes = scan.subplots()
    middle = volume.array.shape[1] // 2
    plane = windows.scale_to_unit(volume.array[:, middle, ::-1].T, *bounds)
    aspect = volume.spacing[2] / volume.spacing[0]
    panels.draw_slice(axes, plane, "coronal, windows that cross it", aspect)
    for starts, colour in ((rejected, _REJECTED), (accepted, _ACCEPTED)):
        size = rule.size
        crossing = [s for s in starts if s[1] <= middle < s[1] + size[1]][:_SHOWN]
        for x, _, z in crossing:
            top = volume.array.shape[2] - z - size[2]
            axes.add_patch(
                Rectangle((x, top), size[0], size[2], fill=False, edgecolor=colour)
            )
    grid = cubes.subplots(2, _SHOWN)
    rows = ((accepted, "accepted", _ACCEPTED), (rejected, "rejected", _REJECTED))
    for row, (starts, name, colour) in zip(grid, rows, strict=True):
        row[0].set_ylabel(name, fontsize=10, color=colour)
        for place, start in zip(row, starts, strict=False):
            cube = cube_at(start)[..., 0]
            crop = cube_sampling.crop(volume.array, start, rule.size, -np.inf)
            share = acceptance.tissue_fraction(rule, crop)
            title = f"tissue {share:.0%}"
            panels.draw_slice(place, panels.plane_slice(cube, "axial"), title)
        for place in row[len(starts) :]:
            place.set_axis_off()
        if not starts:
            row[0].set_title(f"none {name}", fontsize=9)
