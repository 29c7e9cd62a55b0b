"""Pre-trains a 3D U-Net to restore deformed cubes.

Example:
  python -m models_genesis_tf.pretrain --data_dir=scans --output_dir=runs/mine
"""

import dataclasses
from pathlib import Path

from absl import flags

from models_genesis_tf import run_flags
from models_genesis_tf.config import (
    SCHEMES,
    CubeConfig,
    PretrainConfig,
)
from models_genesis_tf.experiments import data_folders, run_folder
from models_genesis_tf.experiments.extraction import extract_cubes
from models_genesis_tf.imaging.cube_files import is_cube_folder, open_cubes
from models_genesis_tf.phantoms import luna16

_DEFAULT = PretrainConfig()
_DEMO = {
    "base_filters": 8,
    "batch_size": 4,
    "epochs": 6,
    "cube_size": "48,48,24",
    "cubes_per_volume": 16,
}
_PHANTOM_CASES = 10
_LUNA16_PAGE = "https://luna16.grand-challenge.org"

run_flags.define_data_dir()
run_flags.define_output_dir("runs/pretrain")
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
    folder = run_folder.start_run(
        folder, run_flags.replayable_flags(leave_out=["restart"]), values.restart
    )
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
        print(
            f"synthetic scans in {data.path}, demonstration settings; for real ones "
            f"give --data_dir, such as LUNA16 from {_LUNA16_PAGE}"
        )
        data_folders.make_once(
            data.path, lambda path: luna16.write(path, _PHANTOM_CASES)
        )
    if is_cube_folder(data.path):
        return data.path
    values = flags.FLAGS
    extract_cubes(
        data.path,
        folder / "cubes",
        config,
        values.include,
        values.exclude,
        num_workers=values.num_workers,
    )
    return folder / "cubes"


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
