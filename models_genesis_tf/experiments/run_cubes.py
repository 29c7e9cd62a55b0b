"""The cubes (or slices) of a run: its data, or cut from them into its folder."""

from collections.abc import Sequence
from pathlib import Path

from models_genesis_tf.config import ALL_SCANS, CubeConfig, ScanChoice
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.data_folders import DataFolder, make_chest_phantoms
from models_genesis_tf.experiments.extraction import extract_cubes
from models_genesis_tf.experiments.scan_folders import find_scans
from models_genesis_tf.imaging.cube_files import CubeSet, is_cube_folder, open_cubes
from models_genesis_tf.imaging.cube_splits import LUNA16_TEST_FOLDS


def find_cubes(
    data: DataFolder,
    folder: Path,
    config: CubeConfig,
    choice: ScanChoice,
    folds: Sequence[str],
    num_workers: int,
    may_cut: bool = True,
) -> CubeSet:
    """Opens a folder of cubes; scans are cut first, as far as that is not done yet.

    Args:
      data: The run's data; a demonstration's are made if they are not there.
      folder: The run folder.
      config: What is cut from a scan.
      choice: The scans that are taken.
      folds: Those that the user named. LUNA16's test folds are not cut unless they are
        among them.
      num_workers: Scans read at the same time; 0 means one per core.
      may_cut: Whether this process may make data; one of several that train together
        may not.

    Returns:
      The cubes.

    Raises:
      InputError: If there are no cubes and none may be cut, or none can be.
    """
    if not may_cut and not is_cube_folder(data.path):
        raise InputError(
            "several workers train on cubes that extract_cubes cut before. Received: "
            f"--data_dir={data.path}, which holds none"
        )
    if data.demonstration:
        make_chest_phantoms(data.path)
    if is_cube_folder(data.path):
        if choice != ALL_SCANS:
            raise InputError(
                "--include, --exclude and --manifest choose scans to cut. Received: "
                f"--data_dir={data.path} of cubes, which are taken as they are"
            )
        return open_cubes(data.path)
    scans = find_scans(data.path, choice, config.takes_slices)
    kept = {fold for fold in LUNA16_TEST_FOLDS if str(fold) not in folds}
    cut = {scan.fold for scan in scans if not (scan.luna16 and scan.fold in kept)}
    extract_cubes(
        data.path,
        folder / "cubes",
        config,
        choice,
        sorted(cut) or None,
        num_workers=num_workers,
    )
    return open_cubes(folder / "cubes")
