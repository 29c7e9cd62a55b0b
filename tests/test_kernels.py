"""The compiled kernels agree with exact curves, closed forms and slow references."""

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy.optimize import brentq

from models_genesis_tf.transforms import kernels

OFFICIAL_SIDES = (64, 64, 32)
OFFICIAL_LIMITS = (6, 6, 3)
OFFICIAL_WINDOWS = 10_000


def _literal_source_map(rng, sides, limits, count) -> np.ndarray:
    """Windows first to last, each a full permutation of the untouched places."""
    places = np.arange(np.prod(sides)).reshape(sides)
    source = places.copy()
    for _ in range(count):
        size = [rng.integers(1, limit + 1) for limit in limits]
        low = [
            rng.integers(0, side - length + 1)
            for side, length in zip(sides, size, strict=True)
        ]
        window = tuple(slice(a, a + b) for a, b in zip(low, size, strict=True))
        source[window] = rng.permutation(places[window].ravel()).reshape(size)
    return source.ravel()


@pytest.mark.parametrize(
    ("sides", "limits"), [((9, 8, 7), (4, 3, 2)), ((9, 8, 1), (4, 3, 1))]
)
def test_one_window_permutes_its_voxels_and_reaches_no_farther(sides, limits, rng):
    for _ in range(300):
        source = kernels.draw_source_map(rng, sides, limits, 1)
        assert sorted(source) == list(range(source.size))
        moved = np.flatnonzero(source != np.arange(source.size))
        for axis in range(3):
            span = np.unravel_index(moved, sides)[axis]
            assert len(span) == 0 or np.ptp(span) < limits[axis]


def test_every_permutation_of_a_window_is_equally_likely(rng):
    # A cube of three voxels in a row and windows of one to three: by enumeration.
    sides, limits, draws = (3, 1, 1), (3, 1, 1), 60_000
    exact: Counter = Counter()
    for size in (1, 2, 3):
        for low in range(3 - size + 1):
            inside = list(range(low, low + size))
            orders = list(itertools.permutations(inside))
            for order in orders:
                source = list(range(3))
                source[low : low + size] = order
                exact[tuple(source)] += 1 / 3 / (4 - size) / len(orders)
    drawn = Counter(
        tuple(kernels.draw_source_map(rng, sides, limits, 1).tolist())
        for _ in range(draws)
    )
    assert set(drawn) == set(exact)
    for source, chance in exact.items():
        error = 4.5 * np.sqrt(chance / draws)
        assert drawn[source] / draws == pytest.approx(chance, abs=error)


def test_later_windows_overwrite_earlier_ones_and_all_read_the_untouched_cube(rng):
    # Two voxels, two windows. A window spans both with chance 1/2 and then swaps them
    # with chance 1/2; a swap by the first shows only where a last window of one left
    # the other place alone: chance 1/4 for the place times 1/4 for the swap.
    draws = 40_000
    drawn = Counter(
        tuple(kernels.draw_source_map(rng, (2, 1, 1), (2, 1, 1), 2).tolist())
        for _ in range(draws)
    )
    exact = {(1, 0): 1 / 4, (0, 0): 1 / 16, (1, 1): 1 / 16, (0, 1): 5 / 8}
    for source, chance in exact.items():
        error = 4.5 * np.sqrt(chance / draws)
        assert drawn[source] / draws == pytest.approx(chance, abs=error), source


def test_shuffling_moves_as_many_voxels_as_the_official_code(rng):
    moved, distinct, shifts = [], [], []
    for _ in range(20):
        source = kernels.draw_source_map(
            rng, OFFICIAL_SIDES, OFFICIAL_LIMITS, OFFICIAL_WINDOWS
        )
        places = np.arange(source.size)
        moved.append(np.mean(source != places))
        distinct.append(len(np.unique(source)) / source.size)
        origin = np.array(np.unravel_index(source, OFFICIAL_SIDES))
        shift = np.abs(origin - np.unravel_index(places, OFFICIAL_SIDES))
        shifts.append(shift.mean(axis=1))
        assert (shift.max(axis=1) <= (5, 5, 2)).all()
    assert np.mean(moved) == pytest.approx(0.785, abs=0.003)
    assert np.mean(distinct) == pytest.approx(0.788, abs=0.003)
    np.testing.assert_allclose(np.mean(shifts, axis=0), (1.1, 1.1, 0.5), atol=0.06)


