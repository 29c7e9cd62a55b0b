"""The cases of a task, listed, divided and prepared."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks.base import Listing, Task
from models_genesis_tf.tasks.case_arrays import Preparation
from models_genesis_tf.tasks.catalogue import list_task
from models_genesis_tf.tasks.label_maps import LabelValues, find_label_values
from models_genesis_tf.tasks.preparation import choose_patch_size, prepare_cases
from models_genesis_tf.tasks.prepared_case import PreparedCase
from models_genesis_tf.tasks.splits import Split, split_cases

_BATCH_SIZE = 4


@dataclass(frozen=True)
class LabelledData:
    """A task's cases and how they are seen.

    Attributes:
      task: What is learned.
      classes: Names of all classes, background included.
      patch_size: Sides x, y, z of what the network sees, in voxels; z is 1 in two
        dimensions.
      slices_per_case: In two dimensions, axial slices of a classified volume or place.
      channels: Names of the image's channels.
      flip_axes: Axes along which training examples are flipped.
      preparation: How images became arrays in [0, 1].
      split: All cases by part; those of the test part are not read unless scored.
      prepared: The cases that were read, by name.
      notices: What was left out and how the cases were divided, for the user.
    """

    task: Task
    classes: tuple[str, ...]
    patch_size: tuple[int, int, int]
    slices_per_case: int
    channels: tuple[str, ...]
    flip_axes: tuple[str, ...]
    preparation: Preparation
    split: Split
    prepared: dict[str, PreparedCase]
    notices: tuple[str, ...]

    @property
    def num_outputs(self) -> int:
        """Outputs of the network: two classes share one probability."""
        is_shared = len(self.classes) == 2 and not self.task.multi_label
        return 1 if is_shared else len(self.classes)

    @property
    def metric(self) -> str:
        """The score that trials are compared by."""
        if self.task.metric == "auc" and self.num_outputs > 1:
            return "auc_mean"
        return self.task.metric

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of what the network takes: x, y, z, or x, y in two dimensions."""
        return self.patch_size[: self.task.dimension]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the network takes, (x, y, z, channel) or (x, y, channel)."""
        return (*self.sides, len(self.channels))

    @property
    def parts(self) -> tuple:
        """Shape and type of an example's image and target."""
        target = (self.sides, "uint8")
        if self.task.kind == "classification":
            labels = (len(self.classes),) if self.task.multi_label else ()
            target = (labels, "int32")
        return ((self.input_shape, "float32"), target)


def load_labelled_data(
    config: FinetuneConfig,
    cache_dir: Path,
    parts: Sequence[str],
    classes: Sequence[str] | None = None,
) -> LabelledData:
    """Lists a task's cases and prepares those of some parts.

    Args:
      config: Which task, and how images are seen.
      cache_dir: Where prepared cases are kept.
      parts: "train", "valid", "test": which are read.
      classes: Of a segmentation, as a run found them; None finds them in the label maps
        of the training part.

    Returns:
      The data.

    Raises:
      InputError: If the manifest, a case or a setting breaks its rule.
    """
    task, listing = list_task(config)
    split = split_cases(listing.cases, config.seed)
    classes, values = _classes_of(listing, split, classes)
    preparation = Preparation(
        task.window, task.spacing, task.in_plane_size, task.patch_size, values
    )
    wanted = [case for part in parts for case in getattr(split, part)]
    bar = tqdm(wanted, "preparing", leave=False, disable=None)
    prepared = prepare_cases(bar, preparation, cache_dir)
    patch_size = task.patch_size
    if patch_size is None:
        shapes = [prepared[case.name].shape for case in split.train]
        if config.dimension == 2:
            shapes = [(x, y, 1) for x, y, _ in shapes]
        patch_size = choose_patch_size(shapes, task.kind)
    if config.dimension == 2:
        patch_size = (*patch_size[:2], 1)
    task = dataclasses.replace(task, dimension=2 if patch_size[2] == 1 else 3)
    _check_dimension(config, task.dimension)
    notices = [listing.notice, split.notice]
    if task.kind == "classification":
        notices += _classification_notices(task, classes, patch_size, prepared)
    return LabelledData(
        task,
        classes,
        patch_size,
        config.slices_per_case,
        config.modalities or (task.modality,),
        config.flip_axes,
        preparation,
        split,
        prepared,
        tuple(filter(None, notices)),
    )


def _classes_of(
    listing: Listing, split: Split, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], LabelValues | None]:
    """Names of the classes, and of a segmentation the values that become them."""
    if listing.classes:
        return listing.classes, listing.label_values
    if classes is None:
        training = tqdm(split.train, "reading labels", leave=False, disable=None)
        values = find_label_values(training)
        return tuple(str(value) for (value,) in values), values
    return tuple(classes), tuple((int(name),) for name in classes)


def _check_dimension(config: FinetuneConfig, dimension: int) -> None:
    """Checks that what was asked for can be done with the images."""
    if config.dimension not in (None, dimension):
        raise InputError(
            "a network in --dimension=3 takes volumes. Received: images of one slice"
        )
    if config.slices_per_case > 1 and dimension == 3:
        raise InputError(
            "--slices_per_case goes with --dimension=2. "
            f"Received: --slices_per_case={config.slices_per_case}"
        )


def _classification_notices(
    task: Task,
    classes: Sequence[str],
    patch_size: tuple[int, int, int],
    prepared: dict[str, PreparedCase],
) -> list[str]:
    """What a user has to know to read the scores."""
    notices = []
    if len(classes) == 2 and not task.multi_label:
        notices.append(f"class {classes[1]} is the positive one")
    larger = sum(
        case.centre is None
        and any(np.greater(case.shape, patch_size)[: task.dimension])
        for case in prepared.values()
    )
    if larger:
        notices.append(
            f"{larger} of {len(prepared)} images are larger than the patch and are "
            "seen in their centre only; --patch_size and --spacing change that"
        )
    return notices


def resolve_batch_size(config: FinetuneConfig, num_cases: int, replicas: int) -> int:
    """Examples per step: as asked for, else 4 but no more than a quarter of the cases.

    Args:
      config: The settings.
      num_cases: Training cases.
      replicas: Devices that share a step.

    Returns:
      1 or more; if not as asked for, the next multiple of the devices.
    """
    if config.batch_size:
        return config.batch_size
    return -(-max(1, min(_BATCH_SIZE, num_cases // 4)) // replicas) * replicas
