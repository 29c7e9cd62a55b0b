"""Synthetic chest CTs in LIDC-IDRI's layout.

As the downloader of the Cancer Imaging Archive (TCIA) writes it: folders of patients,
studies and series, with a DICOM file for each slice and, beside them, an XML file of
the four readers' marks. Every eleventh scan is the second one of the patient before;
the real set has 1,018 scans of 1,010 patients. Source: LIDC-IDRI's page at TCIA;
`lidc_readings` has the source of the XML file. Beside the layout there is
`nodules.csv`: centre, world mm, and diameter of each nodule as it was drawn, for checks
alone.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.imaging.volumes import Volume, new_volume
from models_genesis_tf.phantoms.dicom_series import SeriesNames, draw_uid, write_series
from models_genesis_tf.phantoms.lidc_readings import draw_readings, write_readings
from models_genesis_tf.phantoms.marker import marked
from models_genesis_tf.phantoms.sets import check_size, patient_of
from models_genesis_tf.phantoms.tables import write_table
from models_genesis_tf.phantoms.thorax import Thorax, draw_body, draw_thorax

SIZE = (120, 120, 60)
MIN_SIZE = (80, 80, 40)
TABLE = "nodules.csv"
_COLUMNS = ("patient", "seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
_STREAM = 15


def write(
    output_dir: str | Path,
    cases: int,
    seed: int = 0,
    size: tuple[int, int, int] = SIZE,
) -> None:
    """Writes cases; the table comes last.

    Args:
      output_dir: Folder to write to; an earlier attempt at the same set is replaced.
      cases: Number of scans.
      seed: From which all cases follow; case k does not depend on `cases`.
      size: Voxels along x, y and z, of about 1.3 x 1.3 x 2.1 mm.

    Raises:
      InputError: If the scans would be too small to show nodules, or the folder holds
        anything else than these.
    """
    check_size(size, MIN_SIZE)
    output_dir = Path(output_dir)
    # UIDs, and so the folders' names, differ by size: sizes do not replace each other.
    name = "lidc" if tuple(size) == SIZE else f"lidc_{'x'.join(map(str, size))}"
    with marked(output_dir, name, cases, seed):
        (output_dir / TABLE).unlink(missing_ok=True)
        numbers = tqdm(range(cases), "phantoms", unit="scan", disable=None)
        rows = [
            row for case in numbers for row in _write_case(output_dir, seed, case, size)
        ]
        write_table(output_dir / TABLE, _COLUMNS, rows)


def _write_case(
    output_dir: Path, seed: int, case: int, size: tuple[int, int, int]
) -> list[tuple]:
    """Writes a scan and its readings; gives its rows of the table."""
    patient = patient_of(case)
    body = draw_body(np.random.default_rng([seed, _STREAM, patient, 0]))
    rng = np.random.default_rng([seed, _STREAM, case, 1])
    thorax = draw_thorax(rng, body, size)
    half = np.array(size) * body.spacing / 2
    middle = np.array((70 * body.side, 0, 0)) + rng.uniform((-9, -9, -220), (9, 9, -90))
    volume = new_volume(thorax.array, body.spacing, (middle - half).round(2))
    names = _draw_names(rng, f"LIDC-IDRI-{patient + 1:04d}", size[2])
    folder = output_dir.joinpath(names.patient, *_folders(names))
    folder.mkdir(parents=True, exist_ok=True)
    write_series(folder, volume, names)
    heights = volume.origin[2] + np.arange(size[2]) * volume.spacing[2]
    readings = draw_readings(rng, thorax)
    write_readings(folder / f"{case + 1:03d}.xml", readings, names, heights, rng)
    return _rows(thorax, volume, names)


def _draw_names(rng: np.random.Generator, patient: str, depth: int) -> SeriesNames:
    return SeriesNames(
        patient=patient,
        study=draw_uid(rng),
        series=draw_uid(rng),
        frame=draw_uid(rng),
        number=int(rng.integers(3000, 4000)),
        slices=[draw_uid(rng) for _ in range(depth)],
    )


def _folders(names: SeriesNames) -> tuple[str, str]:
    """Of the study and the series: date or number, and the end of the UID."""
    study = f"01-01-2000-NA-NA-{names.study[-5:]}"
    return study, f"{names.number}.000000-NA-{names.series[-5:]}"


def _rows(thorax: Thorax, volume: Volume, names: SeriesNames) -> list[tuple]:
    rows = []
    for nodule in thorax.nodules:
        centre = volume.origin + nodule.centre * volume.spacing
        place = [f"{value:.3f}" for value in centre]
        rows.append((names.patient, names.series, *place, f"{nodule.diameter:.2f}"))
    return rows
