"""The official repository's weight files as this package's network.

`Genesis_Chest_CT.h5` is a whole Keras 2.2.4 model with channels first,
`Genesis_Chest_CT.pt` a PyTorch checkpoint of another network (paper_facts 3.1 and 3.3).
Both are known by the names and shapes of their tensors, whatever their texts say. Both
keep the spatial axes in the order (x, y, z), so that of kernels only the other axes
change places.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.blocks import RESTORATION, build_restorer
from models_genesis_tf.models.hdf5_files import is_hdf5_file, read_keras2_tensors
from models_genesis_tf.models.torch_files import is_torch_file, read_state_dict
from models_genesis_tf.models.torch_layers import rename_tensors
from models_genesis_tf.models.unet3d import Trunk
from models_genesis_tf.models.weights import TransferReport, transfer_weights

_STEM = "depth_0_conv/kernel"
# PyTorch's blocks in the order of their depths; each has two convolutions.
_TORCH_BLOCKS = {
    "down_tr64": 0,
    "down_tr128": 2,
    "down_tr256": 4,
    "down_tr512": 6,
    "up_tr256": 8,
    "up_tr128": 10,
    "up_tr64": 12,
}
_TORCH_LAYERS = {
    f"{block}.ops.{i}.{theirs}": f"depth_{depth + i}_{ours}"
    for block, depth in _TORCH_BLOCKS.items()
    for i in (0, 1)
    for theirs, ours in (("conv1", "conv"), ("bn1", "bn"))
} | {
    "up_tr256.up_conv": "upsampling_2",
    "up_tr128.up_conv": "upsampling_1",
    "up_tr64.up_conv": "upsampling_0",
    "out_tr.final_conv": RESTORATION,
}
_TORCH_EPSILON = 1e-5


@dataclass(frozen=True)
class OfficialWeights:
    """What an official file holds.

    Attributes:
      form: "keras" or "torch".
      tensors: "<layer>/<variable>" -> array, named and laid out as in this package.
      trunk: The network they belong to.
      counters: Names of tensors that are no weights: how many batches each
        normalisation has seen.
    """

    form: str
    tensors: Mapping[str, np.ndarray]
    trunk: Trunk
    counters: tuple[str, ...] = ()


def is_official_file(path: str | Path) -> bool:
    """Tells by its first bytes and members whether a file is HDF5 or of PyTorch."""
    return is_hdf5_file(path) or is_torch_file(path)


def read_official(path: str | Path) -> OfficialWeights:
    """Reads an official weight file; nothing in it is executed.

    Args:
      path: A Keras 2 `.h5` file, whole model or weights only, or a PyTorch checkpoint,
        of any width.

    Returns:
      Its weights.

    Raises:
      InputError: If the file is neither, is damaged, or asks for anything but data, or
        if its tensors are not those of the network.
    """
    if is_hdf5_file(path):
        return from_keras2(read_keras2_tensors(path))
    if is_torch_file(path):
        return from_torch(read_state_dict(path))
    raise InputError(
        f"official weights are an HDF5 file or a PyTorch checkpoint. Received: {path}"
    )


def from_keras2(tensors: Mapping[str, np.ndarray]) -> OfficialWeights:
    """Names the tensors of the official Keras network as in this package.

    Args:
      tensors: "<layer>/<variable>" -> array. Kernels are (x, y, z, in, out) whatever
        the order of the channels was, so that only the last convolution, which has an
        automatic name, is renamed.

    Returns:
      The weights.

    Raises:
      InputError: If the first or the last convolution is not there.
    """
    trunk = Trunk(base_filters=_base_filters(tensors))
    others = {_layer(name) for name in tensors if not name.startswith("depth_")}
    finals = [
        layer
        for layer in sorted(others)
        if tensors.get(f"{layer}/kernel", np.empty(0)).shape[:-1]
        == (1, 1, 1, 2 * trunk.base_filters)
    ]
    if len(finals) != 1:
        raise InputError(
            "official weights end in one convolution 1x1x1 from "
            f"{2 * trunk.base_filters} channels. "
            f"Received: {', '.join(sorted(others)) or 'none'}"
        )
    renamed = {
        name.replace(f"{finals[0]}/", f"{RESTORATION}/", 1)
        if _layer(name) == finals[0]
        else name: array
        for name, array in tensors.items()
    }
    return OfficialWeights("keras", renamed, trunk)


def from_torch(tensors: Mapping[str, np.ndarray]) -> OfficialWeights:
    """Names and turns the tensors of the official PyTorch network as in this package.

    Args:
      tensors: A state dict without "module." before its names.

    Returns:
      The weights. Kernels are turned from (out, in, x, y, z), transposed ones from
      (in, out, x, y, z), to (x, y, z, in, out) and (x, y, z, out, in).

    Raises:
      InputError: If the first convolution is not there.
    """
    converted, counters = rename_tensors(tensors, _TORCH_LAYERS)
    trunk = Trunk(
        base_filters=_base_filters(converted),
        upsampling="transposed",
        bn_statistics="batch",
        bn_epsilon=_TORCH_EPSILON,
    )
    return OfficialWeights("torch", converted, trunk, counters)


def build_official(
    weights: OfficialWeights,
    trunk: Trunk | None = None,
    sides: tuple[int, int, int] = Trunk.default_shape[:-1],
) -> tuple[keras.Model, TransferReport]:
    """Builds the network of official weights.

    Args:
      weights: As from `read_official`.
      trunk: How the network is built; None takes that of the weights.
      sides: Of a cube, in voxels, multiples of 8; the weights do not depend on them.

    Returns:
      The model, and what became of every tensor.

    Raises:
      InputError: If the tensors are not those of the network.
    """
    trunk = trunk or weights.trunk
    channels = weights.tensors[_STEM].shape[-2]
    kernel = weights.tensors.get(f"{RESTORATION}/kernel", np.empty(1))
    model = build_restorer(trunk, (*sides, channels), kernel.shape[-1])
    unused = weights.counters + trunk.spare_tensors
    return model, transfer_weights(weights.tensors, model, unused=unused)


def _base_filters(tensors: Mapping[str, np.ndarray]) -> int:
    """Width of the network, seen on its first convolution."""
    kernel = tensors.get(_STEM)
    if kernel is None or kernel.ndim != 5:
        raise InputError(
            "weights of the 3D U-Net have a first convolution depth_0 (down_tr64 in "
            f"PyTorch). Received: tensors {', '.join(list(tensors)[:3]) or 'none'}"
        )
    return kernel.shape[-1]


def _layer(name: str) -> str:
    return name.rpartition("/")[0]
