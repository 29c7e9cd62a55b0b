"""Files are as long and as whole as their headers say, whatever way they say it.

The headers are written by hand from the formats' own definitions. A case is valid if
SimpleITK reads the array from it; one byte less than that has to be refused.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging import completeness
from models_genesis_tf.imaging.volumes import read_volume

SHAPE = (6, 5, 4)
JUNK = b"J" * 37
CODES = {"uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64}


@pytest.fixture
def array(rng) -> np.ndarray:
    """A small scan `(x, y, z)`, int16."""
    return rng.integers(-1000, 1000, SHAPE).astype(np.int16)


def in_file_order(array: np.ndarray) -> bytes:
    """The bytes of `(x, y, z)` with x running fastest, as all three formats store."""
    return array.tobytes(order="F")


def nifti(
    array: np.ndarray,
    order: str = "<",
    sides: tuple[int, ...] = SHAPE,
    start: int = 352,
    stated_start: float | None = None,
    slope: tuple[float, float] = (1.0, 0.0),
) -> bytes:
    """A NIfTI-1 file of a grid with 1 mm voxels along LPS, voxels at byte `start`."""
    dim = (len(sides), *sides) + (1,) * (7 - len(sides))
    bits = array.dtype.itemsize * 8
    head = bytearray(348)
    struct.pack_into(order + "i", head, 0, 348)
    struct.pack_into(order + "8h", head, 40, *dim)
    struct.pack_into(order + "2h", head, 70, CODES[array.dtype.name], bits)
    struct.pack_into(order + "8f", head, 76, *(1.0,) * 8)
    stated = start if stated_start is None else stated_start
    struct.pack_into(order + "3f", head, 108, stated, *slope)
    struct.pack_into(order + "2h", head, 252, 0, 1)
    struct.pack_into(order + "12f", head, 280, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0)
    head[344:348] = b"n+1\0"
    voxels = in_file_order(array.astype(array.dtype.newbyteorder(order)))
    return bytes(head).ljust(start, b"\0") + voxels


def metaimage(
    array: np.ndarray,
    data_file: str = "LOCAL",
    first: str = "",
    kind: str = "MET_SHORT",
    sides: tuple[int, ...] = SHAPE,
) -> bytes:
    """The header of a MetaImage."""
    size = " ".join(str(side) for side in sides)
    spacing = " ".join("1" for _ in sides)
    return (
        f"ObjectType = Image\nNDims = {len(sides)}\n{first}"
        f"DimSize = {size}\nElementSpacing = {spacing}\nElementType = {kind}\n"
        f"ElementDataFile = {data_file}\n"
    ).encode()


def nrrd(encoding: str, extra: str = "", sides: tuple[int, ...] = SHAPE) -> bytes:
    """The header of an NRRD file of int16 voxels, with the blank line that ends it."""
    size = " ".join(str(side) for side in sides)
    return (
        "NRRD0004\n# a comment: with a colon\ntype: short\ndimension: 3\n"
        f"sizes: {size}\nendian: little\nencoding: {encoding}\n{extra}\n"
    ).encode()


def stored(path: Path) -> np.ndarray:
    """`(x, y, z)` as stored, read by SimpleITK alone."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T


def assert_reads(path: Path, array: np.ndarray) -> None:
    np.testing.assert_array_equal(stored(path), array)
    np.testing.assert_array_equal(read_volume(path).array, array)


def refusal(path: Path) -> str:
    """The one line that says why a scan is refused."""
    with pytest.raises(InputError) as caught:
        read_volume(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path.parent) in text
    return text


def assert_needs_every_byte(path: Path, array: np.ndarray) -> None:
    """The file reads, and no longer does without its last byte."""
    assert_reads(path, array)
    path.write_bytes(path.read_bytes()[:-1])
    text = refusal(path)
    assert f"with {array.nbytes - 1} of {array.nbytes} bytes of voxels" in text


# NIfTI


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_needs_every_byte(tmp_path, rng, kind, order):
    array = rng.integers(0, 200, SHAPE).astype(kind)
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(array, order))
    assert_needs_every_byte(path, array)


@pytest.mark.parametrize("start", [348, 352, 1008, 4001])
def test_nifti_voxels_start_where_the_header_says(tmp_path, array, start):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(array, start=start))
    assert_needs_every_byte(path, array)


def test_nifti_voxels_start_behind_the_header_if_it_says_nothing(tmp_path, array):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(array, start=348, stated_start=0))
    assert_needs_every_byte(path, array)


@pytest.mark.parametrize("sides", [(6, 5, 4, 1), (6, 5, 4, 1, 1)])
def test_nifti_sides_beyond_the_stated_number_do_not_count(tmp_path, array, sides):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(array, sides=sides))
    completeness.check_complete(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="239 of 240 bytes"):
        completeness.check_complete(path)


