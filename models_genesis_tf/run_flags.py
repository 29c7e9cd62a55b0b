"""Flags that two commands share, defined once, and the settings made of them.

An entry point calls the `define_*` functions it needs at import; a flag that is
already defined is adopted, so that two commands can live in one process.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from models_genesis_tf.config import (
    LEARNING_RATES,
    PRETRAIN_DEFAULTS,
    TRANSFORM_PRESETS,
    CubeConfig,
    PretrainConfig,
    ScanChoice,
)
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.windows import parse_window
from models_genesis_tf.models.precision import PRECISIONS

# What the networks' poolings divide, by the number of sides.
_SIDE_FACTORS = {2: 32, 3: 8}
_IMAGE_SIZE = "224,224"  # ResNet-18's

# A flag defined here belongs to the command that asked for it, in its --help too.
flags.disclaim_key_flags()


def define(make, name: str, *arguments, **options) -> None:
    """Defines a flag once per process and shows it in each command's --help.

    Args:
      make: One of absl's `DEFINE_*` functions.
      name: The flag's name.
      *arguments: What else `make` takes.
      **options: The same by name.
    """
    if name in flags.FLAGS:
        flags.declare_key_flag(name)
    else:
        make(name, *arguments, **options)


def define_seed() -> None:
    """Defines --seed, from which every random draw of a command follows."""
    define(
        flags.DEFINE_integer,
        "seed",
        0,
        "Every random draw follows from it.",
        lower_bound=0,
        upper_bound=2**32 - 1,
    )


def define_output_dir() -> None:
    """Defines --output_dir; a command sets its own default when it starts."""
    define(
        flags.DEFINE_string,
        "output_dir",
        None,
        "Folder to write to; unset, runs/<command> for pretrain, extract_cubes and "
        "report, runs/finetune_<task>_<weights> for finetune, runs/sweep_<file> with "
        "--sweep, evaluation/ in the run for evaluate, the current folder for preview.",
    )


def define_output() -> None:
    """Defines --output, one file; a command names its own when it is unset."""
    define(
        flags.DEFINE_string,
        "output",
        None,
        "File to write: of preview a PNG (unset, <scan>_preview.png in --output_dir), "
        "of convert_weights a .keras model (unset, beside the source), of predict a "
        "mask or a folder (unset, <scan>_mask.nii.gz, of a picture _mask.png, in the "
        "current one) or a .csv table of a classification (unset, predictions.csv).",
    )


def define_overwrite() -> None:
    """Defines --overwrite, without which no result that is there is replaced."""
    define(
        flags.DEFINE_boolean,
        "overwrite",
        False,
        "Whether a file that is there is replaced.",
    )


def define_input() -> None:
    """Defines --input, one scan or, for predict, a folder of scans."""
    define(
        flags.DEFINE_string,
        "input",
        None,
        "File of a scan (.mhd, .mha, .nii, .nii.gz, .nrrd) or folder of a DICOM "
        "series; for predict also a folder of scans, or one file for each channel of "
        "the model, divided by commas, and in 2D pictures (.png, .jpg, .dcm).",
    )


def define_model() -> None:
    """Defines --model: a file for predict, the kind of network for pretrain."""
    define(
        flags.DEFINE_string,
        "model",
        None,
        "Of predict, a model.keras of a run of finetune. Of pretrain, the network: "
        "unet3d (unset) restores cubes; unet2d, a U-Net on ResNet-18, axial slices and "
        "pictures.",
    )


def define_data_dir() -> None:
    """Defines --data_dir."""
    define(
        flags.DEFINE_string,
        "data_dir",
        None,
        "Folder of scans (.mhd, .mha, .nii, .nii.gz, .nrrd, DICOM series folders), "
        "in LUNA16's layout or any other, or of cubes; where slices are taken, also of "
        "pictures (.png, .jpg, .jpeg, .dcm); for finetune, of a published "
        "task's files (docs/tasks.md). Unset, the data set is looked for in "
        "$MODELS_GENESIS_DATA and ./data; 'phantom' makes a small synthetic one and "
        "uses it. Unset, evaluate takes that of the run.",
    )


def define_manifest() -> None:
    """Defines --manifest."""
    define(
        flags.DEFINE_string,
        "manifest",
        None,
        "csv file of cases with the columns image, label and, if known, patient and "
        "split (train, valid, test); paths are relative to it. Unset, evaluate takes "
        "that of the run. extract_cubes and pretrain read no labels and take only "
        "images that train, in --data_dir or, unset, the file's folder.",
    )


def define_scan_filters() -> None:
    """Defines what chooses scans: --include, --exclude and --manifest."""
    define_manifest()
    define(
        flags.DEFINE_list,
        "include",
        [],
        "Globs; only scans whose name, or with a slash in the glob whose path below "
        "--data_dir, fits one.",
    )
    define(
        flags.DEFINE_list,
        "exclude",
        [],
        "Globs; no scan whose name, or path, fits one.",
    )


def define_num_workers() -> None:
    """Defines --num_workers."""
    define(
        flags.DEFINE_integer,
        "num_workers",
        0,
        "Scans read at the same time; 0 means one per core.",
        lower_bound=0,
    )


def define_cube_size() -> None:
    """Defines --cube_size."""
    define(
        flags.DEFINE_list,
        "cube_size",
        ["64", "64", "32"],
        "Sides x,y,z of a cube in voxels, each a multiple of 8; or sides x,y that "
        "whole axial slices are resized to, each a multiple of 32 (with "
        "--model=unet2d, unset, 224,224).",
    )


def define_window() -> None:
    """Defines --window."""
    define(
        flags.DEFINE_string,
        "window",
        "auto",
        "Intensities mapped to [0, 1]: ct (-1000..1000 HU), mr (0..4000), percentile "
        "(0.5 to 99.5 % of each scan), nonzero (the same of its voxels that are not 0) "
        "or 'low,high'; auto is ct for CT, else percentile; for --task=custom it is "
        "percentile, for a published task its own.",
    )


def define_spacing() -> None:
    """Defines --spacing."""
    define(
        flags.DEFINE_list,
        "spacing",
        [],
        "Resample scans to this spacing x,y,z in mm first; empty keeps their own, and "
        "unset, finetune takes that of a published task.",
    )


def define_restart() -> None:
    """Defines --restart."""
    define(
        flags.DEFINE_boolean,
        "restart",
        False,
        "Remove an earlier run in --output_dir, with what it cut or trained, first.",
    )


def define_cube_flags() -> None:
    """Defines the flags that say which cubes are cut from scans."""
    define_cube_size()
    define(
        flags.DEFINE_integer,
        "cubes_per_volume",
        32,
        "Cubes, or axial slices, taken from each scan.",
        lower_bound=1,
    )
    define(
        flags.DEFINE_enum,
        "acceptance",
        "auto",
        ["auto", "chest_ct", "foreground", "none"],
        "Which windows of a scan become cubes: chest_ct is the official rule for "
        "lungs (of slices, those are taken whose middle half is lung to a fifth or "
        "more), foreground asks for a share of voxels above an Otsu threshold, none "
        "takes all; auto is chest_ct for LUNA16 and chest CT in HU, none for pictures, "
        "else foreground.",
    )
    define_window()
    define(
        flags.DEFINE_float,
        "min_tissue",
        None,
        "Smallest share of tissue in an accepted cube: of voxels above -150 HU under "
        "--acceptance=chest_ct (default 0, the official rule, which accepts empty "
        "air), above Otsu's threshold under foreground (default 0.2).",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    define_spacing()


def define_transform_preset() -> None:
    """Defines --transform_preset."""
    define(
        flags.DEFINE_enum,
        "transform_preset",
        "default",
        sorted(TRANSFORM_PRESETS),
        "Rates and sizes of the transforms: default mends the official ones, official "
        "is the released code, miccai2019 the release of 2019.",
    )


def define_step_size(default) -> None:
    """Defines --base_filters and --batch_size.

    Args:
      default: Settings with a field for each of these flags.
    """
    for name, text in (
        (
            "base_filters",
            "Filters of the first convolution; 32 is the official width, in 2D 64. "
            "Unset, finetune takes that of the weights.",
        ),
        (
            "batch_size",
            "Examples per step over all devices. Unset, finetune takes 4, but no more "
            "than a quarter of the training cases.",
        ),
    ):
        value = getattr(default, name)
        define(flags.DEFINE_integer, name, value, text, lower_bound=1)


def define_fast_upsampling() -> None:
    """Defines --fast_upsampling."""
    define(
        flags.DEFINE_boolean,
        "fast_upsampling",
        PretrainConfig.fast_upsampling,
        "Compute the decoder's convolutions of enlarged maps on the small maps, with "
        "the same weights and but for rounding the same results; unset, on GPUs and on "
        "CPUs where TensorFlow uses oneDNN.",
    )


def define_training_flags(default) -> None:
    """Defines the flags that say how a network is trained.

    Args:
      default: Settings with a field for each of these flags.
    """
    define_step_size(default)
    for name, text in (
        ("epochs", "Most passes over the training examples."),
        ("reduce_patience", "Epochs without a lower val_loss until the rate halves."),
        ("stop_patience", "Epochs without a lower val_loss until training stops."),
    ):
        value = getattr(default, name)
        define(flags.DEFINE_integer, name, value, text, lower_bound=1)
    define(
        flags.DEFINE_integer,
        "max_steps",
        None,
        "Most training steps; unset, --epochs alone limits them.",
        lower_bound=1,
    )
    define(
        flags.DEFINE_integer,
        "steps_per_epoch",
        None,
        "Steps from one validation to the next, for runs on different shares of the "
        "labels to be validated alike; unset, as many as the training examples make.",
        lower_bound=1,
    )
    define(
        flags.DEFINE_enum,
        "optimizer",
        default.optimizer,
        sorted(LEARNING_RATES),
        "sgd with momentum 0.9 is the released code's; adam learns faster in short "
        "runs.",
    )
    rates = ", ".join(f"{rate:g} for {name}" for name, rate in LEARNING_RATES.items())
    define(
        flags.DEFINE_float,
        "learning_rate",
        default.learning_rate,
        f"Learning rate of the first epochs; unset, {rates}.",
        lower_bound=0.0,
    )
    define(
        flags.DEFINE_float,
        "bn_momentum",
        default.bn_momentum,
        "Share of batch normalisation's old statistics that a step keeps; 0.99 in the "
        "released code.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    define(
        flags.DEFINE_enum,
        "strategy",
        default.strategy,
        ["auto", "none", "mirrored", "multi_worker"],
        "mirrored trains on all GPUs of the machine, none on one device; auto is "
        "mirrored with two GPUs or more; multi_worker pre-trains on all GPUs of all "
        "machines that TF_CONFIG names or that SLURM's srun started the command on.",
    )
    define(
        flags.DEFINE_enum,
        "cross_device_ops",
        default.cross_device_ops,
        ["auto", "nccl", "hierarchical", "one_device", "ring"],
        "How GPUs add up gradients; hierarchical is the way out where NCCL fails. Of "
        "several machines: auto, nccl or ring, which is that way out there.",
    )
    define(
        flags.DEFINE_enum,
        "precision",
        default.precision,
        list(PRECISIONS),
        "auto is mixed_bfloat16 where the hardware computes it, mixed_float16 on "
        "older GPUs with tensor cores, else float32; weights, loss and saved models "
        "are float32 in each.",
    )
    define(
        flags.DEFINE_boolean,
        "jit_compile",
        default.jit_compile,
        "Compile the training step with XLA; about three times slower on CPUs.",
    )
    define_fast_upsampling()
    define(
        flags.DEFINE_boolean,
        "deterministic",
        default.deterministic,
        "Keep to operations that give the same bits on every run on the same hardware, "
        "the number of CPU cores included; slower on GPUs.",
    )
    define(
        flags.DEFINE_integer,
        "checkpoint_every",
        default.checkpoint_every,
        "Steps between checkpoints; there is one at each epoch's end besides, and 0 "
        "leaves it at those.",
        lower_bound=0,
    )


_TRAINING_FLAGS = (
    "base_filters",
    "batch_size",
    "epochs",
    "reduce_patience",
    "stop_patience",
    "max_steps",
    "steps_per_epoch",
    "optimizer",
    "learning_rate",
    "bn_momentum",
    "strategy",
    "cross_device_ops",
    "precision",
    "jit_compile",
    "fast_upsampling",
    "deterministic",
    "checkpoint_every",
)


def use_training_defaults(default) -> None:
    """Gives the training flags a command's own defaults; what was given stays.

    Two commands in one process define each flag once, with the defaults of the first.

    Args:
      default: As for `define_training_flags`.
    """
    for name in _TRAINING_FLAGS:
        flags.FLAGS.set_default(name, getattr(default, name))


def use_network_defaults() -> PretrainConfig:
    """Gives training flags and --cube_size the defaults of --model's network.

    Returns:
      The network's default settings.

    Raises:
      InputError: If there is no such network.
    """
    flags.FLAGS.set_default("model", PretrainConfig.model)
    name = flags.FLAGS.model
    if name not in PRETRAIN_DEFAULTS:
        raise InputError(
            f"--model is one of {', '.join(PRETRAIN_DEFAULTS)}. Received: "
            f"--model={name}"
        )
    if name == "unet2d":
        flags.FLAGS.set_default("cube_size", _IMAGE_SIZE)
    use_training_defaults(PRETRAIN_DEFAULTS[name])
    return PRETRAIN_DEFAULTS[name]


def training_config(default):
    """Puts the training flags' values into settings.

    Args:
      default: As for `define_training_flags`.

    Returns:
      Settings of the same class.
    """
    return dataclasses.replace(
        default, **{name: flags.FLAGS[name].value for name in _TRAINING_FLAGS}
    )


def scan_choice() -> ScanChoice:
    """Reads which scans of a folder are taken."""
    values = flags.FLAGS
    manifest = Path(values.manifest) if values.manifest else None
    return ScanChoice(tuple(values.include), tuple(values.exclude), manifest)


def scan_folder() -> str | None:
    """Reads --data_dir; unset, the folder of --manifest, if that is given."""
    values = flags.FLAGS
    if values.manifest and not values.data_dir:
        return str(Path(values.manifest).parent)
    return values.data_dir


def sides(name: str, counts: Sequence[int] = (3,)) -> tuple[int, int, int]:
    """Turns a flag into the sides of what a network sees.

    Args:
      name: The flag's name.
      counts: How many sides there may be: 3 for cubes, 2 for images.

    Returns:
      Sides x, y, z in voxels; z of an image is 1.

    Raises:
      InputError: If they are not so many positive multiples of 8, of images of 32.
    """
    values = flags.FLAGS[name].value
    count = len(values) if len(values) in counts else counts[-1]
    size = parse_numbers(name, values, count, int)
    factor = _SIDE_FACTORS[count]
    if any(side % factor for side in size):
        nearest = (str(max(factor, round(side / factor) * factor)) for side in size)
        raise InputError(
            f"--{name} takes sides that are multiples of {factor}, such as "
            f"{','.join(nearest)}. Received: --{name}={','.join(values)}"
        )
    return (*size, 1)[:3]


def spacing() -> tuple[float, float, float] | None:
    """Turns --spacing into numbers.

    Returns:
      Spacing x, y, z in mm, or None if it is unset.

    Raises:
      InputError: If it is not three positive numbers.
    """
    values = flags.FLAGS.spacing
    return parse_numbers("spacing", values, 3, float) if values else None


def cube_config(counts: Sequence[int] = (2, 3)) -> CubeConfig:
    """Turns the cube flags and --seed into their settings.

    Args:
      counts: How many sides --cube_size may have: 3 for cubes, 2 for axial slices.

    Returns:
      The settings of an extraction.

    Raises:
      InputError: If a value breaks its rule.
    """
    values = flags.FLAGS
    size = sides("cube_size", counts)
    if values.window != "auto":
        parse_window(values.window)
    return CubeConfig(
        cube_size=size,
        cubes_per_volume=values.cubes_per_volume,
        acceptance=values.acceptance,
        window=values.window,
        min_tissue=values.min_tissue,
        spacing=spacing(),
        seed=values.seed,
    )


def parse_folds(name: str, values: list[str]) -> tuple[int, ...] | None:
    """Turns a list flag into fold numbers.

    Args:
      name: The flag's name, for the message.
      values: Its parts as text.

    Returns:
      The numbers, or None if the flag is empty.

    Raises:
      InputError: If a part is not a number from 0 up.
    """
    if not values:
        return None
    if not all(value.isdecimal() for value in values):
        raise InputError(
            f"--{name} takes fold numbers from 0 divided by commas. "
            f"Received: --{name}={','.join(values)}"
        )
    return tuple(int(value) for value in values)


def parse_numbers(name: str, values: list[str], count: int, kind: type) -> tuple:
    """Turns a list flag into numbers.

    Args:
      name: The flag's name, for the message.
      values: Its parts as text.
      count: How many there have to be.
      kind: int or float.

    Returns:
      A tuple of `count` numbers.

    Raises:
      InputError: If the number of parts or a part itself is wrong.
    """
    try:
        numbers = tuple(kind(value) for value in values)
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(0 < value < math.inf for value in numbers):
        raise InputError(
            f"--{name} takes {count} positive numbers divided by commas. "
            f"Received: --{name}={','.join(values)}"
        )
    return numbers
