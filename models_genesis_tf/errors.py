"""The one exception that a user's input can raise; commands print it as one line."""

from collections.abc import Iterable


class InputError(ValueError):
    """A rule that was broken by what the user gave, with the value received.

    The message is one line: the flag or file, the rule, and what was received.
    Commands print it without a traceback and exit with code 1.
    """


def listed(values: Iterable[float]) -> str:
    """Writes numbers for a message.

    Args:
      values: The numbers.

    Returns:
      For example "(0.7, 0.7, 2.5)".
    """
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"
