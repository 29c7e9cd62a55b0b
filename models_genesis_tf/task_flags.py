"""Flags that say which task is learned from which cases, and the settings made of them.

They stand beside `run_flags`; an entry point calls the `define_*` functions it needs.
"""

import dataclasses

from absl import flags

from models_genesis_tf import run_flags
from models_genesis_tf.config import SCRATCH, FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.patches import slices_around
from models_genesis_tf.imaging.postprocessing import Postprocessing
from models_genesis_tf.imaging.windows import parse_window
from models_genesis_tf.models.weight_names import (
    IMAGENET,
    released_names,
    start_name,
    weights_path,
)
from models_genesis_tf.tasks.base import KINDS
from models_genesis_tf.tasks.bms import MODALITIES, check_modalities
from models_genesis_tf.tasks.catalogue import OWN_SETTINGS, PUBLISHED, TASKS, recipe
from models_genesis_tf.tasks.dxc import check_labels

# Flags that are settings as they are.
_AS_GIVEN = (
    *("task", "label_column", "label_map", "where", "fold", "min_readers"),
    *("lesions_are_liver", "labels", "patches_per_case", "balanced", "loss"),
    *("dimension", "slices_per_case"),
    *("weights", "trials", "train_fraction", "score_split", "seed"),
)
_LOSSES = ("auto", "dice")
_LISTS = ("spacing", "patch_size", "modalities", "flip_axes")

# A flag defined here belongs to the command that asked for it, in its --help too.
flags.disclaim_key_flags()


def define_cache_dir() -> None:
    """Defines --cache_dir."""
    run_flags.define(
        flags.DEFINE_string,
        "cache_dir",
        None,
        "Folder of prepared cases, shared by runs; unset, prepared/ beside the run's.",
    )


def define_postprocessing() -> None:
    """Defines --largest_component and --min_size_mm3."""
    run_flags.define(
        flags.DEFINE_boolean,
        "largest_component",
        False,
        "Keep the largest connected piece of each class.",
    )
    run_flags.define(
        flags.DEFINE_float,
        "min_size_mm3",
        0.0,
        "Remove connected pieces of a mask of less than this volume, mm^3.",
        lower_bound=0.0,
    )


def postprocessing() -> Postprocessing:
    """Reads --largest_component and --min_size_mm3."""
    values = flags.FLAGS
    return Postprocessing(values.largest_component, values.min_size_mm3)


def define_task_flags(default: FinetuneConfig) -> None:
    """Defines the flags that say what is learned, from what, and how it is scored.

    Args:
      default: Settings with a field for each of these flags.
    """
    _define_cases(default)
    flags.DEFINE_string(
        "weights",
        default.weights,
        "scratch, the file of a pre-trained model or the name of one that comes with "
        "the package ("
        + (", ".join(released_names()) or "none")
        + "); of torchvision's ResNet-18, with --dimension=2, imagenet:FILE.",
    )
    flags.DEFINE_list(
        "flip_axes",
        list(default.flip_axes),
        "Axes along which training examples are flipped at random; leave out x where "
        "left and right are different classes. Empty flips none.",
    )
    flags.DEFINE_integer(
        "patches_per_case",
        default.patches_per_case,
        "Patches that an epoch of a segmentation takes from each case.",
        lower_bound=1,
    )
    flags.DEFINE_boolean(
        "balanced",
        default.balanced,
        "A classification trains on as many cases of each class: all of the smallest "
        "one in each epoch, of the others some by chance.",
    )
    flags.DEFINE_enum(
        "loss",
        default.loss,
        _LOSSES,
        "auto is cross-entropy, for segmentation with a Dice loss of each example; "
        "dice is the released code's for segmentation, over all of a batch.",
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
        "task",
        default.task,
        TASKS,
        "; ".join(f"{code}: {task.title}" for code, task in PUBLISHED.items())
        + "; custom: your own, reads --manifest. A published task's recipe, which "
        "docs/tasks.md explains, replaces the defaults that are shown here.",
    )
    run_flags.define_data_dir()
    flags.DEFINE_enum("kind", None, KINDS, "What the network of --task=custom gives.")
    run_flags.define_manifest()
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
    _define_published(default)
    run_flags.define_window()
    run_flags.define_spacing()
    flags.DEFINE_integer(
        "dimension",
        default.dimension,
        "2: the network sees axial slices, or pictures; 3: volumes. Unset, the task's "
        "own, for --task=custom 2 if all images are pictures or --patch_size has two "
        "sides.",
        lower_bound=2,
        upper_bound=3,
    )
    flags.DEFINE_integer(
        "slices_per_case",
        default.slices_per_case,
        "With --dimension=2, axial slices around a candidate's, or a classified "
        "volume's, middle, whose probabilities are averaged; odd. Unset, 5 of a "
        "classification.",
        lower_bound=1,
    )
    flags.DEFINE_list(
        "patch_size",
        [],
        "Sides x,y,z of the network's input, multiples of 8, or x,y, multiples of 32; "
        "unset, the task's own, for --task=custom by the images' sizes.",
    )


