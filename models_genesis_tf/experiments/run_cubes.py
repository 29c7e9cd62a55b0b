"""The cubes (or slices) of a run: its data, or cut from them into its folder."""

from collections.abc import Sequence
from pathlib import Path

from models_genesis_tf.config import CubeConfig
from models_genesis_tf.experiments.data_folders import DataFolder, make_chest_phantoms
from models_genesis_tf.experiments.extraction import extract_cubes
from models_genesis_tf.experiments.scan_folders import find_scans
from models_genesis_tf.imaging.cube_files import CubeSet, is_cube_folder, open_cubes
from models_genesis_tf.imaging.cube_splits import LUNA16_TEST_FOLDS


def find_cubes(
    data: DataFolder,
    folder: Path,
    config: CubeConfig,
    include: Sequence[str],
    exclude: Sequence[str],
    folds: Sequence[str],
    num_workers: int,
) -> CubeSet:
    """Opens a folder of cubes; scans are cut first, as far as that is not done yet.

    Args:
      data: The run's data; a demonstration's are made if they are not there.
      folder: The run folder.
      config: What is cut from a scan.
      include: Globs on the names of scans.
      exclude: The same.
      folds: Those that the user named. LUNA16's test folds are not cut unless they are
        among them.
      num_workers: Scans read at the same time; 0 means one per core.

    Returns:
      The cubes.
    """
    if data.demonstration:
        make_chest_phantoms(data.path)
    if is_cube_folder(data.path):
        return open_cubes(data.path)
    scans = find_scans(data.path, include, exclude, config.takes_slices)
    kept = {fold for fold in LUNA16_TEST_FOLDS if str(fold) not in folds}
    cut = {scan.fold for scan in scans if not (scan.luna16 and scan.fold in kept)}
    extract_cubes(
        data.path,
        folder / "cubes",
        config,
        include,
        exclude,
        sorted(cut) or None,
        num_workers=num_workers,
    )
    return open_cubes(folder / "cubes")