def test_a_negative_side_is_refused(tmp_path, array):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(array, sides=(6, -5, 4)))
    assert "(no voxels)" in refusal(path)


@pytest.mark.parametrize("start", [np.nan, np.inf])
def test_a_start_that_is_no_number_is_refused(tmp_path, array, start):
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(array, start=352, stated_start=start))
    assert "a scan has a readable header" in refusal(path)


@pytest.mark.parametrize("length", [1, 3, 4, 100, 347])
def test_a_header_cut_short_is_refused(tmp_path, array, length):
    data = nifti(array)[:length]
    (tmp_path / "a.nii").write_bytes(data)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data))
    (tmp_path / "c.nii.gz").write_bytes(gzip.compress(nifti(array))[:30])
    for path in tmp_path.iterdir():
        assert "header" in refusal(path)


def test_a_number_type_of_another_width_is_refused(tmp_path, array):
    data = bytearray(nifti(array.astype(np.float32)))
    struct.pack_into("<h", data, 72, 8)
    path = tmp_path / "a.nii"
    path.write_bytes(data)
    assert "(8 bits for float32)" in refusal(path)


def test_nifti_2_is_refused(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(struct.pack("<i", 540) + b"n+2\0\r\n\x1a\n" + bytes(1000))
    assert "(not NIfTI-1)" in refusal(path)


# gzip


@pytest.mark.parametrize("kind", ["int16", "float32"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("slope", [(1.0, 0.0), (2.0, -1024.0)])
def test_whole_gzip_files_pass_scaled_or_swapped(tmp_path, rng, kind, order, slope):
    array = rng.integers(0, 200, SHAPE).astype(kind)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti(array, order, slope=slope)))
    assert_reads(path, array * slope[0] + slope[1])


def test_a_header_that_promises_more_than_a_whole_gzip_file_holds(tmp_path, array):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti(array, sides=(6, 5, 8))))
    assert stored(path).shape == (6, 5, 8)  # SimpleITK alone says nothing
    text = refusal(path)
    assert "a scan is as long as its header says" in text
    assert "with 240 of 480 bytes of voxels" in text


@pytest.mark.parametrize("missing", [1, 5, 9, 40, 200])
def test_a_cut_gzip_file_is_refused(tmp_path, array, missing):
    """Without its trailer alone (8 bytes) all voxels are still there."""
    path = tmp_path / "a.nii.gz"
    whole = gzip.compress(nifti(array), compresslevel=0)
    path.write_bytes(whole[:-missing])
    if missing <= 8:
        np.testing.assert_array_equal(read_volume(path).array, array)
    else:
        assert f"with {248 - missing} of 240 bytes of voxels" in refusal(path)


def test_a_gzip_file_of_several_members_passes_and_needs_each(tmp_path, array):
    path = tmp_path / "a.nii.gz"
    data = nifti(array)
    members = [gzip.compress(data[k : k + 100]) for k in range(0, len(data), 100)]
    path.write_bytes(b"".join(members))
    assert_reads(path, array)
    path.write_bytes(b"".join(members[:-1]))
    assert "of 240 bytes of voxels" in refusal(path)


def test_bytes_behind_the_voxels_do_no_harm(tmp_path, array):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti(array) + JUNK))
    assert_reads(path, array)


def test_an_unpacked_file_under_a_packed_name_is_read_as_it_is(tmp_path, array):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(nifti(array))
    assert_needs_every_byte(path, array)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_flipped_bit_in_a_gzip_file_is_refused(tmp_path, rng, order):
    """SimpleITK alone reads wrong voxels or zeros and says nothing."""
    array = rng.integers(-1000, 1000, (64, 64, 64)).astype(np.int16)
    data = bytearray(gzip.compress(nifti(array, order, sides=array.shape), 0))
    data[300_000] ^= 0b100
    path = tmp_path / "a.nii.gz"
    path.write_bytes(data)
    assert (stored(path) != array).any()
    assert "compressed voxels are undamaged" in refusal(path)


def test_damage_inside_a_compressed_file_is_refused(tmp_path, rng):
    array = rng.integers(-1000, 1000, (64, 64, 64)).astype(np.int16)
    data = bytearray(gzip.compress(nifti(array, sides=array.shape)))
    middle = len(data) // 2
    data[middle : middle + 50] = bytes(50)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(data)
    assert (stored(path) != array).any()
    assert "compressed voxels are undamaged" in refusal(path)


def test_a_whole_file_is_not_decompressed_a_second_time(tmp_path, array, monkeypatch):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti(array)))

    def forbidden(path, offset):
        raise AssertionError("decompressed once more")

    monkeypatch.setattr(completeness, "_inflated_length", forbidden)
    np.testing.assert_array_equal(read_volume(path).array, array)
    path.write_bytes(gzip.compress(nifti(array, sides=(6, 5, 8))))
    with pytest.raises(AssertionError, match="decompressed once more"):
        read_volume(path)


