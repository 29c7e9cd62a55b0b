"""Pre-trained models from any file that holds one."""

import zipfile
from pathlib import Path

import keras

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.official import (
    build_official,
    is_official_file,
    read_official,
)
from models_genesis_tf.models.unet3d import trunk_of


def load_pretrained(path: str | Path) -> keras.Model:
    """Loads a model of this package or an official weight file.

    Args:
      path: A `.keras` file with the encoder of Models Genesis, with any head, or the
        official `.h5` or `.pt` file; what it is is seen on its contents.

    Returns:
      The model, in float32 and not compiled.

    Raises:
      InputError: If there is no such file, if it is damaged or of another kind, or if
        its network is another one.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"weights are a file. Received: {path}, which is none")
    official = is_official_file(path)
    model = None if official else load_keras(path)
    try:
        if official:
            model, _ = build_official(read_official(path))
        trunk_of(model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return model


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
            "weights are a .keras file, or the official .h5 or .pt file. "
            f"Received: {path}, which is none of them or is cut short"
        )
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises anything on files that are damaged
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"a .keras file opens in Keras. Received: {path} ({reason})"
        ) from error
