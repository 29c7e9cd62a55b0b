"""Pairs follow the official order and rates; schemes leave on what they name."""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from models_genesis_tf.config import SCHEMES, TRANSFORM_PRESETS, TransformConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.transforms.nonlinear import nonlinear
from models_genesis_tf.transforms.pairs import genesis_pair, scheme_config
from models_genesis_tf.transforms.shuffling import shuffling

DEFAULT = TransformConfig()
OFFICIAL = TRANSFORM_PRESETS["official"]


# Small, and large enough for windows of two voxels along one axis, of which many are
# drawn: shuffling always shows.
@pytest.mark.parametrize("shape", [(20, 8, 8, 1), (80, 16, 1)])
def test_nothing_but_flips_happens_as_often_as_in_the_official_code(shape, rng):
    cube = rng.random(shape, np.float32)
    draws = 15_000
    untouched = 0
    for _ in range(draws):
        deformed, original = genesis_pair(cube, rng, OFFICIAL)
        untouched += np.array_equal(deformed, original)
    # No shuffling, no intensity map, and no painting or one without any window.
    exact = 0.5 * 0.1 * (0.1 + 0.9 * 0.2 * 0.05)
    assert exact == pytest.approx(0.0055, abs=0.0001)
    error = 4 * np.sqrt(exact / draws)
    assert untouched / draws == pytest.approx(exact, abs=error)


@pytest.mark.parametrize("shape", [(16, 12, 8, 2), (16, 12, 2)])
def test_the_original_is_the_cube_up_to_flips_and_the_cube_is_not_written_to(
    shape, rng
):
    cube = rng.random(shape, np.float32)
    before = cube.copy()
    cube.flags.writeable = False
    for _ in range(50):
        deformed, original = genesis_pair(cube, rng, DEFAULT)
        flips = [
            axes
            for count in range(len(shape))
            for axes in itertools.combinations(range(len(shape) - 1), count)
            if np.array_equal(np.flip(original, axes), cube)
        ]
        assert len(flips) == 1
        assert deformed.dtype == original.dtype == np.float32
        assert deformed.shape == cube.shape and not np.shares_memory(deformed, original)
        assert deformed.min() >= 0 and deformed.max() <= 1
    np.testing.assert_array_equal(cube, before)


@pytest.mark.parametrize(
    ("shape", "low", "high"),
    [((32, 32, 16, 1), 0.15, 0.5), ((64, 48, 1), 0.25, 0.7)],  # see test_painting.py
)
def test_the_order_is_shuffling_then_intensities_then_painting(shape, low, high, rng):
    # A map to a constant makes shuffled and unshuffled cubes alike, and paint that
    # came before the map would be mapped to it.
    cube = rng.random(shape, np.float32)
    config = replace(
        DEFAULT,
        flip_rate=0.0,
        local_shuffling_rate=1.0,
        nonlinear_rate=1.0,
        painting_rate=1.0,
        outpainting_share=1.0,
    )
    deformed, _ = genesis_pair(cube, np.random.default_rng(11), config)
    # The same draws by hand; every rate takes one draw, flips stop at their first.
    rng = np.random.default_rng(11)
    rng.random()
    rng.random()
    expected = shuffling(cube, rng, config)
    rng.random()
    expected = nonlinear(expected, rng, config)
    kept = deformed == expected
    assert low < kept.mean() < high
    assert all(places.min() >= 3 for places in np.nonzero(kept[..., 0]))


def _changes(cube, config, rng, draws) -> dict[str, float]:
    """Shares of pairs in which each kind of change can be seen."""
    seen = {"any": 0, "values": 0, "border": 0}
    for _ in range(draws):
        deformed, original = genesis_pair(cube, rng, config)
        seen["any"] += not np.array_equal(deformed, original)
        new = ~np.isin(deformed, original)
        seen["values"] += bool(new.any())
        # Almost all: a new value can be equal to an old one by chance.
        seen["border"] += bool(min(new[0].mean(), new[-1].mean()) > 0.95)
    return {name: count / draws for name, count in seen.items()}


@pytest.mark.parametrize(
    ("scheme", "any_change", "new_values", "new_border"),
    [
        ("autoencoder", 0.0, 0.0, 0.0),
        ("local_shuffling", 0.5, 0.0, 0.0),
        ("nonlinear", 0.9, 0.9, 0.9),
        ("distortion", 1 - 0.5 * 0.1, 0.9, 0.9),
        ("inpainting", 0.9 * 0.95, 0.9 * 0.95, 0.0),
        ("outpainting", 0.9, 0.9, 0.9),
        ("painting", 0.9 * (0.8 + 0.2 * 0.95), 0.9 * (0.8 + 0.2 * 0.95), 0.9 * 0.8),
        ("unified", 1 - 0.00545, None, None),
    ],
)
@pytest.mark.parametrize("shape", [(24, 12, 10, 1), (64, 32, 1)])
def test_a_scheme_changes_cubes_as_often_as_its_transforms_say(
    shape, scheme, any_change, new_values, new_border, rng
):
    cube = (0.1 + 0.8 * rng.random(shape)).astype(np.float32)
    draws = 1500
    shares = _changes(cube, scheme_config(DEFAULT, scheme), rng, draws)
    exact = {"any": any_change, "values": new_values, "border": new_border}
    for name, share in exact.items():
        if share is not None:
            error = 4 * np.sqrt(share * (1 - share) / draws)
            assert shares[name] == pytest.approx(share, abs=error), name


def test_unified_keeps_every_rate_and_an_unknown_scheme_is_refused():
    for preset in TRANSFORM_PRESETS.values():
        assert scheme_config(preset, "unified") == preset
    assert len(SCHEMES) == 8
    with pytest.raises(InputError, match="scheme is one of unified.*scheme=jigsaw"):
        scheme_config(DEFAULT, "jigsaw")


@pytest.mark.parametrize("preset", sorted(TRANSFORM_PRESETS))
@pytest.mark.parametrize(
    "shape", [(8, 8, 1), (64, 40, 3), (224, 224, 1), (8, 8, 8, 1), (9, 11, 13, 4)]
)
def test_pairs_of_any_shape_and_preset_come_out_whole(preset, shape, rng):
    cube = rng.random(shape, np.float32)
    cube.flags.writeable = False
    for _ in range(40):
        for array in genesis_pair(cube, rng, TRANSFORM_PRESETS[preset]):
            assert array.shape == shape and array.dtype == np.float32
            assert array.flags.c_contiguous and np.isfinite(array).all()
            assert array.min() >= 0 and array.max() <= 1


@pytest.mark.parametrize("shape", [(16, 16, 16, 1), (64, 64, 1)])
def test_equal_generators_give_equal_pairs(shape, rng):
    cube = rng.random(shape, np.float32)
    for seed in range(20):
        first = genesis_pair(cube, np.random.default_rng(seed), DEFAULT)
        second = genesis_pair(cube, np.random.default_rng(seed), DEFAULT)
        np.testing.assert_array_equal(first, second)


def test_the_transforms_do_not_import_tensorflow():
    script = (
        "import sys, models_genesis_tf.transforms.pairs; "
        "print(sorted({'tensorflow', 'keras', 'SimpleITK', 'matplotlib'} "
        "& set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