def _define_published(default: FinetuneConfig) -> None:
    """Defines the flags that one of the published tasks knows."""
    flags.DEFINE_list(
        "modalities",
        list(default.modalities),
        f"Channels of --task=bms, out of {','.join(MODALITIES)}; unset, flair.",
    )
    flags.DEFINE_integer(
        "fold",
        default.fold,
        "Which third of the patients --task=ecc tests.",
        lower_bound=1,
        upper_bound=3,
    )
    flags.DEFINE_integer(
        "min_readers",
        default.min_readers,
        "Only nodules that so many readers marked, for --task=ncs.",
        lower_bound=1,
        upper_bound=4,
    )
    flags.DEFINE_boolean(
        "lesions_are_liver",
        default.lesions_are_liver,
        "Whether lesions in the liver count as liver, for --task=lcs; else they are "
        "background.",
    )
    flags.DEFINE_integer(
        "labels",
        default.labels,
        "How many findings --task=dxc learns: the 8 of ChestX-ray8, or 14.",
    )


def recipe_asked_for(code: str) -> FinetuneConfig:
    """Gives a task's recipe in the dimension that --dimension asks for.

    Args:
      code: Of the task.

    Returns:
      As from `catalogue.recipe`.

    Raises:
      InputError: If the task has no such form.
    """
    # A default may be that of the run that a sweep checked before.
    asked_for = flags.FLAGS["dimension"]
    dimension = asked_for.value if asked_for.present else None
    return recipe(code, dimension, flags.FLAGS.kind)


def run_name(config: FinetuneConfig) -> str:
    """Names a run's folder.

    Args:
      config: Its settings.

    Returns:
      Such as "finetune_bms_scratch" or "finetune_ncc_2d_imagenet".
    """
    is_form = config.dimension == 2 != recipe(config.task).dimension
    form = "_2d" if is_form else ""
    return f"finetune_{config.task}{form}_{start_name(config.weights)}"


def run_config(usual: FinetuneConfig) -> FinetuneConfig:
    """Makes the settings of a run of a task's recipe and the flags that were given.

    Args:
      usual: As from `catalogue.recipe` or `catalogue.demonstrate`.

    Returns:
      The settings; of the data of a published task, the folder as it was given.

    Raises:
      InputError: If a value breaks its rule, or belongs to another task.
    """
    run_flags.use_training_defaults(usual)
    _use_task_defaults(usual)
    return _task_config(run_flags.training_config(usual))


def _use_task_defaults(config: FinetuneConfig) -> None:
    """Gives the task flags a task's own defaults; what was given stays."""
    names = ("trials", "patches_per_case", "balanced", "loss", "window", "spacing")
    names += ("dimension", "slices_per_case")
    for name in (*names, "patch_size", "modalities", "flip_axes"):
        value = getattr(config, name)
        if name in _LISTS:
            value = [str(part) for part in value or ()]
        if name == "patch_size" and value[2:] == ["1"]:
            value = value[:2]  # as it is typed
        flags.FLAGS.set_default(name, value)


