"""What a CT scanner adds to a drawing."""

import numpy as np

from models_genesis_tf.phantoms.scanner import draw_noise, to_stored


def _neighbours_alike(noise: np.ndarray, axis: int) -> float:
    low, high = (np.delete(noise, end, axis).ravel() for end in (-1, 0))
    return np.corrcoef(low, high)[0, 1]


def test_noise_has_grain_in_a_slice_and_none_from_slice_to_slice():
    noise = draw_noise((48, 40, 30), np.random.default_rng(0))
    assert noise.shape == (48, 40, 30) and noise.dtype == np.float32
    assert abs(noise.mean()) < 0.05
    assert _neighbours_alike(noise, 0) > 0.3 and _neighbours_alike(noise, 1) > 0.3
    assert abs(_neighbours_alike(noise, 2)) < 0.05


def test_stored_values_are_whole_numbers_of_12_bits():
    stored = to_stored(np.array([-3000.0, -1024.4, -0.6, 12.4, 3071.2, 9000.0]))
    assert stored.dtype == np.int16
    assert stored.tolist() == [-1024, -1024, -1, 12, 3071, 3071]
