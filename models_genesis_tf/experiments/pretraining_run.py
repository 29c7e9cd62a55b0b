"""One pre-training run: its network, its streams, its state, its files."""

import dataclasses
import itertools
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from models_genesis_tf.config import TRANSFORM_PRESETS, PretrainConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import failures, restorations
from models_genesis_tf.experiments.progress import Progress
from models_genesis_tf.experiments.run_log import RunLog, describe_timing
from models_genesis_tf.experiments.run_summary import duration, quantity, table
from models_genesis_tf.imaging.cube_files import CubeSet
from models_genesis_tf.imaging.cube_splits import Split
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.precision import (
    Precision,
    choose_precision,
    read_cpu_features,
)
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.pipelines.pair_stream import (
    training_pair,
    training_pairs,
    validation_pairs,
)
from models_genesis_tf.training import plateau, strategy
from models_genesis_tf.training.checkpoint import load_newest, save_checkpoint
from models_genesis_tf.training.loop import NonFiniteLoss, Trained, Trainer
from models_genesis_tf.training.memory import estimate_step_memory
from models_genesis_tf.training.optimizers import make_optimizer
from models_genesis_tf.training.stopping import Stopped, StopRequest
from models_genesis_tf.transforms.pairs import scheme_config

MIN_DELTA = 1e-4
_RECALIBRATION_BATCHES = 16
_TIMED_STEPS = 4


