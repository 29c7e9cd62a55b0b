"""Where a run stands."""

from dataclasses import dataclass

from models_genesis_tf.training.plateau import Plateau


@dataclass(frozen=True)
class Progress:
    """Where training stands; with the variables' values, all that a run goes on from.

    Attributes:
      epoch: Epochs done.
      step: Steps done.
      learning_rate: Of the epoch in hand.
      reducing: State of the rule that lowers it.
      stopping: State of the rule that ends training.
      loss: Sum of the losses of the epoch in hand.
      seconds: Time taken so far.
      training_seconds: Seconds of these spent on training steps.
      waited: Seconds of these spent waiting for batches.
    """

    epoch: int
    step: int
    learning_rate: float
    reducing: Plateau = Plateau()
    stopping: Plateau = Plateau()
    loss: float = 0.0
    seconds: float = 0.0
    training_seconds: float = 0.0
    waited: float = 0.0

    @classmethod
    def from_facts(cls, facts: dict) -> "Progress":
        """Reads what `dataclasses.asdict` wrote.

        Args:
          facts: Names and values of the attributes.

        Returns:
          The progress.
        """
        states = {name: Plateau(**facts[name]) for name in ("reducing", "stopping")}
        return cls(**facts | states)
