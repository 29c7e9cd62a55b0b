"""The csv files and lists of a set of phantoms."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Writes a csv file beside its name and renames it when complete.

    Args:
      path: File to write.
      columns: The header.
      rows: One value for each column.
    """
    part = path.with_name(f".{path.name}.part")
    with part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    os.replace(part, path)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a text file beside its name and renames it when complete.

    Args:
      path: File to write.
      lines: What each line says.
    """
    part = path.with_name(f".{path.name}.part")
    part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.replace(part, path)
