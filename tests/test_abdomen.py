"""Abdominal CTs: a liver where it belongs, which intensity alone does not find."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from models_genesis_tf.phantoms.abdomen import draw_abdomen
from models_genesis_tf.phantoms.liver import CYST, LESION, draw_liver, paint_liver
from models_genesis_tf.phantoms.painting import make_canvas


@pytest.fixture(scope="module")
def abdomens() -> list:
    return [draw_abdomen(np.random.default_rng([5, case])) for case in range(8)]


@pytest.fixture(scope="module")
def soft_tissue(abdomens) -> tuple[np.ndarray, np.ndarray]:
    """HU and label of all voxels of soft tissue, all cases together."""
    arrays = [abdomen.array for abdomen in abdomens]
    chosen = [(array > -50) & (array < 250) for array in arrays]
    values = [array[soft] for array, soft in zip(arrays, chosen, strict=True)]
    labels = [
        abdomen.labels[soft] for abdomen, soft in zip(abdomens, chosen, strict=True)
    ]
    return np.concatenate(values), np.concatenate(labels)


def test_scans_have_the_described_size(abdomens):
    for abdomen in abdomens:
        assert abdomen.array.dtype == np.int16 and abdomen.labels.dtype == np.uint8
        assert abdomen.array.shape == abdomen.labels.shape
        assert abdomen.array.shape[:2] == (128, 128)
        assert 48 <= abdomen.array.shape[2] <= 63
        assert abdomen.spacing[0] == abdomen.spacing[1]
        assert 2.55 <= abdomen.spacing[0] <= 2.75
        assert abdomen.spacing[2] * abdomen.array.shape[2] == pytest.approx(200)
    assert len({abdomen.spacing for abdomen in abdomens}) == len(abdomens)


def test_the_liver_is_one_large_piece_on_the_right(abdomens):
    for abdomen in abdomens:
        liver = abdomen.labels > 0
        litres = np.count_nonzero(liver) * np.prod(abdomen.spacing) / 1e6
        assert 0.9 < litres < 1.9
        assert ndimage.label(liver)[1] == 1
        right = np.count_nonzero(liver[:64])  # x runs to the patient's left
        assert 0.75 < right / np.count_nonzero(liver) < 0.99


def test_intensity_alone_does_not_find_the_liver(soft_tissue):
    values, labels = soft_tissue
    assert 0.3 < roc_auc_score(labels > 0, values) < 0.7


def test_most_of_what_is_as_bright_as_a_liver_is_none(abdomens):
    for abdomen in abdomens:
        liver = abdomen.labels == 1
        smooth = ndimage.gaussian_filter(abdomen.array.astype(np.float32), 1)
        alike = np.abs(smooth - np.median(smooth[liver])) < 25
        elsewhere = np.count_nonzero(alike & ~liver)
        assert elsewhere > 0.3 * np.count_nonzero(alike & liver)


def test_intensity_alone_does_not_find_the_lesions(soft_tissue):
    values, labels = soft_tissue
    darkness = roc_auc_score(labels == 2, -values)
    assert 0.3 < darkness < 0.7


def test_lesions_are_darker_than_their_liver_but_no_darker_than_muscle(abdomens):
    counts = [ndimage.label(abdomen.labels == 2)[1] for abdomen in abdomens]
    assert min(counts) == 0 and max(counts) >= 2
    for abdomen in abdomens:
        lesion = ndimage.binary_erosion(abdomen.labels == 2)
        if np.count_nonzero(lesion) < 30:  # too few for a mean of noisy voxels
            continue
        mean = abdomen.array[lesion].mean()
        assert LESION[0] - 8 < mean < LESION[1] + 8
        assert mean < np.median(abdomen.array[abdomen.labels == 1]) - 10


def test_some_livers_hold_cysts_that_are_no_lesions(abdomens):
    found = 0
    for abdomen in abdomens:
        inner = ndimage.binary_erosion(abdomen.labels == 1, iterations=2)
        smooth = ndimage.gaussian_filter(abdomen.array.astype(np.float32), 0.8)
        found += bool((smooth[inner] < CYST[1] + 15).any())
    assert found >= 2


def test_a_liver_keeps_to_its_room_and_off_the_gall_bladder():
    canvas = make_canvas((64, 64, 32), (5.0, 5.0, 6.0), 0.0)
    room = (canvas.z < 70) & (canvas.x**2 + canvas.y**2 < 120**2)
    liver = draw_liver(canvas, room, 70.0, np.random.default_rng(2))
    assert liver.mask.any() and liver.bladder.any()
    assert not (liver.mask & ~room).any()
    assert not (liver.mask & liver.bladder).any()
    assert (canvas.values == 0).all()
    assert (liver.radius[liver.mask] < 1).all()


def test_painting_a_liver_changes_liver_and_gall_bladder_only():
    canvas = make_canvas((64, 64, 32), (5.0, 5.0, 6.0), -500.0)
    room = (canvas.z < 70) & (canvas.x**2 + canvas.y**2 < 120**2)
    liver = draw_liver(canvas, room, 70.0, np.random.default_rng(2))
    labels = paint_liver(canvas, liver, 100.0, 150.0, np.random.default_rng(3))
    np.testing.assert_array_equal(labels > 0, liver.mask)
    np.testing.assert_array_equal(canvas.values != -500, liver.mask | liver.bladder)
    bladder = canvas.values[liver.bladder]
    assert (bladder == bladder[0]).all() and 10 <= bladder[0] <= 20


def test_a_scan_follows_its_generator():
    first, again, other = (
        draw_abdomen(np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.array, again.array)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert first.spacing != other.spacing
