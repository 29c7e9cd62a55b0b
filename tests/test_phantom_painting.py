"""The brushes: volumes in closed form, soft edges, nothing outside a shape."""

import numpy as np
import pytest
from scipy import interpolate

from models_genesis_tf.phantoms.painting import (
    make_canvas,
    paint,
    paint_ball,
    paint_tube,
    slabs,
    smooth_noise,
    to_mm,
    to_voxels,
)

FINE = 0.5  # mm
NO_LUMPS = np.zeros((0, 4))


@pytest.fixture
def canvas():
    """An empty canvas of 40 mm a side."""
    return make_canvas((80, 80, 80), (FINE, FINE, FINE), 0.0)


def _painted_volume(canvas) -> float:
    """mm3 painted with 1 on 0."""
    return float(canvas.values.sum(dtype=np.float64)) * np.prod(canvas.spacing)


def _ball_volume(radius: float, voxel: float) -> float:
    """Of a ball whose edge falls linearly from 1 to 0 over one voxel.

    Such an edge is the mean of sharp balls with radii r - v/2 to r + v/2.
    """
    return 4 / 3 * np.pi * (radius**3 + radius * voxel**2 / 4)


def _segment_distance(canvas, start, end) -> tuple[np.ndarray, np.ndarray]:
    """Distance of every voxel from a segment, and where on it the nearest point is."""
    grid = np.broadcast_arrays(canvas.x, canvas.y, canvas.z)
    points = np.stack(grid, -1).astype(float)
    share = np.clip((points - start) @ (end - start) / ((end - start) ** 2).sum(), 0, 1)
    nearest = start + share[..., None] * (end - start)
    return np.linalg.norm(points - nearest, axis=-1), share


def test_a_canvas_is_centred_and_its_coordinates_are_millimetres():
    canvas = make_canvas((4, 3, 2), (2.0, 1.5, 5.0), -1000.0)
    np.testing.assert_array_equal(canvas.x.ravel(), [-3, -1, 1, 3])
    np.testing.assert_array_equal(canvas.y.ravel(), [-1.5, 0, 1.5])
    np.testing.assert_array_equal(canvas.z.ravel(), [-2.5, 2.5])
    assert (canvas.x + canvas.y + canvas.z).shape == canvas.values.shape == (4, 3, 2)
    assert (canvas.values == -1000).all() and canvas.values.dtype == np.float32


def test_painting_every_slab_paints_the_whole_once(rng):
    size = (37, 5, 6)
    whole = make_canvas(size, (1.0, 2.0, 3.0), 0.0)
    parts = make_canvas(size, (1.0, 2.0, 3.0), 0.0)
    tube = (rng.uniform(-9, 9, 3), rng.uniform(-9, 9, 3), (4.0, 2.0), 1.0)
    paint(whole, whole.x + whole.y * whole.z > 0, 2.0)
    paint_tube(whole, *tube)
    times = np.zeros(size[0])
    for rows, slab in slabs(parts):
        times[rows] += 1
        paint(slab, slab.x + slab.y * slab.z > 0, 2.0)
        paint_tube(slab, *tube)
    assert (times == 1).all()
    np.testing.assert_array_equal(parts.values, whole.values)
    assert {0.0, 1.0, 2.0} <= set(whole.values.ravel().tolist())


def test_paint_sets_what_is_inside_and_broadcasts():
    canvas = make_canvas((4, 3, 2), (1.0, 1.0, 1.0), 7.0)
    paint(canvas, canvas.x > 0, canvas.z)
    np.testing.assert_array_equal(canvas.values[:2], 7)
    np.testing.assert_array_equal(canvas.values[2:, :, 0], -0.5)
    np.testing.assert_array_equal(canvas.values[2:, :, 1], 0.5)


