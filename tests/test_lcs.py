"""LiTS's volumes and segmentations become cases by their numbers."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import new_volume, read_volume, write_volume
from models_genesis_tf.tasks import lcs
from models_genesis_tf.tasks.base import PARTS, Case
from models_genesis_tf.tasks.label_maps import read_label, to_classes
from models_genesis_tf.tasks.splits import split_cases


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _write_names(folder: Path, numbers=range(131), suffix=".nii") -> Path:
    """The owner's two folders."""
    for number in numbers:
        batch = folder / f"Training Batch {1 if number < 28 else 2}"
        for kind in ("volume", "segmentation"):
            _touch(batch / f"{kind}-{number}{suffix}")
    return folder


def _write_image(path: Path, array, spacing, origin, direction) -> None:
    """An image of voxels in the file's own order `(i, j, k)`; world LPS."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.transpose(array)))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(np.ravel(direction).tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def test_published_split_is_by_number_and_130_is_not_used(tmp_path):
    listing = lcs.list_cases(_write_names(tmp_path))
    split = split_cases(listing.cases, seed=0)
    numbers = {
        part: [int(case.name.removeprefix("volume-")) for case in getattr(split, part)]
        for part in PARTS
    }
    assert numbers == {
        "train": list(range(100)),
        "valid": list(range(100, 115)),
        "test": list(range(115, 130)),
    }
    assert "130 volumes, 1 from number 130 on are not used" in listing.notice
    patients = [case.patient for case in listing.cases]
    assert patients[3] == "lits_3"
    assert len(set(patients)) == 130


def test_a_volume_goes_with_the_segmentation_of_its_number(tmp_path):
    _write_names(tmp_path, [3, 31], ".nii.gz")
    listing = lcs.list_cases(tmp_path)
    assert [case.name for case in listing.cases] == ["volume-3", "volume-31"]
    case = listing.cases[1]
    assert case.images == (tmp_path / "Training Batch 2" / "volume-31.nii.gz",)
    label = tmp_path / "Training Batch 2" / "segmentation-31.nii.gz"
    assert case.label.files() == (label,)
    assert case.label.identity() == ""


def test_volumes_and_segmentations_may_lie_in_different_folders(tmp_path):
    for number in (0, 12):
        _touch(tmp_path / "volume_pt1" / f"volume-{number}.nii")
        _touch(tmp_path / "segmentations" / f"segmentation-{number}.nii")
    assert len(lcs.list_cases(tmp_path).cases) == 2


def test_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    first = lcs.list_cases(_write_names(tmp_path))
    find = Path.rglob
    monkeypatch.setattr(
        Path, "rglob", lambda self, name: reversed(list(find(self, name)))
    )
    assert lcs.list_cases(tmp_path) == first


@pytest.mark.parametrize(
    "lesions_are_liver, classes", [(True, [0, 1, 1]), (False, [0, 1, 0])]
)
def test_lesions_are_liver_or_not(tmp_path, lesions_are_liver, classes):
    _write_names(tmp_path, [0])
    listing = lcs.list_cases(tmp_path, lesions_are_liver)
    assert listing.classes == ("background", "liver")
    values = to_classes(np.array([0, 1, 2]), listing.label_values)
    assert values.tolist() == classes


def test_unlabelled_tests_are_passed_over_and_counted(tmp_path):
    _write_names(tmp_path)
    for number in range(70):
        _touch(tmp_path / "Testing" / f"test-volume-{number}.nii")
    listing = lcs.list_cases(tmp_path)
    assert len(listing.cases) == 130
    told = "70 without segmentation (test-volume) passed over"
    assert told in listing.notice


def test_segmentations_without_their_volume_are_counted(tmp_path):
    _write_names(tmp_path, [0, 1])
    (tmp_path / "Training Batch 1" / "volume-1.nii").unlink()
    listing = lcs.list_cases(tmp_path)
    assert [case.name for case in listing.cases] == ["volume-0"]
    assert "1 segmentations without their volume" in listing.notice


def test_a_split_without_all_parts_is_not_used(tmp_path):
    listing = lcs.list_cases(_write_names(tmp_path, range(5)))
    assert {case.split for case in listing.cases} == {None}
    assert "is not used (no case for valid and test)" in listing.notice


def test_a_volume_without_segmentation_is_an_error(tmp_path):
    _write_names(tmp_path, range(3))
    (tmp_path / "Training Batch 1" / "segmentation-2.nii").unlink()
    rule = "a volume has its segmentation. Received: .*volume-2.nii without segm"
    with pytest.raises(InputError, match=rule):
        lcs.list_cases(tmp_path)


@pytest.mark.parametrize("name", ["volume-2.nii.gz", "more/segmentation-2.nii"])
def test_a_file_that_is_there_twice_is_an_error(tmp_path, name):
    _write_names(tmp_path, range(3))
    _touch(tmp_path / name)
    kind = Path(name).name.split("-")[0]
    with pytest.raises(InputError, match=f"a {kind} is there once. Received: .* and "):
        lcs.list_cases(tmp_path)


def test_a_folder_without_the_files_says_where_to_get_them(tmp_path):
    _touch(tmp_path / "test-volume-0.nii")
    _touch(tmp_path / "._volume-0.nii")
    with pytest.raises(InputError, match="competitions/17094.*with 0 volumes"):
        lcs.list_cases(tmp_path)


# An oblique grid whose first axis runs to the right and second to the front.
TILT = np.array(
    [[-1, 0, 0], [0, -np.cos(0.2), np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]]
)


def _case(folder: Path) -> Case:
    (case,) = lcs.list_cases(folder).cases
    return case


def test_a_segmentation_lands_on_its_liver_in_the_world(tmp_path):
    """Both files say where they are, in another order of their axes."""
    image = np.full((7, 6, 5), -100, np.int16)
    image[4, 1, 3] = 120
    label = (image == 120).astype(np.uint8)
    spacing, origin = (0.7, 0.8, 2.5), (30.0, 20.0, -10.0)
    _write_image(tmp_path / "volume-0.nii", image, spacing, origin, TILT)
    # The same voxels, the first axis stored backwards.
    first = np.array(origin) + TILT[:, 0] * 6 * spacing[0]
    turned = TILT * [-1, 1, 1]
    _write_image(tmp_path / "segmentation-0.nii", label[::-1], spacing, first, turned)
    case = _case(tmp_path)
    volume = read_volume(case.image)
    labels = read_label(case, volume)
    assert labels.shape == volume.array.shape
    assert np.argwhere(labels).tolist() == np.argwhere(volume.array == 120).tolist()


def test_a_segmentation_with_an_empty_header_has_its_volumes_order(tmp_path):
    """As LiTS's number 53: its matrix is the identity where the volume's is not."""
    image = np.full((7, 6, 5), -100, np.int16)
    image[4, 1, 3] = 120
    label = (image == 120).astype(np.uint8)
    spacing, origin = (0.83593798, 0.83593798, 2.5), (-208.9, 213.2, -632.75)
    # NIfTI's matrix of -0.836, 0.836, 2.5 in RAS, and of 1, 1, 1.
    _write_image(
        tmp_path / "volume-53.nii", image, spacing, origin, np.diag([1.0, -1.0, 1.0])
    )
    _write_image(
        tmp_path / "segmentation-53.nii",
        label,
        (1.0, 1.0, 1.0),
        (-1.0, -1.0, 1.0),
        np.diag([-1.0, -1.0, 1.0]),
    )
    case = _case(tmp_path)
    volume = read_volume(case.image)
    labels = read_label(case, volume)
    assert np.argwhere(volume.array == 120).tolist() == [[4, 4, 3]]
    assert np.argwhere(labels).tolist() == [[4, 4, 3]]


def test_stored_order_survives_axes_that_are_swapped(tmp_path):
    image = np.arange(7 * 6 * 5, dtype=np.int16).reshape(7, 6, 5)
    swapped = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    _write_image(tmp_path / "volume-0.nii", image, (1, 2, 3), (5, 6, 7), swapped)
    _write_image(
        tmp_path / "segmentation-0.nii", image, (1, 1, 1), (0, 0, 0), np.eye(3)
    )
    case = _case(tmp_path)
    volume = read_volume(case.image)
    assert volume.array.shape == (5, 7, 6)
    np.testing.assert_array_equal(read_label(case, volume), volume.array)


def test_a_pair_of_different_shapes_is_an_error(tmp_path):
    for kind, shape in (("volume", (7, 6, 5)), ("segmentation", (7, 6, 4))):
        array = np.zeros(shape, np.int16)
        volume = new_volume(array, (1.0, 1.0, 2.0))
        write_volume(tmp_path / f"{kind}-0.nii", array, volume)
    case = _case(tmp_path)
    rule = r"a segmentation has its image's shape \(7, 6, 5\). Received: .*\(7, 6, 4\)"
    with pytest.raises(InputError, match=rule):
        read_label(case, read_volume(case.image))
