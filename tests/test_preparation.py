"""Cases become arrays that keep intensities, labels and where both lie."""

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import new_volume, write_volume
from models_genesis_tf.tasks import case_arrays, label_maps, preparation
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.case_arrays import Preparation
from models_genesis_tf.tasks.label_maps import find_label_values
from models_genesis_tf.tasks.preparation import choose_patch_size, prepare_case

SHAPE = (12, 10, 8)
SPACING = (0.8, 1.0, 2.5)
SEGMENTS = Preparation(label_values=((0,), (1,), (5,)))


@pytest.fixture
def arrays(rng) -> tuple[np.ndarray, np.ndarray]:
    """An image, int16, and a label map with the values 0, 1 and 5."""
    image = rng.integers(-500, 1500, SHAPE).astype(np.int16)
    return image, rng.choice(np.array([0, 0, 1, 5], np.uint8), SHAPE)


@pytest.fixture
def case(tmp_path, arrays) -> Case:
    image, label = (new_volume(array, SPACING, (5, 6, 7)) for array in arrays)
    write_volume(tmp_path / "image.nii.gz", image.array, image)
    write_volume(tmp_path / "label.nii.gz", label.array, label)
    return Case(
        "one", (tmp_path / "image.nii.gz",), tmp_path / "label.nii.gz", "patient", None
    )


def write_label(case: Case, array: np.ndarray, spacing=SPACING, origin=(5, 6, 7)):
    volume = new_volume(array, spacing, origin)
    write_volume(case.label, volume.array, volume)


def forbid_reading(monkeypatch):
    def read_volume(path):
        raise AssertionError(f"{path} was read")

    for room in (case_arrays, label_maps):
        monkeypatch.setattr(room, "read_volume", read_volume)


def classes_of(label: np.ndarray) -> np.ndarray:
    return np.where(label == 5, 2, label).astype(np.uint8)


def test_percentiles_become_0_and_1_and_values_become_classes(case, arrays, tmp_path):
    prepared = prepare_case(case, SEGMENTS, tmp_path / "cache")
    image, label = arrays
    low, high = np.percentile(image, (0.5, 99.5))
    expected = np.clip((image - low) / (high - low), 0, 1)
    np.testing.assert_allclose(prepared.image()[..., 0], expected, atol=1e-6)
    np.testing.assert_array_equal(prepared.label_map(), classes_of(label))
    assert prepared.image().dtype == np.float32
    assert prepared.label_map().dtype == np.uint8
    assert prepared.shape == prepared.original_shape == SHAPE
    np.testing.assert_allclose(prepared.spacing_mm, SPACING, rtol=1e-6)
    assert prepared.original_spacing_mm == prepared.spacing_mm
    assert prepared.case == case
    assert prepared.label is None


@pytest.mark.parametrize(
    ("window", "low", "high"), [("ct", -1000, 1000), ("mr", 0, 4000), ("0,80", 0, 80)]
)
def test_fixed_windows_are_the_same_for_every_image(
    case, arrays, tmp_path, window, low, high
):
    prepared = prepare_case(case, replace(SEGMENTS, window=window), tmp_path)
    expected = np.clip((arrays[0] - float(low)) / (high - low), 0, 1)
    np.testing.assert_allclose(prepared.image()[..., 0], expected, atol=1e-6)


def test_a_class_index_is_passed_on_and_no_label_map_is_made(case, tmp_path):
    prepared = prepare_case(replace(case, label=3), Preparation(), tmp_path / "cache")
    assert prepared.label == 3
    assert prepared.label_file is None
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [
        ".json",
        ".npy",
    ]


def test_arrays_are_memory_maps_that_cannot_be_written(case, tmp_path):
    prepared = prepare_case(case, SEGMENTS, tmp_path)
    for array in (prepared.image(), prepared.label_map()):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0, 0] = 1


def test_half_the_spacing_repeats_every_label(case, arrays, tmp_path):
    spacing = tuple(step / 2 for step in SPACING)
    prepared = prepare_case(case, replace(SEGMENTS, spacing=spacing), tmp_path)
    expected = classes_of(arrays[1]).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(prepared.label_map(), expected)
    assert prepared.shape == prepared.image().shape[:3] == expected.shape
    assert prepared.spacing_mm == pytest.approx(spacing)
    assert prepared.original_shape == SHAPE
    assert prepared.original_spacing_mm == pytest.approx(SPACING)


