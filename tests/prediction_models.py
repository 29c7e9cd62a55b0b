"""Models whose predictions are known in closed form, and scans for them."""

from pathlib import Path

import keras
import numpy as np
import SimpleITK as sitk
from keras import layers

from models_genesis_tf.models.saving import save_model

PATCH = (16, 16, 8)
FACTS = {
    "task": "custom",
    "kind": "segmentation",
    "classes": ["background", "bright"],
    "threshold": 0.5,
    "window": "ct",
    "spacing": None,
    "in_plane_size": None,
    "patch_size": list(PATCH),
    "channels": 1,
    "modalities": ["image"],
    "multi_label": False,
    "slices_per_case": 1,
    "base_filters": 1,
}
LIMIT = 100.5  # between two whole numbers of HU


def thresholding_model(
    path: Path, limit: float = LIMIT, slope: float = 200.0, channels: int = 1, **facts
) -> Path:
    """Writes a segmenter of voxels whose first channel exceeds a limit in HU."""
    inputs = keras.Input((*PATCH, channels))
    convolution = layers.Conv3D(1, 1, activation="sigmoid")
    model = keras.Model(inputs, convolution(inputs))
    kernel = np.zeros((1, 1, 1, channels, 1), np.float32)
    kernel[..., 0, 0] = slope
    bias = np.array([-slope * (limit + 1000) / 2000], np.float32)
    convolution.set_weights([kernel, bias])
    save_model(model, path, FACTS | facts)
    return path


def three_class_model(path: Path) -> Path:
    """Writes a segmenter whose classes change at -200 and at 200 HU."""
    inputs = keras.Input((*PATCH, 1))
    convolution = layers.Conv3D(3, 1, activation="softmax")
    model = keras.Model(inputs, convolution(inputs))
    # Each of three lines, ever steeper, is the highest in one part of [0, 1].
    kernel = 100 * np.array([0, 1, 2], np.float32).reshape(1, 1, 1, 1, 3)
    bias = -100 * np.array([0, 0.4, 0.4 + 0.6], np.float32)
    convolution.set_weights([kernel, bias])
    save_model(model, path, FACTS | {"classes": ["none", "soft tissue", "bone"]})
    return path


def mean_model(path: Path, classes: int = 2, **facts) -> Path:
    """Writes a classifier: sigmoid of 2 m - 1, or softmax of k m, of the mean m."""
    inputs = keras.Input((*PATCH, 1))
    outputs = 1 if classes == 2 else classes
    activation = "sigmoid" if classes == 2 else "softmax"
    dense = layers.Dense(outputs, activation=activation)
    model = keras.Model(inputs, dense(layers.GlobalAveragePooling3D()(inputs)))
    weights = [2.0] if classes == 2 else list(range(classes))
    bias = [-1.0] if classes == 2 else [0.0] * classes
    dense.set_weights([np.array([weights], np.float32), np.array(bias, np.float32)])
    names = [f"class {k}" for k in range(classes)]
    save_model(
        model, path, FACTS | {"kind": "classification", "classes": names} | facts
    )
    return path


def write_scan(
    path: Path,
    array: np.ndarray,
    spacing=(0.7, 0.9, 1.6),
    origin=(-61.0, 33.0, -220.0),
    direction=None,
    order: str = "LPS",
) -> Path:
    """Writes `(x, y, z)` with SimpleITK alone, stored along the axes of an order."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(np.ravel(direction).tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.DICOMOrient(image, order), str(path))
    return path


def random_scan(seed: int = 0, shape=(26, 22, 18)) -> np.ndarray:
    """int16 HU in which each voxel says something else."""
    return np.random.default_rng(seed).integers(-900, 900, shape).astype(np.int16)


def stored(path: Path) -> np.ndarray:
    """What SimpleITK reads, in its own order."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
