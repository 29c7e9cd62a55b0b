"""The cases of a task, prepared, as examples that a network trains on."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.imaging.patches import (
    centre_patch_start,
    cut_patch,
    draw_patch_start,
    random_flips,
)
from models_genesis_tf.imaging.tiling import window_starts
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


@dataclass(frozen=True)
class LabelledData:
    """A task's cases and how they are seen.

    Attributes:
      task: What is learned.
      classes: Names of all classes, background included.
      patch_size: Sides x, y, z of what the network sees, in voxels.
      preparation: How images became arrays in [0, 1].
      split: All cases by part; those of the test part are not read unless scored.
      prepared: The cases that were read, by name.
      notices: What was left out and how the cases were divided, for the user.
    """

    task: Task
    classes: tuple[str, ...]
    patch_size: tuple[int, int, int]
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


def load_labelled_data(config: FinetuneConfig, cache_dir: Path) -> LabelledData:
    """Lists a task's cases and prepares those that a run needs.

    Args:
      config: Which task, and how images are seen.
      cache_dir: Where prepared cases are kept.

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
    classes, values = manifest.classes, None
    if task.kind == "segmentation":
        values = find_label_values(split.train)
        classes = tuple(str(value) for value in values)
    preparation = Preparation(task.window, task.spacing, values)
    wanted = [*split.train, *split.valid]
    if config.score_split == "test":
        wanted += split.test
    prepared = {
        case.name: prepare_case(case, preparation, cache_dir)
        for case in tqdm(wanted, "preparing", leave=False, disable=None)
    }
    patch_size = task.patch_size
    if patch_size is None:
        shapes = [prepared[case.name].shape for case in split.train]
        patch_size = choose_patch_size(shapes, task.kind)
    notices = tuple(filter(None, (manifest.notice, split.notice)))
    return LabelledData(
        task, classes, patch_size, preparation, split, prepared, notices
    )


@dataclass(frozen=True)
class Examples:
    """Examples made of some cases.

    Attributes:
      data: Where they are from.
      images: float32 (x, y, z) of each case, memory-mapped.
      targets: uint8 (x, y, z) of each case, memory-mapped, or its class.
      foreground: Where each case has foreground, int (m, 3), so far as it was asked.
    """

    data: LabelledData
    images: tuple[np.ndarray, ...]
    targets: tuple[np.ndarray | np.int32, ...]
    foreground: dict[int, np.ndarray]

    @classmethod
    def of(cls, data: LabelledData, cases: Sequence[Case]) -> "Examples":
        """Opens the files of cases.

        Args:
          data: Where they were prepared.
          cases: Some of them.

        Returns:
          The examples.
        """
        # All at once, and not by the threads that make examples: NumPy reads a file's
        # header with `ast`, which fails now and then in several threads (CPython 3.11).
        prepared = [data.prepared[case.name] for case in cases]
        segments = data.task.kind == "segmentation"
        return cls(
            data,
            tuple(case.image() for case in prepared),
            tuple(
                case.label_map() if segments else np.int32(case.label)
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
        shape, size = self.images[index].shape, self.data.patch_size
        if self.data.task.kind == "classification":
            patch, target = self.example_at((index, centre_patch_start(shape, size)))
            return random_flips(patch, patch, rng)[0], target
        voxels = self._foreground_voxels(index) if foreground else None
        start = draw_patch_start(shape, size, rng, voxels)
        return random_flips(*self.example_at((index, start)), rng)

    def fixed_places(self) -> list[tuple[int, tuple[int, ...]]]:
        """Places of patches that cover every case, as validation takes them.

        Returns:
          Case and first voxel of each patch; of a classification one each.
        """
        size, places = self.data.patch_size, []
        for index, image in enumerate(self.images):
            centre = centre_patch_start(image.shape, size)
            starts = [centre]
            if self.data.task.kind == "segmentation":
                axes = [
                    window_starts(side, length, 0.0) if side > length else [middle]
                    for side, length, middle in zip(
                        image.shape, size, centre, strict=True
                    )
                ]
                starts = list(itertools.product(*axes))
            places += [(index, start) for start in starts]
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
        patch = cut_patch(self.images[index], start, size)[..., np.newaxis]
        if self.data.task.kind == "classification":
            return patch, target
        return patch, cut_patch(target, start, size)

    def _foreground_voxels(self, index: int) -> np.ndarray:
        if index not in self.foreground:
            voxels = np.argwhere(self.targets[index])
            step = -(-len(voxels) // _FOREGROUND_VOXELS) or 1
            self.foreground[index] = voxels[::step].astype(np.int16)
        return self.foreground[index]


def resolve_batch_size(config: FinetuneConfig, num_cases: int) -> int:
    """Examples per step: as asked for, else 4 but no more than a quarter of the cases.

    Args:
      config: The settings.
      num_cases: Training cases.

    Returns:
      1 or more.
    """
    return config.batch_size or max(1, min(_BATCH_SIZE, num_cases // 4))
