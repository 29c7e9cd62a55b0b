"""Cases are divided by patient, labelled subsets are nested, both are reproducible."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.tasks.base import PARTS, Case
from models_genesis_tf.tasks.splits import (
    Split,
    draw_subset,
    part_of,
    split_cases,
    split_sha256,
    subset_sha256,
)

FRACTIONS = (0.001, 0.05, 0.07, 0.1, 0.25, 0.5, 0.75, 1.0)


def make_case(number, patient, label=None, split=None) -> Case:
    image = Path(f"images/{number}.nii.gz")
    label = Path(f"labels/{number}.nii.gz") if label is None else label
    return Case(f"case_{number}", (image,), label, patient, split)


def random_cases(seed: int, classes: int = 0) -> tuple[Case, ...]:
    """One to four cases of each of 6 to 60 patients, shuffled."""
    rng = np.random.default_rng(seed)
    patients = [
        f"patient_{number}"
        for number in range(rng.integers(6, 60))
        for _ in range(rng.integers(1, 5))
    ]
    rng.shuffle(patients)
    labels = rng.integers(0, classes, len(patients)).tolist() if classes else None
    return tuple(
        make_case(number, patient, labels and labels[number])
        for number, patient in enumerate(patients)
    )


def patients_of(cases) -> set[str]:
    return {case.patient for case in cases}


def classes_of(cases) -> set[int]:
    return {case.label for case in cases}


def parts_of(split: Split) -> list[tuple[Case, ...]]:
    return [split.train, split.valid, split.test]


@pytest.mark.parametrize("classes", [0, 2, 4])
@pytest.mark.parametrize("seed", range(20))
def test_a_seeded_division_puts_each_case_and_each_patient_in_one_part(seed, classes):
    cases = random_cases(seed, classes)
    split = split_cases(cases, seed)
    names = [case.name for part in parts_of(split) for case in part]
    assert sorted(names) == sorted(case.name for case in cases)
    assert sum(len(patients_of(part)) for part in parts_of(split)) == len(
        patients_of(cases)
    )
    for part in parts_of(split):
        assert part
        assert list(part) == [case for case in cases if case in part]


@pytest.mark.parametrize("count", [*range(3, 30), 100, 389])
def test_a_seeded_division_of_label_maps_is_70_10_20(count):
    split = split_cases([make_case(k, f"p{k}") for k in range(count)], 5)
    test, valid = max(1, round(0.2 * count)), max(1, round(0.1 * count))
    sizes = [len(part) for part in parts_of(split)]
    assert sizes == [count - test - valid, valid, test]
    assert f"70/10/20 by chance with seed 5: {sizes[0]} train" in split.notice


@pytest.mark.parametrize("seed", range(10))
def test_a_seeded_division_of_classes_is_70_10_20_within_each_class(seed):
    sizes = (20, 40, 140)
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    cases = [make_case(k, f"p{k}", label) for k, label in enumerate(labels)]
    split = split_cases(cases, seed)
    assert [len(part) for part in parts_of(split)] == [140, 20, 40]
    for part, share in zip(parts_of(split), (0.7, 0.1, 0.2), strict=True):
        counts = Counter(case.label for case in part)
        for label, size in enumerate(sizes):
            assert abs(counts[label] - share * size) <= 1.5


@pytest.mark.parametrize("seed", range(30))
def test_every_class_trains_and_tests_before_it_validates(seed):
    """Classes of one, two and three patients, beside a common one."""
    labels = [0, 1, 1, 2, 2, 2] + [3] * 24
    split = split_cases([make_case(k, f"p{k}", c) for k, c in enumerate(labels)], seed)
    assert classes_of(split.train) == {0, 1, 2, 3}
    assert classes_of(split.test) == {1, 2, 3}
    assert classes_of(split.valid) == {2, 3}


@pytest.mark.parametrize("seed", range(30))
def test_a_class_that_only_mixed_patients_have_trains_too(seed):
    """Class 0 is never the rarest of a patient's classes."""
    mixed = [("a", 0), ("a", 1), ("b", 0), ("b", 2), ("c", 1), ("d", 2), ("e", 2)]
    cases = [make_case(k, *patient) for k, patient in enumerate(mixed)]
    split = split_cases(cases, seed)
    assert classes_of(split.train) == {0, 1, 2}
    assert split.valid and split.test


