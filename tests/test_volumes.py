"""Every format reads to one LPS array without a copy; results return to its grid."""

import gc
import itertools
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import volumes
from models_genesis_tf.imaging.volumes import list_scans, read_volume, write_volume

SPACING = (0.7, 0.8, 2.5)
ORIGIN = (-20.5, 30.25, -400.0)
FORMATS = {  # name of the file: whether SimpleITK compresses it
    "raw.mhd": False,
    "zraw.mhd": True,
    "plain.mha": False,
    "packed.mha": True,
    "plain.nii": False,
    "packed.nii.gz": True,
    "plain.nrrd": False,
    "packed.nrrd": True,
}
ORIENTATIONS = [
    (axes, signs)
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


@pytest.fixture
def array(rng) -> np.ndarray:
    """An asymmetrical scan `(x, y, z)`, int16."""
    return rng.integers(-1000, 1000, (7, 6, 5)).astype(np.int16)


def make_image(
    stored: np.ndarray, spacing=SPACING, origin=ORIGIN, direction=None
) -> sitk.Image:
    """A SimpleITK image of an array with its first index along the first axis."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(stored.T))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(np.asarray(direction, float).ravel().tolist())
    return image


def write_image(path: Path, image: sitk.Image, compressed: bool = False) -> Path:
    sitk.WriteImage(image, str(path), compressed)
    return path


def store(array: np.ndarray, axes, signs) -> sitk.Image:
    """Stores an LPS array with stored axis j along world axis `axes[j]`, by signs."""
    steps = tuple(slice(None, None, sign) for sign in signs)
    direction = np.zeros((3, 3))
    origin = np.array(ORIGIN)
    for stored_axis, (world, sign) in enumerate(zip(axes, signs, strict=True)):
        direction[world, stored_axis] = sign
        if sign < 0:
            origin[world] += (array.shape[world] - 1) * SPACING[world]
    return make_image(
        array.transpose(axes)[steps],
        [SPACING[world] for world in axes],
        origin.tolist(),
        direction,
    )


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A random 3x3 rotation."""
    matrix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


def world_position(volume: volumes.Volume, index) -> np.ndarray:
    direction = np.reshape(volume.direction, (3, 3))
    return np.array(volume.origin) + direction @ (np.array(index) * volume.spacing)


def refusal(path: Path) -> str:
    """The one line that says why a scan is refused."""
    with pytest.raises(InputError) as caught:
        read_volume(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path.parent) in text
    return text


def cut(path: Path, share: float = 0.5) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


# Reading


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_reads_to_the_same_array_and_geometry(tmp_path, array, name):
    path = write_image(tmp_path / name, make_image(array), FORMATS[name])
    suffixes = {part.suffix for part in tmp_path.iterdir()}
    assert (".raw" in suffixes, ".zraw" in suffixes) == (
        name == "raw.mhd",
        name == "zraw.mhd",
    )
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, array)
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(volume.spacing, SPACING, rtol=1e-6)
    np.testing.assert_allclose(volume.origin, ORIGIN, rtol=1e-6)
    np.testing.assert_allclose(volume.direction, np.eye(3).ravel(), atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_suffixes_in_capitals_read_too(tmp_path, array, name):
    path = write_image(tmp_path / name, make_image(array), FORMATS[name])
    stem, _, suffix = path.name.partition(".")
    capital = path.rename(tmp_path / f"{stem}.{suffix.upper()}")
    np.testing.assert_array_equal(read_volume(capital).array, array)
    assert list_scans(tmp_path) == [capital]
    assert volumes.scan_name(capital) == stem


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32"])
def test_the_stored_type_is_kept(tmp_path, rng, kind):
    array = rng.integers(0, 200, (4, 5, 6)).astype(kind)
    volume = read_volume(write_image(tmp_path / "a.nii.gz", make_image(array)))
    assert volume.array.dtype == kind
    np.testing.assert_array_equal(volume.array, array)


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_all_48_orientations_read_alike_and_masks_go_back(tmp_path, array, axes, signs):
    image = store(array, axes, signs)
    volume = read_volume(write_image(tmp_path / "scan.mha", image))
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.spacing, SPACING)
    np.testing.assert_allclose(volume.origin, ORIGIN)
    np.testing.assert_array_equal(volume.direction, np.eye(3).ravel())

    stored = sitk.GetArrayFromImage(image).T
    marked = tuple(int(i) for i in np.argwhere(stored == array[4, 1, 3])[0])
    np.testing.assert_allclose(
        world_position(volume, np.argwhere(array == array[4, 1, 3])[0]),
        image.TransformIndexToPhysicalPoint(marked),
    )

    write_volume(tmp_path / "mask.mha", volume.array > 0, volume)
    mask = sitk.ReadImage(str(tmp_path / "mask.mha"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask).T, stored > 0)
    assert mask.GetSpacing() == image.GetSpacing()
    assert mask.GetOrigin() == image.GetOrigin()
    assert mask.GetDirection() == image.GetDirection()


