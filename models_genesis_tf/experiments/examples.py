"""Prepared cases as the examples that a network trains on."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models_genesis_tf.experiments.labelled_data import LabelledData
from models_genesis_tf.imaging.patches import (
    draw_patch_start,
    random_flips,
    slices_around,
)
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.prepared_case import PreparedCase

_FOREGROUND_VOXELS = 10_000  # kept of each case to draw from
_VALID_PATCHES = 4
_VALID_STREAM = 8


@dataclass(frozen=True)
class Examples:
    """Examples made of some cases.

    Attributes:
      data: Where they are from.
      cases: The cases with their arrays.
      patches_per_case: Examples that an epoch of a segmentation takes from each.
      by_class: Indices of the cases of each class, if a classification is balanced.
      foreground: Where each case has foreground, int (m, 3), so far as it was asked.
    """

    data: LabelledData
    cases: tuple[PreparedCase, ...]
    patches_per_case: int
    by_class: tuple[np.ndarray, ...]
    foreground: dict[int, np.ndarray]

    @classmethod
    def of(
        cls,
        data: LabelledData,
        cases: Sequence[Case],
        balanced: bool = False,
        patches_per_case: int = 1,
    ) -> "Examples":
        """Looks up the arrays of cases.

        Args:
          data: Where they were prepared.
          cases: Some of them.
          balanced: Whether as many examples of each class are made.
          patches_per_case: Examples of each case in an epoch, of a segmentation.

        Returns:
          The examples.
        """
        prepared = tuple(data.prepared[case.name] for case in cases)
        by_class: tuple[np.ndarray, ...] = ()
        if balanced:
            labels = np.array([case.label for case in cases])
            by_class = tuple(np.flatnonzero(labels == k) for k in np.unique(labels))
        return cls(data, prepared, patches_per_case, by_class, {})

    def __len__(self) -> int:
        """Examples in an epoch."""
        return len(self.by_class) * self._smallest or (
            len(self.cases) * self.patches_per_case
        )

    @property
    def _smallest(self) -> int:
        return min(map(len, self.by_class), default=0)

    def training_example(
        self, index: int, rng: np.random.Generator, foreground: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cuts one patch of a case and flips it.

        Args:
          index: Which example of the epoch.
          rng: Generator to draw from.
          foreground: Whether the patch is to hold foreground, if there is any.

        Returns:
          Image float32 (x, y, z, channel) in [0, 1], in two dimensions without z; and
          target: uint8 (x, y, z), or int32, the class or of each class whether.
        """
        case = index % len(self.cases)
        if self.by_class:
            case = self._draw_case(index, rng)
        start = self._draw_start(case, rng, foreground)
        patch, target = self.example_at((case, start))
        axes = ["xyz".index(axis) for axis in self.data.flip_axes]
        if self._classifies:
            return random_flips(patch, patch, rng, axes)[0], target
        return random_flips(patch, target, rng, axes)

    def fixed_places(self, seed: int) -> list[tuple[int, tuple[int, ...]]]:
        """Draws patches for validation as training draws them, once and for all.

        A case has as many as cover it, but no more than four or, where an epoch has
        more of each, than that; every second one holds
        foreground. Windows over whole cases would mostly show what is empty, and the
        loss would say little about what is not. They depend on seed and case alone. If
        classes are balanced, as many cases of each are drawn.

        Args:
          seed: Of the draws.

        Returns:
          Case and first voxel of each patch; of a classification as
          `places_of_classification` has them.
        """
        if self._classifies:
            return self.places_of_classification(self._balanced_cases(seed))
        places = []
        for index, case in enumerate(self.cases):
            sides = zip(case.shape, self.data.patch_size, strict=True)
            covering = math.prod(-(-side // length) for side, length in sides)
            count = min(covering, max(_VALID_PATCHES, self.patches_per_case))
            name = case.case.name.encode()
            rng = np.random.default_rng([seed, _VALID_STREAM, *name, 1])
            places += [
                (index, self._draw_start(index, rng, number % 2 == 0))
                for number in range(count)
            ]
        return places

    def places_of_classification(
        self, indices: Iterable[int]
    ) -> list[tuple[int, tuple[int, ...]]]:
        """Lists all patches of cases that are classified.

        Args:
          indices: Which cases.

        Returns:
          Case and, in two dimensions, how many slices above its middle the patch lies;
          in three a case has one patch.
        """
        return [(index, place) for index in indices for place in self._slices_of(index)]

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
        case, size = self.cases[index], self.data.patch_size
        if self._classifies:
            patch = case.central_patch(size, self.data.preparation.spacing, *start)
            return self._as_seen(patch), np.array(case.label, np.int32)
        patch, target = case.image_patch(start, size), case.label_patch(start, size)
        return self._as_seen(patch), self._as_seen(target)

    def _as_seen(self, array: np.ndarray) -> np.ndarray:
        """Drops the axis z where the network sees slices."""
        return array.reshape(*self.data.sides, *array.shape[3:])

    @property
    def _classifies(self) -> bool:
        return self.data.task.kind == "classification"

    def _draw_case(self, index: int, rng: np.random.Generator) -> int:
        """The classes take turns; the smallest one's cases all have theirs."""
        turn, label = divmod(index, len(self.by_class))
        members = self.by_class[label]
        if len(members) > self._smallest:
            turn = rng.integers(len(members))
        return int(members[turn])

    def _balanced_cases(self, seed: int) -> list[int]:
        """All cases, or as many of each class."""
        if not self.by_class:
            return list(range(len(self.cases)))
        rng = np.random.default_rng([seed, _VALID_STREAM])
        drawn = [
            rng.choice(members, self._smallest, replace=False)
            for members in self.by_class
        ]
        return np.sort(np.concatenate(drawn)).tolist()

    def _draw_start(
        self, index: int, rng: np.random.Generator, foreground: bool
    ) -> tuple[int, ...]:
        """Where a patch of a case begins, or which slice of it is seen."""
        if self._classifies:
            places = self._slices_of(index)
            return places[int(rng.integers(len(places)))] if places[1:] else places[0]
        voxels = self._foreground_voxels(index) if foreground else None
        return draw_patch_start(
            self.cases[index].shape, self.data.patch_size, rng, voxels
        )

    def _slices_of(self, index: int) -> list[tuple[int, ...]]:
        """Where a classified case's patches are; a picture is one slice."""
        if self.data.task.dimension == 3:
            return [()]
        case = self.cases[index]
        depth = case.shape[2] if case.centre is None else None
        return [(up,) for up in slices_around(self.data.slices_per_case, depth)]

    def _foreground_voxels(self, index: int) -> np.ndarray:
        if index not in self.foreground:
            target = self.cases[index].label_map()
            voxels = np.flatnonzero(target)
            step = -(-len(voxels) // _FOREGROUND_VOXELS) or 1
            places = np.unravel_index(voxels[::step], target.shape)
            self.foreground[index] = np.stack(places, axis=-1).astype(np.int16)
        return self.foreground[index]
