"""Cubes on disk: provenance, memory-mapped reading.

Files are those that `fold_writer` writes; those of the official generator
(`bat_32_64x64x32_0.npy`, float64, with a channel axis) are read too.
"""

import csv
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError

SETTINGS = "cubes.json"  # beside the cubes: what they were cut with
_NAME = re.compile(
    r"bat_(?P<count>\d+)_(?:s_)?(?P<size>\d+x\d+x\d+)_(?P<fold>\d+)\.npy"
)
_MAX_CHANNELS = 4


def stable_hash(text: str) -> int:
    """A number that is the same for the same text on every machine.

    Args:
      text: Any text.

    Returns:
      An integer in [0, 2**64).
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@dataclass(frozen=True)
class CubeSet:
    """All cubes of a folder, memory-mapped.

    Attributes:
      files: The cube files, by fold.
      arrays: Their memory maps, each `(n, x, y, z)` or with a channel axis.
      sources: The scan of each cube.
      folds: int `(n,)`, the fold of each cube.
      starts_z: int `(n,)`, the first slice of each cube; -1 where unknown.
      datasets: The data set of each cube, "" where unknown.
      has_provenance: Whether every file has its csv.
    """

    WHAT = "cube"

    files: tuple[Path, ...]
    arrays: tuple[np.ndarray, ...]
    sources: np.ndarray
    folds: np.ndarray
    starts_z: np.ndarray
    datasets: np.ndarray
    has_provenance: bool

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> np.ndarray:
        """Copies cube `index` out of its file: float32 `(x, y, z, channel)`."""
        return np.array(self.stored(index), np.float32, order="C")

    def stored(self, index: int) -> np.ndarray:
        """Finds a cube without reading it.

        Args:
          index: Its position in the set.

        Returns:
          A view `(x, y, z, channel)` of its file, in the stored type.

        Raises:
          IndexError: If there is no such cube.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        for array in self.arrays:
            if index < len(array):
                return _channels_last(array[index])
            index -= len(array)
        raise IndexError(index)

    def describe(self, index: int) -> str:
        """Says which cube stands at a position.

        Args:
          index: Its position in the set.

        Returns:
          For instance "cube 7 of patient3/ct".
        """
        return f"cube {index} of {self.sources[index]}"

    @property
    def cube_shape(self) -> tuple[int, ...]:
        """Shape `(x, y, z, channel)` of every cube."""
        return self.stored(0).shape


def cubes_per_volume_of(path: Path) -> int:
    """How many cubes of each scan a file holds at most.

    Args:
      path: A cube file.

    Returns:
      The number in its name.
    """
    return int(_NAME.fullmatch(path.name)["count"])


def sources_of(path: Path) -> set[str]:
    """The scans that a cube file was cut from.

    Args:
      path: A cube file with its csv.

    Returns:
      Their names.
    """
    with path.with_suffix(".csv").open(newline="", encoding="utf-8") as stream:
        return {row["source"] for row in csv.DictReader(stream)}


def window_of(path: Path) -> str | None:
    """Reads which intensities of the scans became a file's cubes.

    Args:
      path: A cube file.

    Returns:
      The value of --window that it was cut with, or None where nothing tells.
    """
    settings = path.with_name(SETTINGS)
    if not settings.is_file():
        return None
    return json.loads(settings.read_text(encoding="utf-8")).get("window")


def is_cube_folder(folder: str | Path) -> bool:
    """Says whether a folder holds cube files.

    Args:
      folder: Any path.

    Returns:
      True if at least one file has the name of a fold.
    """
    return bool(_fold_files(Path(folder)))


def open_cubes(folder: str | Path) -> CubeSet:
    """Opens the cube files of a folder without reading them.

    Args:
      folder: Where `extract_cubes` or the official generator wrote.

    Returns:
      All their cubes.

    Raises:
      InputError: If there are none, a file is damaged, or shapes differ.
    """
    files = _fold_files(Path(folder))
    if not files:
        raise InputError(
            f"--data_dir holds cube files bat_*.npy or scans. Received: {folder}"
        )
    arrays = tuple(_open_fold(path) for path in files)
    for path, array in zip(files, arrays, strict=True):
        if array.shape[1:] != arrays[0].shape[1:]:
            raise InputError(
                f"all cube files of a folder hold one shape, here {_text(arrays[0])}. "
                f"Received: {path} with {_text(array)}"
            )
    tables = [
        _read_table(path, len(array)) for path, array in zip(files, arrays, strict=True)
    ]
    rows = [row for table in tables for row in table]
    folds = [_fold_number(path) for path in files]
    counts = [len(array) for array in arrays]
    return CubeSet(
        files,
        arrays,
        np.array([row["source"] for row in rows]),
        np.repeat(folds, counts),
        np.array([int(row["z"]) for row in rows]),
        np.array([row["dataset"] for row in rows]),
        all(path.with_suffix(".csv").is_file() for path in files),
    )


def _fold_files(folder: Path) -> tuple[Path, ...]:
    found = [path for path in folder.glob("bat_*.npy") if _NAME.fullmatch(path.name)]
    return tuple(sorted(found, key=lambda path: (_fold_number(path), path.name)))


def _fold_number(path: Path) -> int:
    return int(_NAME.fullmatch(path.name)["fold"])


def _open_fold(path: Path) -> np.ndarray:
    rule = "a cube file holds floats of shape (n, x, y, z) or with a channel axis"
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{rule}. Received: {path}: {reason}") from error
    if array.ndim not in (4, 5) or array.dtype.kind != "f" or 0 in array.shape:
        raise InputError(f"{rule}. Received: {path} with {_text(array)}")
    named = tuple(int(side) for side in _NAME.fullmatch(path.name)["size"].split("x"))
    if _channels_last(array[0]).shape[:-1] != named:
        raise InputError(
            f"a cube file holds the shape that its name says. "
            f"Received: {path} with {_text(array)}"
        )
    low, high = float(array[0].min()), float(array[0].max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            "cubes lie in [0, 1]. "
            f"Received: {path}, whose first lies in [{low:g}, {high:g}]"
        )
    return array


def _channels_last(cube: np.ndarray) -> np.ndarray:
    if cube.ndim == 3:
        return cube[..., np.newaxis]
    if cube.shape[0] <= _MAX_CHANNELS < cube.shape[-1]:
        return np.moveaxis(cube, 0, -1)
    return cube


def _text(array: np.ndarray) -> str:
    return f"{array.dtype} {tuple(array.shape)}"


def _read_table(path: Path, count: int) -> list[dict[str, str]]:
    """The csv beside a fold; without one its name stands for the source."""
    table = path.with_suffix(".csv")
    if not table.is_file():
        return [{"source": path.stem, "z": "-1", "dataset": ""}] * count
    rule = (
        f"the csv beside a cube file has one row with source, z and dataset for each "
        f"of its cubes, here {count}"
    )
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (ValueError, csv.Error) as error:
        raise InputError(f"{rule}. Received: {table}: {error}") from error
    if len(rows) != count:
        raise InputError(f"{rule}. Received: {table} with {len(rows)} rows")
    for row in rows:
        named = row.get("source") and row.get("dataset")
        if not named or not re.fullmatch(r"-?\d+", row.get("z") or ""):
            raise InputError(f"{rule}. Received: {table} with {_row_text(row)}")
    return rows


def _row_text(row: dict) -> str:
    return ",".join(f"{name}={value}" for name, value in row.items())
