"""What says of a folder that its data are synthetic: a file `phantom.json`.

It is there before the first phantom is, and says at the end that the set is complete.
What is made from phantoms, such as cubes, takes a copy along. So no file is taken for
real data: not if the writing was interrupted, and not if a folder within the set, or
one file of it, is all that a command is given.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from models_genesis_tf.errors import InputError

NAME = "phantom.json"
# A data set's deepest layout is set/patient/study/series/file. Folders further up hold
# data of other origin, too.
_LEVELS = 4


@contextlib.contextmanager
def marked(folder: Path, dataset: str, cases: int, seed: int) -> Iterator[None]:
    """Marks a folder while a set of phantoms is written to it, and as complete then.

    Args:
      folder: Where the set goes; it is made. It is empty, or holds an earlier attempt
        at the same set, or one of fewer cases.
      dataset: Whose layout is written.
      cases: Number of cases.
      seed: From which all cases follow.

    Yields:
      Nothing.

    Raises:
      InputError: If the folder holds anything else.
    """
    _check_folder(folder, dataset, cases, seed)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"dataset": dataset, "cases": cases, "seed": seed}
    _write(folder, json.dumps(facts | {"complete": False}) + "\n")
    yield
    _write(folder, json.dumps(facts | {"complete": True}) + "\n")


def is_phantom(path: str | Path) -> bool:
    """Says whether data are synthetic.

    Args:
      path: A file or folder; it need not exist.

    Returns:
      True if it lies in a set of phantoms or in what was made from one: if the marker
      is in the folder itself or in one of the four above it. Links are followed.
    """
    return _find(Path(path)) is not None


def is_complete(folder: Path) -> bool:
    """Says whether a set of phantoms was written to its end.

    Args:
      folder: The folder of the set, or any other.

    Returns:
      True if its marker says so.
    """
    return _read(folder).get("complete") is True


def check_complete(folder: Path) -> None:
    """Refuses a set of phantoms whose writing was interrupted.

    Args:
      folder: Any folder; one that is no set of phantoms passes.

    Raises:
      InputError: If its marker says that the set is not complete.
    """
    if _read(folder) and not is_complete(folder):
        raise InputError(
            "a set of phantoms is complete; the same make_phantoms again completes it. "
            f"Received: {folder}, whose writing was interrupted"
        )


def pass_on(sources: Iterable[Path], folder: Path) -> None:
    """Marks a folder if what goes to it is made from phantoms, wholly or in part.

    Args:
      sources: The files or folders that it is made from.
      folder: Where it goes; it exists.
    """
    found = next(filter(None, map(_find, sources)), None)
    if found:
        _write(folder, (found / NAME).read_text(encoding="utf-8"))


def _check_folder(folder: Path, dataset: str, cases: int, seed: int) -> None:
    """A second attempt at a set is welcome, files of another are not."""
    held = [path.name for path in folder.glob("[!.]*")]
    found = _read(folder)
    if found:
        same = (found["dataset"], found["seed"]) == (dataset, seed)
        if same and found["cases"] <= cases:
            return
        received = f"{folder} with {_text(found)}"
    elif held:
        received = f"{folder} with {min(held)}"
    else:
        return
    wanted = _text({"dataset": dataset, "cases": cases, "seed": seed})
    raise InputError(
        "phantoms go to an empty folder, or to one with the same set or fewer cases of "
        f"it, here {wanted}. Received: {received}"
    )


def _text(facts: dict) -> str:
    return f"{facts['cases']} cases of {facts['dataset']}, seed {facts['seed']}"


def _find(path: Path) -> Path | None:
    """The nearest folder with a marker, from a path upwards."""
    path = path.resolve()
    places = [path, *path.parents][: _LEVELS + 1]
    return next((place for place in places if (place / NAME).is_file()), None)


def _read(folder: Path) -> dict:
    """What a folder's marker says; nothing if there is none, or it is not ours."""
    try:
        facts = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = isinstance(facts, dict) and {"dataset", "cases", "seed"} <= facts.keys()
    return facts if known else {}


def _write(folder: Path, text: str) -> None:
    # Several processes may cut cubes into one folder: each writes a file of its own.
    part = folder / f".{NAME}.{uuid.uuid4().hex}.part"
    part.write_text(text, encoding="utf-8")
    os.replace(part, folder / NAME)