def test_half_the_spacing_interpolates_the_image(case, arrays, tmp_path):
    """New centres lie a quarter of a voxel to either side of the old ones."""
    setting = replace(SEGMENTS, spacing=(0.4, 1.0, 2.5), window="-500,1500")
    image = prepare_case(case, setting, tmp_path).image()[..., 0]
    old = (arrays[0] + 500) / 2000
    np.testing.assert_allclose(image[2::2], 0.75 * old[1:] + 0.25 * old[:-1], atol=1e-5)
    np.testing.assert_allclose(
        image[1:-1:2], 0.75 * old[:-1] + 0.25 * old[1:], atol=1e-5
    )


def test_resampled_labels_are_those_of_the_nearest_voxel(case, arrays, tmp_path):
    spacing = (1.1, 0.7, 1.9)
    prepared = prepare_case(case, replace(SEGMENTS, spacing=spacing), tmp_path)
    nearest = []
    for side, old, new in zip(SHAPE, SPACING, spacing, strict=True):
        centres = (np.arange(round(side * old / new)) + 0.5) * new
        own = (np.arange(side) + 0.5) * old
        nearest.append(np.abs(centres[:, None] - own).argmin(axis=1))
    expected = classes_of(arrays[1])[np.ix_(*nearest)]
    np.testing.assert_array_equal(prepared.label_map(), expected)
    assert prepared.shape == expected.shape
    assert prepared.image().min() >= 0
    assert prepared.image().max() <= 1


@pytest.mark.parametrize("order", ["LPS", "RAS", "SPL", "AIR", "PIL"])
def test_a_label_map_stored_along_other_axes_lies_where_it_lay(
    case, arrays, tmp_path, order
):
    """An oblique scan; the label map is stored with axes swapped and turned round."""
    angle = 0.2
    turned = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]
    direction = np.array([*turned, [0, 0, 1]])
    for path, array in zip((case.image, case.label), arrays, strict=True):
        image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
        image.SetSpacing(SPACING)
        image.SetOrigin((-20.0, 30.0, 40.0))
        image.SetDirection(direction.ravel().tolist())
        if path == case.label:
            image = sitk.DICOMOrient(image, order)
        sitk.WriteImage(image, str(path))
    prepared = prepare_case(case, SEGMENTS, tmp_path / "cache")
    np.testing.assert_array_equal(prepared.label_map(), classes_of(arrays[1]))
    assert prepared.shape == SHAPE


def test_the_same_case_is_found_again_without_reading_it(case, tmp_path, monkeypatch):
    first = prepare_case(case, SEGMENTS, tmp_path / "cache")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert {path.suffix for path in files} == {".npy", ".json"}
    assert len(files) == 3
    forbid_reading(monkeypatch)
    assert prepare_case(case, SEGMENTS, tmp_path / "cache") == first
    assert files == {
        path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()
    }


def test_the_cache_does_not_depend_on_where_the_data_lie(case, tmp_path, monkeypatch):
    first = prepare_case(case, SEGMENTS, tmp_path / "cache")
    (tmp_path / "moved").mkdir()
    image, label = (
        Path(shutil.copy(path, tmp_path / "moved")) for path in (case.image, case.label)
    )
    moved = {"images": (image,), "label": label}
    forbid_reading(monkeypatch)
    again = prepare_case(replace(case, **moved), SEGMENTS, tmp_path / "cache")
    assert again.image_file.path == first.image_file.path


@pytest.mark.parametrize(
    "changed",
    [
        {"window": "ct"},
        {"window": "0,100"},
        {"spacing": (1.0, 1.0, 1.0)},
        {"label_values": ((0,), (5,), (1,))},
    ],
)
def test_other_settings_make_other_files(case, tmp_path, changed):
    first = prepare_case(case, SEGMENTS, tmp_path / "cache")
    other = prepare_case(case, replace(SEGMENTS, **changed), tmp_path / "cache")
    assert other.image_file.path != first.image_file.path
    assert len(list((tmp_path / "cache").iterdir())) == 6


