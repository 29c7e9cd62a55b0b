"""What a trained model says of a whole scan, by the facts in its own file."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models_genesis_tf.experiments.model_facts import read_facts
from models_genesis_tf.experiments.scoring import make_predict, to_labels
from models_genesis_tf.imaging.patches import (
    centre_patch_start,
    cut_patch,
    sample_around,
    slices_around,
)
from models_genesis_tf.imaging.tiling import (
    Predict,
    Tiling,
    predict_resampled,
    predict_slabs,
    window_starts,
)
from models_genesis_tf.models.pretrained import load_keras
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.case_arrays import (
    CaseArrays,
    Preparation,
    make_arrays,
    target_spacing,
    voxel_of,
)

_BATCH_SIZE = 4
_PATCHES_AT_ONCE = 16  # of a classification
_FLIPS = [
    axes for count in range(4) for axes in itertools.combinations((1, 2, 3), count)
]


class Predictor:
    """A model and the facts in its file."""

    def __init__(
        self,
        path: Path,
        test_time_augmentation: bool = False,
        fast_upsampling: bool | None = None,
    ):
        """Loads the model.

        Args:
          path: A `.keras` file that `finetune` wrote.
          test_time_augmentation: Whether each window's result is the mean over its
            flips.
          fast_upsampling: See `scoring.make_predict`.

        Raises:
          InputError: If it is no such file.
        """
        self.facts = read_facts(path)
        self._predict = make_predict(load_keras(path), fast_upsampling)
        if test_time_augmentation:
            self._predict = over_flips(self._predict, self.facts.kind)

    def read(self, paths: Sequence[Path]) -> CaseArrays:
        """Reads a scan that is segmented.

        Args:
          paths: A file, or folder of a DICOM series, for each channel.

        Returns:
          Its arrays on its own grid.

        Raises:
          InputError: If a file cannot be read or channels lie on different grids.
        """
        return make_arrays(_case(paths), Preparation(self.facts.window), ())

    def segment(
        self, arrays: CaseArrays, title: str = "", keep_probabilities: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Segments a scan by overlapping windows.

        Without resampling, classes are taken slab by slab, so that the probabilities
        of the whole scan are held only if they are asked for.

        Args:
          arrays: As from `read`.
          title: Beside the progress bar.
          keep_probabilities: Whether they are returned.

        Returns:
          Classes uint8 `(x, y, z)`, and probabilities float32 `(x, y, z, output)` or
          None.
        """
        image, count = arrays.image, self.facts.num_outputs
        tiling = Tiling(self.facts.patch_size, batch_size=_BATCH_SIZE)
        labels = np.empty(image.shape[:3], np.uint8)
        kept = None
        if keep_probabilities:
            kept = np.empty((*labels.shape, count), np.float32)
        preparation = Preparation(
            spacing=self.facts.spacing, in_plane_size=self.facts.in_plane_size
        )
        spacing = target_spacing(preparation, arrays.source)
        with _progress(self._predict, tiling, arrays, spacing, title) as predict:
            for start, slab in _outputs(arrays, spacing, predict, tiling, count):
                planes = slice(start, start + len(slab))
                labels[planes] = to_labels(slab, self.facts.threshold)
                if keep_probabilities:
                    kept[planes] = slab
        return labels, kept

    def classify(self, paths: Sequence[Path]) -> list[float]:
        """Classifies a scan by the patch in its middle.

        Args:
          paths: A file, or folder of a DICOM series, for each channel.

        Returns:
          The probability of the second of two classes, or that of each class.

        Raises:
          InputError: As `read`.
        """
        facts = self.facts
        preparation = Preparation(facts.window, facts.spacing, facts.in_plane_size)
        image = make_arrays(_case(paths), preparation, ()).image
        x, y, z = centre_patch_start(image.shape[:3], facts.patch_size)
        patches = [
            cut_patch(image, (x, y, z + up), facts.patch_size)
            for up in self._slices(image.shape[2])
        ]
        return self._predict(np.stack(patches)).mean(axis=0).tolist()

    def classify_places(
        self, paths: Sequence[Path], places: Sequence[tuple[float, float, float]]
    ) -> list[list[float]]:
        """Classifies places in a scan by the patches around them.

        Args:
          paths: A file, or folder of a DICOM series, for each channel.
          places: World positions (LPS), mm; one or more.

        Returns:
          For each place what `classify` returns.

        Raises:
          InputError: As `read`, or if a place lies outside.
        """
        facts = self.facts
        case = dataclasses.replace(_case(paths), centre=tuple(places[0]))
        arrays = make_arrays(case, Preparation(facts.window), ())
        source = arrays.source
        geometry = (source.origin, source.direction, source.spacing)
        shape = source.array.shape
        scale = np.divide(facts.spacing or source.spacing, source.spacing)
        centres = [voxel_of(place, *geometry, shape) for place in places]
        results, slices = [], self._slices()
        for start in range(0, len(centres), _PATCHES_AT_ONCE):
            patches = [
                sample_around(
                    arrays.image, centre + scale * (0, 0, up), facts.patch_size, scale
                )
                for centre in centres[start : start + _PATCHES_AT_ONCE]
                for up in slices
            ]
            outputs = self._predict(np.stack(patches))
            of_place = outputs.reshape(-1, len(slices), outputs.shape[-1])
            results += of_place.mean(axis=1).tolist()
        return results

    def _slices(self, depth: int | None = None) -> Sequence[int]:
        """How far above the middle each patch lies, in its voxels."""
        if not self.facts.takes_pictures:
            return [0]
        return slices_around(self.facts.slices_per_case, depth)


