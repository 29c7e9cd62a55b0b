"""Places in scans, several channels and resized slices become the right arrays."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import new_volume, write_volume
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.case_arrays import Preparation, read_image, target_spacing
from models_genesis_tf.tasks.preparation import prepare_case, prepare_cases

SHAPE = (20, 18, 14)
SPACING = (0.7, 0.9, 2.5)
ORIGIN = (-30.0, 12.0, 55.0)
ANGLE = 0.3
TURNED = np.array(
    [
        [np.cos(ANGLE), -np.sin(ANGLE), 0],
        [np.sin(ANGLE), np.cos(ANGLE), 0],
        [0, 0, 1],
    ]
)
LESION = (12, 6, 9)  # voxel of a bright block's centre
ORDERS = ["LPS", "RAS", "SPL", "AIR", "PIL"]


def write_turned(path: Path, array: np.ndarray, order: str) -> np.ndarray:
    """Writes an oblique scan with its axes stored in some order; gives the lesion's
    world position."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(TURNED.ravel().tolist())
    place = image.TransformContinuousIndexToPhysicalPoint([float(v) for v in LESION])
    sitk.WriteImage(sitk.DICOMOrient(image, order), str(path))
    return np.array(place)


def block() -> np.ndarray:
    """Air with a block of 3 x 3 x 3 voxels of 1000 HU."""
    array = np.full(SHAPE, -1000, np.int16)
    array[tuple(slice(v - 1, v + 2) for v in LESION)] = 1000
    return array


@pytest.mark.parametrize("order", ORDERS)
def test_a_place_that_is_classified_is_found_in_a_scan_stored_along_any_axes(
    tmp_path, order
):
    place = write_turned(tmp_path / "scan.nii.gz", block(), order)
    case = Case("a", (tmp_path / "scan.nii.gz",), 1, "p", None, tuple(place))
    prepared = prepare_case(case, Preparation("ct"), tmp_path / "cache")
    assert prepared.centre == pytest.approx(LESION, abs=1e-4)
    patch = prepared.central_patch((7, 7, 5), None)[..., 0]
    expected = np.zeros((7, 7, 5))
    expected[2:5, 2:5, 1:4] = 1
    np.testing.assert_allclose(patch, expected, atol=1e-3)


@pytest.mark.parametrize("order", ORDERS)
def test_a_place_that_is_segmented_becomes_the_patch_around_it(tmp_path, order):
    place = write_turned(tmp_path / "scan.nii.gz", block(), order)
    write_turned(tmp_path / "mask.nii.gz", (block() > 0).astype(np.uint8), order)
    case = Case(
        "a",
        (tmp_path / "scan.nii.gz",),
        tmp_path / "mask.nii.gz",
        "p",
        None,
        tuple(place),
    )
    preparation = Preparation("ct", SPACING, None, (8, 8, 8), ((0,), (1,)))
    prepared = prepare_case(case, preparation, tmp_path / "cache")
    assert prepared.shape == prepared.original_shape == (8, 8, 8)
    assert prepared.spacing_mm == prepared.original_spacing_mm == SPACING
    # The place is between voxels 3 and 4 of the patch; nearest labels take one side.
    image, label = prepared.image()[..., 0], prepared.label_map()
    centre = np.argwhere(label).mean(axis=0)
    assert np.abs(centre - 3.5).max() <= 0.5 and label.sum() == 27
    weights = image / image.sum()
    found = [(weights * grid).sum() for grid in np.indices(image.shape)]
    assert found == pytest.approx([3.5] * 3, abs=1e-3)


def test_a_patch_is_sampled_at_the_spacing_that_is_asked_for(tmp_path):
    """A ramp of 10 HU per mm along each axis keeps its slope."""
    shape, spacing = (30, 30, 20), (0.8, 1.0, 2.0)
    axes = np.meshgrid(*map(np.arange, shape), indexing="ij")
    world = [axis * step for axis, step in zip(axes, spacing, strict=True)]
    array = (10 * (world[0] + 2 * world[1] - world[2])).astype(np.float32)
    volume = new_volume(array, spacing, ORIGIN)
    write_volume(tmp_path / "ramp.nii.gz", array, volume)
    place = np.array(ORIGIN) + (12, 15, 20)
    case = Case("a", (tmp_path / "ramp.nii.gz",), 1, "p", None, tuple(place))
    setting = Preparation("-2000,2000", (1.0, 1.0, 1.0))
    prepared = prepare_case(case, setting, tmp_path / "cache")
    patch = prepared.central_patch((8, 8, 8), (1.0, 1.0, 1.0))[..., 0] * 4000 - 2000
    offsets = np.arange(8) - 3.5
    x, y, z = np.meshgrid(offsets, offsets, offsets, indexing="ij")
    expected = 10 * ((12 + x) + 2 * (15 + y) - (20 + z))
    np.testing.assert_allclose(patch, expected, atol=1.1)  # float16 on disk: 1 in 4000


