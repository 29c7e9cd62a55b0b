"""The rows of a csv table, which know their numbers for the errors they cause."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.errors import InputError


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
      table: The file.
      number: Of the row's (last) line; the header is row 1.
      cells: Texts by column, without spaces around.
    """

    table: Path
    number: int
    cells: Mapping[str, str]

    def error(self, rule: str, received: str) -> InputError:
        """Makes the error that names this row.

        Args:
          rule: What has to hold.
          received: What the row holds instead.

        Returns:
          The error, to be raised.
        """
        return InputError(
            f"{rule}. Received: {self.table} row {self.number}: {received}"
        )

    def cell(self, column: str) -> str:
        """Reads a cell that must not be empty.

        Args:
          column: Its column.

        Returns:
          Its text.

        Raises:
          InputError: If it is empty.
        """
        text = self.cells[column]
        if not text:
            raise self.error("a cell that is used is not empty", f"{column}=")
        return text

    def file(self, column: str) -> Path:
        """Finds the file that a cell names.

        Args:
          column: Its column.

        Returns:
          The path, relative to the table's folder unless it is absolute.

        Raises:
          InputError: If the cell is empty or the file does not exist.
        """
        text = self.cell(column)
        path = self.table.parent / text
        if not path.exists():
            raise self.error(
                "the files of a table exist, relative to its folder",
                f"{column}={text}",
            )
        return path


def read_rows(path: Path, needed: Sequence[str], flag: str = "") -> list[Row]:
    """Reads all rows of a table; blank lines are passed over.

    Args:
      path: A csv file in UTF-8 with a header.
      needed: Columns that have to be there.
      flag: Name of the flag that gave the path, for errors; empty for none.

    Returns:
      The rows, each with one cell for each column of the header.

    Raises:
      InputError: If the file cannot be read or has no rows, a column is missing or
        twice there, or a row has more or fewer cells than the header.
    """
    given = f"--{flag}={path}" if flag else str(path)
    lines = _read_lines(path, given)
    if len(lines) < 2:
        raise InputError(
            "a table has a header and a row for each case. "
            f"Received: {given} with {len(lines)} rows"
        )
    (_, header), *lines = lines
    for column in [*needed, *filter(None, header)]:
        if header.count(column) != 1:
            raise InputError(
                f"a table has one column {column}. "
                f"Received: {given} with the columns {', '.join(header)}"
            )
    rows = []
    for number, cells in lines:
        row = Row(path, number, dict(zip(header, cells, strict=False)))
        if len(cells) != len(header):
            raise row.error(
                f"a row has one cell for each of the {len(header)} columns",
                f"{len(cells)} cells",
            )
        rows.append(row)
    return rows


def _read_lines(path: Path, given: str) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, with their numbers."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True, skipinitialspace=True)
            try:
                lines = [
                    (reader.line_num, [cell.strip() for cell in row]) for row in reader
                ]
            except csv.Error as error:
                raise Row(path, reader.line_num, {}).error(
                    "a table is a csv file", str(error)
                ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"a table is a csv file in UTF-8. Received: {given} ({error})"
        ) from error
    return [(number, cells) for number, cells in lines if any(cells)]
