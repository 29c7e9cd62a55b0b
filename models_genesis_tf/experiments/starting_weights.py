"""The weights that a run starts from: which they are, and what they have seen."""

import hashlib
import json
import zipfile
from pathlib import Path

from models_genesis_tf.config import HOW_IT_RUNS, SCRATCH, FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import run_folder
from models_genesis_tf.imaging.fingerprints import sha256
from models_genesis_tf.imaging.volumes import scan_name
from models_genesis_tf.models.heads import check_width
from models_genesis_tf.models.pretrained import read_pretrained
from models_genesis_tf.models.saving import read_metadata
from models_genesis_tf.models.weight_names import (
    IMAGENET,
    pretraining_name,
    record_path,
    weights_path,
)
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.splits import Split


def describe_weights(config: FinetuneConfig) -> dict | None:
    """Opens a run's weights before anything that takes long.

    Args:
      config: The settings.

    Returns:
      Which weights they are: `name`, `sha256`, the network's `dimension`, and of their
      pre-training, None where they do not say: `scheme`, `seed`, and `recipe_sha256`,
      which is the same for runs that differ in their seed alone. None from scratch.

    Raises:
      InputError: If they cannot be read, have another width or dimension than asked
        for, or are ImageNet's and not called so.
    """
    if config.weights == SCRATCH:
        return None
    start = read_pretrained(config.weights)
    check_width(start.trunk, config.base_filters)
    dimension = len(start.model.input_shape) - 2
    if start.from_imagenet and not config.weights.startswith(IMAGENET):
        raise InputError(
            f"weights of ImageNet are named {IMAGENET}FILE. "
            f"Received: --weights={config.weights}"
        )
    if config.dimension not in (None, dimension):
        raise InputError(
            f"weights are of a network in --dimension={config.dimension}. "
            f"Received: --weights={config.weights} of one in {dimension}"
        )
    path = weights_path(config.weights)
    facts = read_metadata(path) if zipfile.is_zipfile(path) else {}
    record = run_folder.read_json(record_path(config.weights))
    is_record = {"series", "cube_shape", "settings"} <= record.keys()
    return {
        "name": pretraining_name(config.weights) if is_record else path.stem,
        "sha256": sha256(path),
        "dimension": dimension,
        "scheme": (facts or {}).get("scheme"),
        "seed": record["settings"]["seed"] if is_record else None,
        "recipe_sha256": _recipe_sha256(record) if is_record else None,
    }


def _recipe_sha256(record: dict) -> str:
    """Identifies what a pre-training did, whatever its seed."""
    settings = {
        name: value
        for name, value in record["settings"].items()
        if name not in ("seed", *HOW_IT_RUNS)
        # Runs that knew nothing else did not name these.
        and (name, value) not in (("model", "unet3d"), ("steps_per_epoch", None))
    }
    # Not the cubes' own fingerprint: cutting them from scans takes the seed too.
    recipe = [record["series"], record["cube_shape"], settings]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def check_unchanged(config: FinetuneConfig, weights: dict | None) -> None:
    """Checks that the weights are still those that a run began with.

    Args:
      config: The settings.
      weights: As from `describe_weights` when it began.

    Raises:
      InputError: If they are other ones.
    """
    if weights is None:
        return
    if sha256(weights_path(config.weights)) != weights["sha256"]:
        raise InputError(
            "all trials of a run start from the same weights; --restart begins anew. "
            f"Received: {config.weights}, which has changed"
        )


def seen_before(config: FinetuneConfig, split: Split) -> list[str]:
    """Names the cases that the weights were pre-trained on, by patient or by scan.

    Args:
      config: The settings; pre-training's run.json lies beside its weights.
      split: The cases.

    Returns:
      One line for each case (or scan, of places) that validates or tests, or one that
      says that nothing is known.
    """
    if config.weights == SCRATCH or config.weights.startswith(IMAGENET):
        return []
    record = run_folder.read_json(record_path(config.weights))
    if "series" not in record:
        return ["the weights come without a record of the scans that they saw"]
    patients, series = (
        {name for part in record[kind].values() for name in part}
        for kind in ("patients", "series")
    )
    scans = {Path(name).name for name in series}
    parts = {part: getattr(split, part) for part in ("valid", "test")}
    names = [
        f"{_what_is_seen(case)} of the {part} part was in pre-training"
        for part, cases in parts.items()
        for case in cases
        if case.patient in patients or (case.series or scan_name(case.image)) in scans
    ]
    if any(case.row is not None for cases in parts.values() for case in cases):
        names.append("arrays of cases do not tell whether pre-training saw their scans")
    return list(dict.fromkeys(names))


def _what_is_seen(case: Case) -> str:
    """A case, or the scan that many places are in."""
    if case.centre is None:
        return f"case {case.name}"
    return f"scan {case.series or scan_name(case.image)}"
