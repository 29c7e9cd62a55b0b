"""The axial slices of cubes, one after the other, as images of a stream of pairs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.imaging.cube_files import CubeSet


@dataclass(frozen=True)
class AxialSlices:
    """All slices of a set of cubes; of slices on disk, which are cubes of one, each.

    Slice i is slice i % depth of cube i // depth. It is read alone: the file stays
    memory-mapped.

    Attributes:
      cubes: The set.
    """

    WHAT = "slice"

    cubes: CubeSet

    def __len__(self) -> int:
        return len(self.cubes) * self._depth

    def __getitem__(self, index: int) -> np.ndarray:
        """Copies slice `index` out of its file: float32 `(x, y, channel)`."""
        cube, place = divmod(index, self._depth)
        found = self.cubes.stored(cube)[:, :, place]
        return np.array(found, np.float32, order="C")

    @property
    def files(self) -> tuple[Path, ...]:
        """The cube files, by fold."""
        return self.cubes.files

    @property
    def cube_shape(self) -> tuple[int, ...]:
        """Shape `(x, y, channel)` of every slice."""
        x, y, _, channels = self.cubes.cube_shape
        return x, y, channels

    def positions(self, cubes: np.ndarray) -> np.ndarray:
        """Finds the slices of some cubes.

        Args:
          cubes: int `(n,)`, positions of cubes in their set.

        Returns:
          int `(n * depth,)`, positions of their slices in this one.
        """
        depth = self._depth
        return (np.asarray(cubes)[:, np.newaxis] * depth + np.arange(depth)).ravel()

    def describe(self, index: int) -> str:
        """Says which slice stands at a position.

        Args:
          index: Its position in the set.

        Returns:
          For instance "slice 5 of cube 7 of patient3/ct".
        """
        cube, place = divmod(index, self._depth)
        return f"slice {place} of {self.cubes.describe(cube)}"

    @property
    def _depth(self) -> int:
        return self.cubes.cube_shape[2]
