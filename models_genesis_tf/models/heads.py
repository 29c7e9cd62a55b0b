"""Networks for target tasks: the pre-trained encoder or encoder-decoder and a new head.

Classification: global average pooling of depth_7_relu, dense 1024 with ReLU, dense n.
Segmentation: a 1x1x1 convolution of depth_13_relu (paper_facts 3.2). One class has a
sigmoid, more have a softmax. The constructors are in the style of `keras.applications`.
"""

import dataclasses
from collections.abc import Collection
from pathlib import Path

import keras
from keras import layers

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.official import DEFAULT_SIDES
from models_genesis_tf.models.pretrained import load_pretrained
from models_genesis_tf.models.unet3d import (
    ENCODER_DEPTHS,
    MOVING_STATISTICS,
    NUM_DEPTHS,
    RESTORATION,
    Trunk,
    cube_input,
    trunk_of,
)
from models_genesis_tf.models.weights import transfer_weights

CLASSIFIER_LAYERS = ("classifier_hidden", "classifier_logits")
SEGMENTER_LAYERS = ("segmenter_conv",)
POOLINGS = {"avg": layers.GlobalAveragePooling3D, "max": layers.GlobalMaxPooling3D}
_HIDDEN_UNITS = 1024
_DEFAULT_SHAPE = (*DEFAULT_SIDES, 1)
_HEADS = (RESTORATION, *CLASSIFIER_LAYERS, *SEGMENTER_LAYERS)
_DECODER = tuple(
    f"depth_{depth}_{kind}"
    for depth in range(ENCODER_DEPTHS, NUM_DEPTHS)
    for kind in ("conv", "bn")
) + tuple(f"upsampling_{level}" for level in range(3))


def build_encoder(
    input_shape: tuple[int, int, int, int] | None = None,
    weights: str | Path | None = None,
    pooling: str | None = None,
    base_filters: int | None = None,
    stem: str = "repeat",
    verbose: bool = True,
    **trunk,
) -> keras.Model:
    """Builds the encoder, for features.

    Args:
      input_shape: (x, y, z, channel), sides multiples of 8; None takes that of the
        weights, or (64, 64, 32, 1).
      weights: File that `load_pretrained` reads; None leaves random weights.
      pooling: "avg" or "max" over each feature; None keeps the maps.
      base_filters: Width; None takes that of the weights, or 32.
      stem: Channel policy, see `transfer_weights`.
      verbose: Whether to print what became of every tensor.
      **trunk: Other fields of `Trunk`. Upsampling, what batch normalisation looks at
        and its epsilon follow the weights unless they are given.

    Returns:
      A model from (batch, x, y, z, channel) to features (batch, x / 8, y / 8, z / 8,
      16 * base_filters), or (batch, 16 * base_filters) if they are pooled.

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
        features = POOLINGS[pooling](dtype=start.trunk.dtype, name="pooling")(features)
    model = keras.Model(start.inputs, features, name="encoder")
    return start.fill(model, (), (*_DECODER, *_HEADS), stem, verbose)


def build_classifier(
    input_shape: tuple[int, int, int, int] | None = None,
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
        and softmax for more, "linear" gives logits.
      base_filters: See `build_encoder`.
      stem: See `build_encoder`.
      verbose: See `build_encoder`.
      **trunk: See `build_encoder`.

    Returns:
      A model from (batch, x, y, z, channel) to float32 (batch, num_classes).

    Raises:
      InputError: As `build_encoder`.
    """
    start = _Start(weights, input_shape, base_filters, trunk)
    policy = start.trunk.dtype
    x, _ = start.trunk.encode(start.inputs)
    x = layers.GlobalAveragePooling3D(dtype=policy, name="pooling")(x)
    hidden, logits = CLASSIFIER_LAYERS
    x = layers.Dense(_HIDDEN_UNITS, "relu", dtype=policy, name=hidden)(x)
    x = layers.Dense(_check_classes(num_classes), dtype=policy, name=logits)(x)
    outputs = _activate(x, classifier_activation, "classification")
    model = keras.Model(start.inputs, outputs, name="classifier")
    return start.fill(model, CLASSIFIER_LAYERS, (*_DECODER, *_HEADS), stem, verbose)


def build_segmenter(
    input_shape: tuple[int, int, int, int] | None = None,
    weights: str | Path | None = None,
    num_classes: int = 1,
    classifier_activation: str | None = None,
    base_filters: int | None = None,
    stem: str = "repeat",
    verbose: bool = True,
    **trunk,
) -> keras.Model:
    """Builds the encoder-decoder with a segmenter, whose head is new.

    Args:
      input_shape: See `build_encoder`.
      weights: See `build_encoder`.
      num_classes: Outputs of each voxel; 1 for foreground and background by one
        probability.
      classifier_activation: See `build_classifier`.
      base_filters: See `build_encoder`.
      stem: See `build_encoder`.
      verbose: See `build_encoder`.
      **trunk: See `build_encoder`.

    Returns:
      A model from (batch, x, y, z, channel) to float32 (batch, x, y, z, num_classes).

    Raises:
      InputError: As `build_encoder`.
    """
    start = _Start(weights, input_shape, base_filters, trunk)
    x = start.trunk.decode(*start.trunk.encode(start.inputs))
    (convolution,) = SEGMENTER_LAYERS
    x = layers.Conv3D(
        _check_classes(num_classes), 1, dtype=start.trunk.dtype, name=convolution
    )(x)
    outputs = _activate(x, classifier_activation, "segmentation")
    model = keras.Model(start.inputs, outputs, name="segmenter")
    return start.fill(model, SEGMENTER_LAYERS, _HEADS, stem, verbose)


class _Start:
    """What a network starts from: the weights' model, the trunk and the input."""

    def __init__(
        self,
        weights: str | Path | None,
        input_shape: tuple[int, int, int, int] | None,
        base_filters: int | None,
        options: dict,
    ):
        self._source = None if weights is None else load_pretrained(weights)
        found = Trunk() if self._source is None else trunk_of(self._source)
        if self._source is not None:
            check_width(found, base_filters)
        shape = _DEFAULT_SHAPE if self._source is None else self._source.input_shape[1:]
        found = dataclasses.replace(
            found,
            base_filters=base_filters or found.base_filters,
            # How a network trains is not a matter of its weights.
            bn_momentum=Trunk.bn_momentum,
            synchronized=Trunk.synchronized,
        )
        self.trunk = dataclasses.replace(found, **options)
        self.inputs = cube_input(self.trunk, input_shape or shape)

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
            if self.trunk.bn_statistics == "batch":
                unused = (*unused, *MOVING_STATISTICS)
            report = transfer_weights(self._source, model, new, unused, stem)
            if verbose:
                print(report.table(), flush=True)
        return model


def check_width(trunk: Trunk, base_filters: int | None) -> None:
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


def _check_classes(num_classes: int) -> int:
    if num_classes < 1:
        raise InputError(f"num_classes is 1 or more. Received: {num_classes}")
    return num_classes


def _activate(logits, activation: str | None, name: str):
    """Applies the last activation, in float32 under every policy."""
    default = "sigmoid" if logits.shape[-1] == 1 else "softmax"
    return layers.Activation(activation or default, dtype="float32", name=name)(logits)
