"""Synthetic chest radiographs in the layout of ChestX-ray14 (NIH Clinical Center).

`Data_Entry_2017.csv` names each image with its findings, joined by `|` or "No Finding",
and its patient; `train_val_list.txt` and `test_list.txt` part the images by patient;
images are 8-bit grey PNGs below `images_001/images`, `images_002/images` and so on, as
the archives unpack (nihcc.app.box.com/v/ChestXray-NIHCC; Wang et al., ChestX-ray8,
CVPR 2017). The rows of the real table end with a comma, as its header does.

Case k is a patient with four to seven radiographs, among which each finding of
ChestX-ray8 occurs once and one or two are without any: no patient's look tells a
finding, and every part of a split has all. Images have 256 x 256 pixels, the real ones
1024 x 1024.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.imaging.images import write_image2d
from models_genesis_tf.phantoms.marker import marked
from models_genesis_tf.phantoms.radiograph import FIELD, draw_patient, draw_radiograph
from models_genesis_tf.phantoms.tables import write_lines, write_table
from models_genesis_tf.phantoms.xray_findings import FINDINGS

TABLE = "Data_Entry_2017.csv"
TRAIN_VAL_LIST, TEST_LIST = "train_val_list.txt", "test_list.txt"
NO_FINDING = "No Finding"
_COLUMNS = (
    *("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age"),
    *("Patient Gender", "View Position", "OriginalImage[Width", "Height]"),
    *("OriginalImagePixelSpacing[x", "y]", ""),
)
_DETECTOR = 2048  # pixels a side, of which the image is a reduction
_TEST = 5  # the second of so many patients is for testing
_PATIENTS_PER_FOLDER = 5
_STREAM = 21


def write(output_dir: str | Path, cases: int, seed: int = 0) -> None:
    """Writes patients with their radiographs; the table and the lists come last.

    Args:
      output_dir: Folder to write to; an earlier attempt at the same set is replaced.
      cases: Number of patients; from 2 up there are some for testing.
      seed: From which all patients follow; patient k does not depend on `cases`.

    Raises:
      InputError: If the folder holds anything else.
    """
    output_dir = Path(output_dir)
    with marked(output_dir, "chestxray", cases, seed):
        for name in (TABLE, TRAIN_VAL_LIST, TEST_LIST):
            (output_dir / name).unlink(missing_ok=True)
        rows, lists = [], {TRAIN_VAL_LIST: [], TEST_LIST: []}
        for case in tqdm(range(cases), "phantoms", unit="patient", disable=None):
            own = _write_patient(output_dir, seed, case)
            rows += own
            part = TEST_LIST if case % _TEST == 1 else TRAIN_VAL_LIST
            lists[part] += [row[0] for row in own]
        for name, images in lists.items():
            write_lines(output_dir / name, images)
        write_table(output_dir / TABLE, _COLUMNS, rows)


def _write_patient(output_dir: Path, seed: int, case: int) -> list[tuple]:
    """Writes all radiographs of a patient; gives their rows of the table."""
    rng = np.random.default_rng([seed, _STREAM, case])
    patient = draw_patient(rng)
    age, gender = int(rng.integers(20, 85)), str(rng.choice(("F", "M")))
    folder = f"images_{case // _PATIENTS_PER_FOLDER + 1:03d}/images"
    spacing = f"{FIELD / _DETECTOR:.3f}"
    rows = []
    for number, findings in enumerate(_deal_findings(rng)):
        name = f"{case + 1:08d}_{number:03d}.png"
        image = draw_radiograph(rng, patient, findings)
        write_image2d(output_dir / folder / name, image[..., None])
        labels = "|".join(findings) or NO_FINDING
        about = (name, labels, number, case + 1, age + number // 3, gender, "PA")
        rows.append((*about, _DETECTOR, _DETECTOR, spacing, spacing, ""))
    return rows


def _deal_findings(rng: np.random.Generator) -> list[tuple[str, ...]]:
    """What each image shows: all findings, dealt to three to five, and one or two."""
    hands = [[] for _ in range(rng.integers(3, 6))]
    for number, name in enumerate(rng.permutation(FINDINGS).tolist()):
        hands[number % len(hands)].append(name)
    hands += [[] for _ in range(rng.integers(1, 3))]
    order = rng.permutation(len(hands)).tolist()
    return [tuple(sorted(hands[number])) for number in order]
