"""What the figures share: colours, sizes, panels, texts and legends."""

import math
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from models_genesis_tf.errors import InputError

# Grey for what others are compared with, then Paul Tol's "muted" scheme, which people
# of every kind of colour vision can tell apart.
COLOURS = (
    *("#666666", "#332288", "#CC6677", "#117733", "#88CCEE"),
    *("#882255", "#DDCC77", "#AA4499", "#44AA99", "#999933"),
)
INK, PALE = "0.15", "0.55"
FONT = 9.5
LETTER, LINE = 0.075, 0.16  # size of a letter and of a line of text in inches
LABEL_LETTERS = 42  # of a name in a legend or beside a row until it is wrapped
_MARKERS = "osD^vP*"
_TITLE_FONT = 11
_AXIS_LETTERS = 36  # until the text beside an axis is wrapped
_MAX_COLUMNS, _MAX_WIDTH = 4, 12.5  # of panels, in inches


def check_filled(kind: str, counts: Iterable[int]) -> None:
    """Refuses figures of nothing.

    Args:
      kind: What the figure is called in the message.
      counts: How many things each panel shows.

    Raises:
      InputError: If there is no panel, or nothing in one.
    """
    counts = list(counts)
    if not counts or not all(counts):
        raise InputError(
            f"a {kind} has one panel or more, and something in each. "
            f"Received: {len(counts)} panels with {counts}"
        )


def arm_styles(
    arms: Sequence[str], labels: Iterable[str]
) -> dict[str, tuple[str, str]]:
    """Gives arms the colours and markers that they have in all figures.

    Args:
      arms: Labels in the order of their colours; others follow as they appear.
      labels: Of the arms that are drawn.

    Returns:
      Colour and marker of each label that is drawn, in the order of `arms`.
    """
    labels = list(labels)
    ordered = dict.fromkeys((*arms, *labels))
    styles = {
        label: (COLOURS[i % len(COLOURS)], _MARKERS[i % len(_MARKERS)])
        for i, label in enumerate(ordered)
    }
    return {label: style for label, style in styles.items() if label in labels}


def panel_grid(count: int, width: float, height: float) -> tuple[Figure, list]:
    """Makes a figure with panels in rows of equal length.

    Args:
      count: How many panels, 1 or more.
      width: Of a panel in inches.
      height: Of a panel in inches.

    Returns:
      The figure and the axes of its panels, row by row.
    """
    fitting = max(1, min(_MAX_COLUMNS, int(_MAX_WIDTH / width)))
    rows = math.ceil(count / fitting)
    columns = math.ceil(count / rows)
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for left_over in axes[count:]:
        left_over.remove()
    return figure, list(axes[:count])


def label_axes(axes, title: str, x_label: str, y_label: str, pad: float = 6) -> None:
    """Draws texts and lines of a panel; long texts are wrapped to its size.

    Args:
      axes: matplotlib axes.
      title: Above it.
      x_label: Below it.
      y_label: At the left.
      pad: From the axes to the title in points.
    """
    width = axes.figure.get_size_inches()[0] / axes.get_gridspec().ncols
    title = wrap(title, int(0.8 * width / LETTER))
    axes.set_title(title, fontsize=_TITLE_FONT, pad=pad)
    axes.set_xlabel(x_label, fontsize=FONT)
    axes.set_ylabel(wrap(y_label, _AXIS_LETTERS), fontsize=FONT)
    axes.tick_params(labelsize=FONT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


def wrap(text: str, letters: int) -> str:
    """Breaks the lines of a text that are too long.

    Args:
      text: One line or more.
      letters: That fit in a line.

    Returns:
      The text with more lines.
    """
    whole = text.replace(" %", "\N{NO-BREAK SPACE}%")  # a number keeps its unit
    lines = [textwrap.fill(line, letters) for line in whole.splitlines()]
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def longest_line(texts: Iterable[str]) -> int:
    """Counts the letters of the longest line.

    Args:
      texts: Any number of texts of one line or more.

    Returns:
      Letters; 0 without a text.
    """
    return max((len(line) for text in texts for line in text.splitlines()), default=0)


def most_lines(texts: Iterable[str]) -> int:
    """Counts the lines of the text that has most.

    Args:
      texts: One or more.

    Returns:
      Lines, 1 or more.
    """
    return max(text.count("\n") + 1 for text in texts)


def add_legend(figure: Figure, handles: Sequence) -> None:
    """Puts a legend below the panels and makes the figure taller by it.

    Args:
      figure: With a constrained layout.
      handles: Lines and patches that carry their label, one or more.
    """
    labels = [wrap(handle.get_label(), LABEL_LETTERS) for handle in handles]
    entries = [LETTER * longest_line([label]) + 0.7 for label in labels]
    width, height = figure.get_size_inches()
    width = max(width, *entries)
    columns = len(labels)
    if sum(entries) > width:
        columns = int(width / max(entries))
    rows = math.ceil(len(labels) / columns)
    legend_height = 0.1 + 1.3 * LINE * most_lines(labels) * rows
    figure.set_size_inches(width, height + legend_height)
    place = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(handles, labels, fontsize=FONT, **place)


def numbers(values: Iterable[float | None]) -> np.ndarray:
    """Makes an array of values of which some are missing.

    Args:
      values: Numbers; None where there is none.

    Returns:
      1D float64; None has become nan.
    """
    return np.array(list(values), dtype=float)
