"""What is shown of pairs and restored cubes, and what the losses compare with.

Cubes are (x, y, z, channel) here or, of a network of two dimensions, slices (x, y,
channel), drawn alike.
"""

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np

from models_genesis_tf.config import TransformConfig
from models_genesis_tf.imaging import panels
from models_genesis_tf.imaging.axial_slices import AxialSlices
from models_genesis_tf.imaging.cube_files import CubeSet
from models_genesis_tf.pipelines.pair_stream import (
    training_pair,
    training_place,
    validation_pair,
)

_SHOWN = 4


def fixed_pairs(
    cubes: CubeSet | AxialSlices,
    valid: np.ndarray,
    seed: int,
    transforms: TransformConfig,
) -> tuple[np.ndarray, np.ndarray]:
    """Makes the validation pairs that are shown, spread over the whole part.

    Args:
      cubes: All cubes.
      valid: Positions of the validation cubes.
      seed: Of the run.
      transforms: Of the run.

    Returns:
      Deformed and original cubes, float32 (pair, x, y, z, channel), up to four.
    """
    spread = np.unique(np.linspace(0, len(valid) - 1, _SHOWN).astype(int))
    pairs = [validation_pair(cubes, valid, seed, transforms, i) for i in spread]
    deformed, originals = (np.stack(part) for part in zip(*pairs, strict=True))
    return deformed, originals


def restoration_montage(
    model: keras.Model, deformed: np.ndarray, originals: np.ndarray
) -> np.ndarray:
    """Puts axial slices side by side: original, deformed and restored rows.

    Args:
      model: Restores cubes.
      deformed: (pair, x, y, z, channel) in [0, 1].
      originals: The same shape.

    Returns:
      Float image (row, column) of the first channel.
    """
    restored = keras.ops.convert_to_numpy(model(deformed, training=False))
    rows = (originals, deformed, restored)
    return panels.montage([list(cubes[..., 0]) for cubes in rows])


def save_restorations(
    folder: Path, model: keras.Model, deformed: np.ndarray, originals: np.ndarray
) -> None:
    """Draws cubes as they were, deformed, and restored.

    Args:
      folder: Where the PNG files go.
      model: Restores cubes.
      deformed: (pair, x, y, z, channel) in [0, 1].
      originals: The same shape.
    """
    restored = model.predict(deformed, batch_size=1, verbose=0)
    channels = [cubes[..., 0] for cubes in (originals, deformed, restored)]
    panels.save_overview_panel(folder / "overview.png", *map(list, channels))
    name = "cube" if channels[0].ndim == 4 else "slice"
    for number, cube in enumerate(zip(*channels, strict=True)):
        panels.save_restoration_panel(folder / f"{name}_{number}.png", *cube)


def save_training_pair(
    folder: Path,
    cubes: CubeSet | AxialSlices,
    train: np.ndarray,
    seed: int,
    transforms: TransformConfig,
    i: int,
) -> str:
    """Draws one pair of the training stream as it was trained on.

    Args:
      folder: Where `pair_<i>.png` goes.
      cubes: All cubes.
      train: Positions of the training cubes.
      seed: Of the run.
      transforms: Of the run.
      i: The pair's place in the stream, from 0.

    Returns:
      What the pair is and where it was drawn, in one line.
    """
    epoch, cube_index = training_place(train, seed, i)
    deformed, original = training_pair(cubes, train, seed, transforms, i)
    path = folder / f"pair_{i}.png"
    panels.save_restoration_panel(path, original[..., 0], deformed[..., 0])
    broken = np.count_nonzero(~np.isfinite(original))
    values = f"{original.min():.3f} to {original.max():.3f}"
    if broken:
        values = f"{broken} of {original.size} are no finite numbers"
    return (
        f"pair {i}: epoch {epoch + 1}, {cubes.describe(cube_index)}, "
        f"values {values}: {path}"
    )


def baselines(valid: Iterable) -> dict[str, float]:
    """Scores two restorations that need no network on the validation pairs.

    Args:
      valid: Batches (deformed, original).

    Returns:
      Mean squared errors: `constant`, every voxel at the originals' mean, the lowest
      that any constant reaches; `unchanged`, the deformed cube returned as it is.
      NaN or infinity says that a cube holds no finite numbers.
    """
    count, total, squares, changes = 0, 0.0, 0.0, 0.0
    with np.errstate(invalid="ignore"):  # of infinite values, which a caller looks for
        for deformed, original in valid:
            deformed = np.asarray(deformed, np.float64)
            original = np.asarray(original, np.float64)
            count += original.size
            total += original.sum()
            squares += np.square(original).sum()
            changes += np.square(deformed - original).sum()
        mean = total / count
        return {"constant": squares / count - mean**2, "unchanged": changes / count}
