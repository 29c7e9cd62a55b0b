"""Which cubes train and which validate; no patient is in both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.cube_files import (
    CubeSet,
    cubes_per_volume_of,
    stable_hash,
)
from models_genesis_tf.imaging.patients import patients_of

LUNA16_TRAIN_FOLDS = (0, 1, 2, 3, 4)
LUNA16_VALID_FOLDS = (5, 6)
LUNA16_TEST_FOLDS = (7, 8, 9)
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
    leaves 7-9 alone in any case; elsewhere, and where one of these parts is empty, one
    patient in five validates, at least one; the cubes of a single scan are divided
    along z with a gap of one cube. Files without provenance are divided by LUNA16's
    fold numbers, else the last file validates.

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
    if not cubes.has_provenance or np.all(cubes.datasets == "luna16"):
        split = _by_folds(cubes, LUNA16_TRAIN_FOLDS, LUNA16_VALID_FOLDS)
        if len(split.train) and len(split.valid):
            return split
    if not cubes.has_provenance:
        return _by_last_file(cubes)
    chosen = np.flatnonzero(~_kept_for_testing(cubes))
    if not len(chosen):
        raise InputError(
            f"folds {_text(LUNA16_TEST_FOLDS)} of LUNA16 are kept for testing unless "
            "--train_folds and --valid_folds name them. Received: cubes of no other "
            "fold"
        )
    sources = cubes.sources[chosen]
    patient_of = patients_of(sources.tolist())
    patients = np.array([patient_of[source] for source in sources.tolist()])
    if len(set(patients.tolist())) > 1:
        return _by_name(chosen, patients, "one patient in five validates")
    if len(set(sources.tolist())) > 1:
        return _by_name(chosen, sources, "one patient: one scan in five validates")
    return _along_z(cubes, chosen)


def _kept_for_testing(cubes: CubeSet) -> np.ndarray:
    """Which cubes are LUNA16's test set, bool `(n,)`."""
    return (cubes.datasets == "luna16") & np.isin(cubes.folds, LUNA16_TEST_FOLDS)


def _by_named_folds(cubes: CubeSet, train, valid) -> Split:
    present = sorted(set(cubes.folds.tolist()))
    usual = sorted(set(cubes.folds[~_kept_for_testing(cubes)].tolist()))
    if valid is None:
        valid = [fold for fold in usual if fold not in train]
    if train is None:
        train = [fold for fold in usual if fold not in valid]
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
    last = cubes.folds == cubes.folds[-1]
    if not last.all():
        notice = f"no provenance: {cubes.files[-1].name} validates"
        return Split(order[~last], order[last], notice)
    if len(cubes) == 1:
        raise InputError("training takes two cubes or more. Received: 1")
    first = len(cubes) - max(1, round(_VALID_SHARE * len(cubes)))
    # A scan's cubes lie together: with a scan's number of them left out none is cut.
    gap = max(cubes_per_volume_of(path) for path in cubes.files) - 1
    notice = "one file without provenance: its last fifth validates"
    if first <= gap:
        return Split(order[:first], order[first:], f"{notice}, perhaps of one scan")
    return Split(order[: first - gap], order[first:], f"{notice}, {gap} left out")


def _by_name(chosen: np.ndarray, names: np.ndarray, notice: str) -> Split:
    """Divides the chosen cubes by the name that each has."""
    order = sorted(set(names.tolist()), key=stable_hash)
    validating = order[: max(1, round(_VALID_SHARE * len(order)))]
    valid = np.isin(names, validating)
    return Split(
        chosen[~valid],
        chosen[valid],
        f"{notice}: {len(order) - len(validating)} train, {len(validating)} validate",
    )


def _along_z(cubes: CubeSet, chosen: np.ndarray) -> Split:
    """Cuts one scan in two; cubes between the parts are left out.

    Of all places to cut, the one that leaves most cubes at about four to one.
    """
    depth = cubes.cube_shape[2]
    starts = cubes.starts_z[chosen]
    for gap, text in ((depth, "a gap of one cube"), (0, "no gap: the scan is short")):
        parts = [
            (chosen[starts + depth + gap <= low], chosen[starts >= low])
            for low in np.unique(starts)
        ]
        train, valid = max(parts, key=lambda part: min(len(part[0]), 4 * len(part[1])))
        if len(train):
            return Split(train, valid, f"one scan, divided along z with {text}")
    raise InputError(
        "the cubes of a single scan are divided along z, where two have to lie apart. "
        f"Received: {len(chosen)} overlapping cubes; add scans or take smaller cubes"
    )


def _text(folds: Sequence[int]) -> str:
    return ",".join(str(fold) for fold in folds)
