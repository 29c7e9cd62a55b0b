"""Pre-training: cubes in, a run folder with the best model out."""

import dataclasses
import itertools
import math
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from models_genesis_tf.config import (
    LEARNING_RATES,
    TRANSFORM_PRESETS,
    PretrainConfig,
    TransformConfig,
)
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.imaging import panels
from models_genesis_tf.imaging.cube_files import CubeSet, patients_of
from models_genesis_tf.imaging.cube_splits import Split, split_cubes
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.unet3d import build_unet3d, check_sides
from models_genesis_tf.pipelines.pair_stream import training_pairs, validation_pairs
from models_genesis_tf.training import batch_statistics, plateau
from models_genesis_tf.training.loop import Trainer
from models_genesis_tf.training.strategy import check_batch_size, make_strategy
from models_genesis_tf.transforms.pairs import scheme_config

MOMENTUM = 0.9
MIN_DELTA = 1e-4
_PANELS = 4
_RECALIBRATION_BATCHES = 16


@dataclass(frozen=True)
class Progress:
    """Where training stands after an epoch.

    Attributes:
      epoch: Epochs done.
      step: Steps done.
      learning_rate: Of the next epoch.
      reducing: State of the rule that lowers it.
      stopping: State of the rule that ends training.
    """

    epoch: int
    step: int
    learning_rate: float
    reducing: plateau.Plateau = plateau.Plateau()
    stopping: plateau.Plateau = plateau.Plateau()


def pretrain(cubes: CubeSet, folder: Path, config: PretrainConfig, facts: dict) -> Path:
    """Trains a network to restore deformed cubes.

    Args:
      cubes: All cubes; training and validation parts are chosen here.
      folder: A run folder that `run_folder.start_run` made.
      config: The settings.
      facts: What else `run.json` and the model's metadata say about the data.

    Returns:
      Path of the best model by validation loss.

    Raises:
      InputError: If cubes or batch do not fit, or the loss is no number any more.
    """
    check_sides(cubes.cube_shape[:-1])
    split = split_cubes(cubes, config.train_folds, config.valid_folds)
    print(
        f"{len(split.train)} cubes train, {len(split.valid)} validate: {split.notice}"
    )
    cases = _list_cases(cubes, split)
    record = run_folder.describe_software() | facts
    record |= _describe_data(cubes, split, cases)
    record |= {"settings": dataclasses.asdict(config), "finished": False}
    run = _Run(cubes, split, folder, config, facts)
    record |= {"devices": run.describe_devices(), "precision": "float32"}
    run_folder.write_rows(folder / "split.csv", cases)
    run_folder.write_json(folder / "run.json", record)
    start = time.perf_counter()
    progress = run.run()
    seconds = time.perf_counter() - start
    run.save_restorations()
    pairs = progress.step * config.batch_size
    record |= {
        "finished": True,
        "epochs": progress.epoch,
        "steps": progress.step,
        "best_val_loss": progress.stopping.best,
        "wall_seconds": round(seconds, 1),
        "pairs_per_second": round(pairs / seconds, 2),
    }
    run_folder.write_json(folder / "run.json", record)
    return folder / "model.keras"


