"""Which cubes train and which validate; no patient is in both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.cube_files import (
    CubeSet,
    patient_of,
    stable_hash,
)

LUNA16_TRAIN_FOLDS = (0, 1, 2, 3, 4)
LUNA16_VALID_FOLDS = (5, 6)
_VALID_SHARE = 0.2


@dataclass(frozen=True)
class Split:
    """Which cubes train and which validate.

    Attributes:
      train: Positions in the set, rising.
      valid: The same, none of them in `train`.
      notice: How they were divided, for the user.
    """

    train: np.ndarray
    valid: np.ndarray
    notice: str


def split_cubes(
    cubes: CubeSet,
    train_folds: Sequence[int] | None = None,
    valid_folds: Sequence[int] | None = None,
) -> Split:
    """Divides a set of cubes.

    Folds that the user names come first. LUNA16 trains on 0-4, validates on 5-6 and
    leaves 7-9 alone; elsewhere one patient in five validates, at least one; the
    cubes of a single scan are divided along z with a gap of one cube. Files without
    provenance are divided by LUNA16's fold numbers, else the last file validates.

    Args:
      cubes: All cubes.
      train_folds: Numbers of the folds to train on, or None.
      valid_folds: Numbers of the folds to validate on, or None.

    Returns:
      The two parts.

    Raises:
      InputError: If a part would be empty or a fold is in both.
    """
    if train_folds is not None or valid_folds is not None:
        return _by_named_folds(cubes, train_folds, valid_folds)
    if not cubes.has_provenance or cubes.datasets == {"luna16"}:
        split = _by_folds(cubes, LUNA16_TRAIN_FOLDS, LUNA16_VALID_FOLDS)
        if len(split.train) and len(split.valid):
            return split
    if not cubes.has_provenance:
        return _by_last_file(cubes)
    patients = np.array([patient_of(source) for source in cubes.sources])
    if len(set(patients)) > 1:
        return _by_patient(patients)
    if len(set(cubes.sources)) > 1:
        return _by_patient(cubes.sources, "one patient: one scan in five validates")
    return _along_z(cubes)


def _by_named_folds(cubes: CubeSet, train, valid) -> Split:
    present = sorted(set(cubes.folds.tolist()))
    if valid is None:
        valid = [fold for fold in present if fold not in train]
    if train is None:
        train = [fold for fold in present if fold not in valid]
    if set(train) & set(valid):
        raise InputError(
            "--train_folds and --valid_folds have no fold in common. Received: "
            f"--train_folds={_text(train)} --valid_folds={_text(valid)}"
        )
    split = _by_folds(cubes, train, valid)
    if not (len(split.train) and len(split.valid)):
        raise InputError(
            f"--train_folds and --valid_folds name folds that are there, here "
            f"{_text(present)}. Received: --train_folds={_text(train)} "
            f"--valid_folds={_text(valid)}"
        )
    return split


def _by_folds(cubes: CubeSet, train: Sequence[int], valid: Sequence[int]) -> Split:
    return Split(
        np.flatnonzero(np.isin(cubes.folds, train)),
        np.flatnonzero(np.isin(cubes.folds, valid)),
        f"folds {_text(train)} train, folds {_text(valid)} validate",
    )


def _by_last_file(cubes: CubeSet) -> Split:
    order = np.arange(len(cubes))
    if len(cubes.files) > 1:
        first = len(cubes) - len(cubes.arrays[-1])
        notice = f"no provenance: {cubes.files[-1].name} validates"
    else:
        first = len(cubes) - max(1, round(_VALID_SHARE * len(cubes)))
        notice = "one file without provenance: its last fifth validates"
    if first == 0:
        raise InputError("training takes two cubes or more. Received: 1")
    return Split(order[:first], order[first:], notice)


def _by_patient(
    names: np.ndarray, notice: str = "one patient in five validates"
) -> Split:
    order = sorted(set(names.tolist()), key=stable_hash)
    chosen = order[: max(1, round(_VALID_SHARE * len(order)))]
    valid = np.isin(names, chosen)
    return Split(
        np.flatnonzero(~valid),
        np.flatnonzero(valid),
        f"{notice}: {len(order) - len(chosen)} train, {len(chosen)} validate",
    )


def _along_z(cubes: CubeSet) -> Split:
    """Cuts one scan in two; cubes between the parts are left out."""
    depth = cubes.cube_shape[2]
    for gap, text in ((depth, "a gap of one cube"), (0, "no gap: the scan is short")):
        best = None
        for low in np.unique(cubes.starts_z)[::-1]:
            valid = np.flatnonzero(cubes.starts_z >= low)
            train = np.flatnonzero(cubes.starts_z + depth + gap <= low)
            distance = abs(len(valid) - _VALID_SHARE * len(cubes))
            if len(train) and (best is None or distance < best[0]):
                best = (distance, train, valid)
        if best:
            notice = f"one scan, divided along z with {text}"
            return Split(best[1], best[2], notice)
    raise InputError(
        "the cubes of a single scan are divided along z, where two have to lie apart. "
        f"Received: {len(cubes)} overlapping cubes; add scans or take smaller cubes"
    )


def _text(folds: Sequence[int]) -> str:
    return ",".join(str(fold) for fold in folds)