@pytest.mark.parametrize(
    "shape, cells", [((61, 41, 21), (10, 8, 5)), ((31, 22), (6, 7))]
)
def test_noise_is_standardised_at_its_nodes_and_linear_between_them(shape, cells, rng):
    field = smooth_noise(shape, cells, rng)
    assert field.shape == shape and field.dtype == np.float32
    nodes = field[tuple(slice(None, None, cell) for cell in cells)]
    assert nodes.mean() == pytest.approx(0, abs=1e-5)
    assert nodes.std() == pytest.approx(1, abs=1e-5)
    axes = [np.arange(0, side, cell) for side, cell in zip(shape, cells, strict=True)]
    linear = interpolate.RegularGridInterpolator(axes, nodes)
    expected = linear(np.moveaxis(np.indices(shape), 0, -1))
    np.testing.assert_allclose(field, expected, atol=1e-5)


def test_noise_keeps_its_strength_whatever_the_cells():
    for cells in ((32, 32, 18.6), (9.2, 9.2, 14), (5, 5, 4.1)):
        rng = np.random.default_rng(1)
        fields = [smooth_noise((160, 160, 120), cells, rng) for _ in range(3)]
        assert np.mean(fields) == pytest.approx(0, abs=0.05)
        assert 0.7 < np.std(fields) < 0.85


def test_nodes_of_noise_are_no_farther_apart_than_a_cell(rng):
    field = smooth_noise((100,), (13.7,), rng)
    bends = np.flatnonzero(np.abs(np.diff(field, 2)) > 1e-4)
    # A node between two voxels bends the line at both.
    assert np.diff(np.r_[0, bends, 99]).max() <= 13.7 + 1
    assert 7 <= len(bends) <= 14  # seven nodes inside, each at one voxel or two


