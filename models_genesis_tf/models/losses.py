"""Losses per example, in `keras.ops`, so that they run under every backend of Keras."""

from keras import ops


def mean_squared_error(original, restored):
    """Mean squared error of each cube or image.

    Args:
      original: (batch, x, y, z, channel) or (batch, x, y, channel), the target.
      restored: The same shape.

    Returns:
      float32 (batch,): the mean over all axes but the first (paper: L2 restoration
      loss).
    """
    difference = ops.cast(original, "float32") - ops.cast(restored, "float32")
    axes = tuple(range(1, len(difference.shape)))
    return ops.mean(ops.square(difference), axis=axes)


def cross_entropy(target, probabilities):
    """Cross-entropy of each example of a classification.

    Args:
      target: Integer (batch,), the class: in [0, classes), or 0 or 1 if there is one.
      probabilities: (batch, classes), those of the classes, as softmax gives them; or
        (batch, 1), that of class 1, as sigmoid gives it.

    Returns:
      float32 (batch,), in nats; at most 16.1, since probabilities are clipped to
      [1e-7, 1 - 1e-7].
    """
    return _cross_entropy(*_by_class(target, probabilities))


def label_cross_entropy(target, probabilities):
    """Cross-entropy of each example where each of several labels may hold or not.

    Args:
      target: (batch, labels), 1 where a label holds, else 0.
      probabilities: (batch, labels) in [0, 1], as sigmoid gives them.

    Returns:
      float32 (batch,), the mean over the labels, in nats.
    """
    truth = ops.cast(target, "float32")
    probabilities = ops.cast(probabilities, "float32")
    by_class = (ops.stack([1 - one, one], axis=-1) for one in (truth, probabilities))
    return ops.mean(_cross_entropy(*by_class), axis=-1)


def segmentation_loss(target, probabilities):
    """Mean cross-entropy of the voxels plus mean soft Dice loss of the classes.

    The Dice loss of a class is 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1), with sums
    over the voxels of one example; class 0, background, does not count in its mean.

    Args:
      target: Integer (batch, x, y, z), the class of each voxel.
      probabilities: (batch, x, y, z, classes), those of the classes, as softmax gives
        them; or (batch, x, y, z, 1), that of foreground, as sigmoid gives it.

    Returns:
      float32 (batch,).
    """
    truth, probabilities = _by_class(target, probabilities)
    voxels = tuple(range(1, len(truth.shape) - 1))
    overlap = ops.sum(probabilities * truth, axis=voxels)
    size = ops.sum(probabilities, axis=voxels) + ops.sum(truth, axis=voxels)
    dice = (2 * overlap + 1) / (size + 1)
    dice_loss = 1 - ops.mean(dice[:, 1:], axis=-1)
    return ops.mean(_cross_entropy(truth, probabilities), axis=voxels) + dice_loss


def batch_dice_loss(target, probabilities):
    """Soft Dice loss of a batch as a whole, the released code's for segmentation.

    It is 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1), with sums over all voxels of all
    examples and all classes but the background (paper_facts 5.6: smooth 1, flattened
    over the whole batch). Of a batch that several devices share, each takes its part.

    Args:
      target: As for `segmentation_loss`.
      probabilities: The same.

    Returns:
      float32 (batch,), the loss of the batch for each example.
    """
    truth, probabilities = _by_class(target, probabilities)
    truth, probabilities = truth[..., 1:], probabilities[..., 1:]
    overlap = ops.sum(probabilities * truth)
    size = ops.sum(probabilities) + ops.sum(truth)
    loss = 1 - (2 * overlap + 1) / (size + 1)
    return ops.broadcast_to(loss, (ops.shape(truth)[0],))


def _by_class(target, probabilities):
    """One-hot target and probabilities, float32 (..., classes) with classes >= 2."""
    probabilities = ops.cast(probabilities, "float32")
    if probabilities.shape[-1] == 1:
        probabilities = ops.concatenate([1 - probabilities, probabilities], axis=-1)
    classes = probabilities.shape[-1]
    return ops.one_hot(target, classes, dtype="float32"), probabilities


def _cross_entropy(truth, probabilities):
    clipped = ops.clip(probabilities, 1e-7, 1 - 1e-7)
    return -ops.sum(truth * ops.log(clipped), axis=-1)
