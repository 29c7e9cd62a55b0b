"""Conditions on the cells of a manifest: the values of --where and --label_map."""

import math
import operator
import re
from dataclasses import dataclass

from models_genesis_tf.errors import InputError

_COMPARISONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
_CONDITION = re.compile(r"([^<>=!]*)(<=|>=|!=|<|>|=)([^<>=!]+)")


@dataclass(frozen=True)
class Condition:
    """A comparison of a cell with a value.

    Attributes:
      column: Name of the cell's column; empty in a label map.
      sign: "<", "<=", ">", ">=", "=" or "!=".
      value: A number; with "=" and "!=" any text.
    """

    column: str
    sign: str
    value: str

    def holds(self, cell: str) -> bool:
        """Compares two numbers as numbers, else texts, which are equal or not.

        Args:
          cell: What stands in the manifest.

        Returns:
          Whether the condition is met; a text is neither below nor above a number.
        """
        compare = _COMPARISONS[self.sign]
        numbers = as_number(cell), as_number(self.value)
        if None not in numbers:
            return compare(*numbers)
        return self.sign in ("=", "!=") and compare(cell, self.value)


def as_number(text: str) -> float | None:
    """Reads a finite number.

    Args:
      text: Any text.

    Returns:
      Its value, or None if it is no such number.
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def parse_where(where: str) -> list[Condition]:
    """Reads the value of --where.

    Args:
      where: Conditions on columns with commas or & between; may be empty.

    Returns:
      The conditions, all of which have to hold.

    Raises:
      InputError: If one is not a column, a sign and a value.
    """
    conditions = [_parse(part) for part in re.split("[,&]", where) if where]
    if not all(condition and condition.column for condition in conditions):
        raise InputError(
            "--where is conditions such as n_readers>=3,site!=A, where < and > take a "
            f"number. Received: --where={where}"
        )
    return conditions


def parse_label_map(label_map: str) -> list[tuple[Condition, str]]:
    """Reads the value of --label_map.

    Args:
      label_map: "condition:class" with commas between; may be empty. A condition
        without a sign means equality.

    Returns:
      Conditions with the names of their classes; the first that holds counts.

    Raises:
      InputError: If one is not a condition and the name of a class.
    """
    rules = []
    for entry in label_map.split(",") if label_map else []:
        text, _, name = (part.strip() for part in entry.rpartition(":"))
        condition = _parse(text if re.search("[<>=!]", text) else f"={text}")
        if condition is None or condition.column or not name:
            raise InputError(
                "--label_map is condition:class pairs such as <3:0,>3:1 or benign:0, "
                f"where < and > take a number. Received: --label_map={label_map}"
            )
        rules.append((condition, name))
    return rules


def _parse(text: str) -> Condition | None:
    """Reads "column<value", where the column may be missing."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        return None
    condition = Condition(*(part.strip() for part in match.groups()))
    ordered = condition.sign not in ("=", "!=")
    if not condition.value or (ordered and as_number(condition.value) is None):
        return None
    return condition
