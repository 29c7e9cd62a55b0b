"""Pictures as cases: read, resized, windowed and kept; labels that are pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import new_volume, write_volume
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.case_arrays import (
    Preparation,
    is_patch,
    is_place,
    make_arrays,
    read_image,
)
from models_genesis_tf.tasks.label_maps import find_label_values
from models_genesis_tf.tasks.preparation import choose_patch_size, prepare_case
from tests.image_files import GREY, make_dicom, make_png

SEGMENTS = Preparation("0,255", label_values=((0,), (1,), (5,)))
CLASSIFIED = Preparation("0,255", in_plane_size=16)


def _write_png(path: Path, picture: np.ndarray) -> Path:
    bits = 8 * picture.dtype.itemsize
    rows = [row.astype(picture.dtype.newbyteorder(">")).tobytes() for row in picture]
    path.write_bytes(make_png(rows, picture.shape[1], bits, GREY))
    return path


@pytest.fixture
def picture(rng) -> np.ndarray:
    """uint8 (row, column) of 20 rows."""
    return rng.integers(0, 256, (20, 24)).astype(np.uint8)


@pytest.fixture
def labels(rng) -> np.ndarray:
    return rng.choice(np.array([0, 0, 1, 5], np.uint8), (20, 24))


@pytest.fixture
def case(tmp_path, picture, labels) -> Case:
    image = _write_png(tmp_path / "image.png", picture)
    label = _write_png(tmp_path / "label.png", labels)
    return Case("one", (image,), label, "patient", None)


def test_a_picture_is_a_case_and_is_kept_in_half_precision(tmp_path, case, picture):
    prepared = prepare_case(replace(case, label=2), CLASSIFIED, tmp_path / "cache")
    assert prepared.shape == (16, 16, 1) and prepared.original_shape == (24, 20, 1)
    assert prepared.image().dtype == np.float16 and prepared.image().ndim == 4
    assert prepared.label == 2 and prepared.label_file is None
    whole = prepare_case(replace(case, label=2), Preparation("0,255"), tmp_path / "b")
    kept = whole.image()[..., 0, 0]
    np.testing.assert_array_equal(np.round(kept.T.astype(float) * 255), picture)
    patch = whole.central_patch((24, 20, 1), None)
    assert patch.shape == (24, 20, 1, 1) and patch.dtype == np.float32


def test_a_volume_is_kept_in_full_precision(tmp_path, rng):
    volume = new_volume(rng.integers(0, 256, (9, 8, 2)).astype(np.uint8), (1, 1, 1))
    write_volume(tmp_path / "a.nii.gz", volume.array, volume)
    case = Case("a", (tmp_path / "a.nii.gz",), 1, "p", None)
    prepared = prepare_case(case, Preparation("0,255"), tmp_path / "cache")
    assert prepared.image().dtype == np.float32


@pytest.mark.parametrize("label", [(0, 1, 1), (0, 0, 0), (1,)])
def test_a_label_of_several_classes_is_passed_on(tmp_path, case, label):
    several = replace(case, label=label)
    assert several.is_classified and not is_patch(several) and not is_place(several)
    place = replace(several, centre=(0.0, 0.0, 0.0))
    assert is_place(place) and not is_patch(place)
    prepared = prepare_case(several, CLASSIFIED, tmp_path / "cache")
    assert prepared.label == label and prepared.label_file is None
    again = prepare_case(replace(case, label=1), CLASSIFIED, tmp_path / "cache")
    assert again.identity == prepared.identity  # one array, whatever is learned of it
    assert make_arrays(several, CLASSIFIED, ()).label is None
    assert not case.is_classified


def test_a_picture_is_segmented_by_a_picture(tmp_path, case, picture, labels):
    prepared = prepare_case(case, SEGMENTS, tmp_path / "cache")
    classes = np.where(labels == 5, 2, labels).T[..., None]
    np.testing.assert_array_equal(prepared.label_map(), classes)
    np.testing.assert_allclose(
        prepared.image()[..., 0], picture.T[..., None] / 255, atol=3e-4
    )
    assert find_label_values([case]) == ((0,), (1,), (5,))
    halved = replace(SEGMENTS, spacing=(0.5, 0.5, 1.0))
    prepared = prepare_case(case, halved, tmp_path / "cache")
    expected = classes.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(prepared.label_map(), expected)
    np.testing.assert_array_equal(prepared.original_label_map(), classes)


def test_the_label_of_a_dicom_image_needs_no_spacing(tmp_path, picture, labels):
    tags = {(0x28, 0x30): ("DS", "0.3\\0.2")}
    path = tmp_path / "image.dcm"
    path.write_bytes(make_dicom(picture, tags=tags))
    label = _write_png(tmp_path / "label.png", labels)
    prepared = prepare_case(Case("a", (path,), label, "p", None), SEGMENTS, tmp_path)
    np.testing.assert_allclose(prepared.spacing_mm, (0.2, 0.3, 1.0))
    assert prepared.label_map().shape == (24, 20, 1)


def test_a_label_of_other_sides_is_refused(tmp_path, case, labels):
    _write_png(case.label, labels.T.copy())
    with pytest.raises(InputError) as caught:
        prepare_case(case, SEGMENTS, tmp_path / "cache")
    assert str(caught.value) == (
        "case one: a label map has its image's shape (24, 20, 1). "
        f"Received: {case.label} with (20, 24, 1)"
    )


def test_a_damaged_picture_names_its_case(tmp_path, case):
    case.image.write_bytes(case.image.read_bytes()[:-20])
    with pytest.raises(InputError, match="^case one: an image file is whole and und"):
        prepare_case(case, SEGMENTS, tmp_path / "cache")


def test_the_window_of_8_bits_is_not_for_16(tmp_path):
    wide = _write_png(tmp_path / "a.png", np.arange(300, dtype=np.uint16)[None] * 9)
    case = Case("a", (wide,), 0, "p", None)
    with pytest.raises(InputError) as caught:
        prepare_case(case, Preparation("0,255"), tmp_path / "cache")
    assert str(caught.value) == (
        "case a: --window=0,255 is that of images of 8 bits, and others take "
        f"--window=percentile. Received: {wide} with values up to 2691"
    )
    for window in ("percentile", "0,4095"):
        image = prepare_case(case, Preparation(window), tmp_path / "cache").image()
        assert 0 < image.mean() < 1
    dark = _write_png(tmp_path / "b.png", np.arange(200, dtype=np.uint16)[None])
    case = Case("b", (dark,), 0, "p", None)
    assert prepare_case(case, Preparation("0,255"), tmp_path).image().max() < 1


def test_an_image_of_a_case_is_a_picture_a_volume_or_an_array(tmp_path, case, rng):
    assert read_image(case.image).array.shape == (24, 20, 1)
    (tmp_path / "a.dcm").write_bytes(make_dicom(np.zeros((3, 4), np.uint8)))
    assert read_image(tmp_path / "a.dcm").array.shape == (4, 3, 1)
    np.save(tmp_path / "a.npy", rng.random((5, 4, 3)))
    assert read_image(tmp_path / "a.npy").array.shape == (5, 4, 3)


@pytest.mark.parametrize(
    ("shapes", "kind", "expected"),
    [
        ([(64, 64, 1)], "classification", (64, 64, 1)),
        ([(50, 70, 1), (65, 33, 1)], "classification", (96, 96, 1)),
        ([(1024, 1024, 1)] * 3, "classification", (224, 224, 1)),
        ([(50, 70, 1), (65, 33, 1), (64, 40, 1)], "segmentation", (64, 64, 1)),
        ([(512, 256, 1)], "segmentation", (224, 224, 1)),
        ([(20, 20, 2)], "classification", (24, 24, 8)),
    ],
)
def test_the_patch_that_suits_pictures_is_flat(shapes, kind, expected):
    assert choose_patch_size(shapes, kind) == expected
