"""A DICOM folder reads as one scan, or is refused by the rule that its slices break."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import dicom
from models_genesis_tf.imaging.volumes import read_volume, write_volume

SPACING = (0.7, 0.8, 2.5)
ORIGIN = (-20.0, 30.0, -400.0)
AXIAL = np.eye(3)
SAGITTAL = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@pytest.fixture
def array(rng) -> np.ndarray:
    """Stored values of a small scan, `(column, row, slice)` int16."""
    return rng.integers(-1000, 1000, (6, 5, 8)).astype(np.int16)


def write_slice(
    path: Path,
    plane: np.ndarray,
    position: Sequence[float],
    direction: np.ndarray = AXIAL,
    series: str = "1.2.3.4",
    more: Mapping[str, str] | None = None,
) -> None:
    """Writes one slice `(column, row)` at a world position (mm), as a scanner would."""
    image = sitk.JoinSeries(sitk.GetImageFromArray(np.ascontiguousarray(plane.T)))
    image.SetSpacing(SPACING)
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin([float(place) for place in position])
    tags = {
        "0008|0060": "CT",
        "0020|000d": "1.2.3",
        "0020|000e": series,
        "0020|0032": "\\".join(f"{place:.6f}" for place in position),
        "0020|0037": "\\".join(f"{part:.8f}" for part in direction[:, :2].T.ravel()),
        **(more or {}),
    }
    for key, value in tags.items():
        image.SetMetaData(key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(path))
    writer.Execute(image)


def write_series(
    folder: Path,
    array: np.ndarray,
    heights: Sequence[float] | None = None,
    direction: np.ndarray = AXIAL,
    names: Sequence[str] | None = None,
    series: str = "1.2.3.4",
    shear: float = 0.0,
) -> None:
    """Writes the slices of an array; heights in mm along the normal."""
    count = array.shape[2]
    heights = [SPACING[2] * k for k in range(count)] if heights is None else heights
    names = [f"{k:03d}.dcm" for k in range(count)] if names is None else names
    for k, (height, name) in enumerate(zip(heights, names, strict=True)):
        step = height * direction[:, 2] + shear * height * direction[:, 1]
        position = np.array(ORIGIN) + step
        more = {"0008|0018": f"{series}.{k}", "0010|0020": "LIDC-IDRI-0001"}
        write_slice(folder / name, array[:, :, k], position, direction, series, more)


def refusal(folder: Path) -> str:
    """The one line that says why a folder is refused."""
    with pytest.raises(InputError) as caught:
        read_volume(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


def test_a_series_reads_to_its_array_and_geometry(tmp_path, array):
    write_series(tmp_path, array)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, array)
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(volume.spacing, SPACING, rtol=1e-6)
    np.testing.assert_allclose(volume.origin, ORIGIN, atol=1e-6)
    np.testing.assert_allclose(volume.direction, AXIAL.ravel(), atol=1e-8)


def test_file_names_do_not_order_the_slices(tmp_path, array, rng):
    names = [f"{name:03d}" for name in rng.permutation(array.shape[2])]
    write_series(tmp_path, array, names=names)
    np.testing.assert_array_equal(read_volume(tmp_path).array, array)


def test_a_sagittal_series_is_turned_to_the_patient(tmp_path, array):
    """Columns run to the back, rows to the feet, slices to the right."""
    write_series(tmp_path, array, direction=SAGITTAL)
    volume = read_volume(tmp_path)
    expected = array.transpose(2, 0, 1)[::-1, :, ::-1]
    np.testing.assert_array_equal(volume.array, expected)
    np.testing.assert_allclose(volume.spacing, (2.5, 0.7, 0.8), rtol=1e-6)
    corner = np.array(ORIGIN) - [7 * 2.5, 0, 4 * 0.8]
    np.testing.assert_allclose(volume.origin, corner, atol=1e-5)


def test_a_mask_of_a_series_lies_on_the_series_grid(tmp_path, array):
    write_series(tmp_path / "scan", array, direction=SAGITTAL)
    volume = read_volume(tmp_path / "scan")
    write_volume(tmp_path / "mask.mha", volume.array > 0, volume)
    mask = sitk.ReadImage(str(tmp_path / "mask.mha"))
    stored = sitk.GetArrayFromImage(mask).T
    np.testing.assert_array_equal(stored, array > 0)
    np.testing.assert_allclose(mask.GetOrigin(), ORIGIN, atol=1e-5)
    np.testing.assert_allclose(mask.GetDirection(), SAGITTAL.ravel(), atol=1e-7)
    np.testing.assert_allclose(mask.GetSpacing(), SPACING, rtol=1e-6)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even(tmp_path, array):
    heights = np.round(np.arange(8) * 0.625, 1)
    assert np.ptp(np.diff(heights)) > 0.05
    write_series(tmp_path, array, heights)
    volume = read_volume(tmp_path)
    assert volume.spacing[2] == pytest.approx(heights[-1] / 7, rel=1e-5)
    np.testing.assert_array_equal(volume.array, array)


@pytest.mark.parametrize("missing", range(1, 7))
def test_a_missing_slice_is_refused(tmp_path, array, missing):
    write_series(tmp_path, array)
    (tmp_path / f"{missing:03d}.dcm").unlink()
    text = refusal(tmp_path)
    assert "even gaps" in text
    assert "gaps of 2.500 to 5.000 mm" in text


def test_a_missing_slice_among_three_is_refused(tmp_path, array):
    write_series(tmp_path, array[:, :, :3], heights=(0, 2.5, 7.5))
    assert "even gaps" in refusal(tmp_path)


def test_a_duplicated_slice_is_refused(tmp_path, array):
    heights = [SPACING[2] * k for k in (0, 1, 2, 3, 3, 4, 5, 6)]
    write_series(tmp_path, array, heights)
    text = refusal(tmp_path)
    assert "even gaps" in text
    assert "gaps of 0.000 to 2.500 mm" in text


def test_slices_in_one_place_are_refused(tmp_path, array):
    write_series(tmp_path, array[:, :, :2], heights=(5, 5))
    assert "gaps of 0.000 to 0.000 mm" in refusal(tmp_path)


def test_two_series_are_refused(tmp_path, array):
    write_series(tmp_path, array)
    names = [f"b{k}.dcm" for k in range(8)]
    write_series(tmp_path, array, names=names, series="1.2.3.5")
    text = refusal(tmp_path)
    assert "one series" in text
    assert "with 2 series" in text


def test_two_orientations_in_one_series_are_refused(tmp_path, array):
    write_series(tmp_path, array)
    write_slice(tmp_path / "scout.dcm", array[:, :, 0], ORIGIN, SAGITTAL)
    assert "one orientation" in refusal(tmp_path)


def test_a_tilted_gantry_is_refused(tmp_path, array):
    write_series(tmp_path, array, shear=np.tan(np.radians(15)))
    text = refusal(tmp_path)
    assert "straight above one another" in text
    assert "4.689 mm over 17.500" in text


def test_a_slice_without_a_position_is_refused(tmp_path, array):
    write_series(tmp_path, array[:, :, :3])
    nameless = tmp_path / "001.dcm"
    text = nameless.read_bytes()
    tag = b"\x20\x00\x32\x00"  # (0020,0032), the position
    assert text.count(tag) == 1
    nameless.write_bytes(text.replace(tag, b"\x20\x00\x33\x00"))
    message = refusal(tmp_path)
    assert "gives its position and orientation" in message
    assert nameless.name in message


def test_slices_of_two_sizes_are_refused(tmp_path, array):
    write_series(tmp_path, array[:, :, :3])
    wide = np.zeros((9, 5, 1), np.int16)
    write_series(tmp_path, wide, heights=[7.5], names=["wide.dcm"])
    refusal(tmp_path)


def test_a_single_slice_is_no_scan(tmp_path, array):
    write_series(tmp_path, array[:, :, :1])
    text = refusal(tmp_path)
    assert "a scan is a 3D image" in text
    assert "6x5x1" in text


def test_a_cut_slice_is_refused(tmp_path, array):
    write_series(tmp_path, array)
    path = tmp_path / "004.dcm"
    path.write_bytes(path.read_bytes()[:-30])
    refusal(tmp_path)


def test_a_folder_without_dicom_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    assert "with 0 series" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["a.dcm", "A.DCM", "a.IMA", "IM0001", "1.2.840.113"])
def test_a_dicom_folder_is_known_by_the_mark_in_its_files(tmp_path, array, name):
    folder = tmp_path / "scan"
    write_series(tmp_path, array[:, :, :1], names=["one.dcm"])
    folder.mkdir()
    for other in ("CHANGES", "LICENSE", "README", "VERSION"):
        (folder / other).write_text("no image\n" * 40)
    assert not dicom.is_dicom_folder(folder)
    shutil.move(tmp_path / "one.dcm", folder / name)
    assert dicom.is_dicom_folder(folder)
    assert not dicom.is_dicom_folder(tmp_path)


@pytest.mark.parametrize("name", [".hidden.dcm", "DICOMDIR", "scan.nii"])
def test_hidden_files_and_the_index_make_no_dicom_folder(tmp_path, array, name):
    write_slice(tmp_path / "x.dcm", array[:, :, 0], ORIGIN)
    (tmp_path / "x.dcm").rename(tmp_path / name)
    assert not dicom.is_dicom_folder(tmp_path)


def test_a_header_tells_what_slices_share(tmp_path, array):
    write_series(tmp_path, array)
    (tmp_path / "LICENSE").write_text("no image\n" * 40)
    header = dicom.read_header(tmp_path)
    assert header.series_uid == dicom.read_series_uid(tmp_path) == "1.2.3.4"
    assert header.patient == "LIDC-IDRI-0001"
    assert header.position == ORIGIN
    assert header.orientation == (1, 0, 0, 0, 1, 0)
    assert header.pixel_spacing == SPACING[:2]
    assert header.thickness is None
    write_slice(tmp_path / "000.dcm", array[:, :, 0], ORIGIN, more={"0018|0050": "2.5"})
    assert dicom.read_header(tmp_path).thickness == 2.5


@pytest.mark.parametrize(
    "direction",
    [AXIAL, np.diag([-1.0, 1, -1]), np.diag([1.0, -1, -1]), np.diag([-1.0, -1, 1])],
)
def test_a_place_of_the_header_is_that_of_the_volume(tmp_path, array, direction):
    """Columns and rows as stored; the height is the third coordinate of the slice."""
    write_series(tmp_path, array, direction=direction)
    stored = np.array([4, 1, 6])
    expected = direction @ (stored * SPACING) + ORIGIN
    header = dicom.read_header(tmp_path)
    np.testing.assert_allclose(header.place(4, 1, expected[2]), expected, atol=1e-5)
    volume = read_volume(tmp_path)
    sides = np.array(volume.array.shape)
    x, y, z = np.where(np.diag(direction) < 0, sides - 1 - stored, stored)
    assert volume.array[x, y, z] == array[4, 1, 6]
    corner = np.array(volume.origin) + np.array([x, y, z]) * volume.spacing
    np.testing.assert_allclose(corner, expected, atol=1e-4)


def test_upright_slices_have_no_height(tmp_path, array):
    write_series(tmp_path, array, direction=SAGITTAL)
    with pytest.raises(InputError, match="are axial. Received: series 1.2.3.4 with"):
        dicom.read_header(tmp_path).place(0, 0, 0)


def test_slices_are_named_in_the_order_in_which_they_stack(tmp_path, array, rng):
    names = [f"{name:03d}" for name in rng.permutation(8)]
    heights = [SPACING[2] * k for k in range(8)][::-1]
    write_series(tmp_path, array, heights, names=names)
    uids = dicom.read_slice_uids(tmp_path)
    assert uids == tuple(f"1.2.3.4.{k}" for k in reversed(range(8)))
    stored = read_volume(tmp_path).array
    for index, uid in enumerate(uids):
        written = array[:, :, int(uid.rpartition(".")[2])]
        np.testing.assert_array_equal(stored[:, :, index], written)
    assert dicom.read_slice_gap(tmp_path) == pytest.approx(2.5)


def test_one_slice_has_no_gap(tmp_path, array):
    write_series(tmp_path, array[:, :, :1])
    with pytest.raises(InputError, match="a gap takes two slices"):
        dicom.read_slice_gap(tmp_path)


def test_headers_that_cannot_be_read_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="holds DICOM files"):
        dicom.read_header(tmp_path)
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + b"nothing")
    with pytest.raises(InputError, match="a header that SimpleITK reads.*a.dcm"):
        dicom.read_series_uid(tmp_path)
