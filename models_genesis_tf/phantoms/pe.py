"""Synthetic candidates of pulmonary embolism in a folder form of this project.

PE-CAD, the data set of the published task, is private; patches of 64x64x64 voxels,
several for a candidate, are what the official repository's configuration tells of it.
`candidates.csv` has the columns `file`, `patient`, `candidate` and `label`, and one row
for each patch; label 1 is an embolus, 0 is none. A candidate's patches are views of one
place turned about the vessel; its name is unique within its patient. Patches are `.npy`
files, int16 HU of shape (64, 64, 64), 20 mm a side with the vessel along the first
axis, below `patches/<patient>/`. Every patient has both classes.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.phantoms.embolism import (
    DECOYS,
    draw_patient,
    draw_scene,
    draw_view,
)
from models_genesis_tf.phantoms.marker import marked
from models_genesis_tf.phantoms.tables import write_table

TABLE = "candidates.csv"
NUM_VIEWS = 3
_COLUMNS = ("file", "patient", "candidate", "label")
_STREAM = 16


def write(output_dir: str | Path, cases: int, seed: int = 0) -> None:
    """Writes patients with their candidates; the table comes last.

    Args:
      output_dir: Folder to write to; an earlier attempt at the same set is replaced.
      cases: Number of patients, of five to eight candidates each.
      seed: From which all patients follow; patient k does not depend on `cases`.

    Raises:
      InputError: If the folder holds anything else.
    """
    output_dir = Path(output_dir)
    with marked(output_dir, "pe", cases, seed):
        (output_dir / TABLE).unlink(missing_ok=True)
        numbers = tqdm(range(cases), "phantoms", unit="patient", disable=None)
        rows = [
            row for case in numbers for row in _write_patient(output_dir, seed, case)
        ]
        write_table(output_dir / TABLE, _COLUMNS, rows)


def _write_patient(output_dir: Path, seed: int, case: int) -> list[tuple]:
    """Writes all patches of a patient; gives their rows of the table."""
    rng = np.random.default_rng([seed, _STREAM, case])
    name = f"Patient{case + 1:05d}"
    (output_dir / "patches" / name).mkdir(parents=True, exist_ok=True)
    patient = draw_patient(rng)
    rows = []
    for number, kind in enumerate(_draw_kinds(rng)):
        scene = draw_scene(rng, patient, kind)
        for view in range(NUM_VIEWS):
            file = f"patches/{name}/{number:02d}_{view}.npy"
            np.save(output_dir / file, draw_view(rng, scene))
            rows.append((file, name, f"{number:02d}", int(kind == "embolus")))
    return rows


def _draw_kinds(rng: np.random.Generator) -> list[str]:
    """What the candidates of a patient are: an embolus or two, and decoys."""
    emboli = int(rng.choice((1, 1, 1, 2)))
    decoys = rng.choice(DECOYS, rng.integers(5, 9) - emboli)
    return rng.permutation([*["embolus"] * emboli, *decoys]).tolist()
