"""Cubes are windowed crops at the places that are written down, and nothing else."""

import dataclasses

import numpy as np
import pytest

from models_genesis_tf.config import CubeConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import acceptance, cube_sampling
from models_genesis_tf.imaging.cube_sampling import crop, sample_cubes
from models_genesis_tf.imaging.resampling import resample_volume
from models_genesis_tf.imaging.volumes import new_volume, read_volume
from models_genesis_tf.phantoms.chest import draw_chest

NONE = CubeConfig(
    cube_size=(16, 16, 8), acceptance="none", window="ct", cubes_per_volume=20
)


@pytest.fixture(scope="module")
def chest():
    phantom = draw_chest(np.random.default_rng(1), (128, 128, 64))
    return new_volume(phantom.array, phantom.spacing)


def _noise(rng, shape=(40, 36, 30)):
    array = rng.integers(-1200, 1500, shape).astype(np.int16)
    return new_volume(array, (0.7, 0.8, 2.5))


def _boxes(sample, size):
    for x, y, z in sample.starts:
        yield slice(x, x + size[0]), slice(y, y + size[1]), slice(z, z + size[2])


def test_cubes_are_the_windowed_crops_at_their_places(rng):
    volume = _noise(rng)
    sample = sample_cubes(volume, NONE, "scan")
    assert sample.cubes.dtype == np.float32 and sample.cubes.shape == (20, 16, 16, 8)
    assert sample.spacing == (0.7, 0.8, 2.5)
    assert sample.rule == "none" and sample.window == "ct"
    for cube, box in zip(sample.cubes, _boxes(sample, NONE.cube_size), strict=True):
        hounsfield = np.clip(volume.array[box].astype(float), -1000, 1000)
        np.testing.assert_allclose(cube, (hounsfield + 1000) / 2000, atol=1e-6)
        assert cube.min() >= 0 and cube.max() <= 1


def test_places_are_distinct_and_every_place_is_found_where_there_are_few(rng):
    sample = sample_cubes(_noise(rng, (17, 18, 8)), NONE, "scan")
    places = {tuple(start) for start in sample.starts.tolist()}
    assert places == {(x, y, 0) for x in range(2) for y in range(3)}
    assert len(sample.starts) == 6


def test_places_follow_from_the_seed_and_the_scan_s_own_name(rng):
    volume = _noise(rng)
    places = sample_cubes(volume, NONE, "a/scan").starts
    np.testing.assert_array_equal(sample_cubes(volume, NONE, "a/scan").starts, places)
    assert not np.array_equal(sample_cubes(volume, NONE, "b/scan").starts, places)
    other = dataclasses.replace(NONE, seed=1)
    assert not np.array_equal(sample_cubes(volume, other, "a/scan").starts, places)


def test_every_chest_cube_obeys_the_official_rule(chest):
    config = CubeConfig(cube_size=(16, 16, 8))
    sample = sample_cubes(chest, config, "scan", luna16=True)
    assert sample.rule == "chest_ct" and sample.window == "ct"
    assert "shrink" in sample.notice
    assert len(sample.cubes) == 32
    assert (sample.starts >= (25, 25, 8)).all()
    assert (sample.starts <= (128 - 17 - 25, 128 - 17 - 25, 64 - 12 - 8)).all()
    shares = (sample.cubes >= 0.425).mean(axis=(1, 2, 3))
    np.testing.assert_array_equal(sample.tissue, shares)
    for x, y, z in sample.starts:
        tissue = chest.array[x : x + 16, y : y + 16, z : z + 9] >= -150
        here, above = tissue[..., :-1], tissue[..., 1:]
        score = here.mean() + 0.5 * (~here & above).mean()
        assert score <= 0.15


def test_a_lower_bound_on_tissue_leaves_no_empty_cube(chest):
    config = CubeConfig(cube_size=(16, 16, 8), min_tissue=0.03)
    sample = sample_cubes(chest, config, "scan")
    assert sample.tissue.min() >= 0.03
    unbounded = sample_cubes(chest, CubeConfig(cube_size=(16, 16, 8)), "scan")
    assert unbounded.tissue.min() < 0.03


def test_a_scan_without_an_acceptable_window_gives_the_reason():
    tissue = new_volume(np.full((128, 128, 128), 40, np.int16), (1, 1, 1))
    config = CubeConfig(cube_size=(16, 16, 8), acceptance="chest_ct")
    with pytest.raises(InputError, match="1600 draws. Received: acceptance=chest_ct"):
        sample_cubes(tissue, config, "scan")


class _CountingGenerator:
    """Draws like a generator and counts its draws."""

    def __init__(self, rng):
        self._rng = rng
        self.draws = 0

    def integers(self, low, high):
        self.draws += 1
        return self._rng.integers(low, high)