def _task_config(config: FinetuneConfig) -> FinetuneConfig:
    """Puts the task flags' values and --seed into settings."""
    values = flags.FLAGS
    if values.weights != SCRATCH and not weights_path(values.weights).is_file():
        raise InputError(
            f"--weights is {', '.join([SCRATCH, *released_names()])}, a file, or "
            f"{IMAGENET} and a file. "
            f"Received: {values.weights}"
        )
    window = values.window
    if window == "auto":
        window = config.window
    parse_window(window)
    config = dataclasses.replace(
        config,
        **{name: values[name].value for name in _AS_GIVEN},
        kind=values.kind or config.kind,
        manifest=values.manifest or "",
        data_dir=values.data_dir or "",
        modalities=tuple(values.modalities),
        window=window,
        spacing=run_flags.spacing(),
        patch_size=_patch_size(values),
        flip_axes=_parse_axes("flip_axes", values.flip_axes),
    )
    _check_task(config)
    return config


def _patch_size(values: flags.FlagValues) -> tuple[int, int, int] | None:
    """Sides x, y, z; z is 1 in two dimensions."""
    if not values.patch_size:
        return None
    return run_flags.sides(
        "patch_size", (values.dimension,) if values.dimension else (2, 3)
    )


def _check_task(config: FinetuneConfig) -> None:
    """Checks that the settings fit the task."""
    values, usual = flags.FLAGS, recipe(config.task, config.dimension)
    slices_around(config.slices_per_case)
    if config.slices_per_case > 1 and config.dimension == 3:
        raise InputError(
            "--slices_per_case goes with --dimension=2. "
            f"Received: --slices_per_case={config.slices_per_case}"
        )
    if config.task == "custom" and not (values.manifest and values.kind):
        raise InputError(
            "--task=custom takes --manifest and --kind. Received: "
            f"--manifest={values.manifest} --kind={values.kind}"
        )
    if config.task in PUBLISHED and config.patch_size is None:
        raise InputError("a published task has a --patch_size. Received: --patch_size=")
    if config.kind != usual.kind and config.task != "custom":
        raise InputError(
            f"--task={config.task} is a {usual.kind}. Received: --kind={config.kind}"
        )
    for task, names in OWN_SETTINGS.items():
        for name in names if task != config.task else ():
            if getattr(config, name) != getattr(usual, name):
                raise InputError(
                    f"--{name} goes with --task={task}. Received: --task={config.task}"
                )
    if config.task == "custom" and config.data_dir:
        raise InputError(
            "--task=custom finds its data by --manifest. "
            f"Received: --data_dir={config.data_dir}"
        )
    if config.task == "bms":
        check_modalities(config.modalities)
    if config.task == "dxc":
        check_labels(config.labels)
        if config.balanced:
            raise InputError(
                "--balanced goes with tasks of one class per case. "
                "Received: --task=dxc, whose images have several findings"
            )
    misfit = {
        "patches_per_case": config.patches_per_case > 1
        and config.kind == "classification",
        "balanced": config.balanced and config.kind == "segmentation",
        "slices_per_case": config.slices_per_case > 1 and config.kind == "segmentation",
        "loss": config.loss == "dice" and config.kind == "classification",
    }
    other = dict.fromkeys(("balanced", "slices_per_case"), "classification")
    for name, breaks in misfit.items():
        if breaks:
            raise InputError(
                f"--{name}={getattr(config, name)} goes with a "
                f"{other.get(name, 'segmentation')}. "
                f"Received: a {config.kind}"
            )


def _parse_axes(name: str, values: list[str]) -> tuple[str, ...]:
    """Turns a list flag into names of axes."""
    if not set(values) <= set("xyz"):
        raise InputError(
            f"--{name} takes axes out of x,y,z divided by commas. "
            f"Received: --{name}={','.join(values)}"
        )
    return tuple(values)
