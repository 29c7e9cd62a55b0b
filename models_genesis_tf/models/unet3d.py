"""The 3D U-Net of Models Genesis.

Conv 3x3x3, batch normalisation and ReLU fourteen times; three max poolings, three
upsamplings, each joined to the features of its size; a 1x1x1 convolution with a sigmoid
restores the cube. Layers are named depth_<k>_conv, _bn and _relu, k = 0..13, as in the
released code, because weights are transferred by these names.

The released Keras network enlarges by repeating voxels and predicts with the moving
statistics of batch normalisation; the released PyTorch network enlarges by transposed
convolutions and always normalises by the statistics of the batch (paper_facts 3.1 and
3.3). Both are forms of one `Trunk`, which the heads of other tasks stand on too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import keras
from keras import layers, ops

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.blocks import (
    batch_normalise,
    build_restorer,
    check_multiples,
    network_input,
    required_layers,
)

NUM_DEPTHS = 14
ENCODER_DEPTHS = 8
ENCODER_END = "depth_7_relu"
DECODER_END = "depth_13_relu"
MOVING_STATISTICS = tuple(
    f"depth_{depth}_bn/moving_{kind}"
    for depth in range(NUM_DEPTHS)
    for kind in ("mean", "variance")
)
SIDE_FACTOR = 8  # three poolings by two
UPSAMPLINGS = ("nearest", "transposed")
BN_STATISTICS = ("moving", "batch")


def _weighted_layers(depths: Iterable[int]) -> tuple[str, ...]:
    """Names the layers with weights."""
    return tuple(f"depth_{depth}_{kind}" for depth in depths for kind in ("conv", "bn"))


@dataclass(frozen=True)
class Trunk:
    """The network without its last layers: how it is built, and its two halves.

    Attributes:
      base_filters: Filters of the first convolution; the deepest has 16 times as many.
        32 is the official width.
      upsampling: "nearest" repeats voxels, "transposed" learns a convolution 2x2x2 with
        stride 2 that keeps the number of channels.
      bn_statistics: What batch normalisation uses when predicting: "moving" takes the
        statistics collected in training; "batch" those of the cubes at hand, always,
        so that a prediction depends on what else is in its batch. There are no moving
        statistics under "batch", and each device normalises its own share of a batch.
      bn_momentum: Share of the old moving statistics that each step keeps; the official
        Keras code has 0.99.
      bn_epsilon: Added to variances; Keras has 1e-3, PyTorch 1e-5.
      synchronized: Whether batch normalisation takes its statistics over all devices of
        a strategy instead of each over its own share of the batch.
      dtype: Keras dtype policy of the layers, whatever the global one is.
    """

    base_filters: int = 32
    upsampling: str = "nearest"
    bn_statistics: str = "moving"
    bn_momentum: float = 0.9
    bn_epsilon: float = 1e-3
    synchronized: bool = False
    dtype: str = "float32"

    dimension: ClassVar[int] = 3
    default_shape: ClassVar[tuple[int, ...]] = (64, 64, 32, 1)
    decoder_layers: ClassVar[tuple[str, ...]] = (
        *_weighted_layers(range(ENCODER_DEPTHS, NUM_DEPTHS)),
        *(f"upsampling_{level}" for level in range(3)),
    )

    @property
    def spare_tensors(self) -> tuple[str, ...]:
        """Tensors that weights may hold though this network has no use for them."""
        return MOVING_STATISTICS if self.bn_statistics == "batch" else ()

    def inputs(self, input_shape: tuple[int, int, int, int]):
        """Makes the input of a network on this trunk.

        Args:
          input_shape: (x, y, z, channel); sides are multiples of 8.

        Returns:
          A symbolic tensor (batch, x, y, z, channel) named "cube".

        Raises:
          InputError: If a side is no multiple of 8, or there is no such upsampling or
            behaviour of batch normalisation.
        """
        for name, value, known in (
            ("upsampling", self.upsampling, UPSAMPLINGS),
            ("bn_statistics", self.bn_statistics, BN_STATISTICS),
        ):
            if value not in known:
                raise InputError(
                    f"{name} is one of {', '.join(known)}. Received: {name}={value}"
                )
        return network_input(input_shape, self.dimension, SIDE_FACTOR, "cube")

    def encode(self, x) -> tuple:
        """Applies the encoder.

        Args:
          x: Tensor (batch, x, y, z, channel), sides multiples of 8.

        Returns:
          The features of depth_7_relu, at an eighth of each side, and the skips: what
          entered each pooling, largest first.
        """
        skips = []
        for level in range(3):
            width = self.base_filters * 2**level
            x = self._convolve(x, 2 * level, width)
            x = self._convolve(x, 2 * level + 1, 2 * width)
            skips.append(x)
            pool = layers.MaxPooling3D(2, dtype=self.dtype, name=f"pool_{level}")
            x = pool(x)
        x = self._convolve(x, 6, 8 * self.base_filters)
        return self._convolve(x, 7, 16 * self.base_filters), skips

    def decode(self, x, skips: list):
        """Applies the decoder to what `encode` returned; gives depth_13_relu."""
        for level in (2, 1, 0):
            width = self.base_filters * 2**level
            join = layers.Concatenate(dtype=self.dtype, name=f"concatenation_{level}")
            x = join([self._enlarge(x, level), skips[level]])
            x = self._convolve(x, 12 - 2 * level, 2 * width)
            x = self._convolve(x, 13 - 2 * level, 2 * width)
        return x

    def _convolve(self, x, depth: int, filters: int):
        """Convolution, batch normalisation and ReLU number `depth`."""
        x = layers.Conv3D(
            filters, 3, padding="same", dtype=self.dtype, name=f"depth_{depth}_conv"
        )(x)
        x = self._normalise(x, f"depth_{depth}_bn")
        return layers.ReLU(dtype=self.dtype, name=f"depth_{depth}_relu")(x)

    def _normalise(self, x, name: str):
        """Batch normalisation."""
        if self.bn_statistics == "moving":
            return batch_normalise(self, x, name)
        # BatchNormalization(...)(x, training=True) is not enough: `predict` would turn
        # it off. Normalising each channel of a whole batch laid out as one cube is the
        # same, with a layer that has no other mode.
        normalise = layers.GroupNormalization(
            groups=-1, epsilon=self.bn_epsilon, dtype=self.dtype, name=name
        )
        one_cube = ops.reshape(x, (1, -1, *x.shape[2:]))
        return ops.reshape(normalise(one_cube), (-1, *x.shape[1:]))

    def _enlarge(self, x, level: int):
        """Doubles the sides."""
        name = f"upsampling_{level}"
        if self.upsampling == "nearest":
            return layers.UpSampling3D(2, dtype=self.dtype, name=name)(x)
        return layers.Conv3DTranspose(
            x.shape[-1], 2, strides=2, dtype=self.dtype, name=name
        )(x)


def build_unet3d(
    input_shape: tuple[int, int, int, int],
    base_filters: int = 32,
    bn_momentum: float = 0.9,
    output_channels: int | None = None,
    synchronized: bool = False,
    dtype: str = "float32",
    upsampling: str = "nearest",
    bn_statistics: str = "moving",
    bn_epsilon: float = 1e-3,
) -> keras.Model:
    """Builds the network with random weights.

    Args:
      input_shape: (x, y, z, channel); sides are multiples of 8.
      base_filters: See `Trunk`, as for all that is not described here. With 32 and one
        channel there are 16,324,929 parameters, with transposed convolutions
        19,078,337.
      bn_momentum: Share of the old moving statistics that each step keeps.
      output_channels: Channels restored; None takes those of the input.
      synchronized: Whether batch normalisation looks at all devices of a strategy.
      dtype: Keras dtype policy: "float32", "mixed_bfloat16" or "mixed_float16".
        Weights, moving statistics and the last activation are float32 under each.
      upsampling: One of `UPSAMPLINGS`.
      bn_statistics: One of `BN_STATISTICS`.
      bn_epsilon: Added to variances.

    Returns:
      A model from float (batch, x, y, z, channel) in [0, 1] to float32 of the same
      size in (0, 1).

    Raises:
      InputError: If a side is no multiple of 8, or there is no such upsampling or
        behaviour of batch normalisation.
    """
    trunk = Trunk(
        base_filters=base_filters,
        upsampling=upsampling,
        bn_statistics=bn_statistics,
        bn_momentum=bn_momentum,
        bn_epsilon=bn_epsilon,
        synchronized=synchronized,
        dtype=dtype,
    )
    return build_restorer(trunk, input_shape, output_channels)


def trunk_of(model: keras.Model) -> Trunk:
    """Reads how the trunk of a 3D model is built; the counterpart of building it.

    Args:
      model: A network with the encoder of this module, of any head. Of one without
        a decoder, `upsampling` is "nearest".

    Returns:
      Its trunk, in float32.

    Raises:
      InputError: If the model has no such encoder.
    """
    names = _weighted_layers(range(ENCODER_DEPTHS))
    configs = required_layers(model, names, "depth_0_conv to depth_7_bn")
    normalisation = configs["depth_0_bn"]["config"]
    moving = configs["depth_0_bn"]["class_name"] == "BatchNormalization"
    enlargement = configs.get("upsampling_0", {}).get("class_name")
    transposed = enlargement == "Conv3DTranspose"
    return Trunk(
        base_filters=configs["depth_0_conv"]["config"]["filters"],
        upsampling="transposed" if transposed else "nearest",
        bn_statistics="moving" if moving else "batch",
        bn_momentum=normalisation.get("momentum", Trunk.bn_momentum),
        bn_epsilon=normalisation["epsilon"],
        synchronized=normalisation.get("synchronized", False),
    )


def check_sides(sides: tuple[int, ...]) -> None:
    """Checks that the network can halve a cube's sides three times.

    Args:
      sides: In voxels.

    Raises:
      InputError: If one is no positive multiple of 8; it names the nearest that fit.
    """
    check_multiples(sides, SIDE_FACTOR, "cube")
