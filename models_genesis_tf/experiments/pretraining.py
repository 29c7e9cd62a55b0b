"""Pre-training: cubes, or their slices, in; a run folder with the best model out.

A run can be killed at any moment and goes on from its newest checkpoint; on one device
it ends with the same bits as a run that nobody disturbed.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from models_genesis_tf.config import TRANSFORM_PRESETS, PretrainConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import restorations, run_folder
from models_genesis_tf.experiments.data_record import describe_data, list_cases
from models_genesis_tf.experiments.pretraining_run import PretrainingRun
from models_genesis_tf.experiments.run_summary import describe_end
from models_genesis_tf.imaging.axial_slices import AxialSlices
from models_genesis_tf.imaging.cube_files import CubeSet
from models_genesis_tf.imaging.cube_splits import Split, split_cubes
from models_genesis_tf.training import strategy
from models_genesis_tf.training.workers import Workers, find_workers
from models_genesis_tf.transforms.pairs import scheme_config


def pretrain(
    cubes: CubeSet, folder: Path, config: PretrainConfig, facts: dict
) -> Path | None:
    """Trains a network to restore deformed cubes, or goes on with that.

    Args:
      cubes: All cubes; training and validation parts are chosen here. A network of two
        dimensions restores their axial slices.
      folder: A run folder that `run_folder.start_run` made.
      config: The settings, those of the run that lies there but for what says only
        how it is computed.
      facts: What else `run.json` and the model's metadata say about the data.

    Returns:
      Path of the best model by validation loss; None if the process was asked to stop
      before the end, and for every worker but the first, which alone writes.

    Raises:
      InputError: If cubes or batch do not fit, or are not those that the run began
        with, or the loss is no number any more, or memory runs out; or if workers do
        not agree, or one of them ends.
    """
    workers = find_workers(config.strategy, os.environ)
    with strategy.needing_all(workers):
        return _pretrain(cubes, folder, config, facts, workers)


def _pretrain(
    cubes: CubeSet,
    folder: Path,
    config: PretrainConfig,
    facts: dict,
    workers: Workers,
) -> Path | None:
    """Does what `pretrain` says; the chief alone writes and prints."""
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    devices = strategy.make_strategy(config.strategy, config.cross_device_ops)
    split = split_cubes(cubes, config.train_folds, config.valid_folds)
    cases = list_cases(cubes, split)
    earlier = run_folder.read_record(folder)
    data = describe_data(cubes, split, cases)
    _check_same_data(earlier, data, cubes)
    examples, parts = _examples(cubes, split, config.model)
    run = PretrainingRun(
        examples,
        parts,
        folder,
        config,
        facts,
        devices,
        workers,
        earlier.get("precision"),
    )
    software = run_folder.describe_software()
    run.check_agreement(
        {
            "flags": config,
            "cubes": data["data_fingerprint"],
            "versions": software["packages"],
            "precision": run.precision.policy,
        }
    )
    if not workers.is_chief:
        run.train()
        return None
    session = {"from_step": run.progress.step, "devices": run.devices} | software
    record = software | facts | data
    record |= {
        "settings": dataclasses.asdict(config),
        "devices": run.devices,
        "precision": run.precision.policy,
        "baselines": earlier.get("baselines")
        or _score_baselines(run, examples, parts.valid),
        "sessions": [*earlier.get("sessions", []), session],
        "finished": False,
    }
    record["started"] = earlier.get("started", software["started"])
    print(run.describe(record["baselines"]), flush=True)
    run_folder.write_rows(folder / "split.csv", cases)
    run_folder.write_json(folder / "run.json", record)
    stopped_by = run.train()
    record |= run.results() | {"finished": stopped_by is None}
    if stopped_by is None:
        run.save_restorations()
    run_folder.write_json(folder / "run.json", record)
    if stopped_by:
        print(
            f"stopped by {stopped_by} at step {run.progress.step}, which is saved; the "
            "same command goes on from there"
        )
        return None
    print(describe_end(record, examples.WHAT))
    return folder / "model.keras"


def replay(cubes: CubeSet, folder: Path, config: PretrainConfig, i: int) -> str:
    """Draws the i-th training pair of a run as `samples/pair_<i>.png`.

    Args:
      cubes: All cubes.
      folder: The run's folder.
      config: The run's settings.
      i: The pair's place in the stream, from 0.

    Returns:
      What the pair is, in one line.
    """
    split = split_cubes(cubes, config.train_folds, config.valid_folds)
    examples, parts = _examples(cubes, split, config.model)
    transforms = scheme_config(
        TRANSFORM_PRESETS[config.transform_preset], config.scheme
    )
    return restorations.save_training_pair(
        folder / "samples", examples, parts.train, config.seed, transforms, i
    )


def _examples(
    cubes: CubeSet, split: Split, model: str
) -> tuple[CubeSet | AxialSlices, Split]:
    """What a network restores: cubes, or the axial slices of the same cubes."""
    if model == "unet3d":
        return cubes, split
    slices = AxialSlices(cubes)
    train, valid = map(slices.positions, (split.train, split.valid))
    return slices, dataclasses.replace(split, train=train, valid=valid)


def _score_baselines(
    run: PretrainingRun, examples: CubeSet | AxialSlices, valid: np.ndarray
) -> dict:
    """The losses to beat; broken cubes are found here, not an epoch later."""
    losses = restorations.baselines(run.valid)
    if not all(map(np.isfinite, losses.values())):
        broken = next(int(i) for i in valid if not np.isfinite(examples[int(i)]).all())
        raise InputError(
            f"validation {examples.WHAT}s hold finite numbers. "
            f"Received: {examples.describe(broken)}"
        )
    return losses


def _check_same_data(earlier: dict, data: dict, cubes: CubeSet) -> None:
    began = earlier.get("data_fingerprint", data["data_fingerprint"])
    if data["data_fingerprint"] != began:
        raise InputError(
            "a run goes on with the cubes it began with; --restart begins it anew. "
            f"Received: other files in {cubes.files[0].parent}"
        )
