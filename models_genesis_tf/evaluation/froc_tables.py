"""The tables of LUNA16's evaluation: nodules, irrelevant findings, submissions, scans.

`annotations.csv` and `annotations_excluded.csv` have the columns seriesuid, coordX,
coordY, coordZ, diameter_mm; the latter holds findings that are irrelevant (no nodules,
nodules under 3 mm or marked by one or two of four readers), with a diameter of -1 where
none was measured. A submission has the column probability instead.
[luna16.grand-challenge.org/Data and /Evaluation] `seriesuids.csv` holds one UID a line,
without a header. [the owner's evaluationScript]
"""

import csv
import math
import sys
from collections.abc import Iterator
from pathlib import Path

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.froc import Candidate, Nodule
from models_genesis_tf.tasks.table_rows import read_rows

_SERIES = "seriesuid"
_PLACE = ("coordX", "coordY", "coordZ")


def read_nodules(path: Path, flag: str) -> list[Nodule]:
    """Reads nodules or irrelevant findings.

    Args:
      path: An annotations.csv or annotations_excluded.csv.
      flag: Name of the flag that gave the path, for errors; empty for none.

    Returns:
      They, in the file's order.

    Raises:
      InputError: If it is no such table, or a row holds what is no number.
    """
    return [Nodule(*row) for row in _read(path, "diameter_mm", flag)]


def read_submission(path: Path, flag: str) -> list[Candidate]:
    """Reads candidates with their probabilities.

    Args:
      path: A submission as LUNA16 takes them.
      flag: Name of the flag that gave the path, for errors; empty for none.

    Returns:
      They, in the file's order.

    Raises:
      InputError: If it is no such table, or a row holds what is no number.
    """
    return [Candidate(*row) for row in _read(path, "probability", flag)]


def read_series(path: Path, flag: str) -> list[str]:
    """Reads which scans are evaluated.

    Args:
      path: A csv file with a UID in the first cell of each line; a header `seriesuid`
        is passed over, and so are blank lines.
      flag: Name of the flag that gave the path, for errors.

    Returns:
      The UIDs, each once, in the file's order.

    Raises:
      InputError: If the file cannot be read or names no scan.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            cells = [row[0].strip() for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"a list of scans is a csv file in UTF-8. Received: --{flag}={path} "
            f"({error})"
        ) from error
    series = dict.fromkeys(cell for cell in cells if cell not in ("", _SERIES))
    if not series:
        raise InputError(
            f"a list of scans names one or more. Received: --{flag}={path} with none"
        )
    return list(series)


def _read(path: Path, last: str, flag: str) -> Iterator[tuple]:
    """Series, place and the number of the last column of each row."""
    columns = (*_PLACE, last)
    for row in read_rows(path, (_SERIES, *columns), flag):
        try:
            numbers = [float(row.cells[column]) for column in columns]
        except ValueError:
            numbers = [math.nan]
        if not all(map(math.isfinite, numbers)):
            received = ",".join(row.cells[column] for column in columns)
            raise row.error(f"{', '.join(columns)} are numbers", received)
        # One text for all rows of a scan.
        yield sys.intern(row.cell(_SERIES)), tuple(numbers[:3]), numbers[3]
