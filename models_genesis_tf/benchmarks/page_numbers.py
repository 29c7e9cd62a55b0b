"""Numbers as the page about speed writes them."""

from models_genesis_tf.evaluation.tables import MISSING


def format_number(value: float) -> str:
    """Writes a number for people.

    Args:
      value: Any finite number.

    Returns:
      Three significant digits, or all digits before the point, without exponent.
    """
    if abs(value) >= 100:
        return f"{value:.0f}"
    text = f"{value:#.3g}".rstrip(".")
    return text if "e" not in text else f"{value:.7f}".rstrip("0").rstrip(".")


def cell(value: float | None) -> str:
    """Writes a number in a table.

    Args:
      value: The number; None where there is none.

    Returns:
      As `format_number`, or a dash.
    """
    return MISSING if value is None else format_number(value)


def ratio(value: float | None, other: float | None) -> float | None:
    """Divides what may be missing.

    Args:
      value: A number or None.
      other: What it is divided by, or None.

    Returns:
      The ratio; None without one of them.
    """
    return value / other if value is not None and other else None
