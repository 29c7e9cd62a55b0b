"""When the learning rate falls and when training stops: values in, values out.

The rules are those of Keras's ReduceLROnPlateau and EarlyStopping; the state is a plain
value that can be kept with a checkpoint.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plateau:
    """How long a loss has not improved.

    Attributes:
      best: The lowest loss so far.
      wait: Epochs since.
    """

    best: float = math.inf
    wait: int = 0


def update(plateau: Plateau, loss: float, min_delta: float = 0.0) -> Plateau:
    """Takes the loss of one epoch more into account.

    Args:
      plateau: The state before.
      loss: The epoch's validation loss.
      min_delta: By how much a loss has to fall to count as improved.

    Returns:
      The state after.
    """
    if loss < plateau.best - min_delta:
        return Plateau(loss, 0)
    return Plateau(plateau.best, plateau.wait + 1)


def next_learning_rate(
    plateau: Plateau,
    learning_rate: float,
    patience: int,
    factor: float = 0.5,
    minimum: float = 1e-6,
) -> tuple[Plateau, float]:
    """Lowers the learning rate when the loss has waited long enough.

    Args:
      plateau: The state after an epoch's `update`.
      learning_rate: Of that epoch.
      patience: Epochs without improvement that are waited for.
      factor: What it is multiplied by.
      minimum: What it never falls below; a rate that begins there stays as it is.

    Returns:
      The state and the learning rate of the next epoch.
    """
    if plateau.wait < patience or learning_rate <= minimum:
        return plateau, learning_rate
    return Plateau(plateau.best, 0), max(learning_rate * factor, minimum)
