"""Files as Keras 2 wrote them, and the official network without Keras.

A layer's weights are a list of (name, array), as Keras 2 lists them; a model is a dict
of layers in its order, layers without weights included.
"""

import json
from pathlib import Path

import h5py
import numpy as np

Layers = dict[str, list[tuple[str, np.ndarray]]]

_EPSILON = 1e-3  # of batch normalisation, Keras's default
_POOLED = (1, 3, 5)  # depths whose output is pooled and joined again later
_JOINED = {8: 5, 10: 3, 12: 1}  # depth to the depth of the skip that it takes in


def write_keras2_file(
    path: str | Path, layers: Layers, whole_model: bool = True
) -> None:
    """Writes a file with the layout and the attributes of Keras 2.2.4.

    Args:
      path: HDF5 file to write.
      layers: The model's layers.
      whole_model: What `Model.save` and ModelCheckpoint write, with a configuration and
        an optimizer; else what `Model.save_weights` writes.
    """
    with h5py.File(path, "w") as file:
        if not whole_model:
            _write_weights(file, layers)
            return
        _write_versions(file)
        file.attrs["model_config"] = json.dumps(_model_config(layers)).encode()
        _write_weights(file.create_group("model_weights"), layers)
        optimizer = file.create_group("optimizer_weights")
        names = [f"SGD/moment_{number}:0" for number in range(2)]
        optimizer.attrs["weight_names"] = name_array(names)
        for name in names:
            optimizer[name] = np.ones((2, 3), np.float32)


def name_array(names: list[str]) -> np.ndarray:
    """Gives names as Keras 2 stored them: bytes of one length; none are float64."""
    return np.array([name.encode() for name in names], "S" if names else float)


def genesis_layers(
    rng: np.random.Generator,
    base_filters: int,
    channels: int = 1,
    final_name: str = "conv3d_1",
) -> Layers:
    """Makes the official network with random weights, in float32.

    Args:
      rng: Source of the weights; activations stay of order 1.
      base_filters: Filters of the first convolution; 32 in the official network.
      channels: Channels of the input and of the output.
      final_name: Name of the last convolution, which Keras numbered by itself.

    Returns:
      Layers depth_<k>_conv, _bn and _relu, k = 0..13, with those between them, and the
      last convolution.
    """
    layers: Layers = {"input_1": []}
    for depth, (inputs, outputs) in enumerate(_widths(base_filters, channels)):
        if depth in _JOINED:
            number = len(_JOINED) - _JOINED[depth] // 2
            layers[f"up_sampling3d_{number}"] = []
            layers[f"concatenate_{number}"] = []
        name = f"depth_{depth}_conv"
        layers[name] = _convolution(rng, name, (3, 3, 3, inputs, outputs))
        name = f"depth_{depth}_bn"
        layers[name] = _normalisation(rng, name, outputs)
        layers[f"depth_{depth}_relu"] = []
        if depth in _POOLED:
            layers[f"max_pooling3d_{depth // 2 + 1}"] = []
    shape = (1, 1, 1, 2 * base_filters, channels)
    layers[final_name] = _convolution(rng, final_name, shape)
    return layers


def restore_channels_first(layers: Layers, cubes: np.ndarray) -> np.ndarray:
    """Predicts with the official network in NumPy, slowly and in float64.

    Args:
      layers: As `genesis_layers` makes them.
      cubes: (batch, channel, x, y, z), sides multiples of 8.

    Returns:
      float64 of the same shape in (0, 1).
    """
    x = np.asarray(cubes, np.float64)
    skips = {}
    for depth in range(14):
        if depth in _JOINED:
            x = np.concatenate([_enlarge(x), skips[_JOINED[depth]]], axis=1)
        x = _convolve(x, **_variables(layers[f"depth_{depth}_conv"]))
        x = _normalise(x, **_variables(layers[f"depth_{depth}_bn"]))
        x = np.maximum(x, 0)
        if depth in _POOLED:
            skips[depth] = x
            x = _pool(x)
    final = [weights for weights in layers.values() if weights][-1]
    return 1 / (1 + np.exp(-_convolve(x, **_variables(final))))


