"""The official code, imported from a user's own clone when it is to be timed too."""

import importlib.util
import sys
import types
from pathlib import Path
from unittest import mock

from models_genesis_tf.config import TRANSFORM_PRESETS
from models_genesis_tf.errors import InputError

# What the transforms import without needing it for a pair; it need not be installed.
_UNUSED_IMPORTS = ("imageio", "skimage", "skimage.transform")


def load_official_transforms(clone: str | Path) -> types.ModuleType:
    """Imports the official transforms.

    Args:
      clone: Clone of the official repository.

    Returns:
      Its module keras/utils.py.

    Raises:
      InputError: If the clone lacks that file.
    """
    stand_ins = {name: mock.MagicMock() for name in _UNUSED_IMPORTS}
    with mock.patch.dict(sys.modules, stand_ins):
        return load_module(find_file(clone, "keras/utils.py"))


def find_file(clone: str | Path, file: str) -> Path:
    """Finds a file of the official repository.

    Args:
      clone: Clone of it.
      file: Path within it.

    Returns:
      The file's path.

    Raises:
      InputError: If the clone lacks it.
    """
    path = Path(clone) / file
    if not path.is_file():
        raise InputError(
            f"--official_dir is a clone of MrGiovanni/ModelsGenesis with {file}. "
            f"Received: --official_dir={clone}"
        )
    return path


def load_module(path: Path) -> types.ModuleType:
    """Imports a file that belongs to no package.

    Args:
      path: The file.

    Returns:
      Its module.
    """
    spec = importlib.util.spec_from_file_location(f"official_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def official_rates() -> types.SimpleNamespace:
    """The official rates under the names that the official generator asks for."""
    config = TRANSFORM_PRESETS["official"]
    return types.SimpleNamespace(
        flip_rate=config.flip_rate,
        local_rate=config.local_shuffling_rate,
        nonlinear_rate=config.nonlinear_rate,
        paint_rate=config.painting_rate,
        inpaint_rate=1.0 - config.outpainting_share,
        save_samples=None,
    )
