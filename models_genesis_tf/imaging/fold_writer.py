"""Writing cubes: the files of a fold and their names.

A fold is `bat_<cubes_per_volume>_s_<X>x<Y>x<Z>_<fold>.npy`, float32 `(n, x, y, z)` in
[0, 1], with a `.csv` of the same stem that says where each cube comes from.
"""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

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
        self._table = self._parts[".csv"].open("w", newline="", encoding="utf-8")
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
        try:
            if kind is None and self._count:
                self._cubes.seek(0)
                self._write_header()
            self._cubes.close()
            self._table.close()
            if kind is None and self._count:
                for suffix, part in self._parts.items():  # .npy last: "complete"
                    os.replace(part, self._path.with_suffix(suffix))
        finally:
            for part in self._parts.values():
                part.unlink(missing_ok=True)

    def _write_header(self) -> None:
        """NumPy leaves room in the header for the first axis to grow in place."""
        shape = (self._count, *self._cube_size)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._cubes, header)
