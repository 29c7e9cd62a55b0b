"""Fine-tunes a network for a task and scores it on cases it did not train on.

The same command again goes on with a run that was stopped or killed.

Examples:
  python -m models_genesis_tf.finetune --task=bms --data_dir=path/to/BraTS
  python -m models_genesis_tf.finetune --task=custom --kind=segmentation \\
    --manifest=cases.csv --weights=runs/mine/model.keras
  python -m models_genesis_tf.finetune --task=custom --kind=classification \\
    --manifest=nodules.csv --label_column=malignancy --label_map='<3:0,>3:1' \\
    --where='readers>=3'
  python -m models_genesis_tf.finetune --sweep=flags/sweep_demo.toml
"""

import dataclasses
import sys
from pathlib import Path

from absl import flags

from models_genesis_tf import command_line, run_flags, task_flags
from models_genesis_tf.config import SCRATCH, FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import data_folders, run_folder, sweep
from models_genesis_tf.experiments.sweep_file import SweepRun, read_sweep
from models_genesis_tf.models.weight_names import weights_path
from models_genesis_tf.tasks.catalogue import PUBLISHED, demonstrate

_DEFAULT = FinetuneConfig()
# What says where and how a run is computed, not what: it goes on on another machine.
_MAY_CHANGE = (
    *("output_dir", "cache_dir", "manifest", "data_dir"),
    *("strategy", "cross_device_ops", "checkpoint_every"),
    *("jit_compile", "fast_upsampling"),
)

task_flags.define_task_flags(_DEFAULT)
task_flags.define_cache_dir()
run_flags.define_output_dir()
run_flags.define_seed()
run_flags.define_restart()
run_flags.define_training_flags(_DEFAULT)
flags.DEFINE_string(
    "sweep",
    None,
    "File (.toml) of a grid of runs, which follow one another, pre-training first; "
    "what is done is skipped. Beside it only --output_dir is given, which holds a "
    "folder for each run. flags/sweep_demo.toml is an example.",
)


def main() -> None:
    """Reads the flags, trains, scores."""
    values = flags.FLAGS
    if values.sweep is not None:
        _sweep(Path(values.sweep))
        return
    data = _find_data(values.task)
    config = _configure(values.task, data)
    command_line.set_defaults({"output_dir": f"runs/{task_flags.run_name(config)}"})
    with run_folder.sole_writer(values.output_dir):
        _run(Path(values.output_dir), config, data)


def _find_data(code: str) -> data_folders.DataFolder | None:
    """Where a published task's files are; a task of the user's own has a manifest."""
    values = flags.FLAGS
    if code not in PUBLISHED:
        return None
    data = data_folders.find_data(values.data_dir, PUBLISHED[code].data_set)
    where = data_folders.PHANTOM if data.demonstration else str(data.path)
    command_line.set_defaults({"data_dir": where})
    return data


def _configure(code: str, data: data_folders.DataFolder | None) -> FinetuneConfig:
    """Settings out of a task's recipe and the flags."""
    usual = task_flags.recipe_asked_for(code)
    if data and data.demonstration:
        usual = demonstrate(usual, flags.FLAGS.weights)
    config = task_flags.run_config(usual)
    return dataclasses.replace(config, data_dir=str(data.path)) if data else config


def _run(
    folder: Path, config: FinetuneConfig, data: data_folders.DataFolder | None
) -> None:
    values = flags.FLAGS
    recorded = command_line.replayable_flags(leave_out=["restart"])
    if not values.restart:
        command_line.check_same_flags(
            run_folder.flags_of(folder), recorded, _MAY_CHANGE
        )
        if run_folder.is_finished(folder):
            print(f"finished already, nothing to do: {folder / 'results.json'}")
            return
    cache_dir = Path(values.cache_dir or folder.parent / "prepared")
    inputs = [config.data_dir or config.manifest]
    inputs += [str(weights_path(config.weights))] * (config.weights != SCRATCH)
    run_folder.start_run(folder, recorded, values.restart, inputs)
    if data and data.demonstration:
        task = PUBLISHED[config.task]
        data_folders.make_phantoms(data.path, task.data_set, task.how_to_get)
    from models_genesis_tf.experiments import finetuning  # loads TensorFlow

    if results := finetuning.finetune(folder, config, cache_dir):
        print(results)
        if data and data.demonstration:
            print("synthetic data, demonstration settings: no result of the task")


def _sweep(path: Path) -> None:
    holders = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    given = {holder.name for holder in holders if holder.present}
    if others := sorted(given - {"sweep", "output_dir"}):
        raise InputError(
            "the flags of a sweep's runs stand in its file; beside --sweep only "
            f"--output_dir is given. Received: --{', --'.join(others)}"
        )
    command_line.set_defaults({"output_dir": f"runs/sweep_{path.stem}"})
    folder = Path(flags.FLAGS.output_dir)
    plan = read_sweep(path, folder)
    sweep.check_flags(plan)
    for run in plan.runs:
        if run.command == "finetune":
            _check_settings(path, run)
    with run_folder.sole_writer(folder):
        sweep.run_sweep(plan)


def _check_settings(path: Path, run: SweepRun) -> None:
    """Reads the flags of a sweep's run as the run will, hours later perhaps."""
    given = run.flags | {"weights": SCRATCH}  # its own may not be trained yet
    flags.FLAGS.unparse_flags()
    flags.FLAGS([sys.argv[0], *(f"--{name}={value}" for name, value in given.items())])
    try:
        _configure(flags.FLAGS.task, None)
    except InputError as error:
        raise InputError(f"{path}: run {run.name}: {error}") from error


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