def test_drawing_gives_up_after_50_windows_per_cube_wanted(rng):
    array = np.zeros((100, 100, 100), np.int16)
    config = CubeConfig(
        cube_size=(16, 16, 8), acceptance="foreground", cubes_per_volume=3
    )
    rule = acceptance.make_rule(array, config)
    counting = _CountingGenerator(rng)
    starts, tissue = cube_sampling.draw_starts(array, rule, config, counting, 0.0)
    assert starts == [] and tissue == []
    assert counting.draws == 3 * 50 * 3  # three coordinates each


def test_padded_voxels_are_zero_and_are_never_tissue(rng):
    array = rng.integers(0, 2, (16, 16, 6)).astype(np.int16) * 100
    config = CubeConfig(
        cube_size=(16, 16, 8),
        acceptance="foreground",
        window="90,200",  # its lower end lies above Otsu's threshold
        cubes_per_volume=4,
    )
    sample = sample_cubes(new_volume(array, (1, 1, 1)), config, "scan")
    np.testing.assert_array_equal(sample.starts, [(0, 0, -1)])
    assert sample.tissue[0] == np.count_nonzero(array) / (16 * 16 * 8)
    cube = sample.cubes[0]
    assert (cube[:, :, 0] == 0).all() and (cube[:, :, 7] == 0).all()
    inside = np.where(array == 100, 10 / 110, 0)
    np.testing.assert_allclose(cube[:, :, 1:7], inside, atol=1e-6)


def test_percentile_windows_pad_with_zero_in_integer_scans(rng):
    array = rng.integers(3, 1000, (16, 16, 7)).astype(np.uint16)
    config = CubeConfig(cube_size=(16, 16, 8), acceptance="none", window="percentile")
    cube = sample_cubes(new_volume(array, (1, 1, 1)), config, "scan").cubes[0]
    assert (cube[:, :, 7] == 0).all() and cube[:, :, :7].max() == 1


def test_a_box_inside_the_scan_is_a_view_and_beyond_it_the_fill(rng):
    array = rng.random((6, 7, 8)).astype(np.float32)
    inside = crop(array, (1, 2, 3), (4, 4, 4), -1.0)
    assert np.shares_memory(inside, array)
    np.testing.assert_array_equal(inside, array[1:5, 2:6, 3:7])
    box = crop(array, (-2, 0, 5), (9, 7, 6), -1.0)
    assert box.shape == (9, 7, 6) and box.dtype == np.float32
    for x, y, z in np.ndindex(box.shape):
        here = (x - 2, y, z + 5)
        known = all(0 <= at < side for at, side in zip(here, array.shape, strict=True))
        assert box[x, y, z] == (array[here] if known else -1.0)


@pytest.mark.parametrize(
    ("kind", "fill", "expected"),
    [
        (np.uint8, -1000.0, 0),
        (np.uint8, 900.0, 255),
        (np.int16, 10.7, 10),
        (np.int16, -10.2, -11),
        (np.int16, -np.inf, -32768),
    ],
)
def test_the_fill_of_integers_is_the_one_below_that_they_can_hold(kind, fill, expected):
    box = crop(np.ones((2, 2, 2), kind), (0, 0, 0), (2, 2, 3), fill)
    assert box.dtype == kind and (box[:, :, 2] == expected).all()


def test_auto_windows_are_ct_for_ct_and_percentiles_else(rng):
    auto = CubeConfig(cube_size=(16, 16, 8), acceptance="none", cubes_per_volume=1)
    assert sample_cubes(_noise(rng), auto, "scan").window == "ct"
    mr = new_volume(rng.integers(0, 900, (20, 20, 20)), (1, 1, 1))
    assert sample_cubes(mr, auto, "scan").window == "percentile"
    named = dataclasses.replace(auto, window="mr")
    cube = sample_cubes(mr, named, "scan").cubes[0]
    assert cube.max() == pytest.approx(900 / 4000, abs=0.01)


def test_a_scan_of_one_intensity_gives_no_cube():
    flat = new_volume(np.full((40, 40, 40), 7.0, np.float32), (1, 1, 1))
    config = CubeConfig(cube_size=(32, 32, 32), acceptance="foreground")
    with pytest.raises(InputError, match="more than one intensity"):
        sample_cubes(flat, config, "scan")


def test_places_of_a_resampled_scan_are_on_the_new_grid(rng):
    volume = resample_volume(_noise(rng, (20, 20, 16)), (0.7, 0.8, 1.25))
    sample = sample_cubes(volume, NONE, "scan")
    assert sample.spacing == (0.7, 0.8, 1.25)
    assert sample.starts[:, 2].max() > 16 - 8  # beyond what the old grid had
    box = next(_boxes(sample, NONE.cube_size))
    expected = (np.clip(volume.array[box], -1000, 1000) + 1000) / 2000
    np.testing.assert_allclose(sample.cubes[0], expected, atol=1e-6)


SLICES = dataclasses.replace(NONE, cube_size=(32, 64, 1))


