"""The official code, imported from a user's own clone when it is to be timed too."""

import importlib.util
import sys
import types
from pathlib import Path
from unittest import mock

from models_genesis_tf.config import TRANSFORM_PRESETS
from models_genesis_tf.errors import InputError

# What its file imports without needing it for a pair; these need not be installed.
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
    path = Path(clone) / "keras" / "utils.py"
    if not path.is_file():
        raise InputError(
            "--official_dir is a clone of MrGiovanni/ModelsGenesis with "
            f"keras/utils.py. Received: --official_dir={clone}"
        )
    spec = importlib.util.spec_from_file_location("official_utils", path)
    module = importlib.util.module_from_spec(spec)
    stand_ins = {name: mock.MagicMock() for name in _UNUSED_IMPORTS}
    with mock.patch.dict(sys.modules, stand_ins):
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
