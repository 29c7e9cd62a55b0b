"""Networks for target tasks: the pre-trained encoder or encoder-decoder and a new head.

Classification: global average pooling of depth_7_relu, dense 1024 with ReLU, dense n.
Segmentation: a 1x1x1 convolution of depth_13_relu (paper_facts 3.2). One class has a
sigmoid, more have a softmax. Networks of images have the same heads on what their
encoder and decoder end in. The constructors are in the style of `keras.applications`.
"""

import dataclasses
from collections.abc import Collection
from pathlib import Path

import keras
from keras import layers

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.blocks import RESTORATION, convolve_points
from models_genesis_tf.models.pretrained import read_pretrained
from models_genesis_tf.models.trunks import AnyTrunk, default_trunk
from models_genesis_tf.models.weights import transfer_weights

CLASSIFIER_LAYERS = ("classifier_hidden", "classifier_logits")
SEGMENTER_LAYERS = ("segmenter_conv",)
POOLINGS = {
    "avg": {2: layers.GlobalAveragePooling2D, 3: layers.GlobalAveragePooling3D},
    "max": {2: layers.GlobalMaxPooling2D, 3: layers.GlobalMaxPooling3D},
}
_HIDDEN_UNITS = 1024
_HEADS = (RESTORATION, *CLASSIFIER_LAYERS, *SEGMENTER_LAYERS)


def build_encoder(
    input_shape: tuple[int, ...] | None = None,
    weights: str | Path | None = None,
    pooling: str | None = None,
    base_filters: int | None = None,
    stem: str = "repeat",
    verbose: bool = True,
    **trunk,
) -> keras.Model:
    """Builds the encoder, for features.

    Args:
      input_shape: (x, y, z, channel), sides multiples of 8, for cubes; (x, y, channel),
        sides multiples of 32, for images; None takes that of the weights, or
        (64, 64, 32, 1).
      weights: What `read_pretrained` reads: a file, or "imagenet:" and a file; None
        leaves random weights.
      pooling: "avg" or "max" over each feature; None keeps the maps.
      base_filters: Width; None takes that of the weights, or 32 for cubes and 64 for
        images.
      stem: Channel policy, see `transfer_weights`.
      verbose: Whether to print what became of every tensor.
      **trunk: Other fields of `Trunk` or `Trunk2D`. Upsampling, what batch
        normalisation looks at, its epsilon and the scaling of the input follow the
        weights unless they are given.

    Returns:
      A model from (batch, x, y, z, channel) to features (batch, x / 8, y / 8, z / 8,
      16 * base_filters), or from (batch, x, y, channel) to (batch, x / 32, y / 32,
      8 * base_filters); pooled ones have no sides.

    Raises:
      InputError: If the weights cannot be read or do not fit, or an argument has no
        meaning.
    """
    if pooling is not None and pooling not in POOLINGS:
        raise InputError(
            f"pooling is one of {', '.join(POOLINGS)} or None. Received: {pooling}"
        )
    start = _Start(weights, input_shape, base_filters, trunk)
    features, _ = start.trunk.encode(start.inputs)
    if pooling:
        features = _pool(features, pooling, start.trunk)
    model = keras.Model(start.inputs, features, name="encoder")
    unused = (*start.trunk.decoder_layers, *_HEADS)
    return start.fill(model, (), unused, stem, verbose)


def build_classifier(
    input_shape: tuple[int, ...] | None = None,
    weights: str | Path | None = None,
    num_classes: int = 1,
    classifier_activation: str | None = None,
    base_filters: int | None = None,
    stem: str = "repeat",
    verbose: bool = True,
    **trunk,
) -> keras.Model:
    """Builds the encoder with a classifier, whose head is new.

    Args:
      input_shape: See `build_encoder`.
      weights: See `build_encoder`.
      num_classes: Outputs; 1 for two classes by one probability.
      classifier_activation: Name of a Keras activation; None is sigmoid for one output
        and softmax for more; "sigmoid" is for classes that do not exclude each other,
        "linear" gives logits.
      base_filters: See `build_encoder`.
      stem: See `build_encoder`.
      verbose: See `build_encoder`.
      **trunk: See `build_encoder`.

    Returns:
      A model from (batch, *input_shape) to float32 (batch, num_classes).

    Raises:
      InputError: As `build_encoder`.
    """
    start = _Start(weights, input_shape, base_filters, trunk)
    policy = start.trunk.dtype
    x, _ = start.trunk.encode(start.inputs)
    x = _pool(x, "avg", start.trunk)
    hidden, logits = CLASSIFIER_LAYERS
    x = layers.Dense(_HIDDEN_UNITS, "relu", dtype=policy, name=hidden)(x)
    x = layers.Dense(_check_classes(num_classes), dtype=policy, name=logits)(x)
    outputs = _activate(x, classifier_activation, "classification")
    model = keras.Model(start.inputs, outputs, name="classifier")
    unused = (*start.trunk.decoder_layers, *_HEADS)
    return start.fill(model, CLASSIFIER_LAYERS, unused, stem, verbose)


