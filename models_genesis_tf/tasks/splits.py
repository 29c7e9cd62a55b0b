"""The division of cases by patient, and labelled subsets.

The seeded division draws from `default_rng([seed, 7])`, a subset from
`default_rng([seed, 6, trial])`; the tags keep these streams apart from those of the
training examples.
"""

import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks.base import PARTS, Case

_SPELLINGS = {
    **{part: part for part in PARTS},
    "training": "train",
    "val": "valid",
    "validation": "valid",
    "testing": "test",
}
_VALID_SHARE = 0.1
_TEST_SHARE = 0.2
_SUBSET_STREAM = 6
_SPLIT_STREAM = 7


@dataclass(frozen=True)
class Split:
    """Which cases train, validate and test; no patient is in two parts.

    Attributes:
      train: Cases in the order given.
      valid: The same.
      test: The same.
      notice: How they were divided, for the user.
    """

    train: tuple[Case, ...]
    valid: tuple[Case, ...]
    test: tuple[Case, ...]
    notice: str


def part_of(text: str) -> str:
    """Reads the name of a part.

    Args:
      text: train, valid or test; training, val, validation and testing are read too,
        in capitals as well.

    Returns:
      One of `PARTS`.

    Raises:
      InputError: If it is none of these.
    """
    part = _SPELLINGS.get(text.lower())
    if part is None:
        raise InputError(f"a split is one of {', '.join(PARTS)}. Received: {text}")
    return part


def split_cases(cases: Sequence[Case], seed: int) -> Split:
    """Divides cases by their own split, or else 70/10/20 by patient.

    The cases' own split is used; a validation or test part that it lacks is drawn from
    the training patients. A seeded division of classes puts every class into train,
    then into test and valid as far as there are patients, and deals the other patients
    class by class.

    Args:
      cases: All cases of a task.
      seed: Of the division, 0 or more.

    Returns:
      The three parts, none of them empty.

    Raises:
      InputError: If only some cases have a split, a patient would be in two parts, or
        there are too few patients.
    """
    missing = [case.name for case in cases if case.split is None]
    if len(missing) == len(cases):
        return _divide(cases, seed, "no split is given")
    if missing:
        raise InputError(
            f"either every case has a split or none has one. Received: {missing[0]} "
            "without a split"
        )
    part_by_patient: dict[str, str] = {}
    for case in cases:
        part = part_of(case.split)
        first = part_by_patient.setdefault(case.patient, part)
        if first != part:
            raise InputError(
                "all cases of a patient are in one part. Received: patient "
                f"{case.patient} in {first} and in {part} (case {case.name})"
            )
    return _fill_empty_parts(cases, part_by_patient, seed)


def keep_complete_split(
    cases: Sequence[Case], published: str
) -> tuple[tuple[Case, ...], str]:
    """Keeps a published split where every part has cases, and else drops it.

    Args:
      cases: With their parts of the published split, or None.
      published: Which split that is, for the user.

    Returns:
      The cases, all with their parts or all without; and a notice.
    """
    found = {case.split for case in cases}
    if found == set(PARTS):
        return tuple(cases), published
    lacking = [part for part in PARTS if part not in found]
    reason = f"no case for {' and '.join(lacking)}" if lacking else "cases outside it"
    free = tuple(dataclasses.replace(case, split=None) for case in cases)
    return free, f"{published} is not used ({reason})"


