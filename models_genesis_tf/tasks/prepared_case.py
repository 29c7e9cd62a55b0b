"""A case whose arrays lie on disk, and what a network sees of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models_genesis_tf.imaging.mapped_arrays import MappedArray
from models_genesis_tf.imaging.patches import (
    centre_patch_start,
    cut_patch,
    sample_around,
)
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.case_arrays import read_image
from models_genesis_tf.tasks.label_maps import LabelValues, read_label, to_classes


@dataclass(frozen=True, slots=True)
class PreparedCase:
    """A case whose arrays lie on disk.

    Attributes:
      case: The case.
      identity: What the arrays follow from; the same for the same contents.
      image_file: Floating point `(x, y, z, channel)` in [0, 1].
      label_file: Class of each voxel `(x, y, z)`; None for classification.
      spacing_mm: Of the arrays along x, y and z.
      original_shape: Of what was read, in LPS order.
      original_spacing_mm: The same.
      centre: What the patch is cut around, in voxels of the arrays; None where the
        arrays are the patch, or patches are cut anywhere.
      label_values: As in `preparation.Preparation`.
    """

    case: Case
    identity: str
    image_file: MappedArray
    label_file: MappedArray | None
    spacing_mm: tuple[float, float, float]
    original_shape: tuple[int, int, int]
    original_spacing_mm: tuple[float, float, float]
    centre: tuple[float, float, float] | None
    label_values: LabelValues | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sides x, y, z of the arrays, in voxels."""
        return self.image_file.shape[:3]

    @property
    def label(self) -> int | tuple[int, ...] | None:
        """The class or classes, as in `Case`; None for segmentation."""
        return self.case.label if self.case.is_classified else None

    def image(self) -> np.ndarray:
        """Opens the image.

        Returns:
          Floating point `(x, y, z, channel)` in [0, 1], memory-mapped, read-only.
        """
        return self.image_file.open()

    def label_map(self) -> np.ndarray:
        """Opens the label map of a segmentation case.

        Returns:
          `(x, y, z)`, the index of each voxel's class, memory-mapped, read-only.
        """
        return self.label_file.open()

    def image_patch(
        self, start: Sequence[int], patch_size: Sequence[int]
    ) -> np.ndarray:
        """Cuts a patch of the image.

        Args:
          start: Its first voxel.
          patch_size: Its sides in voxels.

        Returns:
          float32 `(x, y, z, channel)` in [0, 1]; 0 beyond the image.
        """
        patch = cut_patch(self.image(), start, patch_size)
        return patch.astype(np.float32, copy=False)

    def label_patch(
        self, start: Sequence[int], patch_size: Sequence[int]
    ) -> np.ndarray:
        """Cuts the same patch of the label map.

        Args:
          start: Its first voxel.
          patch_size: Its sides in voxels.

        Returns:
          uint8 `(x, y, z)`, the index of each voxel's class; 0 beyond the image.
        """
        patch = cut_patch(self.label_map(), start, patch_size)
        return patch.astype(np.uint8, copy=False)

    def central_patch(
        self,
        patch_size: Sequence[int],
        spacing: tuple[float, float, float] | None,
        slices_up: int = 0,
    ) -> np.ndarray:
        """What a classifier sees: the image's middle, or what is around the centre.

        Args:
          patch_size: Sides of the patch in voxels.
          spacing: Of the patch around a centre, mm; None is that of the arrays.
          slices_up: How many of its own voxels the patch is moved along z.

        Returns:
          float32 `(x, y, z, channel)` in [0, 1]; 0 beyond the image.
        """
        if self.centre is None:
            x, y, z = centre_patch_start(self.shape, patch_size)
            return self.image_patch((x, y, z + slices_up), patch_size)
        scale = np.divide(spacing or self.spacing_mm, self.spacing_mm)
        centre = self.centre + scale * (0, 0, slices_up)
        return sample_around(self.image(), centre, patch_size, scale)

    def original_label_map(self) -> np.ndarray:
        """Reads the label map as it was before resampling.

        Returns:
          uint8 `(x, y, z)` of the original shape, the index of each voxel's class.
        """
        if self.original_shape == self.shape:
            return self.label_map().astype(np.uint8, copy=False)
        labels = read_label(self.case, read_image(self.case.image))
        return to_classes(labels, self.label_values)
