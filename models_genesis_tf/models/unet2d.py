"""The 2D U-Net: a ResNet-18 encoder and a decoder that mirrors it.

Models Genesis in two dimensions are U-Nets with a ResNet-18 encoder (paper_facts 1.4).
The encoder is torchvision's, layer by layer: a convolution 7x7 and a max pooling 3x3
(the stem), then four stages of two blocks of two convolutions 3x3; the first block of
stages 2 to 4 halves the sides, with a convolution 1x1 beside it. No convolution has a
bias, since batch normalisation follows each. Where a side is halved, zeros are laid
around the image as torchvision does; Keras' "same" lays fewer on one side.

Layers are named stem_conv, stage_<s>_block_<b>_conv_<i>, decoder_<k>_conv_<i> and so
on, where decoder level k works at sides divided by 2**k; weights are transferred by
these names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import keras
from keras import layers

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.blocks import (
    batch_normalise,
    build_restorer,
    check_multiples,
    network_input,
    required_layers,
)

ENCODER_END = "stage_4_block_1_relu_1"
DECODER_END = "decoder_0_relu_1"
SIDE_FACTOR = 32  # stem, pooling and three stages halve the sides
INPUT_SCALINGS = ("none", "imagenet")
# Of red, green and blue in [0, 1]: what torchvision's networks were trained behind.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_SCALING = "imagenet_scaling"
_STAGES = (1, 2, 3, 4)
_LEVELS = (4, 3, 2, 1, 0)
# Of the last level: with 4 filters a network of width 8 can die and stay constant.
_LEAST_WIDTH = 8
# Where a convolution and its batch normalisation stand, as templates of their names.
_ENCODER_UNITS = (
    "stem_{}",
    *(
        f"stage_{stage}_block_{block}_{{}}_{i}"
        for stage in _STAGES
        for block in (0, 1)
        for i in (0, 1)
    ),
    *(f"stage_{stage}_block_0_projection_{{}}" for stage in _STAGES[1:]),
)
_DECODER_UNITS = tuple(f"decoder_{level}_{{}}_{i}" for level in _LEVELS for i in (0, 1))


def _weighted_layers(units: Sequence[str]) -> tuple[str, ...]:
    """Names the layers with weights."""
    return tuple(unit.format(kind) for unit in units for kind in ("conv", "bn"))


@dataclass(frozen=True)
class Trunk2D:
    """The network without its last layers: how it is built, and its two halves.

    Attributes:
      base_filters: Filters of the stem; the last stage has 8 times as many. 64 is
        ResNet-18.
      bn_momentum: Share of the old moving statistics that each step keeps.
      synchronized: Whether batch normalisation takes its statistics over all devices of
        a strategy instead of each over its own share of the batch.
      dtype: Keras dtype policy of the layers, whatever the global one is.
      input_scaling: "none" takes images in [0, 1] as they are; "imagenet" has them
        normalised by the means and deviations of ImageNet's colours, grey being three
        equal colours, as what was trained on ImageNet needs.
    """

    base_filters: int = 64
    bn_momentum: float = 0.9
    synchronized: bool = False
    dtype: str = "float32"
    input_scaling: str = "none"

    dimension: ClassVar[int] = 2
    default_shape: ClassVar[tuple[int, ...]] = (224, 224, 1)
    bn_epsilon: ClassVar[float] = 1e-5  # torchvision's
    decoder_layers: ClassVar[tuple[str, ...]] = _weighted_layers(_DECODER_UNITS)
    spare_tensors: ClassVar[tuple[str, ...]] = ()

    def inputs(self, input_shape: tuple[int, int, int]):
        """Makes the input of a network on this trunk.

        Args:
          input_shape: (x, y, channel); sides are multiples of 32.

        Returns:
          A symbolic tensor (batch, x, y, channel) named "image".

        Raises:
          InputError: If a side is no multiple of 32, there is no such scaling of the
            input, or it does not take as many channels.
        """
        if self.input_scaling not in INPUT_SCALINGS:
            raise InputError(
                f"input_scaling is one of {', '.join(INPUT_SCALINGS)}. "
                f"Received: input_scaling={self.input_scaling}"
            )
        inputs = network_input(input_shape, self.dimension, SIDE_FACTOR, "image")
        if self.input_scaling == "imagenet" and input_shape[-1] not in (1, 3):
            raise InputError(
                "networks that start from ImageNet take 1 channel (grey) or 3 (red, "
                f"green, blue). Received: input_shape={tuple(input_shape)}"
            )
        return inputs

    def encode(self, x) -> tuple:
        """Applies the encoder.

        Args:
          x: Tensor (batch, x, y, channel), sides multiples of 32.

        Returns:
          The features of the last stage, at a thirty-second of each side, and the
          skips: those of the stem and of the stages before, largest first.
        """
        width = self.base_filters
        x = self._convolve(self._scale(x), width, 7, "stem_{}", stride=2)
        x = self._relu(x, "stem_relu")
        skips = [x]
        # Zeros cannot win a maximum after a ReLU.
        x = layers.ZeroPadding2D(1, dtype=self.dtype, name="pool_pad")(x)
        x = layers.MaxPooling2D(3, strides=2, dtype=self.dtype, name="pool")(x)
        for stage in _STAGES:
            stride = 1 if stage == 1 else 2
            x = self._block(x, width, stride, f"stage_{stage}_block_0")
            x = self._block(x, width, 1, f"stage_{stage}_block_1")
            skips.append(x)
            width *= 2
        return skips.pop(), skips

    def decode(self, x, skips: list):
        """Applies the decoder to what `encode` returned.

        Args:
          x: The features of the last stage.
          skips: Those of the stem and of the stages before, largest first.

        Returns:
          The features of decoder_0_relu_1, at the sides of the image, half as many as
          the stem has, and 8 at least.
        """
        for level in _LEVELS:
            enlarge = layers.UpSampling2D(
                2, dtype=self.dtype, name=f"upsampling_{level}"
            )
            x, width = enlarge(x), max(_LEAST_WIDTH, self.base_filters // 2)
            if level:
                skip = skips[level - 1]
                join = layers.Concatenate(
                    dtype=self.dtype, name=f"concatenation_{level}"
                )
                x, width = join([x, skip]), skip.shape[-1]
            for i in (0, 1):
                x = self._convolve(x, width, 3, f"decoder_{level}_{{}}_{i}")
                x = self._relu(x, f"decoder_{level}_relu_{i}")
        return x

    def _scale(self, x):
        """Gives images the channels and the values that the stem was trained on."""
        if self.input_scaling == "none":
            return x
        # A layer of its own: folded into the stem's kernel it would be wrong at the
        # borders, where the stem pads normalised images with zeros.
        if x.shape[-1] == 1:
            x = layers.Concatenate(dtype="float32", name="grey_to_colours")([x, x, x])
        return layers.Normalization(
            mean=list(IMAGENET_MEAN),
            variance=[deviation**2 for deviation in IMAGENET_DEVIATION],
            dtype="float32",
            name=_SCALING,
        )(x)

    def _block(self, x, filters: int, stride: int, name: str):
        """Two convolutions beside what went in."""
        y = self._convolve(x, filters, 3, f"{name}_{{}}_0", stride)
        y = self._relu(y, f"{name}_relu_0")
        y = self._convolve(y, filters, 3, f"{name}_{{}}_1")
        if stride > 1:
            x = self._convolve(x, filters, 1, f"{name}_projection_{{}}", stride)
        y = layers.Add(dtype=self.dtype, name=f"{name}_add")([y, x])
        return self._relu(y, f"{name}_relu_1")

    def _convolve(self, x, filters: int, side: int, unit: str, stride: int = 1):
        """Convolution and batch normalisation."""
        if stride > 1 and side > 1:
            pad = layers.ZeroPadding2D(
                side // 2, dtype=self.dtype, name=unit.format("pad")
            )
            x = pad(x)
        x = layers.Conv2D(
            filters,
            side,
            strides=stride,
            padding="same" if stride == 1 else "valid",
            use_bias=False,
            dtype=self.dtype,
            name=unit.format("conv"),
        )(x)
        return batch_normalise(self, x, unit.format("bn"))

    def _relu(self, x, name: str):
        return layers.ReLU(dtype=self.dtype, name=name)(x)


def build_unet2d(
    input_shape: tuple[int, int, int] = Trunk2D.default_shape,
    base_filters: int = 64,
    bn_momentum: float = 0.9,
    output_channels: int | None = None,
    synchronized: bool = False,
    dtype: str = "float32",
) -> keras.Model:
    """Builds the network with random weights.

    Args:
      input_shape: (x, y, channel); sides are multiples of 32.
      base_filters: See `Trunk2D`, as for all that is not described here. With 64 and
        one channel there are 14,419,041 parameters.
      bn_momentum: Share of the old moving statistics that each step keeps.
      output_channels: Channels restored; None takes those of the input.
      synchronized: Whether batch normalisation looks at all devices of a strategy.
      dtype: Keras dtype policy: "float32", "mixed_bfloat16" or "mixed_float16".
        Weights, moving statistics and the last activation are float32 under each.

    Returns:
      A model from float (batch, x, y, channel) in [0, 1] to float32 of the same size in
      (0, 1).

    Raises:
      InputError: If a side is no multiple of 32.
    """
    trunk = Trunk2D(
        base_filters=base_filters,
        bn_momentum=bn_momentum,
        synchronized=synchronized,
        dtype=dtype,
    )
    return build_restorer(trunk, input_shape, output_channels)


def trunk_of(model: keras.Model) -> Trunk2D:
    """Reads how the trunk of a 2D model is built; the counterpart of building it.

    Args:
      model: A network with the encoder of this module, of any head.

    Returns:
      Its trunk, in float32.

    Raises:
      InputError: If the model has no such encoder.
    """
    names = _weighted_layers(_ENCODER_UNITS)
    configs = required_layers(model, names, "stem_conv to stage_4_block_1_bn_1")
    normalisation = configs["stem_bn"]["config"]
    return Trunk2D(
        base_filters=configs["stem_conv"]["config"]["filters"],
        bn_momentum=normalisation["momentum"],
        synchronized=normalisation["synchronized"],
        input_scaling="imagenet" if _SCALING in configs else "none",
    )


def check_sides(sides: tuple[int, ...]) -> None:
    """Checks that the network can halve an image's sides five times.

    Args:
      sides: (x, y) in pixels.

    Raises:
      InputError: If one is no positive multiple of 32; it names the nearest that fit.
    """
    check_multiples(sides, SIDE_FACTOR, "image")