def test_a_patch_that_reaches_beyond_its_scan_is_filled_with_zeros(tmp_path):
    volume = new_volume(np.full((10, 10, 10), 1000, np.int16), (1, 1, 1))
    write_volume(tmp_path / "scan.nii.gz", volume.array, volume)
    case = Case("a", (tmp_path / "scan.nii.gz",), 1, "p", None, (0.0, 4.5, 9.0))
    prepared = prepare_case(case, Preparation("ct"), tmp_path / "cache")
    patch = prepared.central_patch((4, 4, 4), None)[..., 0]
    # Along x the samples lie at -1.5, -0.5, 0.5 and 1.5.
    assert patch[:, 1, 1].tolist() == [0, 0.5, 1, 1]
    assert patch[2, 1, :].tolist() == [1, 1, 0.5, 0]


def test_a_place_outside_of_its_scan_is_refused(tmp_path):
    write_turned(tmp_path / "scan.nii.gz", block(), "LPS")
    case = Case("a", (tmp_path / "scan.nii.gz",), 1, "p", None, (500.0, 0.0, 0.0))
    rule = "case a: a place lies inside its scan of 20x18x14 voxels. .*500, 0, 0.* mm"
    with pytest.raises(InputError, match=rule):
        prepare_case(case, Preparation("ct"), tmp_path / "cache")


def test_places_of_one_scan_share_its_arrays(tmp_path):
    place = write_turned(tmp_path / "scan.nii.gz", block(), "LPS")
    cases = [
        Case(f"c{k}", (tmp_path / "scan.nii.gz",), k % 2, "p", None, tuple(place + k))
        for k in range(3)
    ]
    prepared = prepare_cases(cases, Preparation("ct"), tmp_path / "cache")
    assert len({one.image_file for one in prepared.values()}) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert prepared["c0"].image().dtype == np.float16
    assert [prepared[f"c{k}"].label for k in range(3)] == [0, 1, 0]


def test_channels_are_windowed_one_by_one_and_stacked(tmp_path, rng):
    arrays = rng.integers(1, 500, (2, *SHAPE)).astype(np.int16) * [[[[1]]], [[[7]]]]
    arrays[:, :5] = 0
    paths = tuple(tmp_path / f"{name}.nii.gz" for name in ("flair", "t1"))
    for path, array in zip(paths, arrays.astype(np.int16), strict=True):
        write_volume(path, array, new_volume(array, SPACING))
    case = Case("a", paths, 0, "p", None)
    image = prepare_case(case, Preparation("nonzero"), tmp_path / "cache").image()
    assert image.shape == (*SHAPE, 2)
    for channel, array in enumerate(arrays):
        low, high = np.percentile(array[array != 0], (0.5, 99.5))
        expected = np.clip((array - low) / (high - low), 0, 1)
        np.testing.assert_allclose(image[..., channel], expected, atol=1e-6)
        assert not image[:5, ..., channel].any()


def test_channels_on_different_grids_are_refused(tmp_path):
    paths = tuple(tmp_path / f"{name}.nii.gz" for name in ("flair", "t1"))
    for path, side in zip(paths, (8, 9), strict=True):
        array = np.arange(side * 64).reshape(8, 8, side).astype(np.int16)
        write_volume(path, array, new_volume(array, SPACING))
    case = Case("a", paths, 0, "p", None)
    rule = r"a channel has its image's shape \(8, 8, 8\). Received: .*t1.nii.gz"
    with pytest.raises(InputError, match=rule):
        prepare_case(case, Preparation(), tmp_path / "cache")


def test_slices_are_resized_and_depth_is_kept(tmp_path):
    volume = new_volume(block(), SPACING)
    write_volume(tmp_path / "scan.nii.gz", volume.array, volume)
    case = Case("a", (tmp_path / "scan.nii.gz",), 0, "p", None)
    setting = Preparation("ct", None, 36)
    prepared = prepare_case(case, setting, tmp_path / "cache")
    assert prepared.shape == (36, 36, 14)
    assert prepared.spacing_mm == pytest.approx((0.7 * 20 / 36, 0.9 * 18 / 36, 2.5))
    asked = replace(setting, spacing=SPACING)  # a spacing that is asked for wins
    assert prepare_case(case, asked, tmp_path / "cache").shape == SHAPE


def test_the_spacing_of_a_whole_scan_follows_the_settings():
    source = new_volume(block(), SPACING)
    assert target_spacing(Preparation(), source) == SPACING
    sized = Preparation(in_plane_size=10)
    expected = (0.7 * 20 / 10, 0.9 * 18 / 10, 2.5)
    assert target_spacing(sized, source) == pytest.approx(expected)
    spaced = replace(sized, spacing=(1.0, 2.0, 3.0))
    assert target_spacing(spaced, source) == (1.0, 2.0, 3.0)


