"""What lies below a folder, in an order that does not depend on the file system."""

import fnmatch
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Goes through a folder and those below it; links to folders are followed.

    Args:
      folder: Where to begin.

    Yields:
      Each folder and the sorted names of its files; hidden files and folders, whose
      names start with a dot, are passed over, and so is a folder that was there before.
    """
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(parent)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(parent), sorted(name for name in names if not name.startswith("."))


def is_chosen(
    path: Path, folder: Path, include: Sequence[str], exclude: Sequence[str]
) -> bool:
    """Says whether globs take a file or folder.

    Args:
      path: Of it.
      folder: Where the search began. A glob with a slash is compared with the path
        below it, another one with the name.
      include: Globs of which one has to fit; empty takes all.
      exclude: Globs of which none may fit.

    Returns:
      True if they take it.
    """
    place = path.relative_to(folder).as_posix()

    def fits(patterns: Sequence[str]) -> bool:
        return any(
            fnmatch.fnmatchcase(place if "/" in pattern else path.name, pattern)
            for pattern in patterns
        )

    return (not include or fits(include)) and not fits(exclude)


def files_below(folder: Path) -> list[Path]:
    """Lists all files at any depth.

    Args:
      folder: Where to look.

    Returns:
      Their paths, sorted; as `walk` finds them.
    """
    return sorted(
        Path(parent, name) for parent, names in walk(folder) for name in names
    )