def test_slices_are_whole_windowed_and_each_taken_once(rng):
    volume = _noise(rng, (32, 64, 12))
    sample = sample_cubes(volume, SLICES, "scan")
    assert sample.cubes.shape == (12, 32, 64, 1)  # of 20 wanted, all that there are
    assert sample.spacing == (0.7, 0.8, 2.5)
    assert sorted(sample.starts.tolist()) == [[0, 0, z] for z in range(12)]
    assert sample.starts[:, 2].tolist() != list(range(12))
    for image, (_, _, z) in zip(sample.cubes, sample.starts, strict=True):
        hounsfield = np.clip(volume.array[:, :, z].astype(float), -1000, 1000)
        np.testing.assert_allclose(image[..., 0], (hounsfield + 1000) / 2000, atol=1e-6)


def test_slices_follow_from_the_seed_and_the_scan_s_own_name(rng):
    volume = _noise(rng, (32, 64, 60))
    places = sample_cubes(volume, SLICES, "a/scan").starts
    np.testing.assert_array_equal(sample_cubes(volume, SLICES, "a/scan").starts, places)
    assert not np.array_equal(sample_cubes(volume, SLICES, "b/scan").starts, places)
    assert len(places) == SLICES.cubes_per_volume


def test_slices_are_resized_over_the_same_extent():
    x, y, z = np.meshgrid(*(np.arange(side) for side in (96, 96, 3)), indexing="ij")
    array = (4.0 * x - 3.0 * y + 100 * z).astype(np.float32)
    config = dataclasses.replace(SLICES, window="-1000,1000")
    sample = sample_cubes(new_volume(array, (0.5, 0.5, 2)), config, "scan")
    assert sample.spacing == pytest.approx((1.5, 0.75, 2))
    for image, (_, _, plane) in zip(sample.cubes, sample.starts, strict=True):
        # The centre of new pixel i lies at (i + 1/2) * 96 / side - 1/2; inside, an
        # average of what is linear is its value at the centre.
        along_x = 4.0 * ((np.arange(32) + 0.5) * 3 - 0.5)
        along_y = 3.0 * ((np.arange(64) + 0.5) * 1.5 - 0.5)
        expected = (along_x[:, None] - along_y + 100 * plane + 1000) / 2000
        found = image[1:-1, 1:-1, 0]
        np.testing.assert_allclose(found, expected[1:-1, 1:-1], atol=0.002)


def test_chest_slices_hold_lung_and_their_share_of_tissue_is_written_down(chest):
    config = CubeConfig(cube_size=(64, 64, 1))
    sample = sample_cubes(chest, config, "scan", luna16=True)
    assert sample.rule == "chest_slices" and sample.window == "ct"
    assert len(sample.cubes) == 32
    for (_, _, z), tissue in zip(sample.starts, sample.tissue, strict=True):
        plane = chest.array[:, :, z]
        middle = plane[32:96, 32:96]
        assert np.mean((middle > -950) & (middle < -500)) >= 0.2
        assert tissue == np.mean(plane >= -150)


def test_a_picture_is_one_slice_by_its_percentiles_or_the_range_given(rng):
    array = rng.integers(0, 200, (96, 128, 1)).astype(np.uint8)
    picture = new_volume(array, (1, 1, 1))
    auto = CubeConfig(cube_size=(96, 128, 1))
    sample = sample_cubes(picture, auto, "scan")
    assert sample.rule == "none" and sample.window == "percentile"
    assert sample.starts.tolist() == [[0, 0, 0]]
    whole = dataclasses.replace(auto, window="0,255")
    image = sample_cubes(picture, whole, "scan").cubes[0]
    np.testing.assert_allclose(image, array / 255, atol=1e-6)


def test_hippocampus_crops_give_8_cubes_or_more(shared_data):
    config = CubeConfig(acceptance="foreground", cube_size=(32, 32, 32))
    paths = sorted((shared_data / "hippocampus" / "images").iterdir())[::20]
    for path in paths:
        sample = sample_cubes(read_volume(path), config, path.name)
        assert len(sample.cubes) >= 8 and sample.tissue.min() >= 0.2
        assert sample.window == "percentile"
        assert len(np.unique(sample.starts, axis=0)) == len(sample.cubes)
        assert sample.cubes.std(axis=(1, 2, 3)).min() > 0.05


def test_sarcoma_crops_give_8_cubes_or_more(shared_data):
    config = CubeConfig(acceptance="foreground")
    for path in sorted((shared_data / "sarcoma_ct" / "images").iterdir()):
        sample = sample_cubes(read_volume(path), config, path.name)
        assert len(sample.cubes) >= 8 and sample.tissue.min() >= 0.2
        assert sample.window == "ct"


def test_a_real_chest_ct_gives_32_cubes_by_default(shared_data):
    volume = read_volume(shared_data / "lidc_ct" / "LIDC-IDRI-0001.nii.gz")
    sample = sample_cubes(volume, CubeConfig(), "LIDC-IDRI-0001")
    assert sample.rule == "chest_ct" and sample.notice == ""
    assert len(np.unique(sample.starts, axis=0)) == 32
    assert sample.tissue.max() <= 0.15