def test_rows_of_array_files_are_cases_as_they_are(tmp_path, rng):
    images = rng.random((3, 1, 8, 8, 8))  # float64 with an axis of channels
    labels = (images[:, 0] > 0.5).astype(float)
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "m.npy", labels)
    case = Case("b", (tmp_path / "x.npy",), tmp_path / "m.npy", "p", "train", row=1)
    setting = Preparation(spacing=(1.0, 1.0, 1.0), label_values=((0,), (1,)))
    prepared = prepare_case(case, setting, tmp_path / "cache")
    patch = prepared.image_patch((0, 0, 0), (8, 8, 8))
    np.testing.assert_array_equal(patch[..., 0], images[1, 0].astype(np.float32))
    label = prepared.label_patch((0, 0, 0), (8, 8, 8))
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, labels[1])
    np.testing.assert_array_equal(prepared.original_label_map(), labels[1])
    assert not (tmp_path / "cache").exists()


def test_patches_in_npy_files_are_images_of_one_millimetre(tmp_path, rng):
    array = rng.integers(-1000, 1000, (8, 8, 8)).astype(np.int16)
    np.save(tmp_path / "patch.npy", array)
    volume = read_image(tmp_path / "patch.npy")
    np.testing.assert_array_equal(volume.array, array)
    assert volume.spacing == (1.0, 1.0, 1.0)
    np.save(tmp_path / "flat.npy", array[0])
    with pytest.raises(InputError, match=r"three axes.*flat.npy of shape \(8, 8\)"):
        read_image(tmp_path / "flat.npy")
    (tmp_path / "broken.npy").write_bytes(b"half")
    with pytest.raises(InputError, match="whole .npy file.*broken.npy"):
        read_image(tmp_path / "broken.npy")
    np.save(tmp_path / "columns.npy", np.asfortranarray(array))
    volume = read_image(tmp_path / "columns.npy")
    np.testing.assert_array_equal(volume.array, array)


def test_a_patch_that_was_scaled_before_is_not_taken_for_hounsfield_units(tmp_path):
    np.save(tmp_path / "scaled.npy", np.linspace(0, 1, 512).reshape(8, 8, 8))
    case = Case("a", (tmp_path / "scaled.npy",), 1, "p", None)
    rule = "under --window=ct a patch is in HU, .*--window=0,1. Received: .*scaled.npy"
    with pytest.raises(InputError, match=rule):
        prepare_case(case, Preparation("ct"), tmp_path / "cache")
    prepared = prepare_case(case, Preparation("0,1"), tmp_path / "cache")
    assert prepared.image().max() == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("m", 255, "masks hold 0 and 1. .*m.npy with 255"), ("x", -3, "images are in")],
)
def test_rows_of_another_scale_are_refused(tmp_path, rng, name, value, message):
    arrays = {"x": rng.random((3, 8, 8, 8)), "m": np.ones((3, 8, 8, 8))}
    arrays[name][2, 0, 0, 0] = value
    for key, array in arrays.items():
        np.save(tmp_path / f"{key}.npy", array)
    case = Case("b", (tmp_path / "x.npy",), tmp_path / "m.npy", "p", "train", row=1)
    with pytest.raises(InputError, match=message):
        prepare_case(case, Preparation(), tmp_path / "cache")


def test_other_contents_are_another_identity(tmp_path, rng):
    """Of rows of array files, of places of one scan, and of whole images."""
    np.save(tmp_path / "m.npy", np.ones((2, 8, 8, 8)))
    identities = set()
    for seed in (0, 1):
        images = np.random.default_rng(seed).random((2, 8, 8, 8))
        np.save(tmp_path / "x.npy", images)
        for row in (0, 1):
            case = Case(
                "b", (tmp_path / "x.npy",), tmp_path / "m.npy", "p", "train", row=row
            )
            prepared = prepare_case(case, Preparation(), tmp_path / "cache")
            identities.add(prepared.identity)
    assert len(identities) == 4
    place = write_turned(tmp_path / "scan.nii.gz", block(), "LPS")
    for shift in (0, 1):
        case = Case(
            "a", (tmp_path / "scan.nii.gz",), 1, "p", None, tuple(place + shift)
        )
        prepared = prepare_case(case, Preparation("ct"), tmp_path / "cache")
        identities.add(prepared.identity)
    assert len(identities) == 6


def test_arrays_that_were_lost_are_made_again(tmp_path):
    write_turned(tmp_path / "scan.nii.gz", block(), "LPS")
    case = Case("a", (tmp_path / "scan.nii.gz",), 1, "p", None)
    first = prepare_case(case, Preparation("ct"), tmp_path / "cache")
    image = np.array(first.image())
    first.image_file.path.unlink()
    again = prepare_case(case, Preparation("ct"), tmp_path / "cache")
    np.testing.assert_array_equal(again.image(), image)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    write_turned(tmp_path / "scan.nii.gz", block(), "LPS")
    case = Case("a", (tmp_path / "scan.nii.gz",), 1, "p", None)

    def fail(stream, array):
        raise OSError(28, "No space left on device")  # as numpy does, without a name

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(InputError, match="Received: .*cache .No space left on device"):
        prepare_case(case, Preparation("ct"), tmp_path / "cache")
