"""One pair for training: a deformed cube and the original to restore from it."""

from dataclasses import replace

import numpy as np

from models_genesis_tf.config import SCHEMES, TransformConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.transforms.flipping import flipping
from models_genesis_tf.transforms.nonlinear import nonlinear
from models_genesis_tf.transforms.painting import inpainting, outpainting
from models_genesis_tf.transforms.shuffling import shuffling

# The rates that a scheme changes; what it leaves out stays as in the preset.
_NO_DISTORTION = {"nonlinear_rate": 0.0, "local_shuffling_rate": 0.0}
_NO_PAINTING = {"painting_rate": 0.0}
_SCHEME_RATES = {
    "unified": {},
    "distortion": _NO_PAINTING,
    "painting": _NO_DISTORTION,
    "nonlinear": _NO_PAINTING | {"local_shuffling_rate": 0.0},
    "local_shuffling": _NO_PAINTING | {"nonlinear_rate": 0.0},
    "inpainting": _NO_DISTORTION | {"outpainting_share": 0.0},
    "outpainting": _NO_DISTORTION | {"outpainting_share": 1.0},
    "autoencoder": _NO_DISTORTION | _NO_PAINTING,
}


def genesis_pair(
    cube: np.ndarray, rng: np.random.Generator, config: TransformConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Makes a pair: flips, then local shuffling, intensity map and painting.

    Each step has its own rate; painting is either the inner or the outer one. The
    order and the rates are the released code's (paper_facts 2.1): noise that is
    painted last is never intensity-mapped.

    Args:
      cube: float32 array (x, y, z, channel) or (x, y, channel) in [0, 1], sides from
        8 voxels up; it is not written to.
      rng: Generator to draw from.
      config: Rates and sizes.

    Returns:
      Two new float32 arrays of the cube's shape in [0, 1]: the deformed cube and the
      flipped original.
    """
    original = flipping(cube, rng, config)
    deformed = original
    if rng.random() < config.local_shuffling_rate:
        deformed = shuffling(deformed, rng, config)
    if rng.random() < config.nonlinear_rate:
        deformed = nonlinear(deformed, rng, config)
    if rng.random() < config.painting_rate:
        outer = rng.random() < config.outpainting_share
        deformed = (outpainting if outer else inpainting)(deformed, rng, config)
    return deformed.copy() if deformed is original else deformed, original


def scheme_config(config: TransformConfig, scheme: str) -> TransformConfig:
    """Leaves on only the transforms of a scheme (paper_facts 2.8).

    The paper publishes no rates for single schemes; a transform that stays on keeps
    its rate, and so do the flips.

    Args:
      config: The settings of all transforms.
      scheme: One of `config.SCHEMES`.

    Returns:
      The settings with other rates.

    Raises:
      InputError: If there is no such scheme.
    """
    if scheme not in SCHEMES:
        raise InputError(
            f"scheme is one of {', '.join(SCHEMES)}. Received: scheme={scheme}"
        )
    return replace(config, **_SCHEME_RATES[scheme])