def test_the_orientations_are_48_different_ones(array):
    images = [store(array, axes, signs) for axes, signs in ORIENTATIONS]
    assert len({image.GetDirection() for image in images}) == 48


@pytest.mark.parametrize("case", range(12))
def test_an_oblique_scan_reads_as_simpleitk_orients_it(tmp_path, array, rng, case):
    for _ in range(case + 1):
        direction = rotation(rng)
    image = make_image(array, direction=direction)
    volume = read_volume(write_image(tmp_path / "a.mha", image))
    expected = sitk.DICOMOrient(image, "LPS")
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(expected).T)
    np.testing.assert_allclose(volume.spacing, expected.GetSpacing())
    np.testing.assert_allclose(volume.origin, expected.GetOrigin())
    np.testing.assert_allclose(volume.direction, expected.GetDirection(), atol=1e-12)


@pytest.mark.parametrize("name", FORMATS)
def test_reading_allocates_no_second_array(tmp_path, rng, name):
    array = rng.integers(-1000, 1000, (128, 128, 64)).astype(np.float32)
    image = store(array, (1, 2, 0), (-1, 1, -1))
    path = write_image(tmp_path / name, image, FORMATS[name])
    tracemalloc.start()  # counts NumPy's and Python's memory, not SimpleITK's
    try:
        volume = read_volume(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.2 * array.nbytes
    np.testing.assert_array_equal(volume.array, array)


def test_the_array_is_a_read_only_view_that_outlives_the_image(tmp_path, array):
    volume = read_volume(write_image(tmp_path / "a.mha", make_image(array)))
    assert not volume.array.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 0
    gc.collect()
    other = [sitk.Image(array.shape, sitk.sitkInt16) for _ in range(50)]
    np.testing.assert_array_equal(volume.array, array)
    assert len(other) == 50


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path, array):
    image = sitk.JoinSeries([make_image(array)])
    volume = read_volume(write_image(tmp_path / "a.nii.gz", image))
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.origin, ORIGIN, rtol=1e-6)


# What is refused


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_cut_short_is_refused(tmp_path, rng, name, share):
    array = rng.integers(-1000, 1000, (32, 30, 20)).astype(np.int16)
    path = write_image(tmp_path / name, make_image(array), FORMATS[name])
    data = path.with_suffix("." + path.stem) if path.suffix == ".mhd" else path
    cut(data, share)
    text = refusal(path)
    if path.suffix == ".nrrd":
        assert "SimpleITK cannot read" in text
    else:
        assert "a scan is as long as its header says" in text
        assert "of 38400 bytes of voxels" in text


@pytest.mark.parametrize("name", ["raw.mhd", "zraw.mhd"])
def test_a_header_without_its_data_file_is_refused(tmp_path, array, name):
    path = write_image(tmp_path / name, make_image(array), FORMATS[name])
    data = path.with_suffix("." + path.stem)
    data.unlink()
    text = refusal(path)
    assert "the data file that a header names has to exist" in text
    assert f"without {data.name}" in text


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_a_2d_image_is_refused(tmp_path, name):
    image = sitk.GetImageFromArray(np.zeros((8, 9), np.int16))
    text = refusal(write_image(tmp_path / name, image))
    assert "a scan is a 3D image" in text
    assert "9x8 voxels" in text or "9x8x1 voxels" in text


