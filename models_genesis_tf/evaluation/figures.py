"""Scores as pictures: bars with marks, gains with intervals, curves.

Plain numbers in, one PNG out. An arm has one colour and marker in all panels of a
figure, and in all figures that are given the same `arms`. What is None or nan is not
drawn.
"""

import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.statistics import Summary, summarise
from models_genesis_tf.imaging.panels import save_figure

# Grey for what others are compared with, then Paul Tol's "muted" scheme, which people
# of every kind of colour vision can tell apart.
_COLOURS = (
    *("#666666", "#332288", "#CC6677", "#117733", "#88CCEE"),
    *("#882255", "#DDCC77", "#AA4499", "#44AA99", "#999933"),
)
_MARKERS = "osD^vP*"
_INK, _PALE = "0.15", "0.55"
_POINT = {"linestyle": ""}
_DOT = _POINT | {"marker": "o", "markersize": 4.5, "markeredgecolor": "white"}
_DIAMOND = _POINT | {"marker": "D", "color": "0.35", "markerfacecolor": "white"}
_SQUARE = _POINT | {"marker": "s", "color": _COLOURS[1], "markersize": 7}
_HOLLOW = _POINT | {"marker": "s", "color": _PALE, "markerfacecolor": "white"}
_FONT, _TITLE_FONT = 9.5, 11
_MAX_COLUMNS, _MAX_WIDTH = 4, 12.5  # of panels, in inches
_LETTER, _LINE = 0.075, 0.16  # size of a letter and of a line of text in inches
_LABEL_LETTERS, _AXIS_LETTERS, _NAME_LETTERS = 42, 36, 36  # until a text is wrapped
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


# --- What the figures share ---


def _check_filled(kind: str, counts: Iterable[int]) -> None:
    counts = list(counts)
    if not counts or not all(counts):
        raise InputError(
            f"a {kind} has one panel or more, and something in each. "
            f"Received: {len(counts)} panels with {counts}"
        )


