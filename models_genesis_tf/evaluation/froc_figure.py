"""FROC curves as a picture: sensitivity over false positives per scan."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from models_genesis_tf.evaluation.figure_parts import (
    COLOURS,
    PALE,
    add_legend,
    check_filled,
    label_axes,
    panel_grid,
)
from models_genesis_tf.evaluation.froc import GRID, RATES, Froc
from models_genesis_tf.imaging.panels import save_figure

_COLOUR = COLOURS[1]


def rate_name(rate: float) -> str:
    """Writes a rate of false positives as LUNA16 does.

    Args:
      rate: One of `RATES`.

    Returns:
      "1/8" to "8".
    """
    return f"{rate:g}" if rate >= 1 else f"1/{1 / rate:g}"


def froc_figure(results: Sequence[Froc], title: str, path: str | Path) -> None:
    """Draws one curve with its band, or several and their mean.

    Args:
      results: Of one trial or more on the same scans.
      title: Above the panel.
      path: PNG to write.

    Raises:
      InputError: If there is no result.
    """
    save_figure(_figure(results, title), path)


def _figure(results: Sequence[Froc], title: str) -> Figure:
    check_filled("FROC figure", [len(results)])
    figure, (axes,) = panel_grid(1, 5.6, 4.2)
    handles = [Line2D([], [], color=_COLOUR, marker="o", linewidth=1.8, label="FROC")]
    if len(results) > 1:
        for result in results:
            axes.plot(GRID, result.curve, color=PALE, linewidth=0.8)
        handles[0].set_label(f"mean of {len(results)} trials")
        handles.append(Line2D([], [], color=PALE, linewidth=0.8, label="one trial"))
    elif results[0].band is not None:
        axes.fill_between(GRID, *results[0].band, color=_COLOUR, alpha=0.18, lw=0)
        label = f"95 % interval, bootstrap of {results[0].scans} scans"
        handles.append(Patch(color=_COLOUR, alpha=0.18, label=label))
    mean = np.mean([result.curve for result in results], axis=0)
    at_rates = np.mean([result.sensitivities for result in results], axis=0)
    axes.plot(GRID, mean, color=_COLOUR, linewidth=1.8)
    axes.plot(RATES, at_rates, "o", color=_COLOUR, clip_on=False, markersize=5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(RATES, map(rate_name, RATES))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlim=(RATES[0], RATES[-1]), ylim=(0, 1), yticks=np.linspace(0, 1, 11))
    label_axes(axes, title, "false positives per scan", "sensitivity")
    add_legend(figure, handles)
    return figure
