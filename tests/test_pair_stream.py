"""Element i of the stream is a pure function of the seed and of i."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from models_genesis_tf.config import TransformConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.pipelines.pair_stream import (
    Share,
    training_pairs,
    validation_pairs,
)
from models_genesis_tf.transforms.pairs import genesis_pair

CONFIG = TransformConfig()
SEED = 41
INDICES = np.array([9, 2, 5, 7, 0])
BATCH = 3


@pytest.fixture(
    scope="module", params=[(16, 12, 8, 2), (24, 16, 2)], ids=["cubes", "slices"]
)
def cubes(request) -> np.ndarray:
    rng = np.random.default_rng(1)
    array = rng.random((10, *request.param), np.float32)
    array.flags.writeable = False
    return array


def _pair(cubes, i: int) -> tuple[np.ndarray, np.ndarray]:
    """The law of the stream, written down a second time."""
    epoch, entry = i // len(INDICES), i % len(INDICES)
    order = np.random.default_rng([SEED, 1, epoch]).permutation(len(INDICES))
    cube_index = INDICES[order[entry]]
    rng = np.random.default_rng([SEED, 2, epoch, cube_index])
    return genesis_pair(cubes[cube_index], rng, CONFIG)


def _batches(cubes, count: int, **options) -> list[tuple[np.ndarray, np.ndarray]]:
    stream = training_pairs(cubes, INDICES, SEED, CONFIG, BATCH, **options)
    return [(x.numpy(), y.numpy()) for x, y in stream.take(count)]


@pytest.mark.parametrize("parallel_calls", [1, 2, 8])
@pytest.mark.parametrize("start_step", [0, 1000])
def test_every_element_follows_the_law_bit_for_bit(cubes, parallel_calls, start_step):
    batches = _batches(cubes, 9, parallel_calls=parallel_calls, start_step=start_step)
    for number, (deformed, original) in enumerate(batches):
        for k in range(BATCH):
            i = (start_step + number) * BATCH + k
            expected = _pair(cubes, i)
            np.testing.assert_array_equal(deformed[k], expected[0])
            np.testing.assert_array_equal(original[k], expected[1])


def test_two_runs_are_equal_and_another_seed_differs(cubes):
    first, second = _batches(cubes, 5), _batches(cubes, 5)
    np.testing.assert_array_equal(first, second)
    other = training_pairs(cubes, INDICES, SEED + 1, CONFIG, BATCH)
    assert not np.array_equal(next(iter(other))[0].numpy(), first[0][0])


def test_three_workers_share_the_stream_and_together_give_all_of_it(cubes):
    alone = _batches(cubes, 6, start_step=4)
    shares = [
        _batches(cubes, 6, start_step=4, share=Share(worker, 3)) for worker in range(3)
    ]
    for step in range(6):
        for part in range(2):
            assert shares[0][step][part].shape[0] == BATCH // 3
            together = [shares[k % 3][step][part][k // 3] for k in range(BATCH)]
            np.testing.assert_array_equal(together, alone[step][part])


def test_the_devices_of_workers_take_turns_at_their_share(cubes):
    alone = [
        (x.numpy(), y.numpy())
        for x, y in training_pairs(cubes, INDICES, SEED, CONFIG, 8, 2).take(3)
    ]
    shares = [
        list(training_pairs(cubes, INDICES, SEED, CONFIG, 8, 2, share=share).take(6))
        for share in (Share(0, 2, 2), Share(1, 2, 2))
    ]
    for step in range(3):
        for part in range(2):
            # A worker's two devices take two pairs each: worker 0 the even ones.
            for worker in range(2):
                taken = [shares[worker][2 * step + device][part] for device in range(2)]
                assert [len(batch) for batch in taken] == [2, 2]
                np.testing.assert_array_equal(
                    np.concatenate(taken), alone[step][part][worker::2]
                )


def test_workers_share_validation_pairs_even_where_some_have_none(cubes):
    alone = np.concatenate(
        [x.numpy() for x, _ in validation_pairs(cubes, INDICES, SEED, CONFIG, 7)]
    )
    for worker in range(7):
        share = Share(worker, 7)
        pairs = validation_pairs(cubes, INDICES, SEED, CONFIG, 7, share)
        taken = [x.numpy() for x, _ in pairs]
        assert [len(batch) for batch in taken] == [1] * (worker < len(INDICES))
        for deformed in taken:
            np.testing.assert_array_equal(deformed[0], alone[worker])


def test_batches_run_across_epochs_and_every_epoch_holds_each_cube_once(cubes):
    config = TransformConfig(
        flip_rate=0, nonlinear_rate=0, local_shuffling_rate=0, painting_rate=0
    )
    stream = training_pairs(cubes, INDICES, SEED, config, BATCH)
    originals = np.concatenate([y.numpy() for _, y in stream.take(10)])
    means = originals.reshape(len(originals), -1).mean(axis=1)
    expected = sorted(cubes[INDICES].reshape(5, -1).mean(axis=1))
    orders = means.reshape(6, 5)  # thirty pairs are six epochs
    for epoch in orders:
        np.testing.assert_allclose(sorted(epoch), expected, rtol=1e-6)
    assert len({tuple(epoch) for epoch in orders}) > 1


def test_validation_pairs_are_the_same_every_time_and_in_order(cubes):
    pairs = validation_pairs(cubes, INDICES, SEED, CONFIG, 2)
    first, second = ([(x.numpy(), y.numpy()) for x, y in pairs] for _ in range(2))
    assert [len(x) for x, _ in first] == [2, 2, 1]
    for (x, _), (again, _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x, again)
    deformed = np.concatenate([x for x, _ in first])
    for place, cube_index in enumerate(INDICES):
        rng = np.random.default_rng([SEED, 3, cube_index])
        expected = genesis_pair(cubes[cube_index], rng, CONFIG)
        np.testing.assert_array_equal(deformed[place], expected[0])


def test_the_set_knows_its_shape_and_never_writes_to_a_cube(cubes):
    before = cubes.copy()
    stream = training_pairs(cubes, INDICES, SEED, CONFIG, BATCH)
    spec = tf.TensorSpec((BATCH, *cubes.shape[1:]), tf.float32)
    assert stream.element_spec == (spec, spec)
    for _ in stream.take(4):
        pass
    np.testing.assert_array_equal(cubes, before)


def test_a_batch_that_is_kept_keeps_its_values_while_others_are_made(cubes):
    stream = training_pairs(cubes, INDICES, SEED, CONFIG, BATCH)
    kept = list(stream.take(40))
    for number, (deformed, original) in enumerate(kept):
        expected = _pair(cubes, number * BATCH)
        np.testing.assert_array_equal(deformed[0].numpy(), expected[0])
        np.testing.assert_array_equal(original[0].numpy(), expected[1])


def test_a_stream_trains_a_keras_model_with_fit(cubes):
    import keras

    model = keras.Sequential([keras.Input(cubes.shape[1:]), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    stream = training_pairs(cubes, INDICES, SEED, CONFIG, BATCH)
    history = model.fit(stream, steps_per_epoch=3, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2


def test_a_batch_that_workers_cannot_share_and_an_empty_set_are_refused(cubes):
    share = Share(0, 3, 2)
    for stream in (training_pairs, validation_pairs):
        with pytest.raises(InputError, match=r"=4, 3 worker\(s\) of 2 device\(s\)"):
            stream(cubes, INDICES, SEED, CONFIG, 4, share=share)
    with pytest.raises(InputError, match="one cube or more"):
        training_pairs(cubes, [], SEED, CONFIG, 4)
    with pytest.raises(InputError, match="one cube or more"):
        validation_pairs(cubes, [], SEED, CONFIG, 4)


# One epoch of the whole stream; prints the anonymous memory at its end and its peak.
EPOCH = """
import sys
from pathlib import Path
from models_genesis_tf.config import TransformConfig
from models_genesis_tf.imaging.cube_files import open_cubes
from models_genesis_tf.pipelines.pair_stream import training_pairs

def anonymous_kilobytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

cubes = open_cubes(Path(sys.argv[1]))
stream = training_pairs(cubes, range(len(cubes)), 0, TransformConfig(), 8)
peak = 0
for number, _ in enumerate(stream.take(len(cubes) // 8)):
    if number % 20 == 0:
        peak = max(peak, anonymous_kilobytes())
print(len(cubes), number + 1, max(peak, anonymous_kilobytes()))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_cubes(tmp_path):
    peaks = {}
    for count in (200, 5_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        path = folder / f"bat_{count}_s_64x64x32_0.npy"
        # The larger file, of 2.6 GB, takes no room: zeros are not written.
        np.lib.format.open_memmap(path, "w+", np.float32, (count, 64, 64, 32))
        done = subprocess.run(
            [sys.executable, "-c", EPOCH, str(folder)],
            check=True,
            capture_output=True,
            text=True,
        )
        cubes, batches, kilobytes = map(int, done.stdout.split())
        assert (cubes, batches) == (count, count // 8)
        peaks[count] = kilobytes / 1000
    assert peaks[5_000] < peaks[200] + 75  # MB
