"""Pre-trains a 3D U-Net to restore deformed cubes.

Example:
  python -m models_genesis_tf.pretrain --data_dir=scans --output_dir=runs/mine
"""

import dataclasses
from pathlib import Path

from absl import flags

from models_genesis_tf import run_flags
from models_genesis_tf.config import SCHEMES, CubeConfig, PretrainConfig
from models_genesis_tf.experiments import data_folders, run_folder
from models_genesis_tf.experiments.extraction import extract_cubes
from models_genesis_tf.experiments.scan_folders import find_scans
from models_genesis_tf.imaging.cube_files import is_cube_folder, open_cubes
from models_genesis_tf.imaging.cube_splits import LUNA16_TEST_FOLDS

_DEFAULT = PretrainConfig()
# As in flags/pretrain_demo.cfg.
_DEMO = data_folders.DEMO_CUBES | {
    "base_filters": 4,
    "batch_size": 4,
    "epochs": 30,
    "optimizer": "adam",
    "learning_rate": 0.01,
}

run_flags.define_data_dir()
run_flags.define_output_dir()
run_flags.define_scan_filters()
run_flags.define_cube_flags()
run_flags.define_num_workers()
run_flags.define_seed()
run_flags.define_training_flags(_DEFAULT)
flags.DEFINE_enum("scheme", _DEFAULT.scheme, SCHEMES, "Which transforms are used.")
run_flags.define_transform_preset()
flags.DEFINE_list("train_folds", [], "Folds trained on, such as 0,1,2,3,4.")
flags.DEFINE_list("valid_folds", [], "Folds validated on, such as 5,6.")
flags.DEFINE_boolean(
    "restart", False, "Remove an earlier run in --output_dir, its cubes too, first."
)


def main() -> None:
    """Reads the flags, finds or cuts the cubes, trains."""
    run_flags.set_defaults({"output_dir": "runs/pretrain"})
    values = flags.FLAGS
    folder = Path(values.output_dir)
    if run_folder.is_finished(folder) and not values.restart:
        print(f"finished already, nothing to do: {folder / 'model.keras'}")
        return
    data = data_folders.find_data(values.data_dir, "luna16")
    if data.synthetic:
        run_flags.set_defaults(_DEMO | {"data_dir": data_folders.PHANTOM})
    else:
        run_flags.set_defaults({"data_dir": str(data.path)})
    config, cube_config = _configs()
    recorded = run_flags.replayable_flags(leave_out=["restart"])
    folder = run_folder.start_run(folder, recorded, values.restart, data.path)
    cubes = open_cubes(_find_cubes(data, folder, cube_config))
    # TensorFlow takes seconds to load; --help and the processes that read scans and
    # import this module need not wait for it.
    from models_genesis_tf.experiments.pretraining import pretrain

    print(pretrain(cubes, folder, config, {"synthetic": data.synthetic}))
    if data.synthetic:
        print("trained on synthetic scans: a demonstration, not a model for use")


def _find_cubes(
    data: data_folders.DataFolder, folder: Path, config: CubeConfig
) -> Path:
    """The folder of cubes: the data themselves, or cut from them into the run."""
    if data.synthetic:
        data_folders.make_chest_phantoms(data.path)
    if is_cube_folder(data.path):
        return data.path
    values = flags.FLAGS
    extract_cubes(
        data.path,
        folder / "cubes",
        config,
        values.include,
        values.exclude,
        _folds_to_cut(data.path),
        num_workers=values.num_workers,
    )
    return folder / "cubes"


def _folds_to_cut(data_dir: Path) -> list[int] | None:
    """All folds but LUNA16's test folds, which stay untouched unless they are named."""
    values = flags.FLAGS
    scans = find_scans(data_dir, values.include, values.exclude)
    named = [int(fold) for fold in values.train_folds + values.valid_folds]
    kept = {fold for fold in LUNA16_TEST_FOLDS if fold not in named}
    folds = {scan.fold for scan in scans if not (scan.luna16 and scan.fold in kept)}
    return sorted(folds) or None


def _configs() -> tuple[PretrainConfig, CubeConfig]:
    values = flags.FLAGS
    config = dataclasses.replace(
        run_flags.training_config(_DEFAULT),
        scheme=values.scheme,
        transform_preset=values.transform_preset,
        train_folds=run_flags.parse_folds("train_folds", values.train_folds),
        valid_folds=run_flags.parse_folds("valid_folds", values.valid_folds),
        seed=values.seed,
    )
    return config, run_flags.cube_config()


def cli() -> None:
    """Runs the command."""
    run_flags.run(main)


if __name__ == "__main__":
    cli()
