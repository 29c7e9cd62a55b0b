"""What a run writes after each epoch: history.csv, timing.csv, TensorBoard's curves.

history.csv holds only what a run with the same seed gives again; times stand apart.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from models_genesis_tf.experiments import run_folder
from models_genesis_tf.training.loop import Trained


def describe_timing(trained: Sequence[Trained], batch_size: int) -> dict[str, float]:
    """Adds up how long training steps took.

    Args:
      trained: Calls to `Trainer.train`.
      batch_size: Examples per step over all devices.

    Returns:
      The columns of timing.csv: seconds, examples per second, and the share of the time
      that was spent waiting for batches.
    """
    seconds = sum(call.seconds for call in trained)
    steps = sum(call.steps for call in trained)
    waited = sum(call.waited for call in trained)
    return {
        "seconds": seconds,
        "examples_per_second": steps * batch_size / seconds if steps else 0.0,
        "input_wait_share": waited / seconds if steps else 0.0,
    }


class RunLog:
    """The epochs of one run; a process that goes on with it adds to the files."""

    def __init__(self, folder: Path, epochs: int):
        """Opens the files and cuts off what came after the last checkpoint.

        Args:
          folder: The run folder.
          epochs: Epochs that the run goes on after.
        """
        self._history = folder / "history.csv"
        self._timing = folder / "timing.csv"
        for path in (self._history, self._timing):
            run_folder.keep_rows(path, epochs)
        self._board = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def add(
        self,
        epoch: int,
        step: int,
        values: dict[str, float],
        timing: dict[str, float],
    ) -> None:
        """Adds one epoch.

        Args:
          epoch: Its number, from 1.
          step: Steps done at its end.
          values: Losses and learning rate, by their column.
          timing: Seconds and rates, by their column.
        """
        row = {"epoch": epoch, "step": step}
        row |= {name: f"{value:.8g}" for name, value in values.items()}
        run_folder.append_row(self._history, row)
        row = {"epoch": epoch}
        row |= {name: f"{value:.4g}" for name, value in timing.items()}
        run_folder.append_row(self._timing, row)
        with self._board.as_default(step=epoch):
            for name, value in (values | timing).items():
                tf.summary.scalar(name, value)
        self._board.flush()

    def add_image(self, epoch: int, name: str, image: np.ndarray) -> None:
        """Shows an image in TensorBoard.

        Args:
          epoch: Of which epoch it is.
          name: What it is of.
          image: Float (row, column) in [0, 1].
        """
        with self._board.as_default(step=epoch):
            tf.summary.image(name, image[np.newaxis, ..., np.newaxis])
        self._board.flush()

    def close(self) -> None:
        """Closes TensorBoard's file."""
        self._board.close()
