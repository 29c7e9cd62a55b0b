"""Synthetic ultrasound images of carotid arteries in a folder form of this project.

UFL's set, of the published task, is private; what is published of it are its three
classes. `images.csv` has the columns `file`, `patient` and `label`, and one row for
each image; the label is `bulb`, `roi` (the far wall's intima and media, where their
thickness is measured) or `background`. Images are 8-bit grey PNGs of 128 x 128 pixels
in a folder of their label's name. Every patient has four to six of each label.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.imaging.images import write_image2d
from models_genesis_tf.phantoms.carotid import LABELS, draw_artery, draw_frame
from models_genesis_tf.phantoms.marker import marked
from models_genesis_tf.phantoms.tables import write_table

TABLE = "images.csv"
_COLUMNS = ("file", "patient", "label")
_STREAM = 22


def write(output_dir: str | Path, cases: int, seed: int = 0) -> None:
    """Writes patients with their images; the table comes last.

    Args:
      output_dir: Folder to write to; an earlier attempt at the same set is replaced.
      cases: Number of patients, of twelve to eighteen images each.
      seed: From which all patients follow; patient k does not depend on `cases`.

    Raises:
      InputError: If the folder holds anything else.
    """
    output_dir = Path(output_dir)
    with marked(output_dir, "cimt", cases, seed):
        (output_dir / TABLE).unlink(missing_ok=True)
        numbers = tqdm(range(cases), "phantoms", unit="patient", disable=None)
        rows = [
            row for case in numbers for row in _write_patient(output_dir, seed, case)
        ]
        write_table(output_dir / TABLE, _COLUMNS, rows)


def _write_patient(output_dir: Path, seed: int, case: int) -> list[tuple]:
    """Writes all images of a patient; gives their rows of the table."""
    rng = np.random.default_rng([seed, _STREAM, case])
    name = f"Patient{case + 1:05d}"
    artery = draw_artery(rng)
    rows = []
    for label in LABELS:
        for number in range(rng.integers(4, 7)):
            file = f"{label}/{name}_{number:02d}.png"
            frame = draw_frame(rng, artery, label)
            write_image2d(output_dir / file, frame[..., None])
            rows.append((file, name, label))
    return rows
