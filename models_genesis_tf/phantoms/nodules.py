"""Synthetic lung lesions in the layout of a task of the user's own.

`images/` and `masks/` hold a `.nii.gz` for each case, and `cases.csv` names them with
their patient, part of the split, shape and diameter: what `finetune --task=custom`
reads, to segment the lesion or, by the column `shape`, to classify it. Cases are smooth
and spiculated in turn, and one patient in ten has two. Names hold the seed: those of
two sets differ, as their patients do.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.imaging.volumes import new_volume, write_volume
from models_genesis_tf.phantoms.lesion import SHAPES, draw_lesion, draw_patient
from models_genesis_tf.phantoms.marker import marked
from models_genesis_tf.phantoms.sets import patient_of
from models_genesis_tf.phantoms.tables import write_table

TABLE = "cases.csv"
_COLUMNS = ("image", "label", "patient", "split", "shape", "diameter_mm")
_CASE_STREAM, _PATIENT_STREAM, _SPLIT_STREAM = 11, 12, 13
_VALID_SHARE, _TEST_SHARE = 0.1, 0.44  # 100 cases have 91 patients, of whom 40 test


def write(output_dir: str | Path, cases: int, seed: int = 0) -> None:
    """Writes cases; the table comes last.

    Args:
      output_dir: Folder to write to; an earlier attempt at the same set is replaced.
      cases: Number of lesions. From 10 up each part of the split has both shapes.
      seed: From which all cases follow; of case k only the split depends on `cases`.

    Raises:
      InputError: If the folder holds anything else.
    """
    output_dir = Path(output_dir)
    with marked(output_dir, "nodules", cases, seed):
        (output_dir / TABLE).unlink(missing_ok=True)
        splits = _split(cases, seed)
        numbers = tqdm(range(cases), "phantoms", unit="case", disable=None)
        rows = [_write_case(output_dir, seed, case, splits) for case in numbers]
        write_table(output_dir / TABLE, _COLUMNS, rows)


def _write_case(
    output_dir: Path, seed: int, case: int, splits: dict[int, str]
) -> tuple[str, ...]:
    """Writes a patch and its mask; gives the row of the table."""
    patient = patient_of(case)
    rng = np.random.default_rng([seed, _CASE_STREAM, case])
    shared = draw_patient(np.random.default_rng([seed, _PATIENT_STREAM, patient]))
    lesion = draw_lesion(rng, shared, _shape_of(case))
    origin = rng.uniform(-150, 100, 3).round(2)
    volume = new_volume(lesion.array, lesion.spacing, origin)
    name = f"case_{seed}_{case:04d}.nii.gz"
    image, label = (f"{part}/{name}" for part in ("images", "masks"))
    write_volume(output_dir / image, volume.array, volume)
    write_volume(output_dir / label, lesion.mask, volume)
    return (
        image,
        label,
        f"patient_{seed}_{patient:04d}",
        splits[patient],
        _shape_of(case),
        f"{lesion.diameter:.2f}",
    )


def _shape_of(case: int) -> str:
    return SHAPES[case % 2]


def _split(cases: int, seed: int) -> dict[int, str]:
    """The part that each patient is in; two patients in a row differ in shape."""
    first_case: dict[int, int] = {}
    for case in range(cases):
        first_case.setdefault(patient_of(case), case)
    rng = np.random.default_rng([seed, _SPLIT_STREAM])
    shuffled = rng.permutation(list(first_case)).tolist()
    by_shape = [[p for p in shuffled if first_case[p] % 2 == turn] for turn in (0, 1)]
    order = [patient for pair in zip(*by_shape, strict=False) for patient in pair]
    order += [patient for patient in shuffled if patient not in order]
    test = int(_TEST_SHARE * len(order))
    valid = min(max(2, round(_VALID_SHARE * len(order))), (len(order) - test) // 2)
    train = len(order) - test - valid
    parts = ["train"] * train + ["valid"] * valid + ["test"] * test
    return dict(zip(order, parts, strict=True))