def test_a_division_depends_on_the_seed_and_not_on_the_order_of_cases():
    cases = random_cases(1, 3)
    split = split_cases(cases, 7)
    assert split == split_cases(cases, 7)
    assert split_sha256(split) == split_sha256(split_cases(cases[::-1], 7))
    hashes = {split_sha256(split_cases(cases, seed)) for seed in range(20)}
    assert len(hashes) == 20


def test_a_split_that_is_given_is_used():
    parts = ["valid", "train", "test", "train"]
    cases = [make_case(k, f"p{k % 3}", None, part) for k, part in enumerate(parts)]
    cases[3] = replace(cases[3], patient="p1")
    split = split_cases(cases, 0)
    assert split == split_cases(cases, 1)
    assert split.train == (cases[1], cases[3])
    assert split.valid == (cases[0],)
    assert split.test == (cases[2],)
    assert split.notice == "the split that is given: 2 train, 1 valid, 1 test"


@pytest.mark.parametrize(
    ("text", "part"),
    [("Training", "train"), ("val", "valid"), ("VALIDATION", "valid")]
    + [("testing", "test"), *((part, part) for part in PARTS)],
)
def test_parts_are_known_by_their_usual_names(text, part):
    assert part_of(text) == part


def test_an_unknown_part_is_refused():
    with pytest.raises(InputError, match="one of train, valid, test. Received: dev$"):
        part_of("dev")


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        (("train", "test"), {"train": 18, "valid": 2, "test": 5}),
        (("train", "valid"), {"train": 16, "valid": 5, "test": 4}),
        (("train",), {"train": 14, "valid": 2, "test": 4}),
    ],
)
def test_parts_that_a_split_lacks_come_from_its_training_part_alone(given, numbers):
    parts = ["train"] * 20 + ["valid"] * 5 + ["test"] * 5
    cases = [
        make_case(k, f"p{k}", None, part)
        for k, part in enumerate(parts)
        if part in given
    ]
    split = split_cases(cases, 3)
    assert {part: len(getattr(split, part)) for part in PARTS} == numbers
    for part in set(given) - {"train"}:
        assert [case.split for case in getattr(split, part)] == [part] * 5
    for part in set(PARTS) - set(given):
        assert {case.split for case in getattr(split, part)} == {"train"}
        assert f"{numbers[part]} training patients taken for {part}" in split.notice
    assert split_sha256(split) == split_sha256(split_cases(cases[::-1], 3))
    assert split_sha256(split) != split_sha256(split_cases(cases, 4))


@pytest.mark.parametrize("seed", range(20))
def test_every_class_stays_among_those_that_train(seed):
    labels = [0] * 6 + [1, 2]
    cases = [make_case(k, f"p{k}", label, "train") for k, label in enumerate(labels)]
    split = split_cases(cases, seed)
    assert {case.label for case in split.train} == {0, 1, 2}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["test", "valid"], "has training cases. Received: valid and test alone"),
        (["test"], "Received: test alone"),
        (["train", "test"], "one more for each part .*Received: 1 patients"),
        (["train", "train"], "one more for each part .*Received: 2 patients"),
    ],
)
def test_a_split_that_cannot_be_filled_is_refused(parts, message):
    cases = [make_case(k, f"p{k}", None, part) for k, part in enumerate(parts)]
    with pytest.raises(InputError, match=message):
        split_cases(cases, 0)


def test_a_split_of_some_cases_is_refused():
    cases = [make_case(1, "a", None, "train"), make_case(2, "b")]
    with pytest.raises(InputError, match="Received: case_2 without a split"):
        split_cases(cases, 0)


def test_a_patient_in_two_given_parts_is_refused():
    parts = ["train", "valid", "test", "test"]
    cases = [make_case(k, f"p{k % 3}", None, part) for k, part in enumerate(parts)]
    with pytest.raises(
        InputError, match=r"patient p0 in train and in test \(case case_3\)"
    ):
        split_cases(cases, 0)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_patients_than_parts_are_refused(count):
    cases = [make_case(k, f"p{k % count}") for k in range(5 * count)]
    with pytest.raises(InputError, match=f"three patients or more. Received: {count}"):
        split_cases(cases, 0)


def test_three_patients_of_two_classes_are_refused():
    cases = [make_case(k, f"p{k}", k % 2) for k in range(3)]
    with pytest.raises(InputError, match="of each class.*Received: 3 patients"):
        split_cases(cases, 0)


