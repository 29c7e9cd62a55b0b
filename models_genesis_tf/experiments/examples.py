"""Prepared cases as the examples that a network trains on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models_genesis_tf.experiments.labelled_data import LabelledData
from models_genesis_tf.imaging.patches import (
    centre_patch_start,
    cut_patch,
    draw_patch_start,
    random_flips,
)
from models_genesis_tf.tasks.base import Case

_FOREGROUND_VOXELS = 10_000  # kept of each case to draw from
_VALID_PATCHES = 4
_VALID_STREAM = 8


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
