"""IUC: what an ultrasound frame of the carotid artery shows, in a folder of images.

The published data (UFMCAEL, for the thickness of the artery's wall) are private; known
is that there are three classes, the carotid bulb, the region of interest in which the
wall is measured, and background. [paper_facts 5.7]

The folder form here is this package's own: `images.csv` with the columns file, patient
and label, one row per image. `file` is relative to the table, a PNG, JPEG or DICOM
file; label is background, bulb or roi. A column split (train, valid, test) may stand
beside them, for all rows or none; without it patients are divided as in any task.
"""

from pathlib import Path

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks.base import Case, Listing, Task
from models_genesis_tf.tasks.table_rows import Row, read_files, read_parts, read_rows

TASK = Task(
    code="iuc",
    title="carotid ultrasound frame classification",
    modality="ultrasound",
    dimension=2,
    kind="classification",
    metric="auc",
    patch_size=(224, 224, 1),
    window="0,255",
    spacing=None,
    how_to_get=(
        "UFMCAEL is private; with frames of your own, a folder with images.csv "
        "(columns file, patient, label, which is background, bulb or roi) and the "
        "images of 8 bits that it names"
    ),
    data_set="cimt",
)

_CLASSES = ("background", "bulb", "roi")
_TABLE = "images.csv"
_COLUMNS = ("file", "patient", "label")


def list_cases(folder: Path) -> Listing:
    """Finds the images; none is opened.

    Args:
      folder: With the files as `TASK.how_to_get` says.

    Returns:
      One case per image in the table's order, named by its file.

    Raises:
      InputError: If files are missing or a row is not as described.
    """
    table = folder / _TABLE
    if not table.is_file():
        raise InputError(
            f"--data_dir holds the task's files: {TASK.how_to_get}. "
            f"Received: {folder} without {_TABLE}"
        )
    rows = read_rows(table, _COLUMNS)
    images = [(path,) for path in read_files(rows, "file", "an image")]
    names = [Path(row.cell("file")).as_posix() for row in rows]
    labels = [_read_label(row) for row in rows]
    patients = [row.cell("patient") for row in rows]
    cases = tuple(map(Case, names, images, labels, patients, read_parts(rows)))
    sizes = [f"{name} ({labels.count(k)})" for k, name in enumerate(_CLASSES)]
    notice = (
        f"{len(cases)} images of {len(set(patients))} patients; "
        f"classes {', '.join(sizes)}"
    )
    return Listing(cases, _CLASSES, None, notice)


def _read_label(row: Row) -> int:
    label = row.cell("label")
    if label not in _CLASSES:
        raise row.error(f"a label is one of {', '.join(_CLASSES)}", f"label={label}")
    return _CLASSES.index(label)
