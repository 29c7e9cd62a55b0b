"""Synthetic brain MRs with gliomas in the layouts of the BraTS challenges.

Of each case FLAIR, T1, contrast-enhanced T1 and T2, skull-stripped, and labels: 1
necrotic and non-enhancing core, 2 oedema, 4 enhancing tumour (the challenge's pages,
med.upenn.edu/sbia/brats2018/tasks.html). Every fourth case is of low grade. Case k is
a patient. Names are those of the data's owners (med.upenn.edu/cbica/brats2020/data.html
for the modalities; Menze et al., IEEE TMI 34, 2015, describes the set of 2013, which
also has a label 3):

- 2018: `HGG/Brats18_X_1/Brats18_X_1_flair.nii.gz`, `_t1`, `_t1ce`, `_t2` and `_seg`.
- 2020: `BraTS20_Training_001/BraTS20_Training_001_flair.nii.gz` and so on.
- 2021: `BraTS2021_00000/BraTS2021_00000_flair.nii.gz` and so on.
- 2013: `HG/0001/VSD.Brain.XX.O.MR_Flair/VSD.Brain.XX.O.MR_Flair.684.mha`, `MR_T1`,
  `MR_T1c` and `MR_T2` alike, labels in `VSD.Brain_3more.XX.XX.OT`; all numbers at the
  end of names differ.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import new_volume, write_volume
from models_genesis_tf.phantoms.brain import draw_brain
from models_genesis_tf.phantoms.marker import marked

NAMINGS = ("2013", "2018", "2020", "2021")
_STREAM = 18
_LOW_GRADE = 4  # one case in so many; 75 of 285 of the challenge of 2018
_NAMES_2013 = {"flair": "Flair", "t1": "T1", "t1ce": "T1c", "t2": "T2"}


def write(
    output_dir: str | Path, cases: int, seed: int = 0, naming: str = "2018"
) -> None:
    """Writes cases.

    Args:
      output_dir: Folder to write to; an earlier attempt at the same set is replaced.
      cases: Number of patients, one examination each.
      seed: From which all cases follow; case k does not depend on `cases`.
      naming: Year of the challenge whose names are written, one of `NAMINGS`.

    Raises:
      InputError: If the naming is unknown, or the folder holds anything else.
    """
    if naming not in NAMINGS:
        raise InputError(
            f"the names of BraTS are those of {', '.join(NAMINGS)}. Received: {naming}"
        )
    output_dir = Path(output_dir)
    with marked(output_dir, f"brats{naming}", cases, seed):
        for case in tqdm(range(cases), "phantoms", unit="case", disable=None):
            _write_case(output_dir, seed, case, naming)


def _grade(case: int) -> str:
    return "LGG" if case % _LOW_GRADE == _LOW_GRADE - 1 else "HGG"


def _write_case(output_dir: Path, seed: int, case: int, naming: str) -> None:
    rng = np.random.default_rng([seed, _STREAM, case])
    brain = draw_brain(rng, _grade(case))
    # As the challenge's, whose grid is that of the atlas SRI24.
    origin = (0.0, -(brain.labels.shape[1] - 1) * brain.spacing[1], 0.0)
    volume = new_volume(brain.labels, brain.spacing, origin)
    for part, array in (brain.images | {"seg": brain.labels}).items():
        path = output_dir / _path_of(case, part, naming)
        write_volume(path, array, volume)


def _path_of(case: int, part: str, naming: str) -> Path:
    """Where a modality or the labels of a case go, relative to the set's folder."""
    if naming == "2013":
        return _path_of_2013(case, part)
    name = {
        "2018": f"Brats18_Phantom_{case:03d}_1",
        "2020": f"BraTS20_Training_{case + 1:03d}",
        "2021": f"BraTS2021_{case:05d}",
    }[naming]
    folder = Path(_grade(case), name) if naming == "2018" else Path(name)
    return folder / f"{name}_{part}.nii.gz"


def _path_of_2013(case: int, part: str) -> Path:
    """The grades are counted apart, so that both have a patient 0001."""
    low = case // _LOW_GRADE
    count = low if _grade(case) == "LGG" else case - low
    folder = Path(_grade(case)[:2], f"{count + 1:04d}")
    if part == "seg":
        name, number = "VSD.Brain_3more.XX.XX.OT", 6560 + 2 * case
    else:
        name = f"VSD.Brain.XX.O.MR_{_NAMES_2013[part]}"
        number = 684 + 4 * case + list(_NAMES_2013).index(part)
    return folder / name / f"{name}.{number}.mha"