def build_segmenter(
    input_shape: tuple[int, ...] | None = None,
    weights: str | Path | None = None,
    num_classes: int = 1,
    classifier_activation: str | None = None,
    base_filters: int | None = None,
    stem: str = "repeat",
    verbose: bool = True,
    **trunk,
) -> keras.Model:
    """Builds the encoder-decoder with a segmenter, whose head is new.

    So is its decoder where the weights are those of ImageNet, which have none.

    Args:
      input_shape: See `build_encoder`.
      weights: See `build_encoder`.
      num_classes: Outputs of each pixel or voxel; 1 for foreground and background by
        one probability.
      classifier_activation: See `build_classifier`.
      base_filters: See `build_encoder`.
      stem: See `build_encoder`.
      verbose: See `build_encoder`.
      **trunk: See `build_encoder`.

    Returns:
      A model from (batch, *input_shape) to float32 of the same size with num_classes
      channels.

    Raises:
      InputError: As `build_encoder`.
    """
    start = _Start(weights, input_shape, base_filters, trunk)
    x = start.trunk.decode(*start.trunk.encode(start.inputs))
    (convolution,) = SEGMENTER_LAYERS
    x = convolve_points(x, _check_classes(num_classes), start.trunk.dtype, convolution)
    outputs = _activate(x, classifier_activation, "segmentation")
    model = keras.Model(start.inputs, outputs, name="segmenter")
    new = (*SEGMENTER_LAYERS, *start.missing_layers)
    return start.fill(model, new, _HEADS, stem, verbose)


class _Start:
    """What a network starts from: the weights, the trunk and the input."""

    def __init__(
        self,
        weights: str | Path | None,
        input_shape: tuple[int, ...] | None,
        base_filters: int | None,
        options: dict,
    ):
        self._source = None if weights is None else read_pretrained(weights)
        if self._source is None:
            found = default_trunk(input_shape)
            shape = found.default_shape
        else:
            found = self._source.trunk
            shape = self._source.model.input_shape[1:]
            check_width(found, base_filters)
            _check_dimension(found, input_shape, weights)
        found = dataclasses.replace(
            found,
            base_filters=base_filters or found.base_filters,
            # How a network trains is not a matter of its weights.
            bn_momentum=type(found).bn_momentum,
            synchronized=type(found).synchronized,
        )
        self.trunk = dataclasses.replace(found, **options)
        self.inputs = self.trunk.inputs(input_shape or shape)

    @property
    def missing_layers(self) -> tuple[str, ...]:
        """Layers that weights of this kind never have."""
        encoder_alone = self._source is not None and self._source.from_imagenet
        return self.trunk.decoder_layers if encoder_alone else ()

    def fill(
        self,
        model: keras.Model,
        new: Collection[str],
        unused: Collection[str],
        stem: str,
        verbose: bool,
    ) -> keras.Model:
        """Copies the weights, if there are any, into a model on this trunk."""
        if self._source is not None:
            unused = (*unused, *self.trunk.spare_tensors)
            report = transfer_weights(self._source.model, model, new, unused, stem)
            left = (*report.unused, *self._source.unused)
            report = dataclasses.replace(report, unused=left)
            if verbose:
                print(report.table(), flush=True)
        return model


def check_width(trunk: AnyTrunk, base_filters: int | None) -> None:
    """Checks that the width asked for is that of the weights.

    Args:
      trunk: Of the weights.
      base_filters: What was asked for; None asks for nothing.

    Raises:
      InputError: If it is another one.
    """
    if base_filters not in (None, trunk.base_filters):
        raise InputError(
            f"base_filters is that of the weights, {trunk.base_filters}. "
            f"Received: base_filters={base_filters}"
        )


def _check_dimension(
    trunk: AnyTrunk, input_shape: tuple[int, ...] | None, weights: str | Path
) -> None:
    """Refuses weights of cubes for images, and the other way round."""
    if input_shape is not None and len(input_shape) != trunk.dimension + 1:
        raise InputError(
            "weights and input_shape have the same dimension. Received: "
            f"{weights}, of a {trunk.dimension}D network, for "
            f"input_shape={tuple(input_shape)}"
        )


def _pool(features, pooling: str, trunk: AnyTrunk):
    pool = POOLINGS[pooling][trunk.dimension]
    return pool(dtype=trunk.dtype, name="pooling")(features)


def _check_classes(num_classes: int) -> int:
    if num_classes < 1:
        raise InputError(f"num_classes is 1 or more. Received: {num_classes}")
    return num_classes


def _activate(logits, activation: str | None, name: str):
    """Applies the last activation, in float32 under every policy."""
    default = "sigmoid" if logits.shape[-1] == 1 else "softmax"
    return layers.Activation(activation or default, dtype="float32", name=name)(logits)
