"""Pre-trains a 3D U-Net to restore deformed cubes.

Example:
  python -m models_genesis_tf.pretrain --data_dir=scans --output_dir=runs/mine
"""

import dataclasses
from pathlib import Path

from absl import flags

from models_genesis_tf import run_flags
from models_genesis_tf.config import SCHEMES, TRANSFORM_PRESETS, PretrainConfig
from models_genesis_tf.experiments import data_folders, run_folder
from models_genesis_tf.experiments.extraction import extract_cubes
from models_genesis_tf.imaging.cube_files import is_cube_folder, open_cubes
from models_genesis_tf.phantoms import luna16

_DEFAULT = PretrainConfig()
_DEMO = {"base_filters": 8, "batch_size": 4, "epochs": 6}
_DEMO_CUBES = {"cube_size": (48, 48, 24), "cubes_per_volume": 16}
_PHANTOM_CASES = 10

run_flags.define_data_dir()
run_flags.define_output_dir("runs/pretrain")
run_flags.define_scan_filters()
run_flags.define_cube_flags()
run_flags.define_num_workers()
run_flags.define_seed()
run_flags.define_training_flags(_DEFAULT)
flags.DEFINE_enum("scheme", _DEFAULT.scheme, SCHEMES, "Which transforms are used.")
flags.DEFINE_enum(
    "transform_preset",
    _DEFAULT.transform_preset,
    sorted(TRANSFORM_PRESETS),
    "Rates and sizes of the transforms: default mends the official ones, official is "
    "the released code, miccai2019 the release of 2019.",
)
flags.DEFINE_list("train_folds", [], "Folds trained on, such as 0,1,2,3,4.")
flags.DEFINE_list("valid_folds", [], "Folds validated on, such as 5,6.")
flags.DEFINE_boolean("restart", False, "Remove an earlier run in --output_dir first.")


def main() -> None:
    """Reads the flags, finds or cuts the cubes, trains."""
    values = flags.FLAGS
    folder = Path(values.output_dir)
    if run_folder.is_finished(folder) and not values.restart:
        print(f"finished already, nothing to do: {folder / 'model.keras'}")
        return
    data = data_folders.find_data(
        values.data_dir, "luna16", lambda path: luna16.write(path, _PHANTOM_CASES)
    )
    config, cube_config = _configs(data.synthetic)
    if data.synthetic:
        print(f"synthetic scans in {data.path}, demonstration settings")
    folder = run_folder.start_run(folder, run_flags.replayable_flags(), values.restart)
    facts = {"synthetic": data.synthetic}
    cubes_dir = data.path
    if not is_cube_folder(data.path):
        cubes_dir = folder / "cubes"
        extract_cubes(
            data.path,
            cubes_dir,
            cube_config,
            values.include,
            values.exclude,
            num_workers=values.num_workers,
        )
    # TensorFlow takes seconds to load; --help and the processes that read scans and
    # import this module need not wait for it.
    from models_genesis_tf.experiments.pretraining import pretrain

    model = pretrain(open_cubes(cubes_dir), folder, config, facts)
    if data.synthetic:
        print("trained on synthetic scans: a demonstration, not a model for use")
    print(model)


def _configs(demonstration: bool):
    """Settings of the run and of its cubes; flags that were given always win."""
    values = flags.FLAGS
    config = dataclasses.replace(
        run_flags.training_config(_DEFAULT),
        scheme=values.scheme,
        transform_preset=values.transform_preset,
        train_folds=run_flags.parse_folds("train_folds", values.train_folds),
        valid_folds=run_flags.parse_folds("valid_folds", values.valid_folds),
        seed=values.seed,
    )
    cube_config = run_flags.cube_config()
    if demonstration:
        config = run_flags.unless_given(config, _DEMO)
        cube_config = run_flags.unless_given(cube_config, _DEMO_CUBES)
    return config, cube_config


def cli() -> None:
    """Runs the command."""
    run_flags.run(main)


if __name__ == "__main__":
    cli()