def test_a_single_slice_is_refused(tmp_path):
    path = write_image(tmp_path / "a.nii.gz", make_image(np.zeros((9, 8, 1), np.int16)))
    assert "9x8x1 voxels" in refusal(path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_a_4d_image_is_refused(tmp_path, array, name):
    image = sitk.JoinSeries([make_image(array)] * 3)
    text = refusal(write_image(tmp_path / name, image))
    assert "a scan is a 3D image" in text
    assert "7x6x5x3 voxels" in text


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_a_colour_image_is_refused(tmp_path, rng, name):
    colours = rng.integers(0, 255, (5, 6, 7, 3)).astype(np.uint8)
    image = sitk.GetImageFromArray(colours, isVector=True)
    text = refusal(write_image(tmp_path / name, image))
    assert "a scan has one real value per voxel" in text
    assert "with 3" in text


def test_a_complex_image_is_refused(tmp_path, array):
    image = sitk.GetImageFromArray(array.T.astype(np.complex64))
    text = refusal(write_image(tmp_path / "a.nii.gz", image))
    assert "a scan has one real value per voxel" in text
    assert "complex" in text


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf]])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("error")
def test_voxels_that_are_no_numbers_are_refused(tmp_path, array, bad, kind, name):
    """SimpleITK alone turns them into zeros in NIfTI files."""
    array = array.astype(kind)
    array.ravel()[10 : 10 + len(bad)] = bad
    text = refusal(write_image(tmp_path / name, make_image(array), FORMATS[name]))
    assert "a scan holds finite values only" in text
    assert f"with {len(bad)} voxels" in text


@pytest.mark.filterwarnings("error")
def test_values_whose_sum_overflows_are_still_finite(tmp_path):
    array = np.full((4, 4, 4), 1e308)
    volume = read_volume(write_image(tmp_path / "a.mha", make_image(array)))
    np.testing.assert_array_equal(volume.array, array)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mhd", "a.png", "folder"])
def test_an_absent_file_is_refused(tmp_path, name):
    text = refusal(tmp_path / name)
    assert "a scan has to exist" in text
    assert name in text


def test_an_unknown_suffix_is_refused_with_those_known(tmp_path):
    path = tmp_path / "scan.npy"
    np.save(path, np.zeros((4, 4, 4)))
    text = refusal(path)
    assert "scan.npy" in text
    for suffix in (".nii.gz", ".nii", ".mhd", ".mha", ".nrrd", "DICOM"):
        assert suffix in text


@pytest.mark.parametrize("suffix", volumes.SUFFIXES)
def test_a_text_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"notes{suffix}"
    path.write_text("patient = unknown\nnothing to see here\n" * 30)
    text = refusal(path)
    assert path.name in text
    assert "header" in text or "SimpleITK cannot read" in text


@pytest.mark.parametrize("suffix", volumes.SUFFIXES)
def test_an_empty_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"empty{suffix}"
    path.touch()
    assert path.name in refusal(path)


def test_an_origin_of_no_number_is_refused(tmp_path, array):
    path = write_image(tmp_path / "a.nii", make_image(array))
    data = bytearray(path.read_bytes())
    for offset in (268, 292):  # qoffset_x and the last of srow_x
        struct.pack_into("<f", data, offset, np.nan)
    path.write_bytes(data)
    text = refusal(path)
    assert "a scan has a finite geometry" in text
    assert "origin (nan, 30.25, -400.0)" in text


# Listing


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names_below(folder: Path, **patterns) -> list[str]:
    paths = list_scans(folder, **patterns)
    return [path.relative_to(folder).as_posix() for path in paths]


def test_listing_is_recursive_and_sorted_and_takes_known_suffixes_only(tmp_path):
    touch(tmp_path, "b.nii.gz", "a.mhd", "a.raw", "c/d/e.nrrd", "c/a.mha", "c/a.zraw")
    touch(tmp_path, "B.NII.GZ", "c/notes.txt", "c/bat_8_s_8x8x8_0.npy", "z.nii", "gz")
    assert names_below(tmp_path) == [
        "B.NII.GZ",
        "a.mhd",
        "b.nii.gz",
        "c/a.mha",
        "c/d/e.nrrd",
        "z.nii",
    ]


def test_hidden_files_and_folders_are_not_listed(tmp_path):
    touch(tmp_path, "a.nii", "._a.nii", ".cache/b.nii", "c/.d/e/f.nii")
    assert names_below(tmp_path) == ["a.nii"]
    assert names_below(tmp_path, include=["*"]) == ["a.nii"]


def test_include_and_exclude_are_globs_on_names(tmp_path):
    touch(tmp_path, "p1/ct.nii.gz", "p1/ct_votes.nii.gz", "p2/ct.nii.gz", "p2/mr.nii")
    assert names_below(tmp_path, exclude=["*votes*"]) == [
        "p1/ct.nii.gz",
        "p2/ct.nii.gz",
        "p2/mr.nii",
    ]
    assert names_below(tmp_path, include=["mr*", "*_v*"]) == [
        "p1/ct_votes.nii.gz",
        "p2/mr.nii",
    ]
    assert names_below(tmp_path, include=["ct*"], exclude=["*votes*", "x"]) == [
        "p1/ct.nii.gz",
        "p2/ct.nii.gz",
    ]
    assert names_below(tmp_path, include=["CT*"]) == []
    assert names_below(tmp_path, include=["p1/*"]) == [
        "p1/ct.nii.gz",
        "p1/ct_votes.nii.gz",
    ]


