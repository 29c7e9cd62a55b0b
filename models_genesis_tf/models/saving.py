"""Model files that plain Keras opens, with a page of facts inside.

A `.keras` file is a zip archive. What prediction needs to know about a model lies in it
as one member more, which Keras passes over when it loads and drops when it saves again.
"""

import json
import os
import zipfile
from pathlib import Path

import keras

METADATA_MEMBER = "models_genesis_tf.json"


def save_model(model: keras.Model, path: str | Path, metadata: dict) -> None:
    """Writes a model beside its name and renames it when complete.

    Whatever precision and strategy it was trained in, the file holds a plain float32
    model without optimizer, so that `keras.saving.load_model` opens it anywhere.

    Args:
      model: Built of stock Keras layers.
      path: File to write, ending in ".keras"; its folder is created.
      metadata: What can be written as JSON.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part.{path.name}")
    try:
        float32_copy(model).save(part)
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr(METADATA_MEMBER, json.dumps(metadata, indent=1) + "\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_metadata(path: str | Path) -> dict | None:
    """Reads what `save_model` wrote about a model.

    Args:
      path: A `.keras` file.

    Returns:
      The metadata, or None if the file has none.
    """
    with zipfile.ZipFile(path) as archive:
        if METADATA_MEMBER not in archive.namelist():
            return None
        return json.loads(archive.read(METADATA_MEMBER))


def float32_copy(model: keras.Model) -> keras.Model:
    """Copies a model under the float32 policy and without synchronised statistics.

    Args:
      model: A functional model of stock layers.

    Returns:
      A new model with the same weights; nothing of `compile` is copied.
    """
    # Not clone_model, which copies the compilation too.
    config = model.get_config()
    for layer in config["layers"]:
        if "dtype" in layer["config"]:  # operations without weights have none
            layer["config"]["dtype"] = "float32"
        if "synchronized" in layer["config"]:
            layer["config"]["synchronized"] = False
    copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    return copy
