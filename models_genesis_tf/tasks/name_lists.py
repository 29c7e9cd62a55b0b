"""Text files of names, such as a data set's owners divide its cases by."""

from pathlib import Path

from models_genesis_tf.errors import InputError


def read_names(path: Path) -> list[str]:
    """Reads a list of names.

    Args:
      path: A text file in UTF-8 with a name on each line.

    Returns:
      The names in their order, without the spaces around them; blank lines are passed
      over.

    Raises:
      InputError: If the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"a list has a name on each line, in UTF-8. Received: {path} ({error})"
        ) from error
    return [name for line in lines if (name := line.strip())]
