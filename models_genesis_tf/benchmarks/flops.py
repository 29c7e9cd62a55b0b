"""How many floating-point operations a network takes, counted from its layers.

Convolutions, transposed convolutions and dense layers count, 2 operations for each
multiply-add. Taps that fall on the padding count as others do, though a convolution may
leave them out: 7 % of the 3D U-Net's at 64x64x32 voxels. What does not count
(normalisation, activations, pooling, biases) is under 1 % of a U-Net.
"""

import math

import keras
from keras import layers

_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_COUNTED = (
    *(layers.Conv1D, layers.Conv2D, layers.Conv3D),
    *_TRANSPOSED,
    layers.Dense,
)


def count_forward_flops(model: keras.Model) -> int:
    """Counts the operations of a prediction.

    Args:
      model: A functional model of stock layers, channels last, of fixed sides.

    Returns:
      Operations for one example.
    """
    return sum(_by_layer(model))


def count_step_flops(model: keras.Model) -> int:
    """Counts the operations of a training step, the update left out.

    The gradient by the weights and the gradient by the input take as many operations
    as the forward pass each, but nobody needs the gradient by the first layer's input:
    three forward passes minus the first layer's.

    Args:
      model: As for `count_forward_flops`.

    Returns:
      Operations for one example.
    """
    forward = _by_layer(model)
    return 3 * sum(forward) - forward[0]


def _by_layer(model: keras.Model) -> list[int]:
    """Forward operations of each layer that counts, in the model's order."""
    return [_of(layer) for layer in model.layers if isinstance(layer, _COUNTED)]


def _of(layer: keras.Layer) -> int:
    """Each value of a kernel is used once for each place that it is laid on."""
    side = layer.input if isinstance(layer, _TRANSPOSED) else layer.output
    places = math.prod(side.shape[1:-1])
    return 2 * math.prod(layer.kernel.shape) * places
