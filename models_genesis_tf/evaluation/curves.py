"""Scores as curves: over the share of the labels, losses over training steps.

Plain numbers in, one PNG out. An arm has one colour and marker in all panels of a
figure, and in all figures that are given the same `arms`. What is None or nan is not
drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.figure_parts import (
    PALE,
    add_legend,
    arm_styles,
    check_filled,
    label_axes,
    numbers,
    panel_grid,
)
from models_genesis_tf.imaging.panels import save_figure


@dataclass(frozen=True)
class FractionCurve:
    """Scores of an arm over the share of the labels, a value for each share.

    Attributes:
      label: Of the arm.
      fractions: In (0, 1], in any order.
      means: In the unit of the axis.
      lows: Lower ends of the band.
      highs: Upper ends.
    """

    label: str
    fractions: tuple[float, ...]
    means: tuple[float | None, ...]
    lows: tuple[float | None, ...]
    highs: tuple[float | None, ...]


@dataclass(frozen=True)
class FractionPanel:
    """Curves over the share of the labels.

    Attributes:
      title: Above it.
      axis_label: What is measured, with its unit.
      curves: One or more.
    """

    title: str
    axis_label: str
    curves: tuple[FractionCurve, ...]


@dataclass(frozen=True)
class LearningCurve:
    """How the trials of an arm learned.

    Attributes:
      label: Of the arm.
      trials: Rising steps and the loss after each of them, for each trial; trials may
        differ in length.
    """

    label: str
    trials: tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class LearningPanel:
    """Losses over training steps.

    Attributes:
      title: Above it.
      axis_label: Which loss.
      curves: One or more.
    """

    title: str
    axis_label: str
    curves: tuple[LearningCurve, ...]


def fraction_curves(
    panels: Sequence[FractionPanel],
    path: str | Path,
    band: str,
    arms: Sequence[str] = (),
) -> None:
    """Draws scores over the share of the labels.

    Args:
      panels: One or more.
      path: PNG to write.
      band: What lies between `lows` and `highs`, such as "95 % interval over trials".
      arms: Labels in the order of their colours; others follow as they appear.

    Raises:
      InputError: If there is no panel or no curve in one, or a curve has not one value
        for each share.
    """
    save_figure(_fraction_figure(panels, band, arms), path)


def learning_curves(
    panels: Sequence[LearningPanel], path: str | Path, arms: Sequence[str] = ()
) -> None:
    """Draws the loss of every trial, and the median of those of an arm.

    Args:
      panels: One or more.
      path: PNG to write.
      arms: Labels in the order of their colours; others follow as they appear.

    Raises:
      InputError: If there is no panel or no curve in one, or a trial has not one loss
        for each step.
    """
    save_figure(_learning_figure(panels, arms), path)


# --- Curves over the share of the labels ---


def _fraction_figure(
    panels: Sequence[FractionPanel], band: str, arms: Sequence[str] = ()
) -> Figure:
    check_filled("chart of shares", (len(panel.curves) for panel in panels))
    styles = arm_styles(arms, (curve.label for one in panels for curve in one.curves))
    figure, grid = panel_grid(len(panels), 4.0, 3.4)
    for axes, panel in zip(grid, panels, strict=True):
        for curve in panel.curves:
            _draw_fractions(axes, curve, *styles[curve.label])
        shares = {share for curve in panel.curves for share in curve.fractions}
        _set_share_axis(axes, sorted(100 * share for share in shares))
        x_label = "share of labelled training patients (%)"
        label_axes(axes, panel.title, x_label, panel.axis_label)
    handles = _arm_handles(styles)
    add_legend(figure, [*handles, Patch(color="0.5", alpha=0.25, label=band)])
    return figure


def _draw_fractions(axes, curve: FractionCurve, colour: str, marker: str) -> None:
    columns = (curve.fractions, curve.means, curve.lows, curve.highs)
    if len(set(map(len, columns))) != 1:
        raise InputError(
            "a curve has a mean and a band for each share. "
            f"Received: {tuple(map(len, columns))} values of {curve.label}"
        )
    table = np.stack([numbers(column) for column in columns])
    table = table[:, np.argsort(table[0])]
    table = table[:, np.isfinite(table[1])]
    shares, means, lows, highs = 100 * table[0], *table[1:]
    axes.fill_between(shares, lows, highs, color=colour, alpha=0.18, linewidth=0)
    # Alone, a point has a band without a width.
    axes.vlines(shares, lows, highs, color=colour, alpha=0.4, linewidth=1)
    axes.plot(shares, means, color=colour, marker=marker, markersize=5.5, linewidth=1.8)


def _set_share_axis(axes, shares: Sequence[float]) -> None:
    """Takes the scale, linear or logarithmic, that sets the shares further apart."""
    linear, logarithmic = _relative_places(shares), _relative_places(np.log(shares))
    places = linear
    if np.diff(logarithmic).min(initial=1) > np.diff(linear).min(initial=1):
        axes.set_xscale("log")
        places = logarithmic
    # From the right, those that are not too near to the one named before.
    named = []
    for share, place in zip(reversed(shares), places[::-1], strict=True):
        if not named or named[-1][1] - place > 0.11:
            named.append((share, place))
    shown = {share for share, _ in named}
    names = [f"{share:g}" if share in shown else "" for share in shares]
    axes.update_datalim([(share, 0) for share in shares], updatey=False)
    axes.autoscale_view()
    axes.set_xticks(shares, names)
    axes.xaxis.set_minor_locator(NullLocator())


def _relative_places(values: Sequence[float]) -> np.ndarray:
    """Where rising values lie between the first, 0, and the last, 1."""
    return (np.array(values) - values[0]) / (np.ptp(values) or 1)


def _arm_handles(styles) -> list[Line2D]:
    return [
        Line2D([], [], color=colour, marker=marker, linewidth=1.8, label=label)
        for label, (colour, marker) in styles.items()
    ]


# --- Losses over steps ---


def _learning_figure(
    panels: Sequence[LearningPanel], arms: Sequence[str] = ()
) -> Figure:
    check_filled("chart of learning", (len(panel.curves) for panel in panels))
    styles = arm_styles(arms, (curve.label for one in panels for curve in one.curves))
    figure, grid = panel_grid(len(panels), 4.0, 3.2)
    for axes, panel in zip(grid, panels, strict=True):
        for curve in panel.curves:
            _draw_learning(axes, curve, *styles[curve.label])
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        label_axes(axes, panel.title, "training steps", panel.axis_label)
    handles = _arm_handles(styles)
    handles += [
        Line2D([], [], color=PALE, linewidth=0.8, label="one trial"),
        Line2D([], [], color=PALE, linewidth=2.2, label="median while all trials run"),
    ]
    add_legend(figure, handles)
    return figure


def _draw_learning(axes, curve: LearningCurve, colour: str, marker: str) -> None:
    trials = []
    for steps, losses in curve.trials:
        steps, losses = numbers(steps), numbers(losses)
        if len(steps) != len(losses):
            raise InputError(
                "a trial has a loss for each step. "
                f"Received: {len(steps)} steps, {len(losses)} losses of {curve.label}"
            )
        known = np.isfinite(losses)
        if known.any():
            trials.append((steps[known], losses[known]))
    for steps, losses in trials:
        # A line through one point is none.
        lone = "." if len(steps) == 1 else ""
        axes.plot(steps, losses, lone + "-", color=colour, alpha=0.45, linewidth=0.8)
    steps, median = _median_curve(trials)
    marks = {"marker": marker, "markevery": max(1, len(steps) // 6), "markersize": 5}
    axes.plot(steps, median, color=colour, linewidth=2.2, **marks)


def _median_curve(trials: Sequence[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """The median where every trial has a loss, interpolated between its steps."""
    if not trials:
        return np.empty(0), np.empty(0)
    first = max(steps[0] for steps, _ in trials)
    last = min(steps[-1] for steps, _ in trials)
    steps = np.unique(np.concatenate([steps for steps, _ in trials]))
    steps = steps[(first <= steps) & (steps <= last)]
    losses = [np.interp(steps, *trial) for trial in trials]
    return steps, np.median(losses, axis=0)
