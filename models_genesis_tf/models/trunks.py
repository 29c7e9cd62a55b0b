"""Which trunk a network stands on: that of images or that of cubes."""

from collections.abc import Sequence

import keras

from models_genesis_tf.errors import InputError
from models_genesis_tf.models import unet2d, unet3d
from models_genesis_tf.models.unet2d import Trunk2D
from models_genesis_tf.models.unet3d import Trunk

AnyTrunk = Trunk | Trunk2D
_BY_SHAPE = {3: Trunk2D, 4: Trunk}
_MODULES = {"stem_conv": unet2d, "depth_0_conv": unet3d}


def default_trunk(input_shape: Sequence[int] | None) -> AnyTrunk:
    """Gives the trunk of a network that starts from nothing.

    Args:
      input_shape: (x, y, channel) for images, (x, y, z, channel) or None for cubes.

    Returns:
      The trunk of that dimension, with the widths of the paper.

    Raises:
      InputError: If the shape is none of these.
    """
    if input_shape is None:
        return Trunk()
    if len(input_shape) not in _BY_SHAPE:
        raise InputError(
            "input_shape is (x, y, channel) or (x, y, z, channel). "
            f"Received: input_shape={tuple(input_shape)}"
        )
    return _BY_SHAPE[len(input_shape)]()


def trunk_of(model: keras.Model) -> AnyTrunk:
    """Reads how the trunk of a model is built; the counterpart of building it.

    Args:
      model: A network of this package, of any head.

    Returns:
      Its trunk, in float32.

    Raises:
      InputError: If the model has neither encoder.
    """
    names = {layer.name for layer in model.layers}
    for first, module in _MODULES.items():
        if first in names:
            return module.trunk_of(model)
    raise InputError(
        "a pre-trained model has the layers depth_0_conv to depth_7_bn, or in 2D "
        "stem_conv to stage_4_block_1_bn_1. "
        f"Received: {model.name}, without {' and '.join(sorted(_MODULES))}"
    )
