"""Windows cover a scan, their predictions blend exactly, grids come back as they were.

The reference is slow and plain: a padded scan, sums and weights of all windows over the
whole of it, in float64.
"""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.resampling import resample_volume
from models_genesis_tf.imaging.tiling import (
    BLENDINGS,
    Tiling,
    blending_weights,
    predict_resampled,
    predict_slabs,
    predict_tiled,
    resized,
    window_starts,
)
from models_genesis_tf.imaging.volumes import new_volume

OVERLAPS = (0, 0.1, 0.25, 1 / 3, 0.5, 0.7, 0.75, 0.9, 0.99)


def _itself(batch: np.ndarray) -> np.ndarray:
    return batch


def _noise(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """A read-only float32 scan in [0, 1)."""
    scan = rng.random(shape, dtype=np.float32)
    scan.flags.writeable = False
    return scan


def _placed(batch: np.ndarray) -> np.ndarray:
    """Three outputs that depend on the place in the window, so that blending shows."""
    middle = tuple(side // 2 for side in batch.shape[1:-1])
    centre = batch[(slice(None), *middle, slice(0, 1))]
    centre = centre.reshape(-1, *[1] * (batch.ndim - 1))
    place = np.linspace(0, 1, int(np.prod(batch.shape[1:-1])), dtype=np.float32)
    place = place.reshape(batch.shape[1:-1])[..., None]
    first, last = batch[..., :1], batch[..., -1:]
    return np.concatenate([first + place, last * place, centre - first], axis=-1)


def _slow_reference(volume, predict, tiling, num_outputs):
    *sides, channels = volume.shape
    padded_sides = np.maximum(sides, tiling.window)
    before = (padded_sides - sides) // 2
    kept = tuple(slice(b, b + n) for b, n in zip(before, sides, strict=True))
    padded = np.zeros((*padded_sides, channels), np.float32)
    padded[kept] = volume
    sums = np.zeros((*padded_sides, num_outputs))
    total = np.zeros((*padded_sides, 1))
    weight = np.ones((*tiling.window, 1))
    if tiling.blending == "gaussian":
        for place in itertools.product(*map(range, tiling.window)):
            for i, side in zip(place, tiling.window, strict=True):
                weight[place] *= np.exp(-(((i + 0.5 - side / 2) * 8 / side) ** 2) / 2)
    starts = [
        window_starts(side, window, tiling.overlap)
        for side, window in zip(sides, tiling.window, strict=True)
    ]
    for start in itertools.product(*starts):
        box = tuple(slice(s, s + n) for s, n in zip(start, tiling.window, strict=True))
        sums[box] += weight * predict(padded[box][None])[0]
        total[box] += weight
    return (sums / total)[kept]


def _ramp(shape, spacing=1.0):
    """A linear function of the place in mm, the corner of voxel 0 being 0."""
    places = (np.stack(np.indices(shape), axis=-1) + 0.5) * spacing
    return (places @ np.array([0.03, -0.02, 0.01]) + 0.5)[..., None].astype(np.float32)


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_starts_reach_both_ends_in_even_steps_with_the_overlap_asked(overlap):
    for side, window in itertools.product(range(1, 50), range(1, 30)):
        starts = window_starts(side, window, overlap)
        if side <= window:
            assert starts == [0]
            continue
        steps = np.diff(starts)
        assert (starts[0], starts[-1]) == (0, side - window)
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1
        longest = max(1, np.floor(window * (1 - overlap) + 1e-9))
        assert steps.max() <= longest <= window
        # One step fewer would not reach the end.
        assert (len(steps) - 1) * longest < side - window


def test_numbers_of_windows_in_simple_cases():
    for side, window in [(64, 64), (65, 64), (512, 64), (100, 7)]:
        assert len(window_starts(side, window, 0)) == -(-side // window)
    assert window_starts(512, 64, 0.5) == list(range(0, 449, 32))
    assert window_starts(40, 20, 0.9) == list(range(0, 21, 2))
    assert window_starts(10, 4, 0.5) == [0, 2, 4, 6]
    assert window_starts(11, 4, 0.5) == [0, 1, 3, 5, 7]
    assert window_starts(6, 4, 0.999) == [0, 1, 2]


def test_gaussian_weights_have_their_closed_form():
    expected = np.exp([-6, -3, -1, 0, 0, -1, -3, -6])  # standard deviation 1
    np.testing.assert_allclose(blending_weights(8, "gaussian"), expected, rtol=1e-6)
    nine = blending_weights(9, "gaussian")
    assert nine[4] == 1
    np.testing.assert_allclose(nine[0], np.exp(-512 / 81), rtol=1e-6)


@pytest.mark.parametrize("blending", BLENDINGS)
def test_weights_are_symmetric_positive_and_at_most_one(blending):
    for window in (1, 2, 3, 8, 63, 64, 500):
        weights = blending_weights(window, blending)
        assert weights.shape == (window,)
        assert weights.dtype == np.float32
        assert weights.max() == 1
        assert weights.min() >= np.exp(-8)
        np.testing.assert_array_equal(weights, weights[::-1])
        assert (np.diff(weights[: (window + 1) // 2]) >= 0).all()
    assert (blending_weights(7, "constant") == 1).all()


@pytest.mark.parametrize("seed", range(200))
def test_a_function_that_returns_its_input_gives_the_scan_back(seed):
    rng = np.random.default_rng(seed)
    axes = int(rng.integers(2, 4))
    scan = _noise(rng, *rng.integers(1, 20, axes), int(rng.integers(1, 4)))
    tiling = Tiling(
        tuple(rng.integers(1, 16, axes).tolist()),
        float(rng.uniform(0, 0.95)),
        BLENDINGS[seed % 2],
        int(rng.integers(1, 9)),
    )
    found = predict_tiled(scan, _itself, tiling, scan.shape[-1])
    assert found.dtype == np.float32
    assert found.shape == scan.shape
    np.testing.assert_allclose(found, scan, rtol=0, atol=1e-6)


@pytest.mark.parametrize("blending", BLENDINGS)
def test_four_thousand_windows_over_a_voxel_do_not_lose_precision(rng, blending):
    scan = _noise(rng, 24, 24, 24, 1)
    tiling = Tiling((16, 16, 16), 0.95, blending, 16)
    found = predict_tiled(scan, _itself, tiling, 1)
    np.testing.assert_allclose(found, scan, rtol=0, atol=1e-6)


@pytest.mark.parametrize("blending", BLENDINGS)
def test_windows_that_do_not_overlap_change_no_bit(rng, blending):
    scan = _noise(rng, 12, 8, 10, 2)
    found = predict_tiled(scan, _itself, Tiling((4, 4, 5), 0, blending), 2)
    np.testing.assert_array_equal(found, scan)


@pytest.mark.parametrize("blending", BLENDINGS)
@pytest.mark.parametrize("overlap", [0, 0.3, 0.5, 0.8])
@pytest.mark.parametrize(
    ("sides", "window"),
    [
        ((13, 9, 11), (6, 5, 4)),
        ((4, 9, 3), (6, 5, 8)),
        ((3, 2, 1), (8, 7, 6)),
        ((17, 8, 5), (1, 8, 2)),
        ((14, 9), (5, 6)),
        ((3, 20), (6, 7)),
    ],
)
def test_blending_is_that_of_the_slow_reference(rng, sides, window, overlap, blending):
    scan = _noise(rng, *sides, 2)
    tiling = Tiling(window, overlap, blending, 3)
    found = predict_tiled(scan, _placed, tiling, 3)
    expected = _slow_reference(scan, _placed, tiling, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_two_windows_blend_by_their_weights_in_closed_form():
    """Windows 0..7 and 4..11 along x; the first says 0, the second 1."""
    scan = np.zeros((12, 3, 3, 1), np.float32)
    scan[11] = 1  # in the second window alone

    def highest(batch):
        return np.broadcast_to(batch.max((1, 2, 3, 4), keepdims=True), batch.shape)

    weights = np.exp([-6.0, -3, -1, 0, 0, -1, -3, -6])
    blend = weights[:4] / (weights[:4] + weights[4:])
    expected = np.concatenate([np.zeros(4), blend, np.ones(4)])
    found = predict_tiled(scan, highest, Tiling((8, 3, 3), 0.5), 1)
    for row in found[..., 0].reshape(12, 9).T:
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-6)


def test_every_corner_is_covered():
    scan = np.zeros((11, 9, 7, 1), np.float32)
    for corner in itertools.product((0, -1), repeat=3):
        scan[corner] = 1
    for overlap in (0, 0.5, 0.9):
        found = predict_tiled(scan, _itself, Tiling((4, 5, 3), overlap), 1)
        np.testing.assert_allclose(found, scan, rtol=0, atol=1e-6)


def test_probabilities_still_sum_to_one_and_stay_within_their_range(rng):
    def softmax(batch):
        scores = np.exp(4 * _placed(batch))
        return scores / scores.sum(-1, keepdims=True)

    scan = _noise(rng, 15, 12, 9, 2)
    found = predict_tiled(scan, softmax, Tiling((6, 6, 6), 0.6), 3)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=0, atol=1e-6)
    assert found.min() > 0
    assert found.max() < 1 + 1e-6


def test_predict_sees_float32_windows_of_the_scan_in_batches(rng):
    scan = _noise(rng, 10, 9, 8, 2)
    batches = []

    def record(batch):
        batches.append(batch.copy())
        return batch

    predict_tiled(scan, record, Tiling((4, 6, 8), 0.5, batch_size=3), 2)
    assert [len(batch) for batch in batches] == [3, 3, 2]
    seen = np.concatenate(batches)
    assert seen.dtype == np.float32
    places = itertools.product([0, 2, 4, 6], [0, 3])
    expected = [scan[x : x + 4, y : y + 6] for x, y in places]
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 1000])
def test_the_batch_size_bounds_the_batches_and_not_the_result(rng, batch_size):
    scan = _noise(rng, 12, 11, 10, 2)
    sizes = []

    def record(batch):
        sizes.append(len(batch))
        return _placed(batch)

    tiling = Tiling((5, 5, 5), 0.5, batch_size=batch_size)
    found = predict_tiled(scan, record, tiling, 3)
    one = predict_tiled(scan, _placed, Tiling((5, 5, 5), 0.5, batch_size=7), 3)
    np.testing.assert_array_equal(found, one)
    assert max(sizes) <= batch_size
    assert sum(sizes) == np.prod(
        [len(window_starts(side, 5, 0.5)) for side in (12, 11, 10)]
    )


def test_short_sides_are_padded_with_zeros_evenly_and_cropped_back(rng):
    scan = _noise(rng, 3, 4, 9, 1)
    seen = []

    def record(batch):
        seen.append(batch.copy())
        return batch

    found = predict_tiled(scan, record, Tiling((8, 8, 9)), 1)
    np.testing.assert_array_equal(found, scan)
    (batch,) = seen
    expected = np.pad(scan, [(2, 3), (2, 2), (0, 0), (0, 0)])
    np.testing.assert_array_equal(batch, expected[None])


def test_slabs_follow_one_another_and_come_as_soon_as_they_are_done(rng):
    scan = _noise(rng, 21, 6, 6, 2)
    calls = []

    def record(batch):
        calls.append(len(batch))
        return _placed(batch)

    tiling = Tiling((6, 6, 6), 0.5, batch_size=1)
    expected = predict_tiled(scan, _placed, tiling, 3)
    starts = window_starts(21, 6, 0.5)
    reached = 0
    slabs = []
    for number, (first, slab) in enumerate(
        predict_slabs(scan, record, tiling, 3), start=1
    ):
        assert first == reached
        assert len(calls) == number  # windows from here on are not yet predicted
        assert len(slab) == np.diff([*starts, 21])[number - 1]
        reached += len(slab)
        slabs.append(slab)
    assert reached == 21
    assert len(slabs) == len(starts)
    np.testing.assert_array_equal(np.concatenate(slabs), expected)


def test_memory_is_bounded_by_the_thickness_of_a_window(rng):
    """A slab written to, one being added, half a one handed out, and rows of windows.

    A row of windows along z is a quarter of a slab here.
    """
    tiling = Tiling((8, 16, 16), 0.5, batch_size=1)
    slab_bytes = 8 * 64 * 64 * 4 * 4
    peaks = []
    for length in (100, 800):
        scan = _noise(rng, length, 64, 64, 1)
        planes = 0
        tracemalloc.start()
        slabs = predict_slabs(scan, lambda batch: batch.repeat(4, axis=-1), tiling, 4)
        for _, slab in slabs:
            planes += len(slab)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert planes == length
    assert max(peaks) < 3.6 * slab_bytes < 800 * 64 * 64 * 4 * 4 / 25


@pytest.mark.parametrize("window", [(12, 10, 8), (6, 10, 16), (5, 7, 9), (8, 8, 1)])
def test_resized_windows_are_those_of_scipy(rng, window):
    patch = (8, 10, 12)
    batch = _noise(rng, 2, *window, 3)
    seen = []

    def record(patches):
        seen.append(patches)
        return patches[..., :2]

    found = resized(record, patch)(batch)
    assert found.shape == (2, *window, 2)

    def zoomed(array, sides):
        return ndimage.zoom(
            array.astype(np.float64),
            np.divide(sides, array.shape),
            order=1,
            mode="nearest",
            grid_mode=True,
        )

    for entry, channel in itertools.product(range(2), range(3)):
        patches = zoomed(batch[entry, ..., channel], patch)
        np.testing.assert_allclose(seen[0][entry, ..., channel], patches, atol=1e-6)
        if channel < 2:
            back = zoomed(patches, window)
            np.testing.assert_allclose(found[entry, ..., channel], back, atol=1e-6)


def test_halving_takes_means_and_doubling_takes_quarters():
    seen = []

    def record(patches):
        seen.append(patches[0, :, 0, 0])
        return patches

    window = np.array([0, 1, 4, 9], np.float32).reshape(1, 4, 1, 1)
    resized(record, (2, 1))(window)
    resized(record, (8, 1))(window)
    np.testing.assert_array_equal(seen[0], [0.5, 6.5])
    np.testing.assert_array_equal(seen[1], [0, 0.25, 0.75, 1.75, 3.25, 5.25, 7.75, 9])


def test_windows_of_the_patches_size_pass_as_they_are(rng):
    batch = _noise(rng, 2, 6, 5, 4, 1)
    seen = []

    def record(patches):
        seen.append(patches)
        return _placed(patches)

    found = resized(record, (6, 5, 4))(batch)
    assert seen[0] is batch
    np.testing.assert_array_equal(found, _placed(batch))


def test_constants_stay_exactly_constant(rng):
    for value in rng.random(20, dtype=np.float32):
        shape = rng.integers(1, 12, 3)
        scan = np.full((*shape, 1), value)
        patch = tuple(rng.integers(1, 12, 3).tolist())
        assert (resized(_itself, patch)(scan[None]) == value).all()
        target = rng.uniform(0.4, 3, 3)
        # A window as large as the resampled scan blends with nothing.
        found = predict_resampled(
            scan, (1, 1, 1), target, _itself, Tiling((30, 30, 30)), 1
        )
        assert (found == value).all()
        assert found.shape == scan.shape


def test_a_ramp_stays_a_ramp_where_no_value_is_held():
    window, patch = (24, 20, 16), (15, 20, 25)
    ramp = _ramp(window)
    seen = []

    def record(patches):
        seen.append(patches)
        return patches

    found = resized(record, patch)(ramp[None])[0]
    expected = _ramp(patch, np.divide(window, patch))
    core = (slice(1, -1),) * 3
    np.testing.assert_allclose(seen[0][0][core], expected[core], rtol=0, atol=1e-6)
    core = (slice(3, -3),) * 3
    np.testing.assert_allclose(found[core], ramp[core], rtol=0, atol=1e-6)
    assert np.abs(found - ramp).max() > 1e-3  # held at the rim


def test_crop_then_resize_blends_windows_of_another_size_than_the_patch():
    ramp = _ramp((40, 30, 20))
    sides = []

    def record(patches):
        sides.append(patches.shape[1:-1])
        return patches

    tiling = Tiling((16, 16, 16), 0.5, batch_size=4)
    found = predict_tiled(ramp, resized(record, (12, 12, 12)), tiling, 1)
    assert set(sides) == {(12, 12, 12)}
    # A window's rim is held and counts little; the scan's rim has nothing else.
    core = (slice(4, -4),) * 3
    np.testing.assert_allclose(found[core], ramp[core], rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", range(30))
def test_resampled_predictions_come_back_on_the_scans_grid(seed):
    rng = np.random.default_rng(seed)
    sides = tuple(rng.integers(1, 16, 3).tolist())
    spacing, target = rng.uniform(0.4, 3, 3), rng.uniform(0.4, 3, 3)
    scan = _noise(rng, *sides, 1)
    seen = []

    def record(batch):
        seen.append(batch)
        return np.concatenate([batch, 1 - batch], axis=-1)

    resampled = resample_volume(new_volume(scan[..., 0], spacing), tuple(target))
    grid = resampled.array.shape
    found = predict_resampled(scan, spacing, target, record, Tiling(grid), 2)
    (batch,) = seen
    np.testing.assert_allclose(batch[0, ..., 0], resampled.array, rtol=0, atol=1e-6)
    scale = spacing / target
    expected = ndimage.affine_transform(
        resampled.array, scale, scale / 2 - 0.5, sides, order=1, mode="nearest"
    )
    assert found.shape == (*sides, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[..., 0], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[..., 1], 1 - expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("target", [(1.0, 1.0, 1.0), (0.6, 1.7, 2.0), (2.0, 0.9, 0.5)])
def test_a_ramp_of_the_world_survives_resampling_and_tiling(target):
    spacing = (0.8, 1.1, 1.5)
    ramp = _ramp((30, 24, 20), spacing)
    tiling = Tiling((8, 8, 8), 0.5, batch_size=8)
    found = predict_resampled(ramp, spacing, target, _itself, tiling, 1)
    core = (slice(4, -4),) * 3
    np.testing.assert_allclose(found[core], ramp[core], rtol=0, atol=2e-6)


def test_equal_spacing_is_plain_tiling(rng):
    scan = _noise(rng, 9, 8, 7, 2)
    tiling = Tiling((4, 4, 4))
    expected = predict_tiled(scan, _placed, tiling, 3)
    for target in [(0.7, 0.7, 2.5), (0.70001, 0.7, 2.5)]:
        found = predict_resampled(scan, (0.7, 0.7, 2.5), target, _placed, tiling, 3)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"overlap": 1}, "overlap=1"),
        ({"overlap": -0.1}, "overlap=-0.1"),
        ({"overlap": float("nan")}, "overlap=nan"),
        ({"window": (4, 0, 4)}, r"window=\(4, 0, 4\)"),
        ({"window": ()}, r"window=\(\)"),
        ({"blending": "linear"}, "blending=linear"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_settings_out_of_range_are_named(settings, named):
    with pytest.raises(InputError, match=f"Received: {named}"):
        Tiling(**{"window": (4, 4, 4), **settings})


@pytest.mark.parametrize(
    "predict",
    [
        lambda batch: batch[..., 0],
        lambda batch: batch[0],
        lambda batch: batch[:, 1:],
        lambda batch: batch.repeat(2, axis=0),
        lambda batch: batch.repeat(2, axis=-1),
        lambda batch: batch[:, :1, :1, :1],
    ],
)
def test_predictions_of_another_shape_are_refused(rng, predict):
    scan = _noise(rng, 8, 8, 8, 1)
    tiling = Tiling((4, 4, 4), 0)
    with pytest.raises(InputError, match="a prediction has"):
        predict_tiled(scan, predict, tiling, 1)
    with pytest.raises(InputError, match="a prediction has"):
        predict_tiled(scan, resized(predict, (3, 5, 4)), tiling, 1)


def test_too_few_outputs_are_not_broadcast(rng):
    scan = _noise(rng, 8, 8, 8, 1)
    with pytest.raises(InputError, match="num_outputs=3 values.*Received: 1"):
        predict_tiled(scan, _itself, Tiling((4, 4, 4)), 3)


def test_axes_and_spacings_that_do_not_fit_the_scan_are_refused(rng):
    scan = _noise(rng, 8, 8, 8, 1)
    with pytest.raises(InputError, match=r"3 axes. Received: window=\(4, 4\)"):
        predict_tiled(scan, _itself, Tiling((4, 4)), 1)
    tiling = Tiling((4, 4, 4))
    for spacing in [(1, 1), (1, 0, 1), (1, -1, 1), (1, float("nan"), 1)]:
        with pytest.raises(InputError, match="Received: target_spacing="):
            predict_resampled(scan, (1, 1, 1), spacing, _itself, tiling, 1)
        with pytest.raises(InputError, match="Received: spacing="):
            predict_resampled(scan, spacing, (1, 1, 1), _itself, tiling, 1)
