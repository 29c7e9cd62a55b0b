"""What a run says when it cannot go on."""

from collections.abc import Sequence

from models_genesis_tf.errors import InputError


def broken_loss(
    step: int, loss: float, batch: Sequence[int], broken: Sequence[int]
) -> InputError:
    """Says which batch gave a loss that is no finite number.

    Args:
      step: Steps taken before it.
      loss: NaN or infinite.
      batch: The pairs of its batch, by their places in the stream.
      broken: Those with values that are no finite numbers.

    Returns:
      The error to raise.
    """
    cause = "the cubes are sound, so a lower --learning_rate helps"
    if broken:
        cause = f"pair {broken[0]} holds values that are no finite numbers"
    return InputError(
        "training stops when the loss is no finite number; the best model and the "
        f"last checkpoint stay. {cause[0].upper()}{cause[1:]}; "
        f"--replay={[*broken, *batch][0]} draws it. Received: loss={loss} at step "
        f"{step + 1}, pairs {batch[0]} to {batch[-1]} of the stream"
    )


def broken_weights(step: int) -> InputError:
    """Says that a step left weights that are no finite numbers.

    Args:
      step: Steps taken.

    Returns:
      The error to raise.
    """
    return InputError(
        "training stops when a weight is no finite number; the best model and the last "
        "checkpoint stay, and a lower --learning_rate helps. "
        f"Received: weights that are none after step {step}"
    )


def out_of_memory(batch_size: int, replicas: int) -> InputError:
    """Says that a batch is too large, and which one comes next.

    Args:
      batch_size: Pairs per step over all devices.
      replicas: The devices.

    Returns:
      The error to raise.
    """
    smaller = batch_size - replicas
    way_out = "fewer --base_filters or a smaller input need less"
    if smaller:
        way_out = f"the next smaller batch is --batch_size={smaller}"
    return InputError(
        f"a training step fits the memory of its device; {way_out}. Received: "
        f"--batch_size={batch_size} over {replicas} device(s)"
    )
