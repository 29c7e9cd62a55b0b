"""Flags that say which task is learned from which cases, and the settings made of them.

They stand beside `run_flags`; an entry point calls the `define_*` functions it needs.
"""

import dataclasses
from pathlib import Path

from absl import flags

from models_genesis_tf import run_flags
from models_genesis_tf.config import SCRATCH, FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.windows import parse_window
from models_genesis_tf.tasks.base import KINDS

TASKS = ("custom",)
# Flags that are settings as they are.
_AS_GIVEN = (
    *("task", "kind", "manifest", "label_column", "label_map", "where"),
    *("weights", "trials", "train_fraction", "score_split", "seed"),
)

# A flag defined here belongs to the command that asked for it, in its --help too.
flags.disclaim_key_flags()


def define_manifest() -> None:
    """Defines --manifest."""
    run_flags.define(
        flags.DEFINE_string,
        "manifest",
        None,
        "csv file of cases with the columns image, label and, if known, patient and "
        "split (train, valid, test); paths are relative to it. Unset, evaluate takes "
        "that of the run.",
    )


def define_cache_dir() -> None:
    """Defines --cache_dir."""
    run_flags.define(
        flags.DEFINE_string,
        "cache_dir",
        None,
        "Folder of prepared cases, shared by runs; unset, prepared/ beside the run's.",
    )


def define_task_flags(default: FinetuneConfig) -> None:
    """Defines the flags that say what is learned, from what, and how it is scored.

    Args:
      default: Settings with a field for each of these flags.
    """
    _define_cases(default)
    flags.DEFINE_string(
        "weights", default.weights, "scratch, or the file of a pre-trained model."
    )
    flags.DEFINE_list(
        "flip_axes",
        list(default.flip_axes),
        "Axes along which training examples are flipped at random; leave out x where "
        "left and right are different classes. Empty flips none.",
    )
    flags.DEFINE_integer("trials", default.trials, "Repetitions.", lower_bound=1)
    flags.DEFINE_float(
        "train_fraction",
        default.train_fraction,
        "Share of the training and validation patients that is used, in (0, 1].",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_enum(
        "score_split",
        default.score_split,
        ["test", "valid"],
        "Which part is scored; with valid the test cases are never read.",
    )


def _define_cases(default: FinetuneConfig) -> None:
    """Defines the flags that say which cases there are, and how they are seen."""
    flags.DEFINE_enum(
        "task", default.task, TASKS, "Which task; custom reads --manifest."
    )
    flags.DEFINE_enum("kind", None, KINDS, "What the network of --task=custom gives.")
    define_manifest()
    flags.DEFINE_string(
        "label_column", default.label_column, "Column of the manifest that is learned."
    )
    flags.DEFINE_string(
        "label_map",
        default.label_map,
        "Turns a label column into classes, such as '<3:0,>3:1'; the first condition "
        "that holds counts, rows without one are left out.",
    )
    flags.DEFINE_string(
        "where",
        default.where,
        "Only rows for which this holds, such as 'readers>=3,quality=good'.",
    )
    run_flags.define_window()
    run_flags.define_spacing()
    flags.DEFINE_list(
        "patch_size",
        [],
        "Sides x,y,z of the network's input, multiples of 8; unset, by the images' "
        "sizes.",
    )


def task_config(config: FinetuneConfig) -> FinetuneConfig:
    """Puts the task flags' values and --seed into settings.

    Args:
      config: The settings but for these.

    Returns:
      All settings of a run.

    Raises:
      InputError: If a value breaks its rule.
    """
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
        config,
        **{name: values[name].value for name in _AS_GIVEN},
        window=window,
        spacing=run_flags.spacing(),
        patch_size=run_flags.sides("patch_size") if values.patch_size else None,
        flip_axes=_parse_axes("flip_axes", values.flip_axes),
    )


def _parse_axes(name: str, values: list[str]) -> tuple[str, ...]:
    """Turns a list flag into names of axes."""
    if not set(values) <= set("xyz"):
        raise InputError(
            f"--{name} takes axes out of x,y,z divided by commas. "
            f"Received: --{name}={','.join(values)}"
        )
    return tuple(values)