@pytest.mark.parametrize(
    ("sides", "limits"), [((6, 5, 4), (3, 2, 2)), ((12, 10, 1), (3, 2, 1))]
)
def test_source_maps_have_the_distribution_of_the_literal_procedure(sides, limits, rng):
    places, count, draws = np.prod(sides), 12, 6000

    def shares(draw) -> np.ndarray:
        """How often each place takes its value from each other place."""
        table = np.zeros((places, places))
        for _ in range(draws):
            table[np.arange(places), draw(rng, sides, limits, count)] += 1
        return table

    ours, literal = shares(kernels.draw_source_map), shares(_literal_source_map)
    assert (ours[literal == 0] < 12).all()
    often = literal + ours > 40
    z = (ours - literal)[often] / np.sqrt((ours + literal)[often])
    assert np.abs(z).max() < 5
    assert z.std() == pytest.approx(1.0, abs=0.06)


def test_gather_moves_the_first_channels_only(rng):
    values = rng.random((50, 4), np.float32)
    values.flags.writeable = False
    source = rng.permutation(50).astype(np.int32)
    moved = kernels.gather(values, source, 2)
    np.testing.assert_array_equal(moved[:, :2], values[source, :2])
    np.testing.assert_array_equal(moved[:, 2:], values[:, 2:])


def _exact_bezier(control_x, control_y, values: np.ndarray) -> np.ndarray:
    """Solves x(t) = value for t, then y(t), in float64."""

    def cubic(points, t: float) -> float:
        s = 1 - t
        return (
            s**3 * points[0]
            + 3 * s**2 * t * points[1]
            + 3 * s * t**2 * points[2]
            + t**3 * points[3]
        )

    t = [
        brentq(lambda t, x=x: cubic(control_x, t) - x, 0, 1, xtol=1e-14)
        for x in values.astype(np.float64)
    ]
    return np.array([cubic(control_y, parameter) for parameter in t])


def test_tables_are_within_a_ten_thousandth_of_the_exact_curve():
    rng = np.random.default_rng(7)
    errors = []
    for _ in range(2000):
        x1, x2, y1, y2 = rng.random(4)
        ends = (0.0, 1.0) if rng.random() < 0.5 else (1.0, 0.0)
        curve = (0.0, x1, x2, 1.0), (ends[0], y1, y2, ends[1])
        values = np.concatenate([rng.random(18), [1e-4, 1 - 1e-4]]).astype(np.float32)
        mapped = kernels.apply_table(values, kernels.bezier_table(*curve))
        errors.append(np.abs(mapped - _exact_bezier(*curve, values)).max())
    assert np.quantile(errors, 0.99) < 1e-4
    assert max(errors) < 1e-3


@pytest.mark.parametrize(
    ("control_x", "control_y"),
    [
        ((0.0, 0.0, 0.0, 1.0), (0.0, 1.0, 1.0, 1.0)),  # vertical at the left end
        ((0.0, 1.0, 1.0, 1.0), (0.0, 0.0, 0.0, 1.0)),  # vertical at the right end
        ((0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)),  # vertical in the middle
    ],
)
def test_curves_with_vertical_tangents_stay_monotone_and_end_right(
    control_x, control_y
):
    table = kernels.bezier_table(control_x, control_y)
    assert table[0] == 0 and table[-1] == 1
    assert (np.diff(table) >= -1e-6).all()
    values = np.linspace(0, 1, 33, dtype=np.float32)[1:-1]
    values = values[np.abs(values - 0.5) > 0.02]
    mapped = kernels.apply_table(values, table)
    exact = _exact_bezier(control_x, control_y, values)
    np.testing.assert_allclose(mapped, exact, atol=2e-3)


def test_values_beyond_the_range_are_taken_as_its_ends():
    table = kernels.bezier_table((0.0, 0.2, 0.6, 1.0), (1.0, 0.9, 0.2, 0.0))
    values = np.array([-1.0, 0.0, 1.0, 2.0], np.float32)
    np.testing.assert_array_equal(kernels.apply_table(values, table), [1, 1, 0, 0])


@pytest.mark.parametrize(
    "name", ["draw_source_map", "gather", "bezier_table", "apply_table"]
)
def test_kernels_release_the_interpreter_lock_and_are_kept_on_disk(name):
    kernel = getattr(kernels, name)
    assert kernel.targetoptions["nogil"]
    assert type(kernel._cache).__name__ == "FunctionCache"
