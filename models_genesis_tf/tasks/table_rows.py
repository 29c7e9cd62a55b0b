"""The rows of a csv table, which know their numbers for the errors they cause."""

import csv
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks.base import PARTS
from models_genesis_tf.tasks.splits import part_of


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


def read_columns(
    table: Path, columns: Sequence[str]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Reads some columns of a large table, one row at a time; blank rows are passed.

    All of a table's rows as dictionaries would be half a gigabyte.

    Args:
      table: A csv file in UTF-8 with a header, to which columns without a name may be
        appended.
      columns: Names of two columns or more, in any order in the file.

    Yields:
      The number of each row (the header is row 1) and its cells in the order of
      `columns`.

    Raises:
      InputError: If the file cannot be read, a column is missing or twice there, or a
        row has more or fewer cells than the header has names.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream)
            header = [cell.strip() for cell in next(rows, [])]
            if any(header.count(column) != 1 for column in columns):
                rule = f"{table.name} has the columns {','.join(columns)}"
                raise Row(table, 1, {}).error(rule, ",".join(header))
            while not header[-1]:
                header.pop()
            pick = operator.itemgetter(*map(header.index, columns))
            width = len(header)
            for number, row in enumerate(rows, start=2):
                if not row:
                    continue
                if len(row) < width or any(row[width:]):
                    rule = f"a row has {width} cells"
                    raise Row(table, number, {}).error(rule, ",".join(row))
                yield number, pick(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{table.name} is a csv file in UTF-8. Received: {table} ({error})"
        ) from error


def read_files(rows: Sequence[Row], column: str, what: str) -> list[Path]:
    """Finds the files that a column names, each of them in one row alone.

    Args:
      rows: Of one table.
      column: The column.
      what: What each file is, such as "an image".

    Returns:
      Their paths.

    Raises:
      InputError: If a cell is empty, a file does not exist or is in two rows.
    """
    first: dict[Path, Row] = {}
    files = []
    for row in rows:
        path = row.file(column)
        earlier = first.setdefault(path.resolve(), row)
        if earlier is not row:
            raise row.error(
                f"{what} is in one row, here in row {earlier.number}",
                f"{column}={row.cells[column]}",
            )
        files.append(path)
    return files


def read_parts(rows: Sequence[Row]) -> list[str | None]:
    """Reads the column split of a table, if it is there.

    Args:
      rows: Of the table.

    Returns:
      The part of each row; None of all where the column is missing or empty.

    Raises:
      InputError: If some rows have a part and others none, or one is none of `PARTS`.
    """
    texts = [row.cells.get("split", "") for row in rows]
    if not any(texts):
        return [None] * len(rows)
    parts: list[str | None] = []
    for row, text in zip(rows, texts, strict=True):
        if not text:
            raise row.error("either every row has a split or none has one", "split=")
        try:
            parts.append(part_of(text))
        except InputError:
            rule = f"a split is one of {', '.join(PARTS)}"
            raise row.error(rule, f"split={text}") from None
    return parts


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
