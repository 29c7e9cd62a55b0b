"""The one exception that a user's input can raise; commands print it as one line."""


class InputError(ValueError):
    """A rule that was broken by what the user gave, with the value received.

    The message is one line: the flag or file, the rule, and what was received.
    Commands print it without a traceback and exit with code 1.
    """
