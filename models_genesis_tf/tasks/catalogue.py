"""The target tasks by their codes: what each is, its recipe, its cases.

The recipes are the released configurations (paper_facts 4.2): Adam at 0.001 whatever
they say of the rate, which is not used there; halving after 6 epochs; no augmentation
on line. How many patches of a volume are in an epoch is not published: as many as the
cubes of a scan in pre-training for LCS, as many as cover a brain for BMS. The released
classifications trained on patches augmented beforehand, in ways
that are not published; flips stand in for that.

Of the tasks on pictures, DXC and IUC, and of the forms of the others in two dimensions,
no code was released: what is special in their settings is this package's own choice.
"""

import dataclasses
from pathlib import Path

from models_genesis_tf.config import SCRATCH, FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.windows import parse_window
from models_genesis_tf.tasks import bms, dxc, ecc, iuc, lcs, ncc, ncs
from models_genesis_tf.tasks.base import Listing, Task
from models_genesis_tf.tasks.custom import custom_task, read_manifest

PUBLISHED = {
    module.TASK.code: module.TASK for module in (ncc, ncs, ecc, lcs, bms, dxc, iuc)
}
TASKS = ("custom", *PUBLISHED)
# Settings that one task alone knows.
OWN_SETTINGS = {
    "custom": ("manifest", "label_column", "label_map", "where"),
    "ecc": ("fold",),
    "ncs": ("min_readers",),
    "lcs": ("lesions_are_liver",),
    "bms": ("modalities",),
    "dxc": ("labels",),
}
_CLASSIFICATION = {"balanced": True}
_SEGMENTATION = {"loss": "dice", "flip_axes": ()}
_PICTURES = {"flip_axes": ("x",), "bn_momentum": 0.9}
_RECIPES = {
    "ncc": _CLASSIFICATION | {"batch_size": 24, "stop_patience": 10},
    "ncs": _SEGMENTATION | {"batch_size": 16, "stop_patience": 50},
    "ecc": _CLASSIFICATION | {"batch_size": 24, "stop_patience": 38},
    "lcs": _SEGMENTATION
    | {"batch_size": 16, "stop_patience": 20, "patches_per_case": 32},
    "bms": _SEGMENTATION
    | {"batch_size": 16, "stop_patience": 30, "patches_per_case": 8}
    | {"modalities": bms.DEFAULT_MODALITIES},
    # Flips across the width alone: what is above does not come to lie below.
    "dxc": _PICTURES | {"batch_size": 32, "stop_patience": 10},
    "iuc": _PICTURES | {"batch_size": 16, "stop_patience": 20},
}
# In two dimensions: slices of a candidate whose scores are averaged, and slices of a
# volume or nodule that an epoch takes.
_SLICES_PER_CASE = 5
_SLICES_PER_EPOCH = 8
# What a network learns from phantoms in minutes on two cores.
_DEMONSTRATION = {
    "base_filters": 4,
    "batch_size": 4,
    "trials": 1,
    "bn_momentum": 0.9,
    "reduce_patience": 10,
    "loss": "auto",
    "patches_per_case": 1,
}
_DEMONSTRATION_OF_PICTURES = {
    "base_filters": 8,
    "batch_size": 8,
    "patch_size": (64, 64, 1),
}
_DEMONSTRATIONS = {
    "ncc": {"epochs": 10},
    "ncs": {"epochs": 10},
    "ecc": {"epochs": 10},
    "lcs": {"epochs": 20, "spacing": (4.0, 4.0, 4.0), "patch_size": (48, 48, 32)},
    "bms": {
        "epochs": 30,
        "spacing": (3.125, 3.125, 3.125),
        "patch_size": (48, 48, 32),
    },
    "dxc": _DEMONSTRATION_OF_PICTURES | {"epochs": 20},
    "iuc": _DEMONSTRATION_OF_PICTURES | {"epochs": 20},
}


def recipe(
    code: str, dimension: int | None = None, kind: str | None = None
) -> FinetuneConfig:
    """The settings of a task unless others are asked for.

    Args:
      code: One of `TASKS`.
      dimension: 2 or 3; None is the task's own.
      kind: Of a custom task, one of `base.KINDS`; None is a segmentation.

    Returns:
      The configuration of a published task: the released one, where one was.

    Raises:
      InputError: If the task has no such form.
    """
    if code not in PUBLISHED:
        config = FinetuneConfig(task=code, dimension=dimension)
        config = dataclasses.replace(config, kind=kind or config.kind)
        return _of_slices(config) if dimension == 2 else config
    task = PUBLISHED[code]
    config = _own_recipe(task)
    if dimension in (None, task.dimension):
        return config
    if dimension == 3:
        raise InputError(f"--task={code} learns from pictures. Received: --dimension=3")
    patch_size = (*task.patch_size[:2], 1)
    return _of_slices(dataclasses.replace(config, dimension=2, patch_size=patch_size))