def _styles(arms: Sequence[str], labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of the arms that are drawn, in the order of `arms`."""
    labels = list(labels)
    ordered = dict.fromkeys((*arms, *labels))
    styles = {
        label: (_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)])
        for i, label in enumerate(ordered)
    }
    return {label: style for label, style in styles.items() if label in labels}


def _panels(count: int, width: float, height: float) -> tuple[Figure, list]:
    """A figure with panels of a size in inches, in rows of equal length."""
    fitting = max(1, min(_MAX_COLUMNS, int(_MAX_WIDTH / width)))
    rows = math.ceil(count / fitting)
    columns = math.ceil(count / rows)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for left_over in axes[count:]:
        left_over.remove()
    return figure, list(axes[:count])


def _label_axes(axes, title: str, x_label: str, y_label: str, pad: float = 6) -> None:
    """Texts and lines of a panel; long texts are wrapped to its size."""
    width = axes.figure.get_size_inches()[0] / axes.get_gridspec().ncols
    title = _wrap(title, int(0.8 * width / _LETTER))
    axes.set_title(title, fontsize=_TITLE_FONT, pad=pad)
    axes.set_xlabel(x_label, fontsize=_FONT)
    axes.set_ylabel(_wrap(y_label, _AXIS_LETTERS), fontsize=_FONT)
    axes.tick_params(labelsize=_FONT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def _wrap(text: str, letters: int) -> str:
    return "\n".join(textwrap.fill(line, letters) for line in text.splitlines())


def _longest_line(texts: Iterable[str]) -> int:
    return max((len(line) for text in texts for line in text.splitlines()), default=0)


def _most_lines(texts: Iterable[str]) -> int:
    return max(text.count("\n") + 1 for text in texts)


def _add_legend(figure: Figure, handles: Sequence) -> None:
    """Puts a legend below the panels and makes the figure taller by it."""
    labels = [_wrap(handle.get_label(), _LABEL_LETTERS) for handle in handles]
    entries = [_LETTER * _longest_line([label]) + 0.7 for label in labels]
    width, height = figure.get_size_inches()
    width = max(width, *entries)
    columns = len(labels)
    if sum(entries) > width:
        columns = int(width / max(entries))
    rows = math.ceil(len(labels) / columns)
    legend_height = 0.1 + 1.3 * _LINE * _most_lines(labels) * rows
    figure.set_size_inches(width, height + legend_height)
    place = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(handles, labels, fontsize=_FONT, **place)


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    return np.array(list(values), dtype=float)  # None becomes nan


# --- Bars ---


def _bar_figure(panels: Sequence[BarPanel], arms: Sequence[str] = ()) -> Figure:
    _check_filled("bar chart", (len(panel.arms) for panel in panels))
    for panel in panels:
        _check_marks(panel)
    styles = _styles(arms, (arm.label for panel in panels for arm in panel.arms))
    slots = max(len(panel.arms) for panel in panels)
    names, width, height, slanted = _lay_out_names(list(styles), slots)
    height += _LEVEL * max(max(_levels(panel.marks), default=0) for panel in panels)
    figure, grid = _panels(len(panels), width, height)
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
    face = {"facecolor": "0.85", "edgecolor": _PALE}
    handles = [
        Patch(label="mean ± standard deviation", **face),
        Line2D([], [], label="one trial", color="0.35", **_DOT),
    ]
    if any(arm.published for panel in panels for arm in panel.arms):
        label = "published mean ± standard deviation"
        handles.append(Line2D([], [], label=label, **_DIAMOND))
    _add_legend(figure, handles)
    return figure


def _lay_out_names(
    labels: Sequence[str], slots: int
) -> tuple[dict[str, str], float, float, bool]:
    """Wrapped names of bars, a panel's width and height in inches, whether they slant.

    Names stand upright where a panel of moderate width has room for them.
    """
    width = 1.0 + slots * max(0.5, _LETTER * _longest_line(labels) + 0.1)
    if width <= _UPRIGHT_WIDTH:
        return dict(zip(labels, labels, strict=True)), max(2.6, width), 3.2, False
    names = {label: _wrap(label, _NAME_LETTERS) for label in labels}
    # Slanted lines of neighbours are apart by 0.7 of what the bars are.
    slot = max(0.5, _LINE * _most_lines(names.values()) / 0.7)
    height = 3.2 + 0.7 * _LETTER * _longest_line(names.values())
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
    _label_axes(axes, panel.title, "", y_label, pad)
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
    ends = _numbers(ends)
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
    finite = _numbers(values)
    finite = finite[np.isfinite(finite)]
    return summarise(finite) if finite.size else Summary(math.nan, math.nan, 0)


def _draw_bar(axes, place: int, arm: ArmScores, colour: str) -> None:
    summary = _summarise(arm.values)
    if summary.n:
        face = to_rgba(colour, 0.4)
        axes.bar(place, summary.mean, 2 * _BAR, color=face, edgecolor=colour)
        half = 0.6 * _BAR if len(arm.values) > 1 else 0
        spread = place + np.linspace(-half, half, len(arm.values))
        axes.plot(spread, _numbers(arm.values), color=colour, **_DOT)
    if summary.n > 1:
        _draw_deviation(axes, place, summary.mean, summary.sd, _INK)
    if arm.published:
        beside = place + _PUBLISHED_AT
        _draw_deviation(axes, beside, *arm.published, _PALE)
        axes.plot(beside, arm.published[0], **_DIAMOND)


def _draw_deviation(axes, x: float, mean: float, sd: float, colour: str) -> None:
    axes.errorbar(x, mean, sd, color=colour, capsize=3, linewidth=1.3)


def _mark_foot(axes, place: int, arm: ArmScores, cut: bool) -> None:
    """Says that there is no bar, or by a white gap that its length is not its score."""
    transform = axes.get_xaxis_transform()
    if not _summarise(arm.values).n:
        text = {"ha": "center", "color": _PALE, "fontsize": _FONT}
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
    line = {"color": _INK, "linewidth": 1, "clip_on": False}
    axes.plot([left, left, right, right], heights, **line, **strip)
    text = {"ha": "center", "va": "bottom", "fontsize": _FONT}
    axes.text((left + right) / 2, height, mark.text, **text, **strip)


# --- Differences ---


def _forest_figure(
    rows: Sequence[ForestRow], axis_label: str, favours: tuple[str, str]
) -> Figure:
    if not rows:
        raise InputError("a forest plot has one row or more. Received: none")
    labels, notes = (
        [_wrap(text, _LABEL_LETTERS) for text in texts]
        for texts in ((row.label for row in rows), (row.note for row in rows))
    )
    width = 4.5 + _LETTER * (_longest_line(labels) + _longest_line(notes))
    row_height = 0.3 + _LINE * _most_lines(labels + notes)
    figure = Figure((width, 1.1 + row_height * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        _draw_row(axes, place, row)
    _dress_forest(axes, labels, notes, axis_label, favours)
    handles = [Line2D([], [], label="difference, 95 % interval", **_SQUARE)]
    if any(row.published for row in rows):
        handles.append(Line2D([], [], label="published", **_HOLLOW))
    _add_legend(figure, handles)
    return figure


def _draw_row(axes, place: int, row: ForestRow) -> None:
    above = place - (0.14 if row.published else 0)
    difference, low, high = _numbers((row.difference, row.low, row.high))
    axes.plot([low, high], [above, above], color=_SQUARE["color"], linewidth=1.8)
    axes.plot(difference, above, **_SQUARE)
    if row.published:
        below = place + 0.2
        difference, low, high = _numbers(row.published)
        axes.plot([low, high], [below, below], color=_PALE, linewidth=1.3)
        axes.plot(difference, below, **_HOLLOW)


def _dress_forest(axes, labels, notes, axis_label: str, favours) -> None:
    axes.axvline(0, color=_INK, linewidth=1)
    axes.margins(x=0.08)  # the line at 0 counts among what has to be in sight
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(labelsize=_FONT)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    beside, below = axes.get_yaxis_transform(), axes.get_xaxis_transform()
    for place, note in enumerate(notes):
        axes.text(1.02, place, note, transform=beside, va="center", fontsize=_FONT)
    text = {"xycoords": below, "textcoords": "offset points", "fontsize": _FONT}
    left, right = {"ha": "right", "va": "top"}, {"ha": "left", "va": "top"}
    axes.annotate(f"← {favours[0]}", (0, 0), (-8, -22), **left, **text)
    axes.annotate(f"{favours[1]} →", (0, 0), (8, -22), **right, **text)
    axes.set_xlabel(axis_label, fontsize=_FONT, labelpad=20)


# --- Curves over the share of the labels ---


def _fraction_figure(
    panels: Sequence[FractionPanel], band: str, arms: Sequence[str] = ()
) -> Figure:
    _check_filled("chart of shares", (len(panel.curves) for panel in panels))
    styles = _styles(arms, (curve.label for one in panels for curve in one.curves))
    figure, grid = _panels(len(panels), 4.0, 3.4)
    for axes, panel in zip(grid, panels, strict=True):
        for curve in panel.curves:
            _draw_fractions(axes, curve, *styles[curve.label])
        shares = {share for curve in panel.curves for share in curve.fractions}
        _set_share_axis(axes, sorted(100 * share for share in shares))
        x_label = "share of labelled training patients (%)"
        _label_axes(axes, panel.title, x_label, panel.axis_label)
    handles = _arm_handles(styles)
    _add_legend(figure, [*handles, Patch(color="0.5", alpha=0.25, label=band)])
    return figure


def _draw_fractions(axes, curve: FractionCurve, colour: str, marker: str) -> None:
    columns = (curve.fractions, curve.means, curve.lows, curve.highs)
    if len(set(map(len, columns))) != 1:
        raise InputError(
            "a curve has a mean and a band for each share. "
            f"Received: {tuple(map(len, columns))} values of {curve.label}"
        )
    table = np.stack([_numbers(column) for column in columns])
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
    _check_filled("chart of learning", (len(panel.curves) for panel in panels))
    styles = _styles(arms, (curve.label for one in panels for curve in one.curves))
    figure, grid = _panels(len(panels), 4.0, 3.2)
    for axes, panel in zip(grid, panels, strict=True):
        for curve in panel.curves:
            _draw_learning(axes, curve, *styles[curve.label])
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        _label_axes(axes, panel.title, "training steps", panel.axis_label)
    handles = _arm_handles(styles)
    handles += [
        Line2D([], [], color=_PALE, linewidth=0.8, label="one trial"),
        Line2D([], [], color=_PALE, linewidth=2.2, label="median while all trials run"),
    ]
    _add_legend(figure, handles)
    return figure


def _draw_learning(axes, curve: LearningCurve, colour: str, marker: str) -> None:
    trials = []
    for steps, losses in curve.trials:
        steps, losses = _numbers(steps), _numbers(losses)
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