@pytest.mark.parametrize("packed", [False, True])
def test_floats_that_are_no_numbers_count_wherever_they_lie(tmp_path, packed):
    """More than one block of 64 KiB, voxels that start at an odd byte, big endian."""
    array = np.zeros((64, 64, 20), np.float32)
    places = [(0, 0, 0), (63, 63, 19), (5, 0, 4), (1, 2, 3)]
    for place, value in zip(places, [np.nan, np.inf, -np.inf, np.nan], strict=True):
        array[place] = value
    data = nifti(array, ">", sides=array.shape, start=353)
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(data) if packed else data)
    assert np.isfinite(stored(path)).all()  # SimpleITK alone makes zeros of them
    assert "with 4 voxels that are NaN or infinite" in refusal(path)


# MetaImage


@pytest.mark.parametrize(
    ("met", "kind"),
    [
        ("MET_CHAR", np.int8),
        ("MET_UCHAR", np.uint8),
        ("MET_SHORT", np.int16),
        ("MET_USHORT", np.uint16),
        ("MET_INT", np.int32),
        ("MET_UINT", np.uint32),
        ("MET_LONG", np.int32),
        ("MET_ULONG", np.uint32),
        ("MET_LONG_LONG", np.int64),
        ("MET_ULONG_LONG", np.uint64),
        ("MET_FLOAT", np.float32),
        ("MET_DOUBLE", np.float64),
    ],
)
def test_metaimage_needs_every_byte_of_every_type(tmp_path, array, met, kind):
    array = np.abs(array).astype(kind) if np.dtype(kind).kind == "u" else array
    array = array.astype(kind)
    path = tmp_path / "a.mha"
    path.write_bytes(metaimage(array, kind=met) + in_file_order(array))
    assert_needs_every_byte(path, array)


@pytest.mark.parametrize("local", ["LOCAL", "Local", "local"])
def test_metaimage_voxels_follow_the_header(tmp_path, array, local):
    path = tmp_path / "a.mha"
    path.write_bytes(metaimage(array, local) + in_file_order(array))
    assert_needs_every_byte(path, array)


def test_metaimage_lines_may_have_colons(tmp_path, array):
    path = tmp_path / "a.mha"
    head = metaimage(array).replace(b" = ", b": ")
    path.write_bytes(head + in_file_order(array))
    assert_needs_every_byte(path, array)


@pytest.mark.parametrize("size", [0, 37, -1])
def test_the_header_size_of_a_data_file_counts(tmp_path, array, size):
    head = JUNK if size else b""
    data = head + in_file_order(array)
    (tmp_path / "a.raw").write_bytes(data)
    path = tmp_path / "a.mhd"
    path.write_bytes(metaimage(array, "a.raw", f"HeaderSize = {size}\n"))
    assert_reads(path, array)
    if size == -1:  # the voxels are the file's last bytes, however many precede
        (tmp_path / "a.raw").write_bytes(data[len(JUNK) + 1 :])
    else:
        (tmp_path / "a.raw").write_bytes(data[:-1])
    assert "with 239 of 240 bytes" in refusal(path)


def test_the_header_size_of_a_local_file_counts_from_its_start(tmp_path, array):
    path = tmp_path / "a.mha"
    head = metaimage(array, first="HeaderSize = 300\n")
    path.write_bytes(head.ljust(300, b"J") + in_file_order(array))
    assert_needs_every_byte(path, array)


def test_the_data_file_lies_beside_the_header_or_at_a_full_path(tmp_path, array):
    (tmp_path / "below").mkdir()
    data = tmp_path / "below" / "a.raw"
    data.write_bytes(in_file_order(array))
    for name in ("below/a.raw", str(data)):
        path = tmp_path / "a.mhd"
        path.write_bytes(metaimage(array, name))
        data.write_bytes(in_file_order(array))
        assert_reads(path, array)
        data.write_bytes(in_file_order(array)[:-1])
        text = refusal(path)
        assert str(data) in text
        assert "with 239 of 240 bytes" in text


@pytest.mark.parametrize("true", ["True", "true", "T", "1"])
def test_compressed_metaimage_is_inflated(tmp_path, array, true):
    packed = zlib.compress(in_file_order(array))
    first = f"CompressedData = {true}\nCompressedDataSize = {len(packed)}\n"
    path = tmp_path / "a.mha"
    path.write_bytes(metaimage(array, first=first) + packed)
    assert_reads(path, array)
    path.write_bytes(metaimage(array, first=first, sides=(6, 5, 8)) + packed)
    assert "with 240 of 480 bytes of voxels" in refusal(path)
    spoilt = packed[:60] + bytes(9) + packed[69:]
    path.write_bytes(metaimage(array, first=first) + spoilt)
    assert stored(path).shape == SHAPE  # SimpleITK alone says nothing
    assert "compressed voxels are undamaged" in refusal(path)


