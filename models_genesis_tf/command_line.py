"""The command line of a process: running a command, and what flags it was given.

Each entry point ends in `run(main)`; what a run was started with is kept as a flagfile,
which replays it and which a run that goes on is compared with.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags, logging

from models_genesis_tf.errors import InputError


def run(main: Callable[..., None], subcommands: Sequence[str] = ()) -> None:
    """Runs a command: parses flags, prints what went wrong in one line.

    Args:
      main: Does the command's work; takes the subcommand's name if there are any,
        else nothing.
      subcommands: What the one word before or between the flags may be.

    Raises:
      SystemExit: With code 1 after an error of the user's input or of the file
        system, with code 0 otherwise.
    """

    def parse(arguments: list[str]) -> list[str]:
        try:
            return flags.FLAGS(arguments)
        except flags.Error as error:
            _fail(error)

    def guarded(arguments: list[str]) -> None:
        try:
            main(*_check_words(arguments[1:], subcommands))
        except (InputError, OSError) as error:
            _fail(error)
        except KeyboardInterrupt:
            print("stopped from the keyboard", file=sys.stderr)
            sys.exit(130)

    _adopt_flags(sys.modules[main.__module__])
    # TensorFlow reports at length what a machine without a GPU lacks; what fails
    # raises an exception besides.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.WARNING)
    app.run(guarded, flags_parser=parse)


def _check_words(words: list[str], subcommands: Sequence[str]) -> list[str]:
    if subcommands and not (len(words) == 1 and words[0] in subcommands):
        raise InputError(
            f"the command takes one of {', '.join(subcommands)}. "
            f"Received: {' '.join(words) or 'none'}"
        )
    if words and not subcommands:
        raise InputError(
            f"a command takes flags (--name=value) only. Received: {' '.join(words)}"
        )
    return words


def _adopt_flags(command) -> None:
    """Makes a command's flags those of the process.

    absl asks `__main__` which flags to show and to record; in a console script that
    is the script, and the command is a module that it imports.
    """
    if command.__name__ != "__main__":
        sys.modules["__main__"].__doc__ = command.__doc__
        for holder in flags.FLAGS.get_key_flags_for_module(command):
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], holder)


def _fail(error: Exception) -> NoReturn:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(1)


def set_defaults(values: dict) -> None:
    """Changes defaults for the rest of the process; a flag that was given stays.

    Args:
      values: Names of flags and their new defaults.
    """
    for name, value in values.items():
        flags.FLAGS.set_default(name, value)


def refuse_flags(what: str, names: Sequence[str]) -> None:
    """Refuses flags that have no meaning beside others.

    Args:
      what: What they do not go with.
      names: Of the flags.

    Raises:
      InputError: If one of them is given.
    """
    given = [f"--{name}" for name in names if flags.FLAGS[name].value]
    if given:
        raise InputError(
            f"{', '.join(names)} do not go with {what}. Received: {', '.join(given)}"
        )


def parse_named(name: str, values: Sequence[str]) -> dict[str, str]:
    """Reads the values of a flag that are named.

    Args:
      name: The flag's name, for errors.
      values: Of the form NAME=VALUE.

    Returns:
      Values by name, in their order.

    Raises:
      InputError: If there is none, one has no name or value, or a name comes twice.
    """
    pairs = [value.partition("=") for value in values]
    found = {own: value for own, _, value in pairs}
    if not found or len(found) < len(pairs) or not all((*found, *found.values())):
        raise InputError(
            f"--{name} is NAME=VALUE, or several of other names with commas between. "
            f"Received: --{name}={','.join(values)}"
        )
    return found


def replayable_flags(leave_out: Sequence[str] = ()) -> str:
    """Writes the running command's flags as a flagfile.

    Args:
      leave_out: Names of flags that are no setting of the run.

    Returns:
      One `--name=value` line per flag; `--flagfile` replays it.
    """
    holders = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    lines = sorted(
        holder.serialize() for holder in holders if holder.name not in leave_out
    )
    return "\n".join(line for line in lines if line) + "\n"


def check_same_flags(began: str | None, text: str, may_change: Sequence[str]) -> None:
    """Refuses to go on with a run with other flags than it began with.

    Args:
      began: Its flagfile; None if no run began.
      text: As from `replayable_flags`.
      may_change: Names of flags that may differ.

    Raises:
      InputError: If others differ; it names them.
    """
    differing = differing_flags(text, began, may_change) if began is not None else []
    if differing:
        raise InputError(
            "a run goes on with the flags it began with; --restart begins it anew, "
            f"another --output_dir a second one. Received: {', '.join(differing)}"
        )


def differing_flags(text: str, other: str, leave_out: Sequence[str] = ()) -> list[str]:
    """Compares two flagfiles of this command.

    A flag that the earlier one lacks and that has its default now does not differ: the
    command did not have it yet, or had it unset.

    Args:
      text: As from `replayable_flags`.
      other: The same of an earlier run.
      leave_out: Names of flags that may differ.

    Returns:
      One part of a message for each flag that differs, by name.
    """
    ours, theirs = _lines_by_name(text), _lines_by_name(other)
    return [
        f"{ours.get(name, f'--{name} unset')} "
        f"(began with {theirs.get(name, f'--{name} unset')})"
        for name in sorted(ours.keys() | theirs.keys())
        if name not in leave_out
        and ours.get(name) != theirs.get(name)
        and (name in theirs or flags.FLAGS[name].present)
    ]


def _lines_by_name(text: str) -> dict[str, str]:
    lines = {}
    for line in text.splitlines():
        name = line.removeprefix("--").partition("=")[0]
        if name not in flags.FLAGS:  # a boolean that is off is written as --no<name>
            name = name.removeprefix("no")
        lines[name] = line
    return lines