def draw_subset(
    cases: Sequence[Case], fraction: float, seed: int, trial: int
) -> tuple[Case, ...]:
    """Draws the labelled cases of one trial, whole patients at a time.

    The subsets of one seed and trial are nested: a larger fraction holds all cases of a
    smaller one. Patients come in a random order, except that one of each class comes
    first, so that no class is lost however small the fraction.

    Args:
      cases: Of one part.
      fraction: Share of the patients, in (0, 1]; rounded up.
      seed: Of the experiment, 0 or more.
      trial: Number of the trial, 0 or more.

    Returns:
      The chosen cases in the order given.

    Raises:
      InputError: If the fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise InputError(
            "--train_fraction is above 0 and at most 1. "
            f"Received: --train_fraction={fraction:g}"
        )
    order = _shuffled_patients(cases, [seed, _SUBSET_STREAM, trial])
    first = _one_of_each_class(order, _classes_by_patient(cases))
    order = first + [patient for patient in order if patient not in first]
    # 0.07 * 100 is 7.000000000000001, which is meant to be 7.
    wanted = math.ceil(fraction * len(order) - 1e-9)
    chosen = set(order[: max(1, wanted, len(first))])
    return tuple(case for case in cases if case.patient in chosen)


def subset_sha256(cases: Sequence[Case]) -> str:
    """Identifies a choice of cases by their names, in any order.

    Args:
      cases: The chosen ones.

    Returns:
      A SHA-256 in hexadecimal.
    """
    return _sha256(sorted(case.name for case in cases))


def split_sha256(split: Split) -> str:
    """Identifies a division by the names of the cases in each part, in any order.

    Args:
      split: The division.

    Returns:
      A SHA-256 in hexadecimal.
    """
    return _sha256([subset_sha256(getattr(split, part)) for part in PARTS])


def _sha256(names: list[str]) -> str:
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def _divide(cases: Sequence[Case], seed: int, reason: str) -> Split:
    """The seeded division by patient."""
    order = _shuffled_patients(cases, [seed, _SPLIT_STREAM])
    if len(order) < len(PARTS):
        raise InputError(
            "a division into train, valid and test takes three patients or more. "
            f"Received: {len(order)}"
        )
    classes = _classes_by_patient(cases)
    part_by_patient = dict.fromkeys(_one_of_each_class(order, classes), "train")
    if len(order) < len(part_by_patient) + 2:
        raise InputError(
            "a division takes one patient of each class to train on and two more. "
            f"Received: {len(order)} patients"
        )
    for part, kept_back in (("test", 1), ("valid", 0)):
        left = [patient for patient in order if patient not in part_by_patient]
        chosen = _one_of_each_class(left, classes)[: len(left) - kept_back]
        part_by_patient |= dict.fromkeys(chosen, part)
    left = [patient for patient in order if patient not in part_by_patient]
    left.sort(key=lambda patient: sorted(classes[patient]))  # equals stay shuffled
    part_by_patient |= _deal(left, _numbers_left(len(order), part_by_patient))
    reason += f", so patients are divided 70/10/20 by chance with seed {seed}"
    return _gather(cases, part_by_patient, reason)


def _fill_empty_parts(
    cases: Sequence[Case], part_by_patient: dict[str, str], seed: int
) -> Split:
    """Takes what a given split lacks from its training part, and never from another.

    Cases that were put aside for testing do not train, whatever else is missing.
    """
    given = set(part_by_patient.values())
    if "train" not in given:
        raise InputError(
            "a split has training cases. "
            f"Received: {' and '.join(part for part in PARTS if part in given)} alone"
        )
    training = [case for case in cases if part_by_patient[case.patient] == "train"]
    order = _shuffled_patients(training, [seed, _SPLIT_STREAM])
    # One patient of each class, or of all, keeps training.
    kept = _one_of_each_class(order, _classes_by_patient(training)) or order[:1]
    free = [patient for patient in order if patient not in kept]
    reason = "the split that is given"
    for part, share in (("test", _TEST_SHARE), ("valid", _VALID_SHARE)):
        if part not in given:
            chosen, free = np.split(free, [max(1, round(share * len(order)))])
            part_by_patient |= dict.fromkeys(chosen.tolist(), part)
            reason += f", with {len(chosen)} training patients taken for {part}"
    if not set(PARTS) <= set(part_by_patient.values()):
        raise InputError(
            "a division takes one patient of each class to train on and one more for "
            f"each part that is not given. Received: {len(order)} patients to train on"
        )
    return _gather(cases, part_by_patient, reason)


def _gather(
    cases: Sequence[Case], part_by_patient: Mapping[str, str], reason: str
) -> Split:
    parts = {
        part: tuple(case for case in cases if part_by_patient[case.patient] == part)
        for part in PARTS
    }
    counts = ", ".join(f"{len(parts[part])} {part}" for part in PARTS)
    return Split(**parts, notice=f"{reason}: {counts}")


def _shuffled_patients(cases: Sequence[Case], stream: list[int]) -> list[str]:
    patients = sorted({case.patient for case in cases})
    order = np.random.default_rng(stream).permutation(len(patients))
    return [patients[index] for index in order]


def _classes_by_patient(cases: Sequence[Case]) -> dict[str, set[int]]:
    """The classes of each patient's cases; none in segmentation."""
    classes: dict[str, set[int]] = {case.patient: set() for case in cases}
    for case in cases:
        if isinstance(case.label, int):
            classes[case.patient].add(case.label)
        elif isinstance(case.label, tuple):
            found = (index for index, is_there in enumerate(case.label) if is_there)
            classes[case.patient].update(found)
    return classes


def _one_of_each_class(
    patients: Sequence[str], classes: Mapping[str, set[int]]
) -> list[str]:
    """The first patient of each class that has none yet, the rarest class first."""
    counts = Counter(label for patient in patients for label in classes[patient])
    chosen: list[str] = []
    for label in sorted(counts, key=lambda label: (counts[label], label)):
        if not any(label in classes[patient] for patient in chosen):
            chosen.append(next(name for name in patients if label in classes[name]))
    return chosen


def _numbers_left(count: int, part_by_patient: Mapping[str, str]) -> dict[str, int]:
    """How many patients each part still takes, of `count` in all."""
    placed = Counter(part_by_patient.values())
    left = count - len(part_by_patient)
    numbers = {}
    for part, share in (("test", _TEST_SHARE), ("valid", _VALID_SHARE)):
        wanted = max(1, round(share * count)) - placed[part]
        numbers[part] = min(max(0, wanted), left)
        left -= numbers[part]
    return {"train": left, **numbers}


def _deal(patients: Sequence[str], numbers: Mapping[str, int]) -> dict[str, str]:
    """Deals patients to parts so that each part takes an even share of every stretch.

    Each goes to the part that is furthest behind its share so far, which ends with
    exactly the numbers wanted.
    """
    dealt = dict.fromkeys(numbers, 0)
    parts = {}
    for done, patient in enumerate(patients, start=1):
        share = done / len(patients)
        behind = {part: numbers[part] * share - dealt[part] for part in numbers}
        part = max(behind, key=behind.get)
        dealt[part] += 1
        parts[patient] = part
    return parts
