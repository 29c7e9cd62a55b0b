"""The cases of a task, prepared, as examples that a network trains on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.imaging.patches import (
    centre_patch_start,
    cut_patch,
    draw_patch_start,
    random_flips,
)
from models_genesis_tf.tasks.base import Case, Split, Task, split_cases
from models_genesis_tf.tasks.custom import custom_task, read_manifest
from models_genesis_tf.tasks.preparation import (
    Preparation,
    PreparedCase,
    choose_patch_size,
    find_label_values,
    prepare_case,
)

_BATCH_SIZE = 4
_FOREGROUND_VOXELS = 10_000  # kept of each case to draw from
_VALID_PATCHES = 4
_VALID_STREAM = 8


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


class MappedArray(NamedTuple):
    """Where an array lies on disk.

    `np.load` reads the header with `ast`, which fails now and then in several threads
    (CPython 3.11), and a map that stays open keeps a file open. So the header is read
    once, and the file is mapped for each patch.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, path: Path) -> "MappedArray":
        """Reads the header of a `.npy` file."""
        array = np.load(path, mmap_mode="r")
        return cls(path, array.dtype, array.shape, array.offset)

    def open(self) -> np.ndarray:
        """Maps the array, read-only."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


@dataclass(frozen=True)
class Examples:
    """Examples made of some cases.

    Attributes:
      data: Where they are from.
      names: Of the cases.
      images: float32 (x, y, z) of each case.
      targets: uint8 (x, y, z) of each case, or its class.
      foreground: Where each case has foreground, int (m, 3), so far as it was asked.
    """

    data: LabelledData
    names: tuple[str, ...]
    images: tuple[MappedArray, ...]
    targets: tuple[MappedArray | np.int32, ...]
    foreground: dict[int, np.ndarray]

    @classmethod
    def of(cls, data: LabelledData, cases: Sequence[Case]) -> "Examples":
        """Looks up the files of cases.

        Args:
          data: Where they were prepared.
          cases: Some of them.

        Returns:
          The examples.
        """
        prepared = [data.prepared[case.name] for case in cases]
        segments = data.task.kind == "segmentation"
        return cls(
            data,
            tuple(case.name for case in cases),
            tuple(MappedArray.of(case.image_path) for case in prepared),
            tuple(
                MappedArray.of(case.label_path) if segments else np.int32(case.label)
                for case in prepared
            ),
            {},
        )

    def __len__(self) -> int:
        return len(self.images)

    def training_example(
        self, index: int, rng: np.random.Generator, foreground: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cuts one patch of a case and flips it.

        Args:
          index: Which case.
          rng: Generator to draw from.
          foreground: Whether the patch is to hold foreground, if there is any.

        Returns:
          Image float32 (x, y, z, 1) in [0, 1], and target: uint8 (x, y, z), or the
          class.
        """
        start = self._draw_start(index, rng, foreground)
        patch, target = self.example_at((index, start))
        axes = ["xyz".index(axis) for axis in self.data.flip_axes]
        if self.data.task.kind == "classification":
            return random_flips(patch, patch, rng, axes)[0], target
        return random_flips(patch, target, rng, axes)

    def fixed_places(self, seed: int) -> list[tuple[int, tuple[int, ...]]]:
        """Draws patches for validation as training draws them, once and for all.

        A case has as many as cover it, but no more than four; every second one holds
        foreground. Windows over whole cases would mostly show what is empty, and the
        loss would say little about what is not. They depend on seed and case alone.

        Args:
          seed: Of the draws.

        Returns:
          Case and first voxel of each patch; of a classification one each, the centre.
        """
        places = []
        for index, (name, image) in enumerate(
            zip(self.names, self.images, strict=True)
        ):
            sides = zip(image.shape, self.data.patch_size, strict=True)
            covering = math.prod(-(-side // length) for side, length in sides)
            count = min(covering, _VALID_PATCHES)
            if self.data.task.kind == "classification":
                count = 1
            rng = np.random.default_rng([seed, _VALID_STREAM, *name.encode(), 1])
            places += [
                (index, self._draw_start(index, rng, number % 2 == 0))
                for number in range(count)
            ]
        return places

    def example_at(
        self, place: tuple[int, tuple[int, ...]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cuts the patch at a place.

        Args:
          place: Case and first voxel, as from `fixed_places`.

        Returns:
          As `training_example`.
        """
        index, start = place
        size, target = self.data.patch_size, self.targets[index]
        patch = cut_patch(self.images[index].open(), start, size)[..., np.newaxis]
        if self.data.task.kind == "classification":
            return patch, target
        return patch, cut_patch(target.open(), start, size)

    def _draw_start(
        self, index: int, rng: np.random.Generator, foreground: bool
    ) -> tuple[int, ...]:
        """Where a patch of a case begins; of a classification, in its centre."""
        shape, size = self.images[index].shape, self.data.patch_size
        if self.data.task.kind == "classification":
            return centre_patch_start(shape, size)
        voxels = self._foreground_voxels(index) if foreground else None
        return draw_patch_start(shape, size, rng, voxels)

    def _foreground_voxels(self, index: int) -> np.ndarray:
        if index not in self.foreground:
            target = self.targets[index].open()
            voxels = np.flatnonzero(target)
            step = -(-len(voxels) // _FOREGROUND_VOXELS) or 1
            places = np.unravel_index(voxels[::step], target.shape)
            self.foreground[index] = np.stack(places, axis=-1).astype(np.int16)
        return self.foreground[index]


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
