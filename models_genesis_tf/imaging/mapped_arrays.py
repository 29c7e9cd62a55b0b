"""Arrays in `.npy` files that are mapped anew for each use."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from models_genesis_tf.errors import InputError


class MappedArray(NamedTuple):
    """Where an array lies on disk.

    `np.load` reads the header with `ast`, which fails now and then in several threads
    (CPython 3.11), and a map that stays open keeps a file open. So the header is read
    once, and the file is mapped for each use.

    Attributes:
      path: The file.
      dtype: Of the array.
      shape: The same.
      offset: Bytes before its first value.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, path: Path) -> "MappedArray":
        """Reads the header of a `.npy` file.

        Args:
          path: The file.

        Returns:
          Where its array lies.

        Raises:
          InputError: If it is no such file, is cut short, or is not in C order.
        """
        try:
            array = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise InputError(
                f"an array is a whole .npy file. Received: {path} ({error})"
            ) from error
        if not array.flags.c_contiguous:
            raise InputError(
                f"an array is stored row after row (C order). Received: {path}"
            )
        return cls(path, array.dtype, array.shape, array.offset)

    def row(self, index: int) -> "MappedArray":
        """One entry along the first axis.

        Args:
          index: Which, from 0.

        Returns:
          Where it lies.
        """
        size = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        offset = self.offset + index * size
        return self._replace(shape=self.shape[1:], offset=offset)

    def open(self) -> np.ndarray:
        """Maps the array.

        Returns:
          It, read-only.
        """
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