def test_a_dicom_folder_is_listed_once_and_its_slices_are_not(tmp_path, array):
    series = sitk.ImageFileWriter()
    for folder in ("patient/series", "other"):
        (tmp_path / folder).mkdir(parents=True)
        for k in range(4):
            series.SetFileName(str(tmp_path / folder / f"{k}.dcm"))
            series.Execute(make_image(array[:, :, k : k + 1]))
    touch(tmp_path, "patient/notes", "patient/a.nii")
    assert names_below(tmp_path) == ["other", "patient/a.nii", "patient/series"]
    assert names_below(tmp_path, include=["ser*"]) == ["patient/series"]
    assert names_below(tmp_path, exclude=["ser*"]) == ["other", "patient/a.nii"]
    assert list_scans(tmp_path / "other") == [tmp_path / "other"]


def test_listing_an_absent_folder_or_a_file_is_refused(tmp_path):
    touch(tmp_path, "a.nii")
    for path in (tmp_path / "absent", tmp_path / "a.nii"):
        with pytest.raises(InputError, match="--data_dir is an existing folder") as e:
            list_scans(path)
        assert str(path) in str(e.value)


def test_an_empty_folder_lists_nothing(tmp_path):
    assert list_scans(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("scans/LIDC-IDRI-0001.nii.gz", "LIDC-IDRI-0001"),
        ("1.3.6.1.4.1.14519.mhd", "1.3.6.1.4.1.14519"),
        ("A.NII.GZ", "A"),
        ("a.gz.nrrd", "a.gz"),
        ("patient/series.7", "series.7"),
        ("patient/series", "series"),
    ],
)
def test_a_scan_is_named_by_its_file_without_a_known_suffix(path, name):
    assert volumes.scan_name(path) == name


# Writing


@pytest.mark.parametrize("suffix", volumes.SUFFIXES)
def test_what_is_written_reads_back_on_an_oblique_grid(tmp_path, array, rng, suffix):
    direction = rotation(rng)[:, [2, 0, 1]]
    image = make_image(array, direction=direction)
    volume = read_volume(write_image(tmp_path / "scan.mha", image))
    result = rng.random(volume.array.shape, np.float32)
    path = tmp_path / "results" / f"result{suffix}"
    write_volume(path, result, volume)
    back = read_volume(path)
    np.testing.assert_array_equal(back.array, result)
    assert back.array.dtype == np.float32
    # NIfTI keeps geometry as float32.
    tolerance = {"rtol": 1e-5, "atol": 1e-4 if ".nii" in suffix else 1e-9}
    np.testing.assert_allclose(back.origin, volume.origin, **tolerance)
    np.testing.assert_allclose(back.direction, volume.direction, rtol=0, atol=1e-6)
    stored = sitk.ReadImage(str(path))
    np.testing.assert_allclose(stored.GetOrigin(), ORIGIN, **tolerance)
    np.testing.assert_allclose(stored.GetSpacing(), SPACING, rtol=1e-6)
    np.testing.assert_allclose(stored.GetDirection(), direction.ravel(), atol=1e-6)
    for index in [(0, 0, 0), (6, 0, 4), (3, 5, 2)]:
        place = image.TransformIndexToPhysicalPoint(index)
        assert stored.TransformPhysicalPointToIndex(place) == index
    data = {".mhd": ["result.mhd", "result.raw"]}.get(suffix, [path.name])
    assert sorted(os.listdir(path.parent)) == data


