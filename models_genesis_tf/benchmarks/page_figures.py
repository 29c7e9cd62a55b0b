"""The figures of the page about speed."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from models_genesis_tf.benchmarks.page_numbers import format_number
from models_genesis_tf.evaluation.figure_parts import COLOURS, FONT, INK, wrap
from models_genesis_tf.imaging.panels import save_figure

_ROW, _FRAME, _WIDTH = 0.36, 1.0, 7.0  # inches
_NAME_LETTERS = 32


@dataclass(frozen=True)
class Bars:
    """One bar for each thing that was timed.

    Attributes:
      title: Above them.
      axis_label: What is measured, with its unit.
      names: Of the bars, from top to bottom.
      values: Their lengths.
      references: Of each bar, whether it is what others are compared with; it is grey.
    """

    title: str
    axis_label: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    references: tuple[bool, ...]


def draw_bars(bars: Bars, path: str | Path) -> None:
    """Draws bars with their values at their ends.

    Args:
      bars: One or more.
      path: PNG to write.
    """
    save_figure(bar_figure(bars), path)


def bar_figure(bars: Bars) -> Figure:
    """Makes the figure of bars.

    Args:
      bars: One or more.

    Returns:
      The figure.
    """
    count = len(bars.names)
    figure = Figure(figsize=(_WIDTH, _FRAME + _ROW * count), layout="constrained")
    axes = figure.subplots()
    grey, colour = COLOURS[0], COLOURS[1]
    colours = [grey if reference else colour for reference in bars.references]
    drawn = axes.barh(range(count), bars.values, 0.7, color=colours)
    names = [wrap(name, _NAME_LETTERS) for name in bars.names]
    axes.set_yticks(range(count), names, fontsize=FONT)
    axes.invert_yaxis()
    labels = [format_number(value) for value in bars.values]
    axes.bar_label(drawn, labels, padding=3, fontsize=FONT, color=INK)
    axes.margins(x=0.12)
    axes.set_title(bars.title, fontsize=FONT + 1)
    axes.set_xlabel(bars.axis_label, fontsize=FONT)
    axes.tick_params(labelsize=FONT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure
