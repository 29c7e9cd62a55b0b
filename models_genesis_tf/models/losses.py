"""Losses per example, in `keras.ops`, so that they run under every backend of Keras."""

from keras import ops


def mean_squared_error(original, restored):
    """Mean squared error of each cube.

    Args:
      original: (batch, x, y, z, channel), the target.
      restored: The same shape.

    Returns:
      float32 (batch,): the mean over all axes but the first (paper: L2 restoration
      loss).
    """
    difference = ops.cast(original, "float32") - ops.cast(restored, "float32")
    axes = tuple(range(1, len(difference.shape)))
    return ops.mean(ops.square(difference), axis=axes)
