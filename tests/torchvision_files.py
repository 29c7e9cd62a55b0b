"""ResNet-18 in torchvision's form: random weights, a file of them, a slow forward pass.

The file is put together from opcodes of pickle protocol 2 and the network from NumPy in
float64, channels first, so that neither shares anything with the package.
"""

import pickle
import zipfile
from pathlib import Path

import numpy as np

MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])


def resnet18_tensors(
    rng: np.random.Generator,
    base_filters: int = 64,
    classes: int = 1000,
    counters: bool = True,
) -> dict[str, np.ndarray]:
    """Draws a state dict with torchvision's names, shapes and order.

    Args:
      rng: Source of the weights.
      base_filters: 64 in ResNet-18.
      classes: Outputs of `fc`.
      counters: Whether batch normalisations count batches, as since torch 0.4.1.

    Returns:
      Name -> float32, or int64 for the counters; features come out of about size 1.
    """
    tensors = {}

    def convolution(name, fan_in, filters, side):
        scale = (2 / (fan_in * side**2)) ** 0.5
        kernel = rng.normal(0, scale, (filters, fan_in, side, side))
        tensors[f"{name}.weight"] = kernel.astype(np.float32)

    def normalisation(name, filters):
        for variable, low, high in (
            ("weight", 0.5, 1.0),
            ("bias", -0.3, 0.3),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.8, 1.6),
        ):
            values = rng.uniform(low, high, filters).astype(np.float32)
            tensors[f"{name}.{variable}"] = values
        if counters:
            tensors[f"{name}.num_batches_tracked"] = np.array(7, np.int64)

    convolution("conv1", 3, base_filters, 7)
    normalisation("bn1", base_filters)
    fan_in = base_filters
    for stage in range(4):
        filters = base_filters * 2**stage
        for block in range(2):
            name = f"layer{stage + 1}.{block}"
            convolution(f"{name}.conv1", fan_in, filters, 3)
            normalisation(f"{name}.bn1", filters)
            convolution(f"{name}.conv2", filters, filters, 3)
            normalisation(f"{name}.bn2", filters)
            if fan_in != filters:
                convolution(f"{name}.downsample.0", fan_in, filters, 1)
                normalisation(f"{name}.downsample.1", filters)
            fan_in = filters
    tensors["fc.weight"] = rng.normal(0, 0.1, (classes, fan_in)).astype(np.float32)
    tensors["fc.bias"] = np.zeros(classes, np.float32)
    return tensors


def write_torch_file(
    path: Path, tensors: dict[str, np.ndarray], parameters: bool = False
) -> Path:
    """Writes a state dict as torch 1.6 and later do.

    Args:
      path: File to write.
      tensors: Name -> float32 or int64.
      parameters: Whether floats are pickled as parameters instead of plain tensors.

    Returns:
      The path.
    """
    entries = []
    with zipfile.ZipFile(path, "w") as archive:
        for key, (name, array) in enumerate(tensors.items()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
            tensor = _tensor(array, str(key))
            if parameters and array.dtype == np.float32:
                tensor = _call("torch._utils", "_rebuild_parameter", tensor, b"\x88")
            entries.append(_value(name) + tensor)
        made = _global("collections", "OrderedDict") + b")R"
        top = made + b"(" + b"".join(entries) + b"u"
        archive.writestr("archive/data.pkl", b"\x80\x02" + top + b".")
    return path


def _tensor(array: np.ndarray, key: str) -> bytes:
    kind = {np.float32: "FloatStorage", np.int64: "LongStorage"}[array.dtype.type]
    parts = [_value("storage"), _global("torch", kind), _value(key), _value("cpu")]
    storage = b"(" + b"".join(parts) + _value(array.size) + b"tQ"
    strides = tuple(step // array.itemsize for step in array.strides)
    numbers = b"".join(_value(part) for part in (0, array.shape, strides))
    return _call("torch._utils", "_rebuild_tensor_v2", storage + numbers, b"\x89")


def _call(module: str, name: str, *arguments: bytes) -> bytes:
    """Calls what rebuilds a tensor; hooks, none, are its last argument."""
    hooks = _global("collections", "OrderedDict") + b")R"
    return _global(module, name) + b"(" + b"".join(arguments) + hooks + b"tR"


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _value(value) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def resnet18_features(
    tensors: dict[str, np.ndarray], images: np.ndarray
) -> dict[str, np.ndarray]:
    """Applies ResNet-18 to images as torchvision does.

    Args:
      tensors: As from `resnet18_tensors`.
      images: (batch, 3, height, width), normalised.

    Returns:
      float64 features (batch, channel, height, width) of "relu", "maxpool" and
      "layer1" to "layer4".
    """
    x = _unit(tensors, images, "conv1", "bn1", 2).clip(0)
    features = {"relu": x}
    windows = _windows(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), 3, 2)
    features["maxpool"] = x = windows.max(axis=(-2, -1))
    for stage in range(1, 5):
        for block in range(2):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = _unit(tensors, x, f"{name}.conv1", f"{name}.bn1", stride).clip(0)
            y = _unit(tensors, y, f"{name}.conv2", f"{name}.bn2", 1)
            if f"{name}.downsample.0.weight" in tensors:
                down = f"{name}.downsample"
                x = _unit(tensors, x, f"{down}.0", f"{down}.1", stride)
            x = (x + y).clip(0)
        features[f"layer{stage}"] = x
    return features


def _unit(tensors, x, convolution: str, normalisation: str, stride: int):
    """Convolution and batch normalisation with moving statistics."""
    kernel = tensors[f"{convolution}.weight"].astype(float)
    side = kernel.shape[-1]
    before, after = 2 * ((0, 0),), 2 * ((side // 2, side // 2),)
    windows = _windows(np.pad(x.astype(float), before + after), side, stride)
    x = np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True)
    gamma, beta, mean, variance = (
        tensors[f"{normalisation}.{name}"].astype(float)[:, None, None]
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def _windows(x, side: int, stride: int):
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), (2, 3))
    return windows[:, :, ::stride, ::stride]
