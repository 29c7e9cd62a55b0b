"""How much memory a training step takes, from the model alone."""

import math

import keras

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# What TensorFlow takes for a compiled step of any size: graph, threads, buffers.
_RUNTIME_BYTES = 100 * 2**20


# How many unfolded inputs of the largest convolution TensorFlow's own kernels hold at
# once: 1.2 to 2.3 were measured, for 4 to 16 filters and 1 to 8 cubes of 64x64x32.
_UNFOLDED = 1.5


def estimate_step_memory(
    model: keras.Model, batch_per_device: int, slots: int, unfolds: bool = False
) -> int:
    """Estimates the peak memory of one training step on one device.

    The estimate is 4 * (W + T * (1 + slots)) + batch_per_device * A + 100 MiB, where

    * W is the number of weights and T that of the trainable ones: weights, gradients
      and slots are float32;
    * A is the bytes of every layer's output for one example, each once, in the
      layer's compute dtype. Under a mixed policy batch normalisation still computes
      in float32, so its input and its output count once more, 4 bytes each.

    Some outputs are freed before the backward pass begins; what that pass holds for a
    while takes about their place. On a CPU, with cubes of 64x64x32 voxels and 4 to 32
    filters, the estimate was 0.97 to 1.18 of the peak; where weights outweigh all else
    (32 filters, one cube of 16x16x16), 0.73 to 0.84.

    TensorFlow's own kernels, without oneDNN and cuDNN, lay the neighbours of every
    voxel out side by side. That adds one and a half times this array of one example,
    in the convolution where it is largest: of cubes of 64x64x32 and 4 to 16 filters
    the estimate was then 0.79 to 1.15 of the peak.

    Args:
      model: A functional model of single-output layers whose input has known sides.
      batch_per_device: Examples per step on one device.
      slots: Values that the optimizer keeps per trainable weight: 1 for SGD with
        momentum, 2 for Adam.
      unfolds: Whether those kernels convolve.

    Returns:
      Bytes.
    """
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    numbers = model.count_params() + trainable * (1 + slots)
    activations = sum(map(_activation_bytes, model.layers))
    unfolded = (
        int(_UNFOLDED * max(map(_unfolded_bytes, model.layers))) if unfolds else 0
    )
    return 4 * numbers + batch_per_device * activations + unfolded + _RUNTIME_BYTES


def _unfolded_bytes(layer: keras.layers.Layer) -> int:
    """What the neighbours that make up one example's output take."""
    if not isinstance(layer, keras.layers.Conv3D):
        return 0
    neighbours = math.prod(layer.kernel.shape[:-1])
    return (
        _BYTES[layer.compute_dtype] * neighbours * math.prod(layer.output.shape[1:-1])
    )


def _activation_bytes(layer: keras.layers.Layer) -> int:
    """What one example's output of a layer, and its float32 copies, take."""
    element = _BYTES[layer.output.dtype]
    if isinstance(layer, keras.layers.BatchNormalization) and element < 4:
        element += 2 * 4
    return element * math.prod(layer.output.shape[1:])