def test_a_new_volume_lies_along_the_world_axes(tmp_path, array):
    volume = volumes.new_volume(array, [1, 2, 3], [4, 5, 6])
    write_volume(tmp_path / "a.mhd", array, volume)
    image = sitk.ReadImage(str(tmp_path / "a.mhd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, array)
    assert image.GetSpacing() == (1, 2, 3)
    assert image.GetOrigin() == (4, 5, 6)
    assert image.GetDirection() == tuple(np.eye(3).ravel())
    np.testing.assert_array_equal(world_position(volume, (1, 1, 1)), (5, 7, 9))


def test_writing_leaves_no_half_file_and_keeps_the_old_one(
    tmp_path, array, monkeypatch
):
    volume = volumes.new_volume(array, SPACING)
    write_volume(tmp_path / "a.mhd", array, volume)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def break_off(image, path, compressed):
        Path(path).write_bytes(b"half a head")
        raise RuntimeError("several\nlines\nno space left on device")

    monkeypatch.setattr(sitk, "WriteImage", break_off)
    with pytest.raises(InputError) as caught:
        write_volume(tmp_path / "a.mhd", array * 2, volume)
    assert str(caught.value) == (
        f"SimpleITK cannot write {tmp_path / 'a.mhd'}: no space left on device"
    )
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after == before


def test_a_header_appears_after_its_data_file(tmp_path, array, monkeypatch):
    placed, replace = [], os.replace

    def record(source, target):
        placed.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", record)
    write_volume(tmp_path / "a.mhd", array, volumes.new_volume(array, SPACING))
    assert placed == ["a.raw", "a.mhd"]


def test_a_written_header_names_the_data_file_beside_it(tmp_path, array):
    write_volume(tmp_path / "case.mhd", array, volumes.new_volume(array, SPACING))
    assert "ElementDataFile = case.raw\n" in (tmp_path / "case.mhd").read_text()


def test_writing_another_shape_is_refused(tmp_path, array):
    volume = volumes.new_volume(array, SPACING)
    with pytest.raises(InputError, match="its scan's shape") as caught:
        write_volume(tmp_path / "a.nii.gz", array[:-1], volume)
    assert "(7, 6, 5)" in str(caught.value)
    assert "(6, 6, 5)" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png", "a", "a.npy", "A.MHA"])
def test_writing_an_unknown_format_is_refused(tmp_path, array, name):
    with pytest.raises(InputError, match="volumes are written as .nii.gz") as caught:
        write_volume(tmp_path / name, array, volumes.new_volume(array, SPACING))
    assert name in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# Real scans


def test_a_real_chest_ct_lies_on_its_back(shared_data):
    volume = read_volume(shared_data / "lidc_ct" / "LIDC-IDRI-0001.nii.gz")
    assert volume.array.shape == (512, 512, 133)
    assert volume.array.dtype == np.int16
    np.testing.assert_allclose(volume.spacing, (0.703125, 0.703125, 2.5), rtol=1e-5)
    slab = volume.array[:, :, 66]
    assert (slab[:, :50] < -900).all()  # nothing before the chest,
    assert (slab[:, 420:470] > -500).mean() > 0.05  # the table behind it,
    right, left = slab[150:256, 150:280], slab[256:362, 150:280]
    assert (left > 0).mean() > 1.5 * (right > 0).mean()  # the heart on the left,
    lung = (volume.array[100:412, 100:400] < -700).mean(axis=(0, 1))
    assert lung[90:].mean() > 5 * lung[:30].mean()  # the belly below


def test_real_crops_read_as_simpleitk_orients_them(shared_data):
    paths = list_scans(shared_data / "sarcoma_ct", exclude=["*.csv"])
    assert len(paths) == 16
    for path in paths:
        volume = read_volume(path)
        expected = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
        np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(expected).T)
        np.testing.assert_allclose(volume.origin, expected.GetOrigin(), atol=1e-9)
        np.testing.assert_allclose(volume.direction, expected.GetDirection())


def test_half_of_a_real_chest_ct_is_refused(shared_data, tmp_path):
    path = tmp_path / "half.nii.gz"
    whole = shared_data / "lidc_ct" / "LIDC-IDRI-0001.nii.gz"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert f"of {512 * 512 * 133 * 2} bytes of voxels" in refusal(path)


def test_real_masks_return_to_their_files_own_grid(shared_data, tmp_path):
    for path in list_scans(shared_data / "sarcoma_ct" / "labels"):
        label = read_volume(path)
        scan = read_volume(shared_data / "sarcoma_ct" / "images" / path.name)
        assert scan.array.shape == label.array.shape
        write_volume(tmp_path / path.name, label.array, scan)
        back = sitk.ReadImage(str(tmp_path / path.name))
        original = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(
            sitk.GetArrayViewFromImage(back), sitk.GetArrayViewFromImage(original)
        )
        np.testing.assert_allclose(back.GetOrigin(), original.GetOrigin(), atol=1e-3)
        np.testing.assert_allclose(back.GetDirection(), original.GetDirection())
        np.testing.assert_allclose(back.GetSpacing(), original.GetSpacing(), rtol=1e-6)
