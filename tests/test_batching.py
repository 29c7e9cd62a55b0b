"""Batches of parts of any shape and type lie in aligned memory that is used again."""

import numpy as np
import pytest
import tensorflow as tf

from models_genesis_tf.pipelines import batching
from models_genesis_tf.pipelines.batching import map_batches

PARTS = (((4, 3, 2, 2), "float32"), ((4, 3, 2), "uint8"), ((), "int32"))


def _example(i: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng([3, i, 1])
    mask = rng.integers(0, 256, (4, 3, 2), np.uint8)
    return rng.random((4, 3, 2, 2), np.float32), mask, np.int32(-i)


def _positions(count: int, batch_size: int, whole: bool = False) -> tf.data.Dataset:
    return tf.data.Dataset.range(count).batch(batch_size, drop_remainder=whole)


@pytest.mark.parametrize("parallel_calls", [None, 1, 4])
def test_every_part_keeps_its_values_shape_and_type_in_order(parallel_calls):
    batches = list(map_batches(_positions(11, 4), _example, PARTS, parallel_calls))
    assert [len(image) for image, _, _ in batches] == [4, 4, 3]
    for k, (_, dtype) in enumerate(PARTS):
        together = np.concatenate([batch[k].numpy() for batch in batches])
        assert together.dtype == dtype
        np.testing.assert_array_equal(together, [_example(i)[k] for i in range(11)])


def test_the_set_knows_its_shapes_and_types():
    whole = map_batches(_positions(8, 4, True), _example, PARTS)
    short = map_batches(_positions(8, 4), _example, PARTS)
    for batches, size in ((whole, 4), (short, None)):
        assert batches.element_spec == tuple(
            tf.TensorSpec((size, *shape), dtype) for shape, dtype in PARTS
        )


def test_one_part_alone_makes_a_tuple_of_one():
    (batch,) = map_batches(_positions(3, 3), lambda i: (i,), (((), np.int64),))
    np.testing.assert_array_equal(batch, [[0, 1, 2]])


@pytest.mark.parametrize(
    "example, message",
    [
        ((np.zeros(1, np.float32), 0), r"Received: shapes=\[\(1,\), \(\)\]"),
        ((np.zeros(5, np.float32),), r"Received: shapes=\[\(5,\)\]"),
        ((np.zeros(5, np.float32), 0.5), "Cannot cast"),
    ],
)
def test_an_example_of_another_form_is_refused_not_broadcast(example, message):
    parts = (((5,), "float32"), ((), "int32"))
    batches = map_batches(_positions(2, 2), lambda _: example, parts)
    with pytest.raises(tf.errors.OpError, match=message):
        next(iter(batches))


def test_a_batch_that_is_kept_keeps_its_values_while_others_are_made():
    kept = list(map_batches(_positions(120, 3), _example, PARTS, 2))
    for number, batch in enumerate(kept):
        for part, expected in zip(batch, _example(number * 3), strict=True):
            np.testing.assert_array_equal(part[0], expected)


def test_the_memory_of_batches_is_used_again(monkeypatch):
    made = []

    def count(shape, dtype):
        made.append((shape, dtype))
        return aligned_empty(shape, dtype)

    aligned_empty = batching._aligned_empty
    monkeypatch.setattr(batching, "_aligned_empty", count)
    monkeypatch.setattr(batching, "_BUFFERS", batching._Buffers())
    for _ in range(10):  # one set of data after the other, as epochs make them
        for _ in map_batches(_positions(60, 3), _example, PARTS, 2):
            pass
    # Two in the making, two ahead, one with the consumer, of each part; some more
    # wait to be let go.
    assert set(made) == {((3, *shape), np.dtype(dtype)) for shape, dtype in PARTS}
    for kind in set(made):
        assert 1 <= made.count(kind) <= 20


def test_parts_of_one_shape_and_two_types_do_not_share_memory():
    parts = (((4,), "float32"), ((4,), "int32"))
    batches = map_batches(
        _positions(300, 3),
        lambda i: (np.full(4, i + 0.5, np.float32), np.full(4, i)),
        parts,
        2,
    )
    for number, (halves, wholes) in enumerate(batches):
        expected = [[3 * number + k] * 4 for k in range(3)]
        np.testing.assert_array_equal(wholes, expected)
        np.testing.assert_array_equal(halves, np.add(expected, 0.5))


@pytest.mark.parametrize(
    "shape, dtype", [((1, 8, 8, 8, 1), "float32"), ((3, 9, 7), "uint8"), ((5,), "i4")]
)
def test_memory_of_batches_is_aligned_so_that_tensorflow_takes_it_uncopied(
    shape, dtype
):
    for _ in range(20):
        array = batching._aligned_empty(shape, np.dtype(dtype))
        assert array.shape == shape and array.dtype == dtype
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous and array.flags.writeable