def test_noise_follows_from_the_generator():
    first, again, other = (
        smooth_noise((20, 20), (5, 5), np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.9


def test_a_capsule_has_its_volume_in_any_direction(canvas, rng):
    for _ in range(5):
        direction = rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        centre = rng.uniform(-1, 1, 3)
        canvas.values[...] = 0
        paint_tube(
            canvas, centre - 6 * direction, centre + 6 * direction, (4.0, 4.0), 1.0
        )
        cylinder = np.pi * (4**2 + FINE**2 / 12) * 12
        expected = cylinder + _ball_volume(4, FINE)
        assert _painted_volume(canvas) == pytest.approx(expected, rel=2e-3)


def test_a_tapered_tube_has_the_volume_of_a_frustum_between_two_half_balls(canvas):
    paint_tube(canvas, np.array((-8.0, 0, 0)), np.array((8.0, 0, 0)), (6.0, 2.0), 1.0)
    frustum = np.pi * 16 / 3 * (6**2 + 6 * 2 + 2**2) + np.pi * FINE**2 / 12 * 16
    ends = (_ball_volume(6, FINE) + _ball_volume(2, FINE)) / 2
    assert _painted_volume(canvas) == pytest.approx(frustum + ends, rel=3e-3)


@pytest.mark.parametrize("value", [-300.0, 1.0])
def test_a_tube_equals_the_slow_formula_at_every_voxel(value, rng):
    for _ in range(10):
        canvas = make_canvas((24, 20, 12), (1.3, 1.3, 2.7), 40.0)
        start, end = rng.uniform(-20, 20, (2, 3))  # some ends lie outside
        radii = tuple(rng.uniform(0.2, 6, 2))
        paint_tube(canvas, start, end, radii, value)
        distance, share = _segment_distance(canvas, start, end)
        radius = radii[0] + (radii[1] - radii[0]) * share
        cover = np.clip((radius - distance) / 1.3 + 0.5, 0, 1)
        np.testing.assert_allclose(canvas.values, 40 + cover * (value - 40), atol=2e-3)
        outside = distance > max(radii) + 1.3 / 2
        np.testing.assert_array_equal(canvas.values[outside], 40)


def test_the_edge_of_a_tube_is_half_covered_and_one_voxel_wide():
    canvas = make_canvas((101, 3, 3), (1.0, 1.0, 1.0), 0.0)
    wide = np.array((0.0, 0, 0)), np.array((0.0, 0, 1.0))
    paint_tube(canvas, *wide, (10.0, 10.0), 1.0)
    profile = canvas.values[50:, 1, 1]
    np.testing.assert_allclose(profile[:10], 1)
    assert profile[10] == pytest.approx(0.5) and (profile[11:] == 0).all()


def test_tubes_thinner_than_a_voxel_become_fainter():
    covers, volumes = [], []
    for radius in (0.5, 0.4, 0.3, 0.2, 0.1):
        canvas = make_canvas((9, 9, 41), (1.0, 1.0, 1.0), 0.0)
        ends = np.array((0.0, 0, -30)), np.array((0.0, 0, 30))
        paint_tube(canvas, *ends, (radius, radius), 1.0)
        assert canvas.values[4, 4] == pytest.approx(0.5 + radius)
        covers.append(canvas.values.max())
        volumes.append(canvas.values.sum())
    assert np.all(np.diff(covers) < 0) and np.all(np.diff(volumes) < 0)


def test_a_tube_is_painted_only_where_it_may_be(canvas, rng):
    where = rng.random(canvas.values.shape) < 0.5
    ends = np.array((-5.0, 0, 0)), np.array((5.0, 3, 0))
    paint_tube(canvas, *ends, (3.0, 3.0), 1.0, where)
    assert (canvas.values[~where] == 0).all()
    masked = canvas.values.copy()
    canvas.values[...] = 0
    paint_tube(canvas, *ends, (3.0, 3.0), 1.0)
    np.testing.assert_array_equal(masked[where], canvas.values[where])
    assert masked.any()


def test_shapes_beside_the_canvas_change_nothing(canvas):
    for far in ((60.0, 0, 0), (0, -60.0, 0), (0, 0, 60.0)):
        far = np.array(far, float)
        paint_tube(canvas, far, 1.2 * far, (5.0, 5.0), 1.0)
        paint_ball(canvas, far, 10.0, 1.0, NO_LUMPS)
    assert not canvas.values.any()


def test_a_ball_has_its_volume_and_its_place(canvas):
    for radius in (1.0, 4.0, 9.0):
        canvas.values[...] = 0
        centre = np.array((1.3, -2.1, 4.4))
        paint_ball(canvas, centre, radius, 1.0, NO_LUMPS)
        expected = _ball_volume(radius, FINE)
        assert _painted_volume(canvas) == pytest.approx(expected, rel=0.01)
        for axis, place in zip((canvas.x, canvas.y, canvas.z), centre, strict=True):
            mean = (axis * canvas.values).sum() / canvas.values.sum()
            assert mean == pytest.approx(place, abs=0.02)


def test_a_lump_has_its_height_its_side_and_its_volume(canvas):
    # The surface is r (1 + h cos^3), whose volume is 4/3 pi r^3 (1 + 3/7 h^2).
    lump = np.array([[0.0, 0, 3.0, 0.6]])  # a direction of any length
    paint_ball(canvas, np.zeros(3), 8.0, 1.0, lump)
    volume = 4 / 3 * np.pi * 8**3 * (1 + 3 / 7 * 0.6**2)
    assert _painted_volume(canvas) == pytest.approx(volume, rel=5e-3)
    column = canvas.values[40, 40].sum() * FINE  # both sides of the centre
    assert column == pytest.approx(8 * 1.6 + 8 * 0.4, abs=0.1)
    assert canvas.values[40, 40, 40:].sum() * FINE == pytest.approx(8 * 1.6, abs=0.1)
    assert canvas.values[40:, 40, 40].sum() * FINE == pytest.approx(8, abs=0.1)


def test_no_pile_of_lumps_is_cut_off_by_the_box(canvas):
    lumps = np.tile([[0.0, 1.0, 0.0, 0.25]], (4, 1))
    paint_ball(canvas, np.zeros(3), 6.0, 1.0, lumps)
    assert canvas.values[40, 40:, 40].sum() * FINE == pytest.approx(12, abs=0.1)


def test_places_in_voxels_are_coordinates_of_the_canvas():
    canvas = make_canvas((4, 5, 7), (1.0, 2.0, 0.5), 0.0)
    voxels = np.array([(0, 0, 0), (3, 1, 6), (2, 2, 3)])
    places = to_mm(canvas, voxels)
    for (i, j, k), place in zip(voxels, places, strict=True):
        expected = (canvas.x[i, 0, 0], canvas.y[0, j, 0], canvas.z[0, 0, k])
        np.testing.assert_allclose(place, expected)
    np.testing.assert_allclose(to_voxels(canvas, places), voxels)