def test_a_data_file_may_leave_its_compressed_size_out(tmp_path, array):
    path = tmp_path / "a.mhd"
    path.write_bytes(metaimage(array, "a.zraw", "CompressedData = True\n"))
    data = tmp_path / "a.zraw"
    data.write_bytes(zlib.compress(in_file_order(array)))
    assert_reads(path, array)
    data.write_bytes(data.read_bytes()[:-50])
    assert "of 240 bytes of voxels" in refusal(path)


def test_a_local_file_may_not(tmp_path, array):
    path = tmp_path / "a.mha"
    head = metaimage(array, first="CompressedData = True\n")
    path.write_bytes(head + zlib.compress(in_file_order(array)))
    assert (stored(path) != array).any()  # SimpleITK alone gives noise
    assert "(no CompressedDataSize)" in refusal(path)


@pytest.mark.parametrize("kind", ["list", "pattern"])
@pytest.mark.parametrize("damage", ["absent", "short"])
def test_one_file_per_slice_reads_and_needs_each(tmp_path, array, kind, damage):
    for k in range(4):
        (tmp_path / f"s{k}.raw").write_bytes(in_file_order(array[:, :, k]))
    path = tmp_path / "a.mhd"
    if kind == "list":
        names = "".join(f"s{k}.raw\n" for k in range(4)).encode()
        path.write_bytes(metaimage(array, "LIST") + names)
    else:
        path.write_bytes(metaimage(array, "s%d.raw 0 3 1"))
    assert_reads(path, array)
    if damage == "absent":
        (tmp_path / "s2.raw").unlink()
    else:
        (tmp_path / "s2.raw").write_bytes(b"half a slice")
    assert "SimpleITK cannot read" in refusal(path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"ElementDataFile", b"DataFile", "no ElementDataFile"),
        (b"DimSize", b"Size", "DimSize"),
        (b"MET_SHORT", b"MET_OTHER", "MET_OTHER"),
        (b"6 5 4", b"6 5 x", "x"),
    ],
)
def test_a_metaimage_header_without_a_field_is_refused(
    tmp_path, array, old, new, reason
):
    path = tmp_path / "a.mha"
    head = metaimage(array)
    assert head.count(old) == 1
    path.write_bytes(head.replace(old, new) + in_file_order(array))
    text = refusal(path)
    assert "a scan has a readable header" in text
    assert reason in text


def test_a_large_file_without_a_line_end_is_no_header(tmp_path):
    path = tmp_path / "a.mha"
    path.write_bytes(bytes(2**21))
    assert "no ElementDataFile" in refusal(path)


# NRRD, whose own reader checks what the others' do not


@pytest.mark.parametrize(
    ("encoding", "extra", "before"),
    [
        ("raw", "", b""),
        ("raw", "byte skip: 37\n", JUNK),
        ("raw", "byte skip: -1\n", JUNK),
        ("raw", "line skip: 2\n", b"one\ntwo\n"),
        ("raw", "line skip: 1\nbyte skip: 37\n", b"one\n" + JUNK),
        ("gzip", "", b""),
        ("gz", "", b""),
        ("txt", "", b""),
        ("hex", "", b""),
    ],
)
def test_nrrd_reads_and_needs_every_value(tmp_path, array, encoding, extra, before):
    voxels = in_file_order(array)
    packed = {
        "raw": voxels,
        "gzip": gzip.compress(voxels),
        "gz": gzip.compress(voxels),
        "txt": " ".join(str(value) for value in array.ravel(order="F")).encode(),
        "hex": voxels.hex().encode(),
    }[encoding]
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd(encoding, extra) + before + packed)
    assert_reads(path, array)
    if extra != "byte skip: -1\n":
        path.write_bytes(nrrd(encoding, extra) + before + packed[:-40])
        refusal(path)
    path.write_bytes(nrrd(encoding, extra, sides=(6, 5, 40)) + before + packed)
    refusal(path)


def test_nrrd_with_its_voxels_in_another_file_needs_that_file(tmp_path, array):
    path = tmp_path / "a.nrrd"
    path.write_bytes(nrrd("raw", "data file: a.raw\n"))
    data = tmp_path / "a.raw"
    data.write_bytes(in_file_order(array))
    assert_reads(path, array)
    data.write_bytes(in_file_order(array)[:-1])
    refusal(path)
    data.unlink()
    refusal(path)


def test_damaged_nrrd_is_refused(tmp_path, array):
    path = tmp_path / "a.nrrd"
    packed = bytearray(gzip.compress(in_file_order(array)))
    packed[60:80] = bytes(20)
    path.write_bytes(nrrd("gzip") + packed)
    refusal(path)