def test_another_layout_makes_other_files(case, tmp_path, monkeypatch):
    first = prepare_case(case, SEGMENTS, tmp_path / "cache")
    monkeypatch.setattr(preparation, "_LAYOUT", 10_000)
    assert prepare_case(case, SEGMENTS, tmp_path / "cache") != first


def test_a_changed_image_or_label_map_is_prepared_anew(case, arrays, tmp_path):
    old = prepare_case(case, SEGMENTS, tmp_path / "cache")
    label = arrays[1].copy()
    label[0, 0, 0] = 5 - label[0, 0, 0] if label[0, 0, 0] != 1 else 0
    write_label(case, label)
    new = prepare_case(case, SEGMENTS, tmp_path / "cache")
    np.testing.assert_array_equal(new.label_map(), classes_of(label))
    np.testing.assert_array_equal(old.label_map(), classes_of(arrays[1]))
    volume = new_volume(arrays[0][::-1], SPACING, (5, 6, 7))
    write_volume(case.image, volume.array, volume)
    newest = prepare_case(case, SEGMENTS, tmp_path / "cache")
    np.testing.assert_array_equal(newest.image(), old.image()[::-1])


def test_a_label_map_that_changed_in_its_middle_is_prepared_anew(rng, tmp_path):
    shape = (128, 128, 200)  # 3.1 MB: neither end sees the middle
    place = new_volume(np.zeros(shape, np.uint8), SPACING)
    image = rng.integers(0, 100, (2, *shape[1:])).astype(np.uint8).repeat(64, axis=0)
    label = np.zeros(shape, np.uint8)
    case = Case("one", (tmp_path / "image.nii",), tmp_path / "label.nii", "p", None)
    write_volume(case.image, image, place)
    for middle in (1, 5):
        label[60:70, 60:70, 100] = middle
        write_volume(case.label, label, place)
        prepared = prepare_case(case, SEGMENTS, tmp_path / "cache")
        np.testing.assert_array_equal(prepared.label_map(), classes_of(label))


def test_a_changed_data_file_of_a_metaimage_is_prepared_anew(arrays, tmp_path):
    volume = new_volume(arrays[0], SPACING)
    write_volume(tmp_path / "scan.mhd", volume.array, volume)
    case = Case("scan", (tmp_path / "scan.mhd",), 0, "p", None)
    header = case.image.read_bytes()
    old = prepare_case(case, Preparation(), tmp_path / "cache")
    write_volume(case.image, volume.array[::-1], volume)
    assert case.image.read_bytes() == header
    new = prepare_case(case, Preparation(), tmp_path / "cache")
    np.testing.assert_array_equal(new.image(), old.image()[::-1])


def test_a_preparation_that_was_cut_short_is_made_again(case, arrays, tmp_path):
    prepared = prepare_case(case, SEGMENTS, tmp_path / "cache")
    (record,) = (tmp_path / "cache").glob("*.json")
    record.unlink()
    prepared.label_file.path.write_bytes(b"half")
    again = prepare_case(case, SEGMENTS, tmp_path / "cache")
    np.testing.assert_array_equal(again.label_map(), classes_of(arrays[1]))


def test_the_record_comes_last_and_no_other_files_stay(case, tmp_path, monkeypatch):
    """A disk that is full when the record is written leaves no complete case."""
    made = []
    replace_file = preparation.os.replace

    def replace_all_but_the_record(part, path):
        made.append(path.suffixes[-1])
        if path.suffix == ".json":
            raise OSError(28, "No space left on device", str(path))
        replace_file(part, path)

    monkeypatch.setattr(preparation.os, "replace", replace_all_but_the_record)
    with pytest.raises(InputError, match="case one: .*No space left on device"):
        prepare_case(case, SEGMENTS, tmp_path / "cache")
    assert made == [".npy", ".npy", ".json"]
    left = [path.name for path in (tmp_path / "cache").iterdir()]
    assert all(name.endswith((".image.npy", ".label.npy")) for name in left)
    assert not any(name.startswith(".") for name in left)


