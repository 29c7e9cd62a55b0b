"""One trial of a fine-tuning run: its subset, its network, its training, its scores."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from models_genesis_tf.config import SCRATCH, FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.experiments.epoch_loop import EpochLoop, make_schedule
from models_genesis_tf.experiments.examples import Examples
from models_genesis_tf.experiments.labelled_data import (
    LabelledData,
    resolve_batch_size,
)
from models_genesis_tf.experiments.scoring import THRESHOLD, score_model
from models_genesis_tf.models.heads import build_classifier, build_segmenter
from models_genesis_tf.models.losses import (
    batch_dice_loss,
    cross_entropy,
    label_cross_entropy,
    segmentation_loss,
)
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.trunks import trunk_of
from models_genesis_tf.pipelines.example_stream import (
    fixed_examples,
    training_examples,
)
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.splits import draw_subset, subset_sha256
from models_genesis_tf.training import strategy
from models_genesis_tf.training.loop import Trainer
from models_genesis_tf.training.optimizers import make_optimizer

_BUILDERS = {"classification": build_classifier, "segmentation": build_segmenter}
_NETWORK_STREAM = 9
_LOSSES = {"classification": cross_entropy, "segmentation": segmentation_loss}


class Trial:
    """One trial from where its folder left it to its scores."""

    def __init__(
        self,
        data: LabelledData,
        folder: Path,
        config: FinetuneConfig,
        trial: int,
        devices: tf.distribute.Strategy,
        precision: str,
    ):
        """Draws the subset; nothing is built yet.

        Args:
          data: The task's data.
          folder: The trial's own folder.
          config: The settings of the run.
          trial: Its number, from 0.
          devices: What all trials of a run are trained on.
          precision: Keras dtype policy.
        """
        self._data, self._folder, self._trial = data, folder, trial
        self._devices, self._precision = devices, precision
        fraction, seed = config.train_fraction, config.seed
        self._train = draw_subset(data.split.train, fraction, seed, trial)
        self._valid = draw_subset(data.split.valid, fraction, seed, trial)
        replicas = devices.num_replicas_in_sync
        batch_size = resolve_batch_size(config, len(self._train), replicas)
        strategy.check_batch_size(batch_size, devices)
        self._config = dataclasses.replace(config, batch_size=batch_size)

    def run(self) -> tuple[dict | None, str | None]:
        """Trains and scores, or reads the scores of a trial that did.

        Returns:
          What results.json says of the trial, and None; or None, and the name of the
          signal that ended it before that.
        """
        run_folder.make_folder(self._folder)
        done = run_folder.read_json(self._folder / "result.json")
        if done:
            return done, None
        loop = self._make_loop()
        stopped_by = loop.train()
        if stopped_by:
            return None, stopped_by
        return self._score(loop.results()), None

    def _make_loop(self) -> EpochLoop:
        config, data = self._config, self._data
        train, valid = (
            Examples.of(data, cases, config.balanced, config.patches_per_case)
            for cases in (self._train, self._valid)
        )
        places = valid.fixed_places(config.seed)
        trainer = self._make_trainer()

        def training_batches(start_step: int):
            return training_examples(
                train.training_example,
                len(train),
                data.parts,
                config.seed,
                self._trial,
                config.batch_size,
                start_step,
            )

        return EpochLoop(
            trainer,
            make_schedule(config, len(train)),
            self._folder,
            training_batches,
            fixed_examples(
                lambda i: valid.example_at(places[i]),
                len(places),
                data.parts,
                config.batch_size,
            ),
            lambda epoch: save_model(
                trainer.model, self._folder / "model.keras", self._metadata(trainer)
            ),
            _why_broken,
        )

    def _make_trainer(self) -> Trainer:
        config, data = self._config, self._data
        keras.utils.clear_session()  # of the trial before
        keras.utils.set_random_seed(_network_seed(config.seed, self._trial))
        with self._devices.scope():
            model = _BUILDERS[data.task.kind](
                data.input_shape,
                None if config.weights == SCRATCH else config.weights,
                data.num_outputs,
                "sigmoid" if data.task.multi_label else None,
                base_filters=config.base_filters,
                bn_momentum=config.bn_momentum,
                synchronized=self._devices.num_replicas_in_sync > 1,
                dtype=self._precision,
                verbose=self._trial == 0,
            )
            optimizer = make_optimizer(
                config.optimizer, config.learning_rate, self._precision
            )
        loss = _LOSSES[data.task.kind]
        if config.loss == "dice":
            loss = batch_dice_loss
        if data.task.multi_label:
            loss = label_cross_entropy
        return Trainer(
            model,
            optimizer,
            loss,
            self._devices,
            config.batch_size,
            config.jit_compile,
            fast_upsampling=config.fast_upsampling,
        )

    def _metadata(self, trainer: Trainer) -> dict:
        """What prediction needs to know."""
        data = self._data
        return {
            "task": self._config.task,
            "kind": data.task.kind,
            "multi_label": data.task.multi_label,
            "classes": list(data.classes),
            "threshold": THRESHOLD,
            "window": data.preparation.window,
            "spacing": data.preparation.spacing,
            "in_plane_size": data.preparation.in_plane_size,
            "patch_size": list(data.patch_size),
            "slices_per_case": data.slices_per_case,
            "channels": data.input_shape[-1],
            "modalities": list(data.channels),
            "base_filters": trunk_of(trainer.model).base_filters,
        }

    def _score(self, training: dict) -> dict:
        config, data = self._config, self._data
        cases = cases_to_score(data, config, self._trial)
        rows, scores, notes = score_model(
            self._folder / "model.keras", data, cases, config.fast_upsampling
        )
        run_folder.write_rows(self._folder / "scores.csv", rows)
        result = {
            "trial": self._trial,
            "seed": config.seed,
            "subset_sha256": subset_sha256(self._train),
            "train_cases": len(self._train),
            "valid_cases": len(self._valid),
            "scored_cases": len(cases),
            "steps": training["steps"],
            "training": training,
            "scores": scores,
            "notes": notes,
        }
        run_folder.write_json(self._folder / "result.json", result)
        return result


def cases_to_score(
    data: LabelledData, config: FinetuneConfig, trial: int
) -> tuple[Case, ...]:
    """The cases that a trial is scored on.

    Args:
      data: The task's data.
      config: The settings of the run.
      trial: Its number, from 0.

    Returns:
      All test cases, or the validation cases of the trial's subset.
    """
    if config.score_split == "test":
        return data.split.test
    return draw_subset(data.split.valid, config.train_fraction, config.seed, trial)


def _network_seed(seed: int, trial: int) -> int:
    """What a trial's initial weights follow from, in [0, 2**32)."""
    rng = np.random.default_rng([seed, _NETWORK_STREAM, trial, 1])
    return int(rng.integers(2**32))


def _why_broken(step: int, loss: float) -> InputError:
    return InputError(
        "training stops when the loss is no finite number; the best model and the last "
        "checkpoint stay, and a lower --learning_rate helps. "
        f"Received: loss={loss} at step {step + 1}"
    )