class PretrainingRun:
    """One run from where its folder left it to its end.

    Attributes:
      progress: Where it stands.
      precision: What it computes with, and why.
      devices: On how many devices of which kind.
      valid: Its validation batches (deformed, original).
    """

    def __init__(
        self,
        cubes: CubeSet,
        split: Split,
        folder: Path,
        config: PretrainConfig,
        facts: dict,
        precision: str | None = None,
    ):
        """Builds network and streams and restores the newest checkpoint.

        Args:
          cubes: All cubes.
          split: Which of them train and validate.
          folder: The run folder.
          config: The settings.
          facts: What else the model's metadata say about the data.
          precision: What the run began with, which "auto" keeps to.
        """
        self._cubes, self._split = cubes, split
        self._folder, self._config, self._facts = folder, config, facts
        self._transforms = scheme_config(
            TRANSFORM_PRESETS[config.transform_preset], config.scheme
        )
        self._epoch_steps = max(1, len(split.train) // config.batch_size)
        self._last_step = config.epochs * self._epoch_steps
        if config.max_steps is not None:
            self._last_step = min(self._last_step, config.max_steps)
        self._epochs = math.ceil(self._last_step / self._epoch_steps)
        self.precision = self._choose_precision(precision)
        self._trainer = self._make_trainer()
        self.devices = strategy.describe_devices(self._trainer.strategy)
        self.valid = validation_pairs(
            cubes, split.valid, config.seed, self._transforms, config.batch_size
        )
        self._valid_batches = self._trainer.distribute(self.valid)
        self._shown = restorations.fixed_pairs(
            cubes, split.valid, config.seed, self._transforms
        )
        self._trained: list[Trained] = []  # of the epoch in hand, by this process
        self._seen = self._since = 0
        self.progress = self._restore()
        self._log = RunLog(folder, self.progress.epoch)

    def describe(self, baselines: dict[str, float]) -> str:
        """Says on one screen what is about to run.

        Args:
          baselines: As from `restorations.baselines`.

        Returns:
          Lines of text.
        """
        model, split = self._trainer.model, self._split
        replicas = self._trainer.strategy.num_replicas_in_sync
        batch = self._config.batch_size
        slots = len(self._trainer.optimizer.variables) // len(model.trainable_variables)
        memory = estimate_step_memory(model, batch // replicas, slots)
        *sides, channels = self._cubes.cube_shape
        rows = {
            "cubes": f"{len(split.train)} train, {len(split.valid)} validate: "
            f"{split.notice}",
            "size": f"{'x'.join(map(str, sides))} voxels, {channels} channel(s)",
            "network": f"{model.name}, {self._config.base_filters} base filters, "
            f"{model.count_params():,} parameters",
            "batch": f"{batch} over {replicas} device(s): {self.devices}",
            "precision": f"{self.precision.policy}: {self.precision.reason}",
            "memory": f"about {quantity(memory)} on each device for a step",
            "steps": f"{self._epoch_steps} per epoch, at most {self._last_step}",
            "to beat": f"val_loss {baselines['constant']:.5f} by a constant cube, "
            f"{baselines['unchanged']:.5f} by the deformed cube itself",
        }
        if self.progress.step:
            rows["goes on"] = f"after step {self.progress.step}"
        return table(rows)

    def train(self) -> str | None:
        """Trains until the last epoch or step, or until the loss stays level.

        Returns:
          The name of the signal that ended it before that, or None.

        Raises:
          InputError: If the loss is no number any more, or memory runs out.
        """
        start = self._training_batches(self.progress.step)
        batches = iter(self._trainer.distribute(start))
        with StopRequest() as stop:
            while not (stop or self._is_over()):
                try:
                    self._train_steps(batches, stop)
                    if self.progress.step == self._end_of_epoch() and not stop:
                        self._finish_epoch(stop)
                except Stopped:  # its validation is done again
                    pass
                except tf.errors.ResourceExhaustedError as error:
                    replicas = self._trainer.strategy.num_replicas_in_sync
                    batch = self._config.batch_size
                    raise failures.out_of_memory(batch, replicas) from error
                self._save()
        self._log.close()
        return None if self._is_over() else stop.signal_name

    def results(self) -> dict:
        """What run.json says of the training done so far."""
        progress, config = self.progress, self._config
        seconds = progress.training_seconds
        pairs = progress.step * config.batch_size
        return {
            "epochs": progress.epoch,
            "steps": progress.step,
            "best_val_loss": progress.stopping.best,
            "wall_seconds": round(progress.seconds, 1),
            "pairs_per_second": round(pairs / seconds, 2) if seconds else 0.0,
            "input_wait_share": round(progress.waited / seconds, 3) if seconds else 0.0,
        }

    def save_restorations(self) -> None:
        """Draws validation cubes, deformed and restored by the best model."""
        model = keras.saving.load_model(self._folder / "model.keras")
        restorations.save_restorations(self._folder / "samples", model, *self._shown)

    def _choose_precision(self, earlier: str | None) -> Precision:
        """Follows the settings; "auto" keeps to what the run began with."""
        kept = earlier if self._config.precision == "auto" else None
        chosen = choose_precision(
            kept or self._config.precision,
            strategy.gpu_capabilities(),
            read_cpu_features(),
            self._cubes.cube_shape[0],
        )
        if kept:
            return dataclasses.replace(chosen, reason="as the run began")
        return chosen

    def _make_trainer(self) -> Trainer:
        config = self._config
        devices = strategy.make_strategy(config.strategy, config.cross_device_ops)
        strategy.check_batch_size(config.batch_size, devices)
        keras.utils.set_random_seed(config.seed)
        with devices.scope():
            model = build_unet3d(
                self._cubes.cube_shape,
                config.base_filters,
                config.bn_momentum,
                synchronized=devices.num_replicas_in_sync > 1,
                dtype=self.precision.policy,
            )
            optimizer = make_optimizer(
                config.optimizer, config.learning_rate, self.precision.policy
            )
        return Trainer(
            model,
            optimizer,
            mean_squared_error,
            devices,
            config.batch_size,
            config.jit_compile,
        )

    def _restore(self) -> Progress:
        checkpoint = load_newest(self._folder / "checkpoint")
        if checkpoint is None:
            return Progress(0, 0, float(self._trainer.optimizer.learning_rate))
        self._trainer.set_state(checkpoint.arrays)
        return Progress.from_facts(checkpoint.facts)

    def _save(self) -> None:
        facts = dataclasses.asdict(self.progress)
        folder, state = self._folder / "checkpoint", self._trainer.state()
        if not all(np.isfinite(weights).all() for weights in state["model"]):
            raise failures.broken_weights(self.progress.step)
        save_checkpoint(folder, self.progress.step, state, facts)

    def _is_over(self) -> bool:
        waited = self.progress.stopping.wait >= self._config.stop_patience
        return waited or self.progress.epoch == self._epochs

    def _end_of_epoch(self) -> int:
        """The step at which the epoch in hand ends."""
        return min((self.progress.epoch + 1) * self._epoch_steps, self._last_step)

    def _train_steps(self, batches: Iterator, stop: StopRequest) -> None:
        """Trains up to the next checkpoint, that of the epoch's end at the latest."""
        progress, every = self.progress, self._config.checkpoint_every
        until = self._end_of_epoch()
        if every:
            until = min(until, (progress.step // every + 1) * every)
        self._trainer.optimizer.learning_rate = progress.learning_rate
        with tqdm(
            desc=f"epoch {progress.epoch + 1}/{self._epochs}",
            initial=progress.step - progress.epoch * self._epoch_steps,
            total=self._end_of_epoch() - progress.epoch * self._epoch_steps,
            leave=False,
            disable=None,
        ) as bar:

            def after_step() -> bool:
                bar.update()
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
        self._trainer.recalibrate(_stoppable(coming, stop))
        loss = self._trainer.validate(_stoppable(self._valid_batches, stop))
        stopping = plateau.update(before.stopping, loss)
        reducing = plateau.update(before.reducing, loss, MIN_DELTA)
        reducing, rate = plateau.next_learning_rate(
            reducing, before.learning_rate, self._config.reduce_patience
        )
        self._record(loss, time.perf_counter() - start)
        if stopping.wait == 0:
            path = self._folder / "model.keras"
            save_model(self._trainer.model, path, self._metadata())
            image = restorations.restoration_montage(self._trainer.model, *self._shown)
            self._log.add_image(before.epoch + 1, "restored", image)
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
        steps = progress.step - progress.epoch * self._epoch_steps
        values = {
            "loss": progress.loss / steps,
            "val_loss": valid_loss,
            "learning_rate": progress.learning_rate,
        }
        timing = describe_timing(self._trained, self._config.batch_size)
        timing["seconds"] += validation_seconds
        self._log.add(epoch, progress.step, values, timing)
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
            epoch = duration(seconds * self._epoch_steps)
            tqdm.write(f"{seconds:.3g} s a step: about {epoch} of training per epoch")

    def _training_batches(self, start_step: int) -> tf.data.Dataset:
        config = self._config
        return training_pairs(
            self._cubes,
            self._split.train,
            config.seed,
            self._transforms,
            config.batch_size,
            start_step,
        )

    def _training_pair(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        config, train = self._config, self._split.train
        return training_pair(self._cubes, train, config.seed, self._transforms, i)

    def _metadata(self) -> dict:
        return {
            "task": "restoration",
            "scheme": self._config.scheme,
            "base_filters": self._config.base_filters,
            "patch_size": list(self._cubes.cube_shape[:-1]),
            "channels": self._cubes.cube_shape[-1],
        } | self._facts

    def _why_broken(self, step: int, loss: float) -> InputError:
        """Finds the pair that broke the loss: the first with values that are none."""
        first = step * self._config.batch_size
        batch = range(first, first + self._config.batch_size)
        broken = [i for i in batch if not np.isfinite(self._training_pair(i)[1]).all()]
        return failures.broken_loss(step, loss, batch, broken)


def _stoppable(batches: Iterable, stop: StopRequest) -> Iterator:
    """Passes batches on until the process is asked to stop."""
    for batch in batches:
        stop.check()
        yield batch