def over_flips(predict: Predict, kind: str) -> Predict:
    """Makes a function of windows that takes the mean over their flips.

    There are eight of a cube, and four of a slice.

    Args:
      predict: Takes float32 `(n, x, y, z, channel)`.
      kind: "segmentation", whose outputs are flipped back, or "classification".

    Returns:
      A function of the same windows.
    """

    def predict_flips(windows: np.ndarray) -> np.ndarray:
        total = np.float32(0)
        flips = [axes for axes in _FLIPS if all(windows.shape[k] > 1 for k in axes)]
        for axes in flips:
            outputs = predict(np.ascontiguousarray(np.flip(windows, axes)))
            back = axes if kind == "segmentation" else ()
            total = total + np.flip(outputs, back)
        return total / np.float32(len(flips))

    return predict_flips


def _case(paths: Sequence[Path]) -> Case:
    """A case without a label map, of which only the image is asked."""
    return Case(str(paths[0]), tuple(paths), label=0, patient="", split=None)


def _outputs(
    arrays: CaseArrays,
    spacing: tuple[float, float, float],
    predict: Predict,
    tiling: Tiling,
    count: int,
) -> Iterator[tuple[int, np.ndarray]]:
    """Slabs of outputs on the scan's own grid; a single one where it is resampled."""
    if np.allclose(spacing, arrays.spacing, rtol=1e-4):  # as predict_resampled does
        yield from predict_slabs(arrays.image, predict, tiling, count)
        return
    outputs = predict_resampled(
        arrays.image, arrays.spacing, spacing, predict, tiling, count
    )
    yield 0, outputs


@contextmanager
def _progress(
    predict: Predict,
    tiling: Tiling,
    arrays: CaseArrays,
    spacing: tuple[float, float, float],
    title: str,
) -> Iterator[Callable]:
    """A function of windows that moves a bar, which is quiet without a terminal."""
    sides = np.multiply(arrays.image.shape[:3], arrays.spacing) / spacing
    sides = np.maximum(1, np.round(sides)).astype(int).tolist()
    pairs = zip(sides, tiling.window, strict=True)
    total = math.prod(len(window_starts(*pair, tiling.overlap)) for pair in pairs)
    with tqdm(total=total, desc=title, leave=False, disable=None, unit="window") as bar:

        def predict_and_tell(windows: np.ndarray) -> np.ndarray:
            outputs = predict(windows)
            bar.update(len(windows))
            return outputs

        yield predict_and_tell
