"""Compiled loops over windows and voxels; they release the GIL and share no state.

A kernel takes the caller's `numpy.random.Generator`. A call of `rng.random()` costs
some 4 ns inside numba (`rng.integers` several times that), too much for the quarter of
a million draws of one cube; so a kernel draws one 64-bit start from it and counts on
from there, each count scrambled by the finaliser of SplitMix64 (Steele, Lea, Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014).

Indices are unsigned: numba then leaves out the test for a negative index.
"""

import numpy as np
from numba import njit

TABLE_NODES = 4096
_NEWTON_STEPS = 60
_SOLVED = 1e-10
_STRIDE = np.uint64(0x9E3779B97F4A7C15)
_FACTOR_1 = np.uint64(0xBF58476D1CE4E5B9)
_FACTOR_2 = np.uint64(0x94D049BB133111EB)


@njit(nogil=True, cache=True)
def _draw_start(rng):
    """Draws a start for `_integer_below`, uniform over 64 bits."""
    high = np.uint64(rng.random() * 4294967296.0)
    return (high << np.uint64(32)) | np.uint64(rng.random() * 4294967296.0)


@njit(nogil=True, cache=True)
def _integer_below(count, limit):
    """The integer in 0..limit - 1 of one count, uniform up to limit / 2^32."""
    bits = (count ^ (count >> np.uint64(30))) * _FACTOR_1
    bits = (bits ^ (bits >> np.uint64(27))) * _FACTOR_2
    bits ^= bits >> np.uint64(31)
    return ((bits >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)


@njit(nogil=True, cache=True)
def _draw_side(state, side, limit):
    """Draws a window's length and lowest place along one axis; counts on."""
    size = np.int64(_integer_below(state + _STRIDE, limit)) + 1
    state += _STRIDE + _STRIDE
    return size, np.int64(_integer_below(state, side - size + 1)), state


@njit(nogil=True, cache=True)
def draw_source_map(
    rng: np.random.Generator,
    sides: tuple[int, int, int],
    limits: tuple[int, int, int],
    count: int,
) -> np.ndarray:
    """Draws where each voxel's value comes from when overlapping windows are shuffled.

    Every window permutes the values of the untouched cube, and a later window
    overwrites an earlier one. So the windows are drawn last to first and only the
    places that no later window has filled are drawn: the same distribution at half
    the cost, since part of a uniform permutation is a uniform choice without return.

    Args:
      rng: Generator to draw from.
      sides: The cube's sides in voxels.
      limits: The largest side of a window along each axis; the smallest is 1.
      count: Number of windows.

    Returns:
      Flat index of the source of each voxel, int32 of shape (x * y * z,).
    """
    limit_x, limit_y, limit_z = limits
    source = np.full(sides[0] * sides[1] * sides[2], -1, np.int32)
    inside = np.empty(limit_x * limit_y * limit_z, np.uint32)
    open_places = np.empty_like(inside)
    state = _draw_start(rng)
    for _ in range(count):
        size_x, low_x, state = _draw_side(state, sides[0], limit_x)
        size_y, low_y, state = _draw_side(state, sides[1], limit_y)
        size_z, low_z, state = _draw_side(state, sides[2], limit_z)
        volume = np.uint32(0)
        num_open = np.uint32(0)
        for x in range(low_x, low_x + size_x):
            for y in range(low_y, low_y + size_y):
                first = (x * sides[1] + y) * sides[2] + low_z
                for place in range(first, first + size_z):
                    inside[volume] = place
                    open_places[num_open] = place
                    volume += np.uint32(1)
                    num_open += np.uint32(source[np.uint32(place)] < 0)
        for k in range(num_open):
            state += _STRIDE
            chosen = np.uint32(k + _integer_below(state, volume - k))
            source[open_places[k]] = inside[chosen]
            inside[chosen] = inside[np.uint32(k)]
    for place in range(source.size):
        if source[place] < 0:
            source[place] = place
    return source


@njit(nogil=True, cache=True)
def gather(values: np.ndarray, source: np.ndarray, num_channels: int) -> np.ndarray:
    """Moves the first channels of every voxel by a source map.

    Args:
      values: float32 of shape (voxels, channels).
      source: int32 of shape (voxels,), as from `draw_source_map`.
      num_channels: How many channels move; the others stay.

    Returns:
      A new array of the shape of `values`.
    """
    all_move = num_channels == values.shape[1]
    moved = np.empty_like(values) if all_move else values.copy()
    for channel in range(num_channels):
        for place in range(source.size):
            moved[place, channel] = values[np.uint32(source[place]), channel]
    return moved


@njit(nogil=True, cache=True)
def _cubic(p0, p1, p2, p3, t):
    s = 1.0 - t
    return s * s * (s * p0 + 3.0 * t * p1) + t * t * (3.0 * s * p2 + t * p3)


@njit(nogil=True, cache=True)
def _cubic_slope(p0, p1, p2, p3, t):
    s = 1.0 - t
    return 3.0 * (s * s * (p1 - p0) + 2.0 * s * t * (p2 - p1) + t * t * (p3 - p2))


@njit(nogil=True, cache=True)
def bezier_table(control_x: tuple, control_y: tuple) -> np.ndarray:
    """Tabulates the map x -> y of a cubic Bezier curve.

    Near x = 0 and x = 1 a curve can rise like a square root. The nodes are therefore
    uniform not in x but in u with x = 2 u^2 for u <= 1/2 and x = 1 - 2 (1 - u)^2
    beyond, where such a curve is a straight line.

    Args:
      control_x: x of the four control points, with ends 0 and 1, others in [0, 1].
      control_y: y of the four control points, in [0, 1].

    Returns:
      y at u = k / TABLE_NODES, float32 of shape (TABLE_NODES + 2,); the last value is
      there twice, so that every node has a next one.
    """
    x0, x1, x2, x3 = control_x
    y0, y1, y2, y3 = control_y
    table = np.empty(TABLE_NODES + 2, np.float32)
    table[0] = y0
    table[TABLE_NODES:] = y3
    t, step = 0.0, 0.0
    for k in range(1, TABLE_NODES):
        u = k / TABLE_NODES
        x = 2.0 * u * u if u <= 0.5 else 1.0 - 2.0 * (1.0 - u) * (1.0 - u)
        start = low = t
        high = 1.0
        t = min(t + step, 1.0)
        for _ in range(_NEWTON_STEPS):
            excess = _cubic(x0, x1, x2, x3, t) - x
            if abs(excess) < _SOLVED:
                break
            if excess > 0.0:
                high = t
            else:
                low = t
            slope = _cubic_slope(x0, x1, x2, x3, t)
            t = t - excess / slope if slope > 0.0 else high
            if not low < t < high:
                t = 0.5 * (low + high)
        step = t - start
        table[k] = _cubic(y0, y1, y2, y3, t)
    return table


@njit(nogil=True, cache=True, error_model="numpy")
def apply_table(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Maps values through a table of `bezier_table` with linear interpolation.

    Args:
      values: float32 of shape (voxels,); values outside [0, 1] are taken as its ends.
      table: float32 of shape (TABLE_NODES + 2,).

    Returns:
      A new float32 array of the shape of `values`.
    """
    mapped = np.empty_like(values)
    zero, half, one = np.float32(0.0), np.float32(0.5), np.float32(1.0)
    nodes = np.float32(TABLE_NODES)
    for place in range(values.size):
        x = values[place]
        x = x if x > zero else zero
        x = x if x < one else one
        rest = one - x
        root = np.sqrt(half * (x if x < rest else rest))
        position = nodes * (root if x < rest else one - root)
        node = np.int32(position)
        start = table[np.uint32(node)]
        end = table[np.uint32(node + 1)]
        mapped[place] = start + (position - np.float32(node)) * (end - start)
    return mapped
