"""Models Genesis for Keras: self-supervised 3D and 2D models for medical images.

Reading order, which is the data's way through the package:
imaging (scans to cubes), phantoms (synthetic scans), transforms and pipelines (cubes
to pairs), models and training (pairs to weights), tasks and evaluation (weights to
scores), experiments (the work put together), then the commands, one module each.

The names in `__all__` are imported when they are first used: TensorFlow, which only
some of them need, takes seconds to load.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "CubeConfig": "config",
    "PretrainConfig": "config",
    "TRANSFORM_PRESETS": "config",
    "TransformConfig": "config",
    "build_classifier": "models.heads",
    "build_encoder": "models.heads",
    "build_segmenter": "models.heads",
    "build_unet2d": "models.unet2d",
    "build_unet3d": "models.unet3d",
    "genesis_pair": "transforms.pairs",
    "load_pretrained": "models.pretrained",
    "open_cubes": "imaging.cube_files",
    "read_image2d": "imaging.images",
    "read_volume": "imaging.volumes",
    "scheme_config": "transforms.pairs",
    "training_pairs": "pipelines.pair_stream",
    "transfer_weights": "models.weights",
    "validation_pairs": "pipelines.pair_stream",
    "write_volume": "imaging.volumes",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
