"""What the networks of two and of three dimensions have in common."""

from collections.abc import Sequence

import keras
from keras import layers

from models_genesis_tf.errors import InputError

RESTORATION = "restoration_conv"
_CONVOLUTIONS = {2: layers.Conv2D, 3: layers.Conv3D}
_AXES = {2: "x, y, channel", 3: "x, y, z, channel"}


def network_input(input_shape: Sequence[int], dimension: int, factor: int, name: str):
    """Makes the input of a network.

    Args:
      input_shape: (x, y, channel) or (x, y, z, channel).
      dimension: Of the network, 2 or 3.
      factor: What its sides are multiples of.
      name: Of the input, "image" or "cube".

    Returns:
      A symbolic tensor (batch, *input_shape) of that name.

    Raises:
      InputError: If the shape has another dimension, or a side does not fit.
    """
    if len(input_shape) != dimension + 1:
        raise InputError(
            f"input_shape of a {dimension}D network is ({_AXES[dimension]}). "
            f"Received: input_shape={tuple(input_shape)}"
        )
    check_multiples(input_shape[:-1], factor, name)
    return keras.Input(tuple(input_shape), name=name)


def check_multiples(sides: Sequence[int], factor: int, name: str) -> None:
    """Checks that a network can halve the sides of its input often enough.

    Args:
      sides: In pixels or voxels.
      factor: What they are multiples of.
      name: What has these sides, "image" or "cube".

    Raises:
      InputError: If one is no positive multiple; it names the nearest that fit.
    """
    if all(side > 0 and side % factor == 0 for side in sides):
        return
    lower = [max(1, side // factor) * factor for side in sides]
    upper = [-(-max(1, side) // factor) * factor for side in sides]
    fits = " or ".join(
        ",".join(str(side) for side in fit)
        for fit in dict.fromkeys(map(tuple, (lower, upper)))
    )
    raise InputError(
        f"the sides of each {name} are multiples of {factor}; {fits} would fit. "
        f"Received: {','.join(str(side) for side in sides)}"
    )


def batch_normalise(trunk, x, name: str):
    """Normalises each channel, by moving statistics when predicting.

    Args:
      trunk: How the network is built.
      x: Tensor (batch, ..., channel).
      name: Of the layer.

    Returns:
      A tensor of the same shape.
    """
    return layers.BatchNormalization(
        momentum=trunk.bn_momentum,
        epsilon=trunk.bn_epsilon,
        synchronized=trunk.synchronized,
        dtype=trunk.dtype,
        name=name,
    )(x)


def convolve_points(x, filters: int, dtype: str, name: str):
    """Mixes the channels of each pixel or voxel by a convolution of side 1.

    Args:
      x: Tensor (batch, x, y, channel) or (batch, x, y, z, channel).
      filters: Channels that come out.
      dtype: Keras dtype policy.
      name: Of the layer.

    Returns:
      A tensor (..., filters).
    """
    convolution = _CONVOLUTIONS[len(x.shape) - 2]
    return convolution(filters, 1, dtype=dtype, name=name)(x)


def build_restorer(
    trunk, input_shape: Sequence[int], output_channels: int | None = None
) -> keras.Model:
    """Builds a network that restores what it is given, with random weights.

    Args:
      trunk: How it is built: a `Trunk` or a `Trunk2D`.
      input_shape: (x, y, z, channel) or (x, y, channel), as the trunk takes it.
      output_channels: Channels restored; None takes those of the input.

    Returns:
      A model from float (batch, *input_shape) in [0, 1] to float32 of the same size in
      (0, 1), named "unet3d" or "unet2d".

    Raises:
      InputError: If the trunk does not take this shape.
    """
    inputs = trunk.inputs(input_shape)
    x = trunk.decode(*trunk.encode(inputs))
    x = convolve_points(x, output_channels or input_shape[-1], trunk.dtype, RESTORATION)
    outputs = layers.Activation("sigmoid", dtype="float32", name="restoration")(x)
    return keras.Model(inputs, outputs, name=f"unet{trunk.dimension}d")


def required_layers(
    model: keras.Model, names: Sequence[str], known_as: str
) -> dict[str, dict]:
    """Describes the layers of a model that has those of an encoder.

    Args:
      model: Any model; only functional ones can have them.
      names: Layers that it has.
      known_as: What a message calls these.

    Returns:
      Name -> "class_name" and "config", of all layers.

    Raises:
      InputError: If one is missing.
    """
    configs = {
        config["name"]: config
        for config in model.get_config().get("layers", [])
        if "inbound_nodes" in config
    }
    missing = [name for name in names if name not in configs]
    if missing:
        raise InputError(
            f"a pre-trained model has the layers {known_as}. "
            f"Received: {model.name}, without {missing[0]}"
        )
    return configs