def _of_slices(config: FinetuneConfig) -> FinetuneConfig:
    """A segmentation draws several slices of a case, a classification averages some."""
    if config.kind == "classification":
        return dataclasses.replace(config, slices_per_case=_SLICES_PER_CASE)
    count = max(_SLICES_PER_EPOCH, config.patches_per_case)
    return dataclasses.replace(config, patches_per_case=count)


def _own_recipe(task: Task) -> FinetuneConfig:
    """The settings of a published task in its own dimension."""
    return FinetuneConfig(
        task=task.code,
        dimension=task.dimension,
        kind=task.kind,
        window=task.window,
        spacing=task.spacing,
        patch_size=task.patch_size,
        trials=10,
        epochs=10_000,
        reduce_patience=6,
        **{"bn_momentum": 0.99} | _RECIPES[task.code],
    )


def demonstrate(config: FinetuneConfig, weights: str) -> FinetuneConfig:
    """Makes a recipe one for phantoms and two cores.

    Args:
      config: The recipe.
      weights: What the network starts from; its width stays then.

    Returns:
      The settings of a demonstration.
    """
    settings = _DEMONSTRATION | _DEMONSTRATIONS[config.task]
    if config.dimension == 2:
        settings |= _DEMONSTRATION_OF_PICTURES
        settings["patches_per_case"] = config.patches_per_case
    if weights != SCRATCH:
        settings["base_filters"] = None
    return dataclasses.replace(config, **settings)


def list_task(config: FinetuneConfig) -> tuple[Task, Listing]:
    """Lists the cases of a task; no voxel is read.

    Args:
      config: The settings.

    Returns:
      The task as these settings change it, and its cases.

    Raises:
      InputError: If the data are not as the task describes them.
    """
    view = {"window": config.window, "spacing": config.spacing}
    view["patch_size"] = config.patch_size
    if config.task not in PUBLISHED:
        listing = read_manifest(
            config.manifest,
            config.kind,
            config.label_column,
            config.label_map,
            config.where,
        )
        return custom_task(config.kind, **view), listing
    own = PUBLISHED[config.task]
    if config.dimension == 2 and own.dimension == 3:
        # Slices are taken out of what a network in three dimensions would see.
        view["patch_size"] = (*config.patch_size[:2], own.patch_size[2])
    task = dataclasses.replace(own, **view)
    if own.dimension == 2:
        task = _resize_to_patch(task)
    parse_window(config.window)
    folder = Path(config.data_dir)
    if not folder.is_dir():
        raise InputError(
            f"--data_dir is an existing folder. Received: {folder}. {task.how_to_get}"
        )
    listing = _list_published(config, folder)
    if any(case.row is not None for case in listing.cases):
        _check_rows_as_they_are(task)
    return task, listing


def _resize_to_patch(task: Task) -> Task:
    """Pictures are seen whole: as large as the network's input."""
    x, y, z = task.patch_size
    if x != y or z != 1:
        raise InputError(
            f"--task={task.code} resizes pictures to a square --patch_size, such as "
            f"224,224. Received: --patch_size={','.join(map(str, task.patch_size))}"
        )
    return dataclasses.replace(task, in_plane_size=x)


def _check_rows_as_they_are(task: Task) -> None:
    """Arrays that were prepared by others are not windowed or resampled again."""
    own = PUBLISHED[task.code]
    for name in ("window", "spacing", "patch_size"):
        if getattr(task, name) != getattr(own, name):
            raise InputError(
                f"the official arrays are taken as they are, without --{name}. "
                f"Received: --{name}={getattr(task, name)}"
            )


def _list_published(config: FinetuneConfig, folder: Path) -> Listing:
    if config.task == "ncc":
        return ncc.list_cases(folder)
    if config.task == "ncs":
        return ncs.list_cases(folder, config.seed, config.min_readers)
    if config.task == "ecc":
        return ecc.list_cases(folder, config.seed, config.fold)
    if config.task == "lcs":
        return lcs.list_cases(folder, config.lesions_are_liver)
    if config.task == "dxc":
        return dxc.list_cases(folder, config.seed, config.labels)
    if config.task == "iuc":
        return iuc.list_cases(folder)
    return bms.list_cases(folder, config.modalities)
