"""One pre-training run: its network, its streams, its state, its files."""

import dataclasses
import zlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from models_genesis_tf.config import TRANSFORM_PRESETS, PretrainConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import failures, restorations
from models_genesis_tf.experiments.epoch_loop import EpochLoop, make_schedule
from models_genesis_tf.experiments.progress import Progress
from models_genesis_tf.experiments.run_summary import quantity, table
from models_genesis_tf.imaging.axial_slices import AxialSlices
from models_genesis_tf.imaging.cube_files import CubeSet, window_of
from models_genesis_tf.imaging.cube_splits import Split
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.precision import (
    Precision,
    choose_precision,
    read_cpu_features,
)
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.unet2d import build_unet2d
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.pipelines.pair_stream import (
    WHOLE,
    Share,
    training_pair,
    training_pairs,
    validation_pairs,
)
from models_genesis_tf.training import strategy
from models_genesis_tf.training.loop import Trainer
from models_genesis_tf.training.memory import estimate_step_memory
from models_genesis_tf.training.optimizers import make_optimizer
from models_genesis_tf.training.workers import Workers
from models_genesis_tf.transforms.pairs import scheme_config

_BUILDERS = {"unet3d": build_unet3d, "unet2d": build_unet2d}


class PretrainingRun:
    """One run from where its folder left it to its end.

    Attributes:
      precision: What it computes with, and why.
      devices: On how many devices of which kind.
      valid: All validation batches (deformed, original).
    """

    def __init__(
        self,
        cubes: CubeSet | AxialSlices,
        split: Split,
        folder: Path,
        config: PretrainConfig,
        facts: dict,
        devices: tf.distribute.Strategy,
        workers: Workers,
        precision: str | None = None,
    ):
        """Builds network and streams and restores the newest checkpoint.

        Args:
          cubes: All cubes, or all slices where the network has two dimensions.
          split: Which of them train and validate.
          folder: The run folder.
          config: The settings.
          facts: What else the model's metadata say about the data.
          devices: What it trains on.
          workers: The processes that these belong to.
          precision: What the run began with, which "auto" keeps to.
        """
        self._cubes, self._split = cubes, split
        self._folder, self._config, self._facts = folder, config, facts
        self._transforms = scheme_config(
            TRANSFORM_PRESETS[config.transform_preset], config.scheme
        )
        self._schedule = make_schedule(config, len(split.train))
        self.precision = self._choose_precision(precision)
        self._trainer = self._make_trainer(devices, workers)
        self.devices = strategy.describe_devices(devices, workers)
        self._share = WHOLE
        if workers.count > 1:
            per_worker = devices.num_replicas_in_sync // workers.count
            self._share = Share(workers.number, workers.count, per_worker)
        self.valid = self._validation_batches(WHOLE)
        self._shown = restorations.fixed_pairs(
            cubes, split.valid, config.seed, self._transforms
        )
        self._loop = EpochLoop(
            self._trainer,
            self._schedule,
            folder,
            self._training_batches,
            self._validation_batches(self._share),
            self._keep_best,
            self._why_broken,
        )

    @property
    def progress(self) -> Progress:
        """Where the run stands."""
        return self._loop.progress

    def describe(self, baselines: dict[str, float]) -> str:
        """Says on one screen what is about to run.

        Args:
          baselines: As from `restorations.baselines`.

        Returns:
          Lines of text.
        """
        model, split = self._trainer.model, self._split
        replicas = self._trainer.num_devices
        batch = self._config.batch_size
        slots = len(self._trainer.optimizer.variables) // len(model.trainable_variables)
        memory = estimate_step_memory(
            self._trainer.network,
            batch // replicas,
            slots,
            unfolds=not strategy.has_tuned_convolutions(),
        )
        *sides, channels = self._cubes.cube_shape
        what = self._cubes.WHAT
        rows = {
            f"{what}s": f"{len(split.train)} train, {len(split.valid)} validate: "
            f"{split.notice}",
            "size": f"{'x'.join(map(str, sides))}, {channels} channel(s)",
            "network": f"{model.name}, {self._config.base_filters} base filters, "
            f"{model.count_params():,} parameters",
            "batch": f"{batch} over {replicas} device(s): {self.devices}",
            "precision": f"{self.precision.policy}: {self.precision.reason}",
            "memory": f"about {quantity(memory)} on each device for a step",
            "steps": f"{self._schedule.epoch_steps} per epoch, "
            f"at most {self._schedule.last_step}",
            "to beat": f"val_loss {baselines['constant']:.5f} by a constant {what}, "
            f"{baselines['unchanged']:.5f} by the deformed {what} itself",
        }
        if self.progress.step:
            rows["goes on"] = f"after step {self.progress.step}"
        return table(rows)

    def check_agreement(self, facts: dict) -> None:
        """Checks that all workers are about to do the same.

        Args:
          facts: What has to be the same for all of them, by its name for people.

        Raises:
          InputError: If something differs.
        """
        facts = facts | {"checkpoint": self.progress.step}
        numbers = [zlib.crc32(repr(fact).encode()) for fact in facts.values()]
        own = np.array(numbers, np.int64)
        same = self._trainer.add_up(own) == own * self._trainer.num_devices
        differing = [name for name, equal in zip(facts, same, strict=True) if not equal]
        if differing:
            raise InputError(
                "all workers train the same network on the same cubes from the same "
                "checkpoint, which lie in folders that all see. Received: workers that "
                f"differ in {', '.join(differing)}"
            )

    def train(self) -> str | None:
        """Trains to the end; see `EpochLoop.train`."""
        return self._loop.train()

    def results(self) -> dict:
        """What run.json says of the training done so far."""
        return self._loop.results()

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

    def _make_trainer(
        self, devices: tf.distribute.Strategy, workers: Workers
    ) -> Trainer:
        config = self._config
        strategy.check_batch_size(config.batch_size, devices)
        keras.utils.set_random_seed(config.seed)
        with devices.scope():
            model = _BUILDERS[config.model](
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
            workers,
            config.fast_upsampling,
        )

    def _keep_best(self, epoch: int) -> None:
        model = self._trainer.model
        save_model(model, self._folder / "model.keras", self._metadata())
        image = restorations.restoration_montage(model, *self._shown)
        self._loop.log.add_image(epoch, "restored", image)

    def _training_batches(self, start_step: int) -> tf.data.Dataset:
        config = self._config
        return training_pairs(
            self._cubes,
            self._split.train,
            config.seed,
            self._transforms,
            config.batch_size,
            start_step,
            share=self._share,
        )

    def _validation_batches(self, share: Share) -> tf.data.Dataset:
        config = self._config
        return validation_pairs(
            self._cubes,
            self._split.valid,
            config.seed,
            self._transforms,
            config.batch_size,
            share,
        )

    def _training_pair(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        config, train = self._config, self._split.train
        return training_pair(self._cubes, train, config.seed, self._transforms, i)

    def _metadata(self) -> dict:
        *sides, channels = self._cubes.cube_shape
        return {
            "task": "restoration",
            "model": self._config.model,
            "scheme": self._config.scheme,
            "base_filters": self._config.base_filters,
            "patch_size": [*sides, 1][:3],  # images have three axes outside networks
            "channels": channels,
            "window": window_of(self._cubes.files[0]),
        } | self._facts

    def _why_broken(self, step: int, loss: float) -> InputError:
        """Finds the pair that broke the loss: the first with values that are none."""
        first = step * self._config.batch_size
        batch = range(first, first + self._config.batch_size)
        broken = [i for i in batch if not np.isfinite(self._training_pair(i)[1]).all()]
        return failures.broken_loss(step, loss, batch, broken)
