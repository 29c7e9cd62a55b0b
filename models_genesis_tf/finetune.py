"""Fine-tunes a network for a task and scores it on cases it did not train on.

The same command again goes on with a run that was stopped or killed.

Examples:
  python -m models_genesis_tf.finetune --task=custom --kind=segmentation \\
    --manifest=cases.csv --weights=runs/mine/model.keras
  python -m models_genesis_tf.finetune --task=custom --kind=classification \\
    --manifest=nodules.csv --label_column=malignancy --label_map='<3:0,>3:1' \\
    --where='readers>=3'
"""

import dataclasses
from pathlib import Path

from absl import flags

from models_genesis_tf import command_line, run_flags
from models_genesis_tf.config import SCRATCH, FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.imaging.windows import parse_window
from models_genesis_tf.tasks.base import KINDS

TASKS = ("custom",)
_DEFAULT = FinetuneConfig()
# What says where and how a run is computed, not what: it goes on on another machine.
_MAY_CHANGE = (
    "output_dir",
    "cache_dir",
    "manifest",
    "strategy",
    "cross_device_ops",
    "jit_compile",
    "checkpoint_every",
)
# Flags that are settings as they are.
_AS_GIVEN = (
    *("task", "kind", "manifest", "label_column", "label_map", "where"),
    *("weights", "trials", "train_fraction", "score_split", "seed"),
)

flags.DEFINE_enum("task", _DEFAULT.task, TASKS, "Which task; custom reads --manifest.")
flags.DEFINE_enum("kind", None, KINDS, "What the network of --task=custom gives.")
flags.DEFINE_string("label_column", "label", "Column of the manifest that is learned.")
flags.DEFINE_string(
    "label_map",
    "",
    "Turns a label column into classes, such as '<3:0,>3:1'; the first condition that "
    "holds counts, rows without one are left out.",
)
flags.DEFINE_string(
    "where", "", "Only rows for which this holds, such as 'readers>=3,quality=good'."
)
flags.DEFINE_list(
    "patch_size",
    [],
    "Sides x,y,z of the network's input, multiples of 8; unset, by the images' sizes.",
)
flags.DEFINE_string(
    "weights", _DEFAULT.weights, "scratch, or the file of a pre-trained model."
)
flags.DEFINE_list(
    "flip_axes",
    list(_DEFAULT.flip_axes),
    "Axes along which training examples are flipped at random; leave out x where left "
    "and right are different classes. Empty flips none.",
)
flags.DEFINE_integer("trials", _DEFAULT.trials, "Repetitions.", lower_bound=1)
flags.DEFINE_float(
    "train_fraction",
    _DEFAULT.train_fraction,
    "Share of the training and validation patients that is used, in (0, 1].",
    lower_bound=0.0,
    upper_bound=1.0,
)
flags.DEFINE_enum(
    "score_split",
    _DEFAULT.score_split,
    ["test", "valid"],
    "Which part is scored; with valid the test cases are never read.",
)
run_flags.define_manifest()
run_flags.define_cache_dir()
run_flags.define_output_dir()
run_flags.define_window()
run_flags.define_spacing()
run_flags.define_seed()
run_flags.define_restart()
run_flags.define_training_flags(_DEFAULT)


def main() -> None:
    """Reads the flags, trains, scores."""
    values = flags.FLAGS
    run_flags.use_training_defaults(_DEFAULT)
    config = _config()
    start = Path(config.weights).stem
    command_line.set_defaults({"output_dir": f"runs/finetune_{config.task}_{start}"})
    with run_folder.sole_writer(values.output_dir):
        _run(Path(values.output_dir), config)


def _run(folder: Path, config: FinetuneConfig) -> None:
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
    inputs = [config.manifest] + [config.weights] * (config.weights != SCRATCH)
    run_folder.start_run(folder, recorded, values.restart, inputs)
    from models_genesis_tf.experiments import finetuning  # loads TensorFlow

    if results := finetuning.finetune(folder, config, cache_dir):
        print(results)


def _config() -> FinetuneConfig:
    values = flags.FLAGS
    if not (values.manifest and values.kind):
        raise InputError(
            "--task=custom takes --manifest and --kind. Received: "
            f"--manifest={values.manifest} --kind={values.kind}"
        )
    if values.weights != SCRATCH and not Path(values.weights).is_file():
        raise InputError(f"--weights is scratch or a file. Received: {values.weights}")
    window = "percentile" if values.window == "auto" else values.window
    parse_window(window)
    return dataclasses.replace(
        run_flags.training_config(_DEFAULT),
        **{name: flags.FLAGS[name].value for name in _AS_GIVEN},
        window=window,
        spacing=run_flags.spacing(),
        patch_size=run_flags.sides("patch_size") if values.patch_size else None,
        flip_axes=run_flags.parse_axes("flip_axes", values.flip_axes),
    )


def cli() -> None:
    """Runs the command."""
    command_line.run(main)


if __name__ == "__main__":
    cli()
