"""The 3D U-Net of Models Genesis.

Conv 3x3x3, batch normalisation and ReLU fourteen times; three max poolings, three
nearest upsamplings, each joined to the features of its size; a 1x1x1 convolution with a
sigmoid restores the cube. Layers are named depth_<k>_conv, _bn and _relu, k = 0..13, as
in the released code, because weights are transferred by these names.
"""

import keras
from keras import layers

from models_genesis_tf.errors import InputError

NUM_DEPTHS = 14
ENCODER_END = "depth_7_relu"
DECODER_END = "depth_13_relu"
SIDE_FACTOR = 8  # three poolings by two


def build_unet3d(
    input_shape: tuple[int, int, int, int],
    base_filters: int = 32,
    bn_momentum: float = 0.9,
    output_channels: int | None = None,
    synchronized: bool = False,
    dtype: str = "float32",
) -> keras.Model:
    """Builds the network with random weights.

    Args:
      input_shape: (x, y, z, channel); sides are multiples of 8.
      base_filters: Filters of the first convolution; the deepest has 16 times as many.
        32 is the official width, with 16,324,929 parameters for one channel.
      bn_momentum: Share of the old moving statistics that each step keeps; the
        official code has 0.99.
      output_channels: Channels restored; None takes those of the input.
      synchronized: Whether batch normalisation takes its statistics over all devices
        of a strategy instead of each over its own share of the batch.
      dtype: Keras dtype policy of the layers, whatever the global one is: "float32",
        "mixed_bfloat16" or "mixed_float16". Weights, moving statistics and the last
        activation are float32 under each.

    Returns:
      A model from float (batch, x, y, z, channel) in [0, 1] to float32 of the same
      size in (0, 1).

    Raises:
      InputError: If a side is no multiple of 8.
    """
    check_sides(input_shape[:-1])

    def convolve(x, depth: int, filters: int):
        name = f"depth_{depth}"
        convolution = layers.Conv3D(
            filters, 3, padding="same", dtype=dtype, name=f"{name}_conv"
        )
        normalisation = layers.BatchNormalization(
            momentum=bn_momentum,
            synchronized=synchronized,
            dtype=dtype,
            name=f"{name}_bn",
        )
        activation = layers.ReLU(dtype=dtype, name=f"{name}_relu")
        return activation(normalisation(convolution(x)))

    inputs = keras.Input(input_shape, name="cube")
    x, skips = inputs, []
    for level in range(3):
        width = base_filters * 2**level
        x = convolve(x, 2 * level, width)
        x = convolve(x, 2 * level + 1, 2 * width)
        skips.append(x)
        x = layers.MaxPooling3D(2, dtype=dtype, name=f"pool_{level}")(x)
    x = convolve(x, 6, 8 * base_filters)
    x = convolve(x, 7, 16 * base_filters)
    for level in (2, 1, 0):
        width = base_filters * 2**level
        x = layers.UpSampling3D(2, dtype=dtype, name=f"upsampling_{level}")(x)
        join = layers.Concatenate(dtype=dtype, name=f"concatenation_{level}")
        x = join([x, skips[level]])
        x = convolve(x, 12 - 2 * level, 2 * width)
        x = convolve(x, 13 - 2 * level, 2 * width)
    channels = output_channels or input_shape[-1]
    x = layers.Conv3D(channels, 1, dtype=dtype, name="restoration_conv")(x)
    outputs = layers.Activation("sigmoid", dtype="float32", name="restoration")(x)
    return keras.Model(inputs, outputs, name="unet3d")


def check_sides(sides: tuple[int, ...]) -> None:
    """Checks that the network can halve a cube's sides three times.

    Args:
      sides: In voxels.

    Raises:
      InputError: If one is no positive multiple of 8; it names the nearest that fit.
    """
    if all(side > 0 and side % SIDE_FACTOR == 0 for side in sides):
        return
    lower = [max(1, side // SIDE_FACTOR) * SIDE_FACTOR for side in sides]
    upper = [-(-max(1, side) // SIDE_FACTOR) * SIDE_FACTOR for side in sides]
    fits = " or ".join(
        ",".join(str(side) for side in fit)
        for fit in dict.fromkeys(map(tuple, (lower, upper)))
    )
    raise InputError(
        f"the sides of a cube are multiples of {SIDE_FACTOR}; {fits} would fit. "
        f"Received: {','.join(str(side) for side in sides)}"
    )
