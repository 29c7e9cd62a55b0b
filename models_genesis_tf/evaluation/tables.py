"""Numbers as text: Markdown tables, scores, p values, names of metrics.

Metrics are named as in results.json, such as `dice_mean`, `hd95_mm_liver` or `auc`.
"""

import math
import re
from collections.abc import Sequence

from models_genesis_tf.errors import InputError

MISSING, NOT_RUN = "–", "not run"
_SMALLEST_P = 1e-8
_PER_CENT, _MM = "%", "mm"
# What a metric's name begins with: its title and unit.
_FAMILIES = {
    "surface_dice_2mm": ("Surface Dice at 2 mm", _PER_CENT),
    "dice": ("Dice", _PER_CENT),
    "iou": ("IoU", _PER_CENT),
    "paper_iou": ("IoU as in the paper", _PER_CENT),
    "hd95_mm": ("HD95", _MM),
    "auc": ("AUC", _PER_CENT),
    "average_precision": ("Average precision", _PER_CENT),
    "sensitivity": ("Sensitivity", _PER_CENT),
    "specificity": ("Specificity", _PER_CENT),
    "accuracy": ("Accuracy", _PER_CENT),
}
# What it ends with; anything else is the name of a class.
_MEANS = {
    "": "",
    "mean": ", mean over classes",
    "pooled": ", voxels of all cases pooled",
}
_NUMBER = re.compile(r"\**[<>+-]?\s*(\d+\.?\d*|\.\d+)(e[+-]?\d+)?(?!\w)")
_WORD = re.compile(r"[^\W\d_]{2,}")


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Writes a table that reads well in Markdown and as plain text.

    A column is aligned to the right if all of its cells are numbers, such as
    "85.72 ± 0.51", "< 1e-8" or "10 (n = 3)", or missing, or of what was not run.

    Args:
      header: Title of each column.
      rows: Cells of each row, in Markdown; pipes and line breaks are escaped.

    Returns:
      Lines of one width, without a line break at the end.

    Raises:
      InputError: If a row has more or fewer cells than the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise InputError(
                f"a row has {len(header)} cells, as the header has. "
                f"Received: {len(row)} in {tuple(row)}"
            )
    lines = [[_escape(cell) for cell in row] for row in (header, *rows)]
    columns = list(zip(*lines, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    right = [_all_numbers(column[1:]) for column in columns]
    padded = [
        [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ]
        for line in lines
    ]
    rule = [
        "-" * (width - 1) + (":" if to_right else "-")
        for width, to_right in zip(widths, right, strict=True)
    ]
    padded.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _escape(cell: str) -> str:
    return "<br>".join(cell.replace("|", r"\|").splitlines())


def _all_numbers(cells: Sequence[str]) -> bool:
    present = [cell for cell in cells if cell not in ("", MISSING, NOT_RUN)]
    return bool(present) and all(
        _NUMBER.match(cell) and not _WORD.search(cell) for cell in present
    )


def format_score(mean: float | None, sd: float | None, percent: bool) -> str:
    """Writes a mean and its standard deviation.

    Args:
      mean: A share in [0, 1] or a number in its own unit; None or nan if there is none.
      sd: In the same unit; None or nan if there is none.
      percent: Whether a share is written in per cent.

    Returns:
      Two decimals each, such as "85.72 ± 0.51"; the mean alone without a deviation;
      "–" without a mean.
    """
    if _is_missing(mean):
        return MISSING
    scale = 100 if percent else 1
    text = f"{scale * mean:z.2f}"
    return text if _is_missing(sd) else f"{text} ± {scale * sd:.2f}"


def format_p(p: float | None) -> str:
    """Writes a p value.

    Args:
      p: In [0, 1]; None or nan if there is none.

    Returns:
      Such as "0.0181", "1.0e-4", "< 1e-8" or "–".
    """
    if _is_missing(p):
        return MISSING
    if p < _SMALLEST_P:
        return f"< {_short_exponent(f'{_SMALLEST_P:.0e}')}"
    return f"{p:.4f}" if p >= 1e-3 else _short_exponent(f"{p:.1e}")


def _short_exponent(text: str) -> str:
    return text.replace("e-0", "e-")


def format_difference(
    value: float | None, low: float | None, high: float | None, percent: bool
) -> str:
    """Writes a difference and its interval.

    Args:
      value: Of shares in [0, 1], or of numbers in their own unit; None or nan if there
        is none.
      low: Lower end of the interval, in the same unit; None or nan if there is none.
      high: Upper end.
      percent: Whether shares are written in percentage points.

    Returns:
      Two decimals each, such as "+1.90 [0.31, 3.50]"; the difference alone without an
      interval; "–" without a difference.
    """
    if _is_missing(value):
        return MISSING
    scale = 100 if percent else 1
    text = f"{scale * value:+z.2f}"
    if _is_missing(low) or _is_missing(high):
        return text
    return f"{text} [{scale * low:z.2f}, {scale * high:z.2f}]"


def _is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def is_share(metric: str) -> bool:
    """Says whether a metric is a share, which people read in per cent.

    Args:
      metric: Name of a score.

    Returns:
      True for overlaps, areas under curves and rates, in [0, 1]; False for distances
      in mm and for metrics of other packages.
    """
    family, _ = _divide(metric)
    return family in _FAMILIES and _FAMILIES[family][1] == _PER_CENT


def metric_title(metric: str) -> str:
    """What a metric is called on an axis or in a table.

    Args:
      metric: Name of a score.

    Returns:
      Such as "Dice, mean over classes (%)", "HD95 of liver (mm)" or "AUC (%)"; the
      name itself if it is not known.
    """
    family, part = _divide(metric)
    if family not in _FAMILIES:
        return metric
    title, unit = _FAMILIES[family]
    return f"{title}{_MEANS.get(part, f' of {part}')} ({unit})"


def _divide(metric: str) -> tuple[str, str]:
    """Divides the name of a metric into family and mean or class."""
    for family in _FAMILIES:
        if metric == family or metric.startswith(f"{family}_"):
            return family, metric[len(family) + 1 :]
    return metric, ""