@pytest.mark.parametrize("classes", [0, 2, 5])
@pytest.mark.parametrize("seed", range(12))
def test_subsets_are_nested_and_hold_whole_patients_and_every_class(seed, classes):
    cases = random_cases(seed, classes)
    for trial in range(3):
        smaller: set[str] = set()
        for fraction in FRACTIONS:
            subset = draw_subset(cases, fraction, seed, trial)
            chosen = patients_of(subset)
            assert subset == tuple(case for case in cases if case.patient in chosen)
            assert smaller <= chosen
            smaller = chosen
            if classes:
                assert classes_of(subset) == classes_of(cases)
        assert subset == cases


@pytest.mark.parametrize("count", [1, 7, 10, 100])
@pytest.mark.parametrize("classes", [0, 1])
def test_a_subset_holds_the_fraction_of_patients_rounded_up(count, classes):
    label = 0 if classes else None
    cases = [make_case(k, f"p{k // 2}", label) for k in range(2 * count)]
    for percent in (1, 7, 10, 29, 50, 55, 58, 99, 100):
        chosen = patients_of(draw_subset(cases, percent / 100, 0, 0))
        assert len(chosen) == -(-percent * count // 100)


def test_the_order_of_patients_is_the_permutation_that_the_design_names():
    cases = [make_case(k, f"p{k:02}") for k in range(30)][::-1]
    order = np.random.default_rng([3, 6, 2]).permutation(30)
    for fraction in (0.1, 0.5, 0.9):
        expected = {f"p{k:02}" for k in order[: math.ceil(30 * fraction)]}
        assert patients_of(draw_subset(cases, fraction, 3, 2)) == expected


def test_a_subset_depends_on_seed_and_trial_and_on_nothing_else():
    cases = random_cases(4, 2)
    first = draw_subset(cases, 0.3, 1, 2)
    assert first == draw_subset(cases, 0.3, 1, 2)
    assert subset_sha256(first) == subset_sha256(draw_subset(cases[::-1], 0.3, 1, 2))
    draws = {
        subset_sha256(draw_subset(cases, 0.3, seed, trial))
        for seed in range(5)
        for trial in range(5)
    }
    assert len(draws) > 20


@pytest.mark.parametrize("seed", range(5))
def test_every_finding_of_several_is_in_a_subset_and_in_every_part(seed):
    rng = np.random.default_rng([31, seed])
    cases = []
    for number in range(200):
        label = (rng.random(5) < (0.5, 0.3, 0.2, 0.1, 0.05)).astype(int).tolist()
        cases.append(make_case(number, f"p{number // 2}", tuple(label)))
    for trial in range(5):
        subset = draw_subset(cases, 0.01, seed, trial)
        assert np.sum([case.label for case in subset], axis=0).min() > 0
        assert set(subset) <= set(draw_subset(cases, 0.2, seed, trial))
    split = split_cases(cases, seed)
    assert [len(patients_of(part)) for part in parts_of(split)] == [70, 10, 20]
    for part in parts_of(split):
        assert np.sum([case.label for case in part], axis=0).min() > 0


def test_without_a_finding_anywhere_a_subset_is_drawn_as_of_a_segmentation():
    cases = [make_case(k, f"p{k:02}") for k in range(30)]
    healthy = [make_case(k, f"p{k:02}", (0, 0)) for k in range(30)]
    for fraction in (0.1, 0.5):
        chosen = patients_of(draw_subset(healthy, fraction, 3, 2))
        assert chosen == patients_of(draw_subset(cases, fraction, 3, 2))


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01, math.nan])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(InputError, match="--train_fraction is above 0 and at most 1"):
        draw_subset(random_cases(0), fraction, 0, 0)


def test_hashes_see_which_case_is_in_which_part():
    a, b, c = (make_case(k, f"p{k}") for k in range(3))
    hashes = {subset_sha256([a]), subset_sha256([a, b]), subset_sha256([a, b, c])}
    assert len(hashes) == 3
    assert subset_sha256([a, b]) == subset_sha256([b, a])
    one, other = Split((a,), (b,), (c,), ""), Split((b,), (a,), (c,), "")
    assert split_sha256(one) != split_sha256(other)
    assert split_sha256(one) == split_sha256(replace(one, notice="x"))
