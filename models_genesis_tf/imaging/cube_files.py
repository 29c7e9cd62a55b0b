"""Cubes on disk: names, provenance, memory-mapped reading.

A fold is `bat_<cubes_per_volume>_s_<X>x<Y>x<Z>_<fold>.npy`, float32 `(n, x, y, z)` in
[0, 1], with a `.csv` of the same stem that says where each cube comes from. Files of
the official generator (`bat_32_64x64x32_0.npy`, float64, with a channel axis) are read
too.
"""

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError

COLUMNS = (
    "row",
    "source",
    "x",
    "y",
    "z",
    "spacing_x",
    "spacing_y",
    "spacing_z",
    "tissue_fraction",
    "dataset",
)
_NAME = re.compile(
    r"bat_(?P<count>\d+)_(?:s_)?(?P<size>\d+x\d+x\d+)_(?P<fold>\d+)\.npy"
)
_GROUPING = re.compile(r"(subset|fold|batch|part|split)[ _-]?\d+", re.IGNORECASE)
_MAX_CHANNELS = 4
NUM_HASHED_FOLDS = 10


def stable_hash(text: str) -> int:
    """A number that is the same for the same text on every machine.

    Args:
      text: Any text.

    Returns:
      An integer in [0, 2**64).
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def patient_of(source: str) -> str:
    """Guesses the patient from a scan's name, so that no patient is in two parts.

    Args:
      source: Path of the scan relative to its data folder, without suffix.

    Returns:
      The first folder with a digit in its name (subset0, fold_1, batch2 and the like
      apart); without one the scan's own name up to `_ses-`, a modality or a channel
      number: "sub-01_ses-2_T1w" is "sub-01", "case_0007_0001" is "case_0007".
    """
    *folders, name = source.split("/")
    for folder in folders:
        if re.search(r"\d", folder) and not _GROUPING.fullmatch(folder):
            return folder
    bids = re.match(r"sub-[a-zA-Z0-9]+", name)
    if bids:
        return bids.group()
    return re.sub(r"(?<=\d)_\d{4}$", "", name)


def fold_name(cubes_per_volume: int, cube_size: Sequence[int], fold: int) -> str:
    """The file name of one fold.

    Args:
      cubes_per_volume: Cubes wanted from each scan.
      cube_size: Sides x, y, z in voxels.
      fold: Its number.

    Returns:
      For example "bat_32_s_64x64x32_0.npy".
    """
    sides = "x".join(str(side) for side in cube_size)
    return f"bat_{cubes_per_volume}_s_{sides}_{fold}.npy"


class FoldWriter:
    """Writes one fold, scan by scan, beside its name; renames it when complete.

    Use as a context manager: leaving it by an exception leaves no file behind.
    """

    def __init__(self, path: Path, cube_size: Sequence[int]):
        self._path = path
        self._cube_size = tuple(cube_size)
        self._parts = {
            suffix: path.with_name(f".{path.stem}{suffix}.part")
            for suffix in (".csv", ".npy")
        }
        self._count = 0

    def __enter__(self) -> "FoldWriter":
        self._cubes = self._parts[".npy"].open("wb")
        self._write_header()
        self._table = self._parts[".csv"].open("w", newline="")
        self._rows = csv.writer(self._table, lineterminator="\n")
        self._rows.writerow(COLUMNS)
        return self

    def add(self, cubes: np.ndarray, rows: Iterable[Sequence]) -> None:
        """Appends the cubes of one scan.

        Args:
          cubes: float32 `(n, x, y, z)`.
          rows: What stands in the csv for each cube, without the row's number.
        """
        self._cubes.write(np.ascontiguousarray(cubes, "<f4").tobytes())
        for row in rows:
            self._rows.writerow((self._count, *row))
            self._count += 1

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None and self._count:
            self._cubes.seek(0)
            self._write_header()
        self._cubes.close()
        self._table.close()
        for suffix, part in self._parts.items():  # the .npy last: it says "complete"
            if kind is None and self._count:
                os.replace(part, self._path.with_suffix(suffix))
            else:
                part.unlink()

    def _write_header(self) -> None:
        """NumPy leaves room in the header for the first axis to grow in place."""
        shape = (self._count, *self._cube_size)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._cubes, header)


@dataclass(frozen=True)
class CubeSet:
    """All cubes of a folder, memory-mapped.

    Attributes:
      files: The cube files, by fold.
      arrays: Their memory maps, each `(n, x, y, z)` or with a channel axis.
      sources: The scan of each cube.
      folds: int `(n,)`, the fold of each cube.
      starts_z: int `(n,)`, the first slice of each cube; -1 where unknown.
      datasets: The data sets that the csv files name.
      has_provenance: Whether every file has its csv.
    """

    files: tuple[Path, ...]
    arrays: tuple[np.ndarray, ...]
    sources: np.ndarray
    folds: np.ndarray
    starts_z: np.ndarray
    datasets: frozenset[str]
    has_provenance: bool

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> np.ndarray:
        """Copies cube `index` out of its file: float32 `(x, y, z, channel)`."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        for array in self.arrays:
            if index < len(array):
                return _channels_last(np.array(array[index], np.float32))
            index -= len(array)
        raise IndexError(index)

    @property
    def cube_shape(self) -> tuple[int, ...]:
        """Shape `(x, y, z, channel)` of every cube."""
        return self[0].shape


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
        frozenset(row["dataset"] for row in rows),
        all(path.with_suffix(".csv").is_file() for path in files),
    )


def _fold_files(folder: Path) -> tuple[Path, ...]:
    found = [path for path in folder.glob("bat_*.npy") if _NAME.fullmatch(path.name)]
    return tuple(sorted(found, key=lambda path: (_fold_number(path), path.name)))


def _fold_number(path: Path) -> int:
    return int(_NAME.fullmatch(path.name)["fold"])


def _open_fold(path: Path) -> np.ndarray:
    rule = "a cube file holds numbers of shape (n, x, y, z) or with a channel axis"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{rule}. Received: {path}: {error}") from error
    if array.ndim not in (4, 5) or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise InputError(f"{rule}. Received: {path} with {_text(array)}")
    named = tuple(int(side) for side in _NAME.fullmatch(path.name)["size"].split("x"))
    if _channels_last(array[0]).shape[:-1] != named:
        raise InputError(
            f"a cube file holds the shape that its name says. "
            f"Received: {path} with {_text(array)}"
        )
    return array


def _channels_last(cube: np.ndarray) -> np.ndarray:
    if cube.ndim == 3:
        return cube[..., np.newaxis]
    if cube.shape[0] <= _MAX_CHANNELS < cube.shape[-1]:
        return np.ascontiguousarray(np.moveaxis(cube, 0, -1))
    return cube


def _text(array: np.ndarray) -> str:
    return f"{array.dtype} {tuple(array.shape)}"


def _read_table(path: Path, count: int) -> list[dict[str, str]]:
    """The csv beside a fold; without one its name stands for the source."""
    table = path.with_suffix(".csv")
    if not table.is_file():
        return [{"source": path.stem, "z": "-1", "dataset": ""}] * count
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    if len(rows) != count or any(
        not row.get(column) for row in rows for column in ("source", "z", "dataset")
    ):
        raise InputError(
            f"{table.name} has one row with source, z and dataset for each of the "
            f"{count} cubes of {path.name}. Received: {len(rows)} rows"
        )
    return rows