def _write_versions(group: h5py.Group) -> None:
    group.attrs["keras_version"] = b"2.2.4"
    group.attrs["backend"] = b"tensorflow"


def _write_weights(group: h5py.Group, layers: Layers) -> None:
    _write_versions(group)
    group.attrs["layer_names"] = name_array(list(layers))
    for layer, weights in layers.items():
        subgroup = group.create_group(layer)
        subgroup.attrs["weight_names"] = name_array([name for name, _ in weights])
        for name, array in weights:
            subgroup[name] = array


def _model_config(layers: Layers) -> dict:
    """What Keras writes of a model, abridged."""
    configs = [{"name": name, "config": {"name": name}} for name in layers]
    return {"class_name": "Model", "config": {"name": "model_1", "layers": configs}}


def _widths(base: int, channels: int) -> list[tuple[int, int]]:
    """Input and output channels of the fourteen convolutions."""
    factors = [(1, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16)]
    factors += [(24, 8), (8, 8), (12, 4), (4, 4), (6, 2), (2, 2)]
    return [(channels, base)] + [(base * i, base * o) for i, o in factors]


def _convolution(
    rng: np.random.Generator, layer: str, shape: tuple[int, ...]
) -> list[tuple[str, np.ndarray]]:
    scale = np.sqrt(2 / np.prod(shape[:-1]))  # He
    return [
        (f"{layer}/kernel:0", rng.normal(0, scale, shape).astype(np.float32)),
        (f"{layer}/bias:0", rng.normal(0, 0.1, shape[-1]).astype(np.float32)),
    ]


def _normalisation(
    rng: np.random.Generator, layer: str, width: int
) -> list[tuple[str, np.ndarray]]:
    values = {
        "gamma": rng.uniform(0.5, 1.5, width),
        "beta": rng.normal(0, 0.1, width),
        "moving_mean": rng.normal(0, 0.1, width),
        "moving_variance": rng.uniform(0.5, 1.5, width),
    }
    return [(f"{layer}/{name}:0", v.astype(np.float32)) for name, v in values.items()]


def _variables(weights: list[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """A layer's arrays in float64 by variable."""
    return {
        name.split("/")[-1].removesuffix(":0"): np.asarray(array, np.float64)
        for name, array in weights
    }


def _convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Cross-correlation with zeros around, as the sum of shifted cubes."""
    margin = kernel.shape[0] // 2
    padded = np.pad(x, [(0, 0)] * 2 + [(margin, margin)] * 3)
    result = np.zeros((len(x), kernel.shape[-1], *x.shape[2:]))
    for i, j, k in np.ndindex(kernel.shape[:3]):
        shifted = padded[
            :, :, i : i + x.shape[2], j : j + x.shape[3], k : k + x.shape[4]
        ]
        result += np.einsum("bcxyz,co->boxyz", shifted, kernel[i, j, k])
    return result + bias[:, None, None, None]


def _normalise(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    moving_mean: np.ndarray,
    moving_variance: np.ndarray,
) -> np.ndarray:
    """Batch normalisation as Keras predicts."""
    scale = gamma / np.sqrt(moving_variance + _EPSILON)
    shift = beta - moving_mean * scale
    return x * scale[:, None, None, None] + shift[:, None, None, None]


def _pool(x: np.ndarray) -> np.ndarray:
    """Maximum of each 2x2x2 voxels."""
    batch, channels, *sides = x.shape
    pairs = [number for side in sides for number in (side // 2, 2)]
    return x.reshape(batch, channels, *pairs).max(axis=(3, 5, 7))


def _enlarge(x: np.ndarray) -> np.ndarray:
    """Repeats each voxel 2x2x2 times."""
    return x.repeat(2, axis=2).repeat(2, axis=3).repeat(2, axis=4)
