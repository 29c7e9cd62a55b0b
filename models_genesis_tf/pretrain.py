"""Pre-trains a U-Net to restore deformed cubes, or in 2D slices and pictures.

The same command again goes on with a run that was stopped or killed. Several machines
all run it with --strategy=multi_worker (docs/clusters.md).

Examples:
  python -m models_genesis_tf.pretrain --data_dir=scans --output_dir=runs/mine
  python -m models_genesis_tf.pretrain --model=unet2d --data_dir=xrays \\
    --output_dir=runs/xrays
"""

import dataclasses
import os
from contextlib import nullcontext
from pathlib import Path

from absl import flags

from models_genesis_tf import command_line, run_flags
from models_genesis_tf.config import SCHEMES, CubeConfig, PretrainConfig
from models_genesis_tf.experiments import data_folders, run_folder
from models_genesis_tf.experiments.run_cubes import find_cubes
from models_genesis_tf.phantoms.marker import is_phantom
from models_genesis_tf.training.workers import Workers, find_workers

_DEFAULT = PretrainConfig()
_DEMO = {"epochs": 30, "precision": "float32"}
_DEMOS = {
    # As in flags/pretrain_demo.cfg.
    "unet3d": data_folders.DEMO_CUBES
    | {"base_filters": 4, "batch_size": 4, "optimizer": "adam", "learning_rate": 0.01},
    "unet2d": {"cube_size": "64,64", "base_filters": 16, "batch_size": 8},
}

# What says where and how a run is computed, not what: it goes on on another machine.
_MAY_CHANGE = (
    *("data_dir", "manifest"),
    "output_dir",
    "num_workers",
    *("strategy", "cross_device_ops"),
    *("jit_compile", "fast_upsampling"),
    "checkpoint_every",
)

run_flags.define_model()
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
run_flags.define_restart()
flags.DEFINE_integer(
    "replay",
    None,
    "Train nothing, but draw this pair of the training stream, counted from 0, in "
    "--output_dir/samples.",
    lower_bound=0,
)


def main() -> None:
    """Reads the flags, finds or cuts the cubes, trains."""
    command_line.set_defaults({"output_dir": "runs/pretrain"})
    default = run_flags.use_network_defaults()
    values = flags.FLAGS
    workers = find_workers(values.strategy, os.environ)
    folder = Path(values.output_dir)
    with run_folder.sole_writer(folder) if workers.is_chief else nullcontext():
        _run(folder, default, workers)


def _run(folder: Path, default: PretrainConfig, workers: Workers) -> None:
    values = flags.FLAGS
    data = data_folders.find_data(run_flags.scan_folder(), "luna16")
    if data.demonstration:
        command_line.set_defaults(_DEMO | _DEMOS[default.model])
        command_line.set_defaults({"data_dir": data_folders.PHANTOM})
    else:
        command_line.set_defaults({"data_dir": str(data.path)})
    config, cube_config = _configs(default)
    recorded = command_line.replayable_flags(leave_out=["restart", "replay"])
    replaying = values.replay is not None
    if replaying or not values.restart:
        command_line.check_same_flags(
            run_folder.flags_of(folder), recorded, _MAY_CHANGE
        )
        if run_folder.is_finished(folder) and not replaying:
            print(f"finished already, nothing to do: {folder / 'model.keras'}")
            return
    if not replaying and workers.is_chief:
        run_folder.start_run(folder, recorded, values.restart, [data.path])
    cubes = find_cubes(
        data,
        folder,
        cube_config,
        run_flags.scan_choice(),
        values.train_folds + values.valid_folds,
        values.num_workers,
        may_cut=workers.count == 1,
    )
    # TensorFlow takes seconds to load; --help and what reads scans need not wait.
    from models_genesis_tf.experiments import pretraining

    if replaying:
        print(pretraining.replay(cubes, folder, config, values.replay))
        return
    facts = {"synthetic": any(map(is_phantom, cubes.files))}
    model = pretraining.pretrain(cubes, folder, config, facts)
    if model:
        _print_end(model, facts["synthetic"], data.demonstration)


def _print_end(model: Path, synthetic: bool, demonstration: bool) -> None:
    """Names the model last; a demonstration ends by saying that it is one."""
    words = "trained on synthetic scans: not a model for use"
    if synthetic and not demonstration:
        print(words)
    print(model)
    if demonstration:
        print(words)


def _configs(default: PretrainConfig) -> tuple[PretrainConfig, CubeConfig]:
    values = flags.FLAGS
    config = dataclasses.replace(
        run_flags.training_config(default),
        scheme=values.scheme,
        transform_preset=values.transform_preset,
        train_folds=run_flags.parse_folds("train_folds", values.train_folds),
        valid_folds=run_flags.parse_folds("valid_folds", values.valid_folds),
        seed=values.seed,
    )
    return config, run_flags.cube_config((2 if config.model == "unet2d" else 3,))


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
