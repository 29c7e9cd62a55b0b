"""The cases of a task, listed, divided and prepared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.tasks.base import Split, Task, split_cases
from models_genesis_tf.tasks.custom import custom_task, read_manifest
from models_genesis_tf.tasks.preparation import (
    Preparation,
    PreparedCase,
    choose_patch_size,
    find_label_values,
    prepare_case,
)

_BATCH_SIZE = 4


@dataclass(frozen=True)
class LabelledData:
    """A task's cases and how they are seen.

    Attributes:
      task: What is learned.
      classes: Names of all classes, background included.
      patch_size: Sides x, y, z of what the network sees, in voxels.
      flip_axes: Axes along which training examples are flipped.
      preparation: How images became arrays in [0, 1].
      split: All cases by part; those of the test part are not read unless scored.
      prepared: The cases that were read, by name.
      notices: What was left out and how the cases were divided, for the user.
    """

    task: Task
    classes: tuple[str, ...]
    patch_size: tuple[int, int, int]
    flip_axes: tuple[str, ...]
    preparation: Preparation
    split: Split
    prepared: dict[str, PreparedCase]
    notices: tuple[str, ...]

    @property
    def num_outputs(self) -> int:
        """Outputs of the network: two classes share one probability."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    @property
    def metric(self) -> str:
        """The score that trials are compared by."""
        if self.task.metric == "auc" and self.num_outputs > 1:
            return "auc_mean"
        return self.task.metric

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """What the network takes, (x, y, z, channel)."""
        return (*self.patch_size, 1)

    @property
    def parts(self) -> tuple:
        """Shape and type of an example's image and target."""
        target = (self.patch_size, "uint8")
        if self.task.kind == "classification":
            target = ((), "int32")
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
    task = custom_task(config.kind, config.window, config.spacing, config.patch_size)
    manifest = read_manifest(
        config.manifest,
        config.kind,
        config.label_column,
        config.label_map,
        config.where,
    )
    split = split_cases(manifest.cases, config.seed)
    values = None
    if task.kind == "classification":
        classes = manifest.classes
    elif classes is None:
        training = tqdm(split.train, "reading labels", leave=False, disable=None)
        values = find_label_values(training)
        classes = tuple(str(value) for value in values)
    else:
        values = tuple(int(name) for name in classes)
    preparation = Preparation(task.window, task.spacing, values)
    wanted = [case for part in parts for case in getattr(split, part)]
    prepared = {
        case.name: prepare_case(case, preparation, cache_dir)
        for case in tqdm(wanted, "preparing", leave=False, disable=None)
    }
    patch_size = task.patch_size
    if patch_size is None:
        shapes = [prepared[case.name].shape for case in split.train]
        patch_size = choose_patch_size(shapes, task.kind)
    notices = [manifest.notice, split.notice]
    if task.kind == "classification":
        notices += _classification_notices(classes, patch_size, prepared)
    return LabelledData(
        task,
        tuple(classes),
        patch_size,
        config.flip_axes,
        preparation,
        split,
        prepared,
        tuple(notices),
    )


def _classification_notices(
    classes: Sequence[str],
    patch_size: tuple[int, int, int],
    prepared: dict[str, PreparedCase],
) -> list[str]:
    """What a user has to know to read the scores."""
    notices = []
    if len(classes) == 2:
        notices.append(f"class {classes[1]} is the positive one")
    larger = sum(any(np.greater(case.shape, patch_size)) for case in prepared.values())
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
