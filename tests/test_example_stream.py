"""Labelled examples: element i is a pure function of the seed, the trial and of i."""

import numpy as np
import pytest
import tensorflow as tf

from models_genesis_tf.errors import InputError
from models_genesis_tf.pipelines.example_stream import (
    fixed_examples,
    training_examples,
    training_place,
)

SEED, TRIAL = 41, 0
CASES, BATCH = 5, 3
PARTS = (((4, 3, 2, 1), "float32"), ((4, 3, 2), "uint8"), ((), "int32"))


def _example(case: int, rng: np.random.Generator, foreground: bool):
    """What the maker was given, told by what it makes."""
    image = rng.random((4, 3, 2, 1), np.float32)
    return image, np.full((4, 3, 2), foreground, np.uint8), np.int32(case)


def _law(i: int, seed: int = SEED, trial: int = TRIAL):
    """The law of the stream, written down a second time."""
    epoch, entry = i // CASES, i % CASES
    order = np.random.default_rng([seed, 4, trial, epoch, 1]).permutation(CASES)
    rng = np.random.default_rng([seed, 5, trial, epoch, order[entry], 1])
    return _example(order[entry], rng, i % 2 == 0)


def _batches(count: int, seed: int = SEED, trial: int = TRIAL, **options):
    stream = training_examples(_example, CASES, PARTS, seed, trial, BATCH, **options)
    return [[part.numpy() for part in batch] for batch in stream.take(count)]


@pytest.mark.parametrize("parallel_calls", [1, 2, 8])
@pytest.mark.parametrize("start_step", [0, 7, 1000])
@pytest.mark.parametrize("trial", [0, 6])
def test_every_element_follows_the_law_bit_for_bit(parallel_calls, start_step, trial):
    batches = _batches(
        9, trial=trial, parallel_calls=parallel_calls, start_step=start_step
    )
    for number, batch in enumerate(batches):
        for k in range(BATCH):
            expected = _law((start_step + number) * BATCH + k, trial=trial)
            for part, value in zip(batch, expected, strict=True):
                np.testing.assert_array_equal(part[k], value)


def test_two_runs_are_equal_and_another_seed_or_trial_differs():
    images = [batch[0] for batch in _batches(5)]
    np.testing.assert_array_equal(images, [batch[0] for batch in _batches(5)])
    for other in ({"seed": SEED + 1}, {"trial": TRIAL + 1}):
        differs = [batch[0] for batch in _batches(5, **other)]
        shared = np.intersect1d(images, differs)
        assert shared.size == 0


def test_no_two_examples_of_any_epoch_or_trial_draw_the_same():
    images = [batch[0] for trial in range(4) for batch in _batches(10, trial=trial)]
    assert len(np.unique(np.concatenate(images)[:, 0, 0, 0, 0])) == 4 * 10 * BATCH


def test_batches_run_across_epochs_and_every_epoch_holds_each_case_once():
    cases = np.concatenate([batch[2] for batch in _batches(10)])
    epochs = cases.reshape(6, CASES)  # thirty examples are six epochs
    np.testing.assert_array_equal(np.sort(epochs), [range(CASES)] * 6)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_place_of_an_example_is_that_of_the_stream():
    cases = np.concatenate([batch[2] for batch in _batches(10)])
    for i, case in enumerate(cases):
        assert training_place(CASES, SEED, TRIAL, i) == (i // CASES, case)


def test_every_second_example_is_to_hold_foreground():
    flags = np.concatenate([batch[1][:, 0, 0, 0] for batch in _batches(10)])
    np.testing.assert_array_equal(flags, [1, 0] * 15)
    later = np.concatenate(
        [batch[1][:, 0, 0, 0] for batch in _batches(2, start_step=1)]
    )
    np.testing.assert_array_equal(later, flags[3:9])


def test_the_maker_is_given_plain_numbers():
    given = []

    def make(case, rng, foreground):
        given.append((type(case), type(rng), type(foreground)))
        return (np.int32(0),)

    next(iter(training_examples(make, 2, (((), "int32"),), 0, 0, 4)))
    assert set(given) == {(int, np.random.Generator, bool)}


def test_one_case_makes_an_endless_stream():
    stream = training_examples(_example, 1, PARTS, SEED, TRIAL, 2)
    batches = list(stream.take(3))
    np.testing.assert_array_equal([batch[2] for batch in batches], np.zeros((3, 2)))
    images = np.concatenate([batch[0] for batch in batches])
    assert len(np.unique(images[:, 0, 0, 0, 0])) == 6
    assert stream.cardinality() == tf.data.INFINITE_CARDINALITY


def test_fixed_examples_are_the_same_every_time_and_in_order():
    def make(i: int):
        return _example(i, np.random.default_rng([2, i, 1]), i == 1)

    examples = fixed_examples(make, 5, PARTS, 2)
    for _ in range(2):
        batches = list(examples)
        assert [len(image) for image, _, _ in batches] == [2, 2, 1]
        for k in range(3):
            together = np.concatenate([batch[k] for batch in batches])
            np.testing.assert_array_equal(together, [make(i)[k] for i in range(5)])


def test_the_sets_know_their_shapes_and_types():
    endless = training_examples(_example, CASES, PARTS, SEED, TRIAL, BATCH)
    finite = fixed_examples(_law, 5, PARTS, BATCH)
    for examples, size in ((endless, BATCH), (finite, None)):
        assert examples.element_spec == tuple(
            tf.TensorSpec((size, *shape), dtype) for shape, dtype in PARTS
        )


def test_a_stream_without_a_case_is_refused():
    with pytest.raises(InputError, match="one case or more. Received: n=0"):
        training_examples(_example, 0, PARTS, SEED, TRIAL, BATCH)
    with pytest.raises(InputError, match="one example or more. Received: count=0"):
        fixed_examples(_law, 0, PARTS, BATCH)
