"""Scores as pictures: bars with marks, gains with intervals.

Plain numbers in, one PNG out. An arm has one colour and marker in all panels of a
figure, and in all figures that are given the same `arms`. What is None or nan is not
drawn.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.figure_parts import (
    COLOURS,
    FONT,
    INK,
    LABEL_LETTERS,
    LETTER,
    LINE,
    PALE,
    add_legend,
    arm_styles,
    check_filled,
    label_axes,
    longest_line,
    most_lines,
    numbers,
    panel_grid,
    wrap,
)
from models_genesis_tf.evaluation.statistics import Summary, summarise
from models_genesis_tf.imaging.panels import save_figure

_POINT = {"linestyle": ""}
_DOT = _POINT | {"marker": "o", "markersize": 4.5, "markeredgecolor": "white"}
_DIAMOND = _POINT | {"marker": "D", "color": "0.35", "markerfacecolor": "white"}
_SQUARE = _POINT | {"marker": "s", "color": COLOURS[1], "markersize": 7}
_HOLLOW = _POINT | {"marker": "s", "color": PALE, "markerfacecolor": "white"}
_NAME_LETTERS = 36  # of a bar until it is wrapped
_BAR = 0.28  # half a bar's width; bars stand 1 apart
_PUBLISHED_AT = 0.42
_UPRIGHT_WIDTH = 4.2  # of panels up to which names of bars stand upright, in inches
_LEVEL = 0.23  # from one bracket to the next in inches


@dataclass(frozen=True)
class ArmScores:
    """A bar.

    Attributes:
      label: Of the arm.
      values: The score of each trial, in the unit of the axis.
      published: Mean and standard deviation in the same unit, or None.
    """

    label: str
    values: tuple[float | None, ...]
    published: tuple[float, float] | None = None


@dataclass(frozen=True)
class Mark:
    """A bracket that joins two bars.

    Attributes:
      first: Place of a bar in its panel, from 0.
      second: Place of another.
      text: "*" to "****" or "n.s.".
    """

    first: int
    second: int
    text: str


@dataclass(frozen=True)
class BarPanel:
    """Bars on one axis.

    Attributes:
      title: Above it.
      axis_label: What is measured, with its unit.
      arms: The bars from left to right, one or more.
      marks: Brackets above them.
    """

    title: str
    axis_label: str
    arms: tuple[ArmScores, ...]
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class ForestRow:
    """A difference with its interval.

    Attributes:
      label: What is compared, at the left.
      difference: In the unit of the axis.
      low: Lower end of the 95 % interval.
      high: Upper end.
      note: At the right.
      published: Difference, lower and upper end that were published, or None.
    """

    label: str
    difference: float | None
    low: float | None
    high: float | None
    note: str = ""
    published: tuple[float, float, float] | None = None


def bar_chart(
    panels: Sequence[BarPanel], path: str | Path, arms: Sequence[str] = ()
) -> None:
    """Draws means, standard deviations and trials of arms side by side.

    The axis starts at 0 where that leaves the differences in sight; elsewhere bars are
    cut, visibly, and the axis says where it starts.

    Args:
      panels: One or more.
      path: PNG to write.
      arms: Labels in the order of their colours; others follow as they appear.

    Raises:
      InputError: If there is no panel or no arm in one, or a mark joins no two bars.
    """
    save_figure(_bar_figure(panels, arms), path)


def forest_plot(
    rows: Sequence[ForestRow],
    axis_label: str,
    path: str | Path,
    favours: tuple[str, str] = ("favours scratch", "favours pre-trained"),
) -> None:
    """Draws differences with their intervals beneath one another.

    Args:
      rows: From top to bottom, one or more.
      axis_label: What the differences are, with their unit.
      path: PNG to write.
      favours: What stands below the axis on the left and on the right of 0.

    Raises:
      InputError: If there is no row.
    """
    save_figure(_forest_figure(rows, axis_label, favours), path)


# --- Bars ---


def _bar_figure(panels: Sequence[BarPanel], arms: Sequence[str] = ()) -> Figure:
    check_filled("bar chart", (len(panel.arms) for panel in panels))
    for panel in panels:
        _check_marks(panel)
    styles = arm_styles(arms, (arm.label for panel in panels for arm in panel.arms))
    slots = max(len(panel.arms) for panel in panels)
    names, width, height, slanted = _lay_out_names(list(styles), slots)
    height += _LEVEL * max(max(_levels(panel.marks), default=0) for panel in panels)
    figure, grid = panel_grid(len(panels), width, height)
    for axes, panel in zip(grid, panels, strict=True):
        _draw_bar_panel(axes, panel, styles)
        # Bars of panels with few of them are no wider than twice those of others.
        count = len(panel.arms)
        spare = max(0, slots / 2 - count) / 2
        axes.set_xlim(-0.6 - spare, count - 0.4 + spare)
        axes.set_xticks(range(count), [names[arm.label] for arm in panel.arms])
        if slanted:
            for name in axes.get_xticklabels():
                name.set(rotation=45, ha="right", rotation_mode="anchor")
    face = {"facecolor": "0.85", "edgecolor": PALE}
    handles = [
        Patch(label="mean ± standard deviation", **face),
        Line2D([], [], label="one trial", color="0.35", **_DOT),
    ]
    if any(arm.published for panel in panels for arm in panel.arms):
        label = "published mean ± standard deviation"
        handles.append(Line2D([], [], label=label, **_DIAMOND))
    add_legend(figure, handles)
    return figure


def _lay_out_names(
    labels: Sequence[str], slots: int
) -> tuple[dict[str, str], float, float, bool]:
    """Wrapped names of bars, a panel's width and height in inches, whether they slant.

    Names stand upright where a panel of moderate width has room for them.
    """
    width = 1.0 + slots * max(0.5, LETTER * longest_line(labels) + 0.1)
    if width <= _UPRIGHT_WIDTH:
        return dict(zip(labels, labels, strict=True)), max(2.6, width), 3.2, False
    names = {label: wrap(label, _NAME_LETTERS) for label in labels}
    # Slanted lines of neighbours are apart by 0.7 of what the bars are.
    slot = max(0.5, LINE * most_lines(names.values()) / 0.7)
    height = 3.2 + 0.7 * LETTER * longest_line(names.values())
    return names, max(2.6, 1.0 + slot * slots), height, True


def _check_marks(panel: BarPanel) -> None:
    for mark in panel.marks:
        places = {mark.first, mark.second}
        if len(places) < 2 or not places <= set(range(len(panel.arms))):
            raise InputError(
                f"a mark joins two of {len(panel.arms)} bars, counted from 0. "
                f"Received: {mark.first} and {mark.second}"
            )


def _draw_bar_panel(axes, panel: BarPanel, styles) -> None:
    ticks, top = _score_axis(panel)
    axes.set_ylim(ticks[0], top)
    axes.set_yticks(ticks)
    y_label = panel.axis_label
    if ticks[0] > 0:
        y_label += f"\n(axis starts at {ticks[0]:g})"
    for place, arm in enumerate(panel.arms):
        _draw_bar(axes, place, arm, styles[arm.label][0])
        _mark_foot(axes, place, arm, cut=ticks[0] > 0)
    levels = _levels(panel.marks)
    pad = 6 + 72 * _LEVEL * (max(levels, default=-1) + 1)
    label_axes(axes, panel.title, "", y_label, pad)
    for mark, level in zip(panel.marks, levels, strict=True):
        _draw_bracket(axes, mark, level)


def _score_axis(panel: BarPanel) -> tuple[np.ndarray, float]:
    """Ticks and upper end; the axis starts at the first tick.

    This is 0, or below the lowest score where 0 is far from all of them.
    """
    ends = []
    for arm in panel.arms:
        summary = _summarise(arm.values)
        pairs = [(summary.mean, summary.sd), arm.published or (math.nan, math.nan)]
        ends += [*arm.values, *(mean for mean, _ in pairs)]
        ends += [mean + side * sd for mean, sd in pairs for side in (-1, 1)]
    ends = numbers(ends)
    ends = ends[np.isfinite(ends)]
    low, high = (ends.min(), ends.max()) if ends.size else (0, 1)
    # Of scores that are all but the same, no difference is blown up.
    start = low - 0.5 * max(high - low, 0.04 * high)
    if low == high or start < 0.4 * high:
        start, high = min(low, 0), max(high, 0)
        high = high if high > start else 1
    top = high + 0.05 * (high - start)
    ticks = MaxNLocator(6).tick_values(start, top)
    return ticks[ticks <= top], top


def _summarise(values: Sequence[float | None]) -> Summary:
    finite = numbers(values)
    finite = finite[np.isfinite(finite)]
    return summarise(finite) if finite.size else Summary(math.nan, math.nan, 0)


def _draw_bar(axes, place: int, arm: ArmScores, colour: str) -> None:
    summary = _summarise(arm.values)
    if summary.n:
        face = to_rgba(colour, 0.4)
        axes.bar(place, summary.mean, 2 * _BAR, color=face, edgecolor=colour)
        half = 0.6 * _BAR if len(arm.values) > 1 else 0
        spread = place + np.linspace(-half, half, len(arm.values))
        axes.plot(spread, numbers(arm.values), color=colour, **_DOT)
    if summary.n > 1:
        _draw_deviation(axes, place, summary.mean, summary.sd, INK)
    if arm.published:
        beside = place + _PUBLISHED_AT
        _draw_deviation(axes, beside, *arm.published, PALE)
        axes.plot(beside, arm.published[0], **_DIAMOND)


def _draw_deviation(axes, x: float, mean: float, sd: float, colour: str) -> None:
    axes.errorbar(x, mean, sd, color=colour, capsize=3, linewidth=1.3)


def _mark_foot(axes, place: int, arm: ArmScores, cut: bool) -> None:
    """Says that there is no bar, or by a white gap that its length is not its score."""
    transform = axes.get_xaxis_transform()
    if not _summarise(arm.values).n:
        text = {"ha": "center", "color": PALE, "fontsize": FONT}
        axes.text(place, 0.02, "no\nscore", transform=transform, **text)
    elif cut:
        ends = [place - 1.2 * _BAR, place + 1.2 * _BAR]
        axes.plot(ends, [0.03, 0.07], transform=transform, color="white", linewidth=3)


def _levels(marks: Sequence[Mark]) -> list[int]:
    """How high each bracket stands: the short ones low, none on another."""
    levels = [0] * len(marks)
    placed: list[tuple[int, int, int]] = []
    ends = [sorted((mark.first, mark.second)) for mark in marks]
    for i in sorted(range(len(marks)), key=lambda i: (ends[i][1] - ends[i][0], i)):
        low, high = ends[i]
        taken = {level for a, b, level in placed if a < high and low < b}
        levels[i] = next(level for level in itertools.count() if level not in taken)
        placed.append((low, high, levels[i]))
    return levels


def _draw_bracket(axes, mark: Mark, level: int) -> None:
    """Draws in a strip between the axes and their title, where no score can lie."""
    inches = axes.figure.dpi_scale_trans + ScaledTranslation(0, 1, axes.transAxes)
    strip = {"transform": blended_transform_factory(axes.transData, inches)}
    left, right = sorted((mark.first, mark.second))
    left, right = left + 0.06, right - 0.06
    height = 0.08 + _LEVEL * level
    heights = [height - 0.05, height, height, height - 0.05]
    line = {"color": INK, "linewidth": 1, "clip_on": False}
    axes.plot([left, left, right, right], heights, **line, **strip)
    text = {"ha": "center", "va": "bottom", "fontsize": FONT}
    axes.text((left + right) / 2, height, mark.text, **text, **strip)


# --- Differences ---


def _forest_figure(
    rows: Sequence[ForestRow], axis_label: str, favours: tuple[str, str]
) -> Figure:
    if not rows:
        raise InputError("a forest plot has one row or more. Received: none")
    labels, notes = (
        [wrap(text, LABEL_LETTERS) for text in texts]
        for texts in ((row.label for row in rows), (row.note for row in rows))
    )
    width = 4.5 + LETTER * (longest_line(labels) + longest_line(notes))
    row_height = 0.3 + LINE * most_lines(labels + notes)
    figure = Figure((width, 1.1 + row_height * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        _draw_row(axes, place, row)
    _dress_forest(axes, labels, notes, axis_label, favours)
    handles = [Line2D([], [], label="difference, 95 % interval", **_SQUARE)]
    if any(row.published for row in rows):
        handles.append(Line2D([], [], label="published", **_HOLLOW))
    add_legend(figure, handles)
    return figure


def _draw_row(axes, place: int, row: ForestRow) -> None:
    above = place - (0.14 if row.published else 0)
    difference, low, high = numbers((row.difference, row.low, row.high))
    axes.plot([low, high], [above, above], color=_SQUARE["color"], linewidth=1.8)
    axes.plot(difference, above, **_SQUARE)
    if row.published:
        below = place + 0.2
        difference, low, high = numbers(row.published)
        axes.plot([low, high], [below, below], color=PALE, linewidth=1.3)
        axes.plot(difference, below, **_HOLLOW)


def _dress_forest(axes, labels, notes, axis_label: str, favours) -> None:
    axes.axvline(0, color=INK, linewidth=1)
    axes.margins(x=0.08)  # the line at 0 counts among what has to be in sight
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(labelsize=FONT)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    beside, below = axes.get_yaxis_transform(), axes.get_xaxis_transform()
    for place, note in enumerate(notes):
        axes.text(1.02, place, note, transform=beside, va="center", fontsize=FONT)
    text = {"xycoords": below, "textcoords": "offset points", "fontsize": FONT}
    left, right = {"ha": "right", "va": "top"}, {"ha": "left", "va": "top"}
    axes.annotate(f"← {favours[0]}", (0, 0), (-8, -22), **left, **text)
    axes.annotate(f"{favours[1]} →", (0, 0), (8, -22), **right, **text)
    axes.set_xlabel(axis_label, fontsize=FONT, labelpad=20)
