"""From files of scans to a table of probabilities."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.predicted_scans import (
    Scan,
    already_there,
    check_some_read,
    find_scans,
    tell_skipped,
)
from models_genesis_tf.experiments.prediction import Predictor
from models_genesis_tf.tasks.table_rows import read_rows

_PLACE_COLUMNS = ("coordX", "coordY", "coordZ")


def classify_scans(
    predictor: Predictor,
    text: str,
    output: str | None,
    candidates: str | None,
    overwrite: bool,
) -> Iterator[Path]:
    """Classifies the scans of --input, or places in them, and writes one table.

    Args:
      predictor: Of a classification model.
      text: Value of --input.
      output: Value of --output, a csv file; None is predictions.csv.
      candidates: Value of --candidates, a table of places by scan as LUNA16 has them,
        or None for the middle of each scan.
      overwrite: Write over a table that is there.

    Yields:
      The table: `scan,probability`, or LUNA16's columns of a submission; with more
      than two classes a column `probability_<class>` for each.

    Raises:
      InputError: If the table is there or no .csv file, a single scan or nothing of a
        folder can be read, or no candidate is of a scan.
    """
    path = Path(output or "predictions.csv")
    if path.suffix != ".csv":
        raise InputError(
            f"--output of a classification is a .csv file. Received: --output={path}"
        )
    if path.exists() and not overwrite:
        raise already_there([path])
    scans, is_folder = find_scans(text, predictor.facts)
    places = _read_places(candidates) if candidates else None
    if places is not None:
        scans = [scan for scan in scans if scan.name in places]
        if not scans:
            raise InputError(
                "--candidates names scans of --input as seriesuid. "
                f"Received: --candidates={candidates} with none of {text}"
            )
    rows, failed = [], 0
    for scan in scans:
        try:
            rows += _classify(predictor, scan, places)
        except InputError as error:
            if not is_folder:
                raise
            failed += 1
            tell_skipped(scan, error)
    check_some_read(failed, scans, text)
    run_folder.make_folder(path.parent)
    run_folder.write_rows(path, rows)
    yield path


def _classify(
    predictor: Predictor,
    scan: Scan,
    places: dict[str, list[tuple[float, float, float]]] | None,
) -> list[dict]:
    """The rows of a scan."""
    classes = predictor.facts.classes
    names = [f"probability_{name}" for name in classes]
    if predictor.facts.num_outputs == 1:
        names = ["probability"]
    if places is None:
        values = predictor.classify(scan.paths)
        return [{"scan": scan.name} | dict(zip(names, values, strict=True))]
    own = places[scan.name]
    return [
        {"seriesuid": scan.name}
        | dict(zip(_PLACE_COLUMNS, place, strict=True))
        | dict(zip(names, values, strict=True))
        for place, values in zip(
            own, predictor.classify_places(scan.paths, own), strict=True
        )
    ]


def _read_places(table: str) -> dict[str, list[tuple[float, float, float]]]:
    """World positions by scan."""
    places: dict[str, list[tuple[float, float, float]]] = {}
    columns = ("seriesuid", *_PLACE_COLUMNS)
    for row in read_rows(Path(table), columns, "candidates"):
        cells = [row.cell(column) for column in _PLACE_COLUMNS]
        try:
            place = tuple(float(cell) for cell in cells)
        except ValueError:
            place = (np.nan,)
        if not np.isfinite(place).all():
            raise row.error("coordinates are numbers, in mm", ", ".join(cells))
        places.setdefault(row.cell("seriesuid"), []).append(place)
    return places