class _Run:
    """One run: its model, its streams, its files."""

    def __init__(
        self,
        cubes: CubeSet,
        split: Split,
        folder: Path,
        config: PretrainConfig,
        facts: dict,
    ):
        self._cubes, self._split = cubes, split
        self._folder, self._config, self._facts = folder, config, facts
        self._transforms = scheme_config(
            TRANSFORM_PRESETS[config.transform_preset], config.scheme
        )
        strategy = make_strategy(config.strategy)
        check_batch_size(config.batch_size, strategy)
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            model = build_unet3d(
                cubes.cube_shape,
                config.base_filters,
                config.bn_momentum,
                synchronized=strategy.num_replicas_in_sync > 1,
            )
            optimizer = _make_optimizer(config)
        self._trainer = Trainer(
            model, optimizer, mean_squared_error, strategy, config.batch_size
        )
        self._valid = self._trainer.distribute(
            validation_pairs(
                cubes, split.valid, config.seed, self._transforms, config.batch_size
            )
        )
        self._board = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def describe_devices(self) -> str:
        """How many devices of which kind train."""
        count = self._trainer.strategy.num_replicas_in_sync
        gpus = tf.config.list_physical_devices("GPU")
        if not gpus:
            return f"{count} CPU"
        details = tf.config.experimental.get_device_details(gpus[0])
        return f"{count} {details.get('device_name', 'GPU')}"

    def run(self) -> Progress:
        """Trains until the last epoch or step, or until the loss stays level."""
        config = self._config
        rate = float(self._trainer.optimizer.learning_rate)
        progress = Progress(0, 0, rate)
        batches = iter(self._trainer.distribute(self._training_batches(0)))
        epoch_steps = max(1, len(self._split.train) // config.batch_size)
        last = config.epochs * epoch_steps
        if config.max_steps is not None:
            last = min(last, config.max_steps)
        epochs = math.ceil(last / epoch_steps)
        while progress.step < last and progress.stopping.wait < config.stop_patience:
            steps = min(epoch_steps, last - progress.step)
            progress = self._run_epoch(progress, batches, steps, epochs)
        self._board.close()
        return progress

    def _run_epoch(
        self, progress: Progress, batches, steps: int, epochs: int
    ) -> Progress:
        start = time.perf_counter()
        epoch, rate = progress.epoch + 1, progress.learning_rate
        self._trainer.optimizer.learning_rate = rate
        with tqdm(total=steps, desc=f"epoch {epoch}/{epochs}", disable=None) as bar:
            loss = self._trainer.train(batches, steps, bar.update)
        step = progress.step + steps
        self._recalibrate(step)
        valid_loss = self._trainer.validate(self._valid)
        seconds = time.perf_counter() - start
        self._record(epoch, step, loss, valid_loss, rate, steps, seconds)
        stopping = plateau.update(progress.stopping, valid_loss)
        if stopping.wait == 0:
            save_model(
                self._trainer.model, self._folder / "model.keras", self._metadata()
            )
        reducing = plateau.update(progress.reducing, valid_loss, MIN_DELTA)
        reducing, rate = plateau.next_learning_rate(
            reducing, rate, self._config.reduce_patience
        )
        return Progress(epoch, step, rate, reducing, stopping)

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

    def _recalibrate(self, step: int) -> None:
        """Takes the statistics of batch normalisation over the batches to come."""
        inputs = (deformed for deformed, _ in self._training_batches(step))
        batch_statistics.recalibrate(
            self._trainer.model, itertools.islice(inputs, _RECALIBRATION_BATCHES)
        )

    def _record(self, epoch, step, loss, valid_loss, rate, steps, seconds) -> None:
        row = {
            "epoch": epoch,
            "step": step,
            "loss": f"{loss:.8f}",
            "val_loss": f"{valid_loss:.8f}",
            "learning_rate": f"{rate:.8g}",
        }
        run_folder.append_row(self._folder / "history.csv", row)
        pace = steps * self._config.batch_size / seconds
        timing = {"epoch": epoch, "seconds": f"{seconds:.2f}"}
        timing["pairs_per_second"] = f"{pace:.2f}"
        run_folder.append_row(self._folder / "timing.csv", timing)
        with self._board.as_default(step=epoch):
            for name, value in (
                ("loss", loss),
                ("val_loss", valid_loss),
                ("learning_rate", rate),
            ):
                tf.summary.scalar(name, value)
        self._board.flush()
        print(
            f"epoch {epoch}: loss {loss:.5f}, val_loss {valid_loss:.5f}, "
            f"learning_rate {rate:g}, {seconds:.1f} s",
            flush=True,
        )

    def _metadata(self) -> dict:
        return {
            "task": "restoration",
            "scheme": self._config.scheme,
            "base_filters": self._config.base_filters,
            "patch_size": list(self._cubes.cube_shape[:-1]),
            "channels": self._cubes.cube_shape[-1],
        } | self._facts

    def save_restorations(self) -> None:
        """Draws validation cubes, deformed and restored by the best model."""
        model = keras.saving.load_model(self._folder / "model.keras")
        originals, deformed = _first_pairs(
            self._cubes, self._split.valid, self._config.seed, self._transforms
        )
        restored = model.predict(deformed, batch_size=1, verbose=0)
        samples = self._folder / "samples"
        channels = [cubes[..., 0] for cubes in (originals, deformed, restored)]
        panels.save_overview_panel(samples / "overview.png", *map(list, channels))
        for number, cube in enumerate(zip(*channels, strict=True)):
            panels.save_restoration_panel(samples / f"cube_{number}.png", *cube)


def _make_optimizer(config: PretrainConfig) -> keras.optimizers.Optimizer:
    rate = config.learning_rate
    rate = LEARNING_RATES[config.optimizer] if rate is None else rate
    if config.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    return keras.optimizers.SGD(rate, momentum=MOMENTUM)


def _first_pairs(
    cubes: CubeSet, valid: np.ndarray, seed: int, transforms: TransformConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Validation pairs spread over the part: originals and deformed."""
    spread = np.unique(np.linspace(0, len(valid) - 1, _PANELS).astype(int))
    pairs = validation_pairs(cubes, valid[spread], seed, transforms, _PANELS)
    deformed, originals = next(iter(pairs))
    return originals.numpy(), deformed.numpy()


def _list_cases(cubes: CubeSet, split: Split) -> list[dict[str, str]]:
    """The scans of both parts with their patients: the rows of split.csv."""
    parts = {"train": split.train, "valid": split.valid}
    seen = {
        part: sorted(set(cubes.sources[indices].tolist()))
        for part, indices in parts.items()
    }
    patients = patients_of(sorted(set().union(*seen.values())))
    return [
        {"case": source, "patient": patients[source], "split": part}
        for part, sources in seen.items()
        for source in sources
    ]


def _describe_data(cubes: CubeSet, split: Split, cases: list[dict[str, str]]) -> dict:
    def listed(column: str) -> dict[str, list[str]]:
        return {
            part: sorted({case[column] for case in cases if case["split"] == part})
            for part in ("train", "valid")
        }

    return {
        "data_fingerprint": run_folder.fingerprint(cubes.files),
        "cubes": {"train": len(split.train), "valid": len(split.valid)},
        "series": listed("case"),
        "patients": listed("patient"),
    }
