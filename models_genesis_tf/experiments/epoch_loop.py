"""Epochs of training from where a folder left them to their end.

Each epoch trains, sets batch normalisation's statistics, validates, keeps the model if
it is the best and lowers the learning rate if need be; after each a checkpoint holds
all that the next one needs.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from models_genesis_tf.config import FinetuneConfig, PretrainConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import failures
from models_genesis_tf.experiments.progress import Progress
from models_genesis_tf.experiments.run_log import RunLog, describe_timing
from models_genesis_tf.experiments.run_summary import duration
from models_genesis_tf.training import plateau
from models_genesis_tf.training.checkpoint import load_newest, save_checkpoint
from models_genesis_tf.training.loop import NonFiniteLoss, Trained, Trainer
from models_genesis_tf.training.stopping import Stopped, StopRequest

MIN_DELTA = 1e-4
_RECALIBRATION_BATCHES = 16
_TIMED_STEPS = 4


@dataclass(frozen=True)
class Schedule:
    """How long training goes on, and how often it looks up.

    Attributes:
      batch_size: Examples per step over all devices.
      epoch_steps: Steps in an epoch.
      last_step: Steps at most.
      reduce_patience: Epochs without a lower validation loss until the learning rate is
        halved.
      stop_patience: The same until training stops.
      checkpoint_every: Steps between checkpoints inside an epoch; 0 for none.
    """

    batch_size: int
    epoch_steps: int
    last_step: int
    reduce_patience: int
    stop_patience: int
    checkpoint_every: int

    @property
    def epochs(self) -> int:
        """Epochs at most; the last one may be short."""
        return math.ceil(self.last_step / self.epoch_steps)


def make_schedule(
    config: PretrainConfig | FinetuneConfig, num_examples: int
) -> Schedule:
    """Counts steps.

    Args:
      config: The settings of a run.
      num_examples: Examples that it trains on.

    Returns:
      The schedule.
    """
    epoch_steps = config.steps_per_epoch or max(1, num_examples // config.batch_size)
    last_step = config.epochs * epoch_steps
    if config.max_steps is not None:
        last_step = min(last_step, config.max_steps)
    return Schedule(
        config.batch_size,
        epoch_steps,
        last_step,
        config.reduce_patience,
        config.stop_patience,
        config.checkpoint_every,
    )


class EpochLoop:
    """Trains one model, epoch by epoch.

    Attributes:
      progress: Where it stands.
      log: What it writes after each epoch; None for all workers but the first.
    """

    def __init__(
        self,
        trainer: Trainer,
        schedule: Schedule,
        folder: Path,
        training_batches: Callable[[int], tf.data.Dataset],
        valid: tf.data.Dataset,
        keep_best: Callable[[int], None],
        why_broken: Callable[[int, float], InputError],
    ):
        """Restores the newest checkpoint.

        Args:
          trainer: Of the model.
          schedule: How long it goes on.
          folder: Where checkpoints and the epochs' figures lie.
          training_batches: Gives the endless batches that begin at a step.
          valid: The validation batches.
          keep_best: Called with the number of an epoch, from 1, whose model is the best
            so far.
          why_broken: Called with a step, from 0, and its loss, which is no number; says
            why.
        """
        self._trainer, self._schedule, self._folder = trainer, schedule, folder
        self._training_batches = training_batches
        self._valid_batches = trainer.distribute(valid)
        self._keep_best, self._why_broken = keep_best, why_broken
        self._trained: list[Trained] = []  # of the epoch in hand, by this process
        self._seen = self._since = 0
        self._writes = trainer.workers.is_chief
        self.progress = self._restore()
        self.log = RunLog(folder, self.progress.epoch) if self._writes else None

    def train(self) -> str | None:
        """Trains until the last epoch or step, or until the loss stays level.

        Returns:
          What ended it before that, the name of a signal or "another worker", or None.

        Raises:
          InputError: If the loss is no number any more, or memory runs out.
        """
        start = self._training_batches(self.progress.step)
        batches = iter(self._trainer.distribute(start))
        with StopRequest() as stop:
            while not (self._is_over() or self._is_asked_to_end(stop)):
                try:
                    self._train_steps(batches, stop)
                    at_end = self.progress.step == self._end_of_epoch()
                    if at_end and not self._is_asked_to_end(stop):
                        self._finish_epoch(stop)
                except Stopped:  # its validation is done again
                    pass
                except tf.errors.ResourceExhaustedError as error:
                    batch = self._schedule.batch_size
                    devices = self._trainer.num_devices
                    raise failures.out_of_memory(batch, devices) from error
                if self._writes:
                    self._save()
        if self._writes:
            self.log.close()
        return None if self._is_over() else stop.signal_name or "another worker"

    def results(self) -> dict:
        """What run.json says of the training done so far."""
        progress = self.progress
        seconds = progress.training_seconds
        examples = progress.step * self._schedule.batch_size
        return {
            "epochs": progress.epoch,
            "steps": progress.step,
            "best_val_loss": progress.stopping.best,
            "wall_seconds": round(progress.seconds, 1),
            "examples_per_second": round(examples / seconds, 2) if seconds else 0.0,
            "input_wait_share": round(progress.waited / seconds, 3) if seconds else 0.0,
        }

    def _restore(self) -> Progress:
        checkpoint = load_newest(self._folder / "checkpoint")
        if checkpoint is None:
            rate = keras.ops.convert_to_numpy(self._trainer.optimizer.learning_rate)
            return Progress(0, 0, float(rate))
        self._trainer.set_state(checkpoint.arrays)
        return Progress.from_facts(checkpoint.facts)

    def _save(self) -> None:
        facts = dataclasses.asdict(self.progress)
        folder, state = self._folder / "checkpoint", self._trainer.state()
        if not all(np.isfinite(weights).all() for weights in state["model"]):
            raise failures.broken_weights(self.progress.step)
        save_checkpoint(folder, self.progress.step, state, facts)

    def _is_asked_to_end(self, stop: StopRequest) -> bool:
        """Whether any worker got a signal; all ask this at the same places."""
        return self._trainer.any_worker(bool(stop))

    def _is_over(self) -> bool:
        waited = self.progress.stopping.wait >= self._schedule.stop_patience
        return waited or self.progress.epoch == self._schedule.epochs

    def _end_of_epoch(self) -> int:
        """The step at which the epoch in hand ends."""
        return min(
            (self.progress.epoch + 1) * self._schedule.epoch_steps,
            self._schedule.last_step,
        )

    def _train_steps(self, batches: Iterator, stop: StopRequest) -> None:
        """Trains up to the next checkpoint, that of the epoch's end at the latest."""
        progress, every = self.progress, self._schedule.checkpoint_every
        until = self._end_of_epoch()
        if every:
            until = min(until, (progress.step // every + 1) * every)
        self._trainer.optimizer.learning_rate = progress.learning_rate
        with tqdm(
            desc=f"epoch {progress.epoch + 1}/{self._schedule.epochs}",
            initial=progress.step - progress.epoch * self._schedule.epoch_steps,
            total=self._end_of_epoch() - progress.epoch * self._schedule.epoch_steps,
            leave=False,
            disable=None if self._writes else True,
        ) as bar:

            def after_step() -> bool:
                bar.update()
                if self._writes:
                    self._estimate_time()
                return bool(stop)

            try:
                trained = self._trainer.train(
                    batches, until - progress.step, progress.loss, after_step
                )
            except NonFiniteLoss as error:
                step = progress.step + error.step
                raise self._why_broken(step, error.loss) from error
        self._trained.append(trained)
        self.progress = dataclasses.replace(
            progress,
            step=progress.step + trained.steps,
            loss=trained.total,
            seconds=progress.seconds + trained.seconds,
            training_seconds=progress.training_seconds + trained.seconds,
            waited=progress.waited + trained.waited,
        )

    def _finish_epoch(self, stop: StopRequest) -> None:
        """Validates, keeps the model if it is the best, sets the next learning rate."""
        start, before = time.perf_counter(), self.progress
        coming = iter(self._trainer.distribute(self._training_batches(before.step)))
        coming = itertools.islice(coming, _RECALIBRATION_BATCHES)
        self._trainer.recalibrate(self._stoppable(coming, stop))
        loss = self._trainer.validate(self._stoppable(self._valid_batches, stop))
        stopping = plateau.update(before.stopping, loss)
        reducing = plateau.update(before.reducing, loss, MIN_DELTA)
        reducing, rate = plateau.next_learning_rate(
            reducing, before.learning_rate, self._schedule.reduce_patience
        )
        if self._writes:
            self._record(loss, time.perf_counter() - start)
        if self._writes and stopping.wait == 0:
            self._keep_best(before.epoch + 1)
        self._trained.clear()
        self.progress = dataclasses.replace(
            before,
            epoch=before.epoch + 1,
            learning_rate=rate,
            reducing=reducing,
            stopping=stopping,
            loss=0.0,
            seconds=before.seconds + time.perf_counter() - start,
        )

    def _record(self, valid_loss: float, validation_seconds: float) -> None:
        """Writes the epoch in hand down."""
        progress, epoch = self.progress, self.progress.epoch + 1
        steps = progress.step - progress.epoch * self._schedule.epoch_steps
        values = {
            "loss": progress.loss / steps,
            "val_loss": valid_loss,
            "learning_rate": progress.learning_rate,
        }
        timing = describe_timing(self._trained, self._schedule.batch_size)
        timing["seconds"] += validation_seconds
        self.log.add(epoch, progress.step, values, timing)
        print(
            f"epoch {epoch}: loss {values['loss']:.5f}, val_loss {valid_loss:.5f}, "
            f"learning_rate {progress.learning_rate:g}, {timing['seconds']:.1f} s",
            flush=True,
        )

    def _estimate_time(self) -> None:
        """Says, once the first step has been compiled, how long an epoch will take."""
        self._seen += 1
        if self._seen == 1:
            self._since = time.perf_counter()
        if self._seen == 1 + _TIMED_STEPS:
            seconds = (time.perf_counter() - self._since) / _TIMED_STEPS
            epoch = duration(seconds * self._schedule.epoch_steps)
            tqdm.write(f"{seconds:.3g} s a step: about {epoch} of training per epoch")

    def _stoppable(self, batches: Iterable, stop: StopRequest) -> Iterator:
        """Passes batches on until the process is asked to stop.

        Several workers finish what they began, since all take each batch together.
        """
        for batch in batches:
            if self._trainer.workers.count == 1:
                stop.check()
            yield batch
