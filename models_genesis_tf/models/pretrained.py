"""Pre-trained models from any file that holds one."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.hdf5_files import is_hdf5_file
from models_genesis_tf.models.imagenet import build_imagenet_encoder, is_resnet
from models_genesis_tf.models.official import (
    build_official,
    from_torch,
    is_official_file,
    read_official,
)
from models_genesis_tf.models.torch_files import read_state_dict
from models_genesis_tf.models.trunks import AnyTrunk, trunk_of
from models_genesis_tf.models.weight_names import IMAGENET, check_weights
from models_genesis_tf.models.weights import Tensor


@dataclass(frozen=True)
class Pretrained:
    """A pre-trained model.

    Attributes:
      model: In float32 and not compiled.
      trunk: How it is built.
      from_imagenet: Whether the file is torchvision's ResNet-18, an encoder alone.
      unused: Tensors of the file that the model has no place for.
    """

    model: keras.Model
    trunk: AnyTrunk
    from_imagenet: bool = False
    unused: tuple[Tensor, ...] = ()


def load_pretrained(weights: str | Path) -> keras.Model:
    """Loads a model of this package, an official weight file or ImageNet's encoder.

    Args:
      weights: See `read_pretrained`.

    Returns:
      The model, in float32 and not compiled; of a ResNet-18, the encoder.

    Raises:
      InputError: As `read_pretrained`.
    """
    return read_pretrained(weights).model


def read_pretrained(weights: str | Path) -> Pretrained:
    """Loads a pre-trained model, and says what kind of file it comes from.

    Args:
      weights: A `.keras` file with the encoder of a network of this package, with any
        head, the official `.h5` or `.pt` file, or torchvision's `resnet18-*.pth`; what
        it is is seen on its contents. "imagenet:" before the path refuses all but the
        last. Or the name of a model that comes with the package.

    Returns:
      The model and its origin.

    Raises:
      InputError: If there is no such file, if it is damaged or of another kind, or if
        its network is another one.
    """
    path = check_weights(weights)
    imagenet = str(weights).startswith(IMAGENET)
    foreign = imagenet or is_official_file(path)
    model = None if foreign else load_keras(path)
    try:
        if foreign:
            return _read_foreign(path, imagenet)
        return Pretrained(model, trunk_of(model))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _read_foreign(path: Path, imagenet: bool) -> Pretrained:
    """Builds the network of a file that this package did not write."""
    if is_hdf5_file(path) and not imagenet:
        model, report = build_official(read_official(path))
        return Pretrained(model, trunk_of(model), False, report.unused)
    tensors = read_state_dict(path)
    imagenet = imagenet or is_resnet(tensors)
    if imagenet:
        model, report = build_imagenet_encoder(tensors)
    else:
        model, report = build_official(from_torch(tensors))
    return Pretrained(model, trunk_of(model), imagenet, report.unused)


def load_keras(path: Path) -> keras.Model:
    """Opens a `.keras` file of any network; what is wrong with it becomes one line.

    Args:
      path: The file.

    Returns:
      The model, uncompiled.

    Raises:
      InputError: If Keras cannot open it.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(
            "weights are a .keras file, the official .h5 or .pt file, or torchvision's "
            f"resnet18 .pth. Received: {path}, which is none of them or is cut short"
        )
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises anything on files that are damaged
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"a .keras file opens in Keras. Received: {path} ({reason})"
        ) from error
