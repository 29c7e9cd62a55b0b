"""Checkpoints that a kill at any moment cannot spoil.

All of one step lies in one file: an uncompressed npz archive that `np.load` opens,
written beside its name, forced to the disk and only then renamed. The archive holds a
checksum of every member, and a file counts only if all of them agree.
"""

import io
import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError

_NAME = re.compile(r"step_(\d{9,})\.npz")
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """What one checkpoint file holds.

    Attributes:
      path: The file.
      step: The step after which it was written.
      arrays: The arrays of each group, in the order in which they were saved.
      facts: What was saved as JSON.
    """

    path: Path
    step: int
    arrays: dict[str, list[np.ndarray]]
    facts: dict


class _Damaged(Exception):
    """A file cannot be trusted; the message says what is wrong with it."""


def save_checkpoint(
    folder: Path, step: int, arrays: dict[str, list[np.ndarray]], facts: dict
) -> Path:
    """Writes a checkpoint and removes all but the newest two.

    Args:
      folder: Where checkpoints lie; it is created.
      step: The step after which it is written, from 0.
      arrays: Groups of arrays of numbers or bool, of any shape.
      facts: What can be written as JSON; floats survive exactly, infinities too.

    Returns:
      The file, `step_<step>.npz` with nine digits. Its members are
      `<group>/<index>` with four digits, and as JSON text `facts` and `counts`, the
      number of arrays in each group.

    Raises:
      TypeError: If an array does not hold plain numbers or facts are no JSON.
    """
    members = _members(arrays, facts)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step_{step:09d}.npz"
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as stream:
            np.savez(stream, **members)
            stream.flush()
            # Otherwise the new name could reach the disk before the bytes do.
            os.fsync(stream.fileno())
        os.replace(part, path)
    finally:
        for stray in folder.glob(".step_*.npz.part"):  # of earlier kills, too
            stray.unlink(missing_ok=True)
    for old in _newest_first(folder)[_KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load_newest(folder: Path) -> Checkpoint | None:
    """Reads the newest checkpoint that is whole.

    Newer ones that are damaged are named in a printed line each and removed, because
    they would count as the newest two when the next one is saved.

    Args:
      folder: Where `save_checkpoint` wrote; it may be absent.

    Returns:
      The checkpoint, or None if there is no file of one.

    Raises:
      InputError: If there are files but none is whole; all of them stay.
    """
    damaged: dict[Path, str] = {}
    for path in _newest_first(folder):
        try:
            checkpoint = _read(path)
        except _Damaged as error:
            damaged[path] = str(error)
            continue
        for bad, reason in damaged.items():
            print(f"{bad} is damaged ({reason}); going on from {path.name}")
            bad.unlink()
        return checkpoint
    if damaged:
        reasons = "; ".join(f"{path} ({reason})" for path, reason in damaged.items())
        raise InputError(
            "a run goes on from a checkpoint that is whole; --restart starts over. "
            f"Received: {reasons}"
        )
    return None


def _newest_first(folder: Path) -> list[Path]:
    """The files of checkpoints by falling step; none if there is no such folder."""
    names = (_NAME.fullmatch(path.name) for path in folder.glob("step_*.npz"))
    steps = {folder / name[0]: int(name[1]) for name in names if name}
    return sorted(steps, key=steps.get, reverse=True)


def _members(arrays: dict[str, list[np.ndarray]], facts: dict) -> dict[str, np.ndarray]:
    """Names and contents of the archive."""
    members = {
        _member_name(group, index): array
        for group, group_arrays in arrays.items()
        for index, array in enumerate(group_arrays)
    }
    for name, array in members.items():
        # NumPy would pickle objects and forget what bfloat16 is.
        if array.dtype.kind not in "biufc":
            raise TypeError(
                "a checkpoint holds arrays of plain numbers. "
                f"Received: {name} of dtype {array.dtype}"
            )
    counts = {group: len(group_arrays) for group, group_arrays in arrays.items()}
    texts = {"counts": json.dumps(counts), "facts": json.dumps(facts)}
    return members | {name: np.array(text) for name, text in texts.items()}


def _member_name(group: str, index: int) -> str:
    return f"{group}/{index:04d}"


def _read(path: Path) -> Checkpoint:
    """Reads a file; one that cannot be opened is not thereby a damaged one."""
    with path.open("rb") as stream:
        try:
            arrays, facts = _read_archive(stream)
        # Damaged headers raise whatever zipfile or a decompressor trips over.
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise _Damaged(reason) from error
    return Checkpoint(path, int(_NAME.fullmatch(path.name)[1]), arrays, facts)


def _read_archive(stream: io.BufferedReader) -> tuple[dict, dict]:
    with zipfile.ZipFile(stream) as archive:
        facts = json.loads(_read_member(archive, "facts").item())
        counts = json.loads(_read_member(archive, "counts").item())
        arrays = {
            group: [
                _read_member(archive, _member_name(group, index))
                for index in range(count)
            ]
            for group, count in counts.items()
        }
    return arrays, facts


def _read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Reads one array after its checksum agreed.

    zipfile compares the checksum when it comes to a member's end. NumPy, reading by
    itself, stops before that if a damaged header makes the array smaller. So all bytes
    are taken first.
    """
    return np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
