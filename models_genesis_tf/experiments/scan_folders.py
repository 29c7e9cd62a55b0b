"""The scans of a folder: their names, which the csv files carry, and their folds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import cube_files, volumes

_SUBSET = re.compile(r"subset(\d)")
_NUM_HASHED_FOLDS = 10
_LUNG_MASKS = "seg-lungs-LUNA16"  # a folder that LUNA16 ships beside the subsets


@dataclass(frozen=True)
class Scan:
    """A scan and the fold that its cubes go to.

    Attributes:
      path: File or DICOM folder.
      source: Its name in the csv files: the series' UID in LUNA16, elsewhere the path
        below the data folder without suffix.
      fold: Number of the cube file.
      luna16: Whether it lies in LUNA16's layout.
    """

    path: Path
    source: str
    fold: int
    luna16: bool


def find_scans(
    data_dir: str | Path, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[Scan]:
    """Lists the scans of a folder with their names and folds.

    Args:
      data_dir: Folder of scans.
      include: Globs on scan names; empty takes all.
      exclude: Globs on scan names that are left out.

    Returns:
      All scans, sorted by path. Folds are LUNA16's subsets, elsewhere the patient's
      name hashed to 0..9.

    Raises:
      InputError: If the folder is absent or holds no scan.
    """
    data_dir = Path(data_dir)
    paths = [
        path
        for path in volumes.list_scans(data_dir, include, exclude)
        if _LUNG_MASKS not in path.parts
    ]
    if not paths:
        raise InputError(
            f"--data_dir holds scans ({volumes.FORMATS}) or cube files bat_*.npy. "
            f"Received: --data_dir={data_dir} without any that "
            "--include and --exclude let through"
        )
    sources = {path: _source(path, data_dir) for path in paths}
    patients = cube_files.patients_of(sources.values())
    scans = []
    for path, source in sources.items():
        subset = _SUBSET.fullmatch(path.parent.name)
        if subset:
            scans.append(Scan(path, volumes.scan_name(path), int(subset[1]), True))
        else:
            number = cube_files.stable_hash(patients[source])
            scans.append(Scan(path, source, number % _NUM_HASHED_FOLDS, False))
    return scans


def _source(path: Path, data_dir: Path) -> str:
    name = volumes.scan_name(path)
    if path == data_dir:  # the data folder is a DICOM series itself
        return name
    return (path.relative_to(data_dir).parent / name).as_posix()