def test_many_at_once_make_one_case(case, arrays, tmp_path):
    results, barrier = [], threading.Barrier(8)

    def work():
        barrier.wait()
        results.append(prepare_case(case, SEGMENTS, tmp_path / "cache"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(results)) == 1
    np.testing.assert_array_equal(results[0].label_map(), classes_of(arrays[1]))
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_the_record_says_where_the_arrays_come_from(case, arrays, tmp_path):
    setting = replace(SEGMENTS, spacing=(1.0, 1.0, 1.0))
    prepare_case(case, setting, tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("*.json")
    record = json.loads(path.read_text())
    assert record["files"] == [str(case.image), str(case.label)]
    assert record["window_ranges"] == [np.percentile(arrays[0], (0.5, 99.5)).tolist()]
    assert record["shape_before"] == list(SHAPE)
    assert record["shape_after"] == [10, 10, 20]
    assert record["spacing_after"] == [1, 1, 1]
    assert record["label_values"] == [[0], [1], [5]]
    assert record["models_genesis_tf"]


@pytest.mark.parametrize(
    ("spacing", "origin", "cut", "differing"),
    [
        (SPACING, (5, 6, 7), 1, r"shape \(12, 10, 8\).*with \(12, 10, 7\)"),
        ((0.8, 1.0, 2.51), (5, 6, 7), 0, r"spacing \(0.8, 1, 2.5\).*\(0.8, 1, 2.51\)"),
        (SPACING, (5, 6, 7.3), 0, r"origin \(5, 6, 7\).*\(5, 6, 7.3\)"),
        (SPACING, (5.1, 6, 7), 0, r"origin \(5, 6, 7\).*\(5.1, 6, 7\)"),
    ],
)
def test_a_label_map_on_another_grid_is_refused(
    case, arrays, tmp_path, spacing, origin, cut, differing
):
    write_label(case, arrays[1][:, :, cut:], spacing, origin)
    with pytest.raises(InputError, match=f"^case one: a label map has .*{differing}"):
        prepare_case(case, SEGMENTS, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


def test_a_label_map_that_is_turned_is_refused(case, tmp_path):
    image = sitk.ReadImage(str(case.label))
    c, s = np.cos(0.01), np.sin(0.01)
    image.SetDirection([c, -s, 0, s, c, 0, 0, 0, 1])
    sitk.WriteImage(image, str(case.label))
    with pytest.raises(InputError, match="case one: a label map has its image's dir"):
        prepare_case(case, SEGMENTS, tmp_path / "cache")


@pytest.mark.parametrize(("axis", "voxels"), [(1, 0.2), (2, 0.08)])
def test_how_far_a_label_map_lies_off_counts_along_the_scans_own_axes(
    case, arrays, tmp_path, axis, voxels
):
    """Both are moved by 0.2 mm: too far for voxels of 1 mm, not for those of 2.5 mm."""
    c, s = np.cos(0.7), np.sin(0.7)
    direction = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    for path in (case.image, case.label):
        image = sitk.ReadImage(str(path))
        image.SetDirection(direction.ravel().tolist())
        if path == case.label:
            step = direction[:, axis] * SPACING[axis] * voxels
            image.SetOrigin((np.array(image.GetOrigin()) + step).tolist())
        sitk.WriteImage(image, str(path))
    if voxels < 0.1:
        prepared = prepare_case(case, SEGMENTS, tmp_path / "cache")
        np.testing.assert_array_equal(prepared.label_map(), classes_of(arrays[1]))
    else:
        with pytest.raises(InputError, match="label map has its image's origin"):
            prepare_case(case, SEGMENTS, tmp_path / "cache")


def test_a_label_map_may_be_off_by_what_files_round(case, arrays, tmp_path):
    write_label(case, arrays[1], (0.8004, 1.0, 2.4995), (5.05, 6.0, 7.2))
    prepared = prepare_case(case, SEGMENTS, tmp_path / "cache")
    np.testing.assert_array_equal(prepared.label_map(), classes_of(arrays[1]))


def test_a_value_that_training_cases_lack_is_an_unknown_class(case, arrays, tmp_path):
    label = arrays[1].copy()
    label[3, 3, 3] = 4
    write_label(case, label)
    with pytest.raises(InputError, match="case one: unknown class.*0, 1, 5.*: 4$"):
        prepare_case(case, SEGMENTS, tmp_path / "cache")


def test_whole_numbers_stored_as_floats_are_labels_and_others_are_not(
    case, arrays, tmp_path
):
    label = arrays[1].astype(np.float32)
    write_label(case, label)
    prepared = prepare_case(case, SEGMENTS, tmp_path / "cache")
    np.testing.assert_array_equal(prepared.label_map(), classes_of(arrays[1]))
    label[2, 2, 2] = 0.5
    write_label(case, label)
    with pytest.raises(InputError, match="case one: .*whole numbers. Received: 0.5"):
        prepare_case(case, SEGMENTS, tmp_path / "cache")
    with pytest.raises(InputError, match="case one: .*whole numbers. Received: 0.5"):
        find_label_values([case])


def test_an_image_of_one_intensity_names_its_case(case, tmp_path):
    volume = new_volume(np.full(SHAPE, 7, np.int16), SPACING, (5, 6, 7))
    write_volume(case.image, volume.array, volume)
    with pytest.raises(InputError, match="case one: a percentile window takes"):
        prepare_case(case, SEGMENTS, tmp_path / "cache")


def test_a_missing_file_names_its_case(case, tmp_path):
    case.image.unlink()
    with pytest.raises(InputError, match="case one: .*image.nii.gz .No such file"):
        prepare_case(case, SEGMENTS, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_names_it(case, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match="case one: .*Received: .*cache"):
        prepare_case(case, SEGMENTS, tmp_path / "cache")


def test_label_values_are_those_of_all_cases_with_0_first(case, arrays, tmp_path):
    other = replace(case, label=tmp_path / "other.nii.gz")
    write_label(other, np.where(arrays[1] == 5, -3, 2).astype(np.int16))
    assert find_label_values([case]) == ((0,), (1,), (5,))
    assert find_label_values([other]) == ((0,), (-3,), (2,))
    assert find_label_values([case, other]) == ((0,), (-3,), (1,), (2,), (5,))


def test_label_maps_of_background_alone_are_refused(case, arrays):
    write_label(case, np.zeros_like(arrays[1]))
    with pytest.raises(InputError, match="Received: 0 other values in 1 training"):
        find_label_values([case])


def test_an_image_in_place_of_a_label_map_is_refused(case):
    with pytest.raises(InputError, match="1 to 255 other values"):
        find_label_values([replace(case, label=case.image)])


@pytest.mark.parametrize(
    ("kind", "shapes", "expected"),
    [
        ("segmentation", [(36, 50, 35)] * 3, (40, 56, 40)),
        ("segmentation", [(512, 512, 133)], (48, 48, 56)),
        ("segmentation", [(512, 512, 9)], (88, 88, 16)),
        ("segmentation", [(64, 64, 5), (64, 64, 7), (64, 64, 30)], (64, 64, 8)),
        ("segmentation", [(64, 64, 32)] * 4, (64, 64, 32)),
        ("segmentation", [(16, 8, 8), (18, 8, 8)], (24, 8, 8)),
        ("classification", [(64, 64, 5), (64, 64, 30)], (64, 64, 32)),
        ("classification", [(64, 64, 5), (64, 64, 33)], (56, 56, 40)),
        ("classification", [(300, 20, 20)], (96, 24, 24)),
        ("classification", [(2, 2, 2)], (8, 8, 8)),
    ],
)
def test_patches_fit_the_images(kind, shapes, expected):
    assert choose_patch_size(shapes, kind) == expected


@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_patches_are_multiples_of_8_no_larger_than_the_official_cube(kind, rng):
    for _ in range(200):
        shapes = rng.integers(2, 400, (rng.integers(1, 9), 3))
        patch = choose_patch_size([tuple(shape) for shape in shapes], kind)
        assert all(side >= 8 and side % 8 == 0 for side in patch)
        assert np.prod(patch) <= 64 * 64 * 32
        assert all(isinstance(side, int) for side in patch)


def test_real_label_maps_are_prepared(shared_data, tmp_path):
    folder = shared_data / "hippocampus"
    image, label = (
        folder / part / "hippocampus_003.nii.gz" for part in ("images", "labels")
    )
    case = Case("hippocampus_003", (image,), label, "hippocampus_003", "train")
    values = find_label_values([case])
    assert values == ((0,), (1,), (2,))
    prepared = prepare_case(case, Preparation(label_values=values), tmp_path)
    assert prepared.shape == prepared.image().shape[:3] == prepared.label_map().shape
    assert set(np.unique(prepared.label_map())) == {0, 1, 2}
