"""Pictures are read as they look; what is damaged, cut short or unclear is refused."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.images import (
    IMAGE_SUFFIXES,
    is_image2d,
    list_images,
    read_image2d,
    read_label2d,
    write_image2d,
)
from tests.image_files import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    make_dicom,
    make_png,
    png_chunk,
)

SPACING, DETECTOR_SPACING = (0x28, 0x30), (0x18, 0x1164)
INTERCEPT, SLOPE = (0x28, 0x1052), (0x28, 0x1053)
RISING = np.arange(12, dtype=np.uint8).reshape(3, 4)


def _write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _rows(picture: np.ndarray) -> list[bytes]:
    """The rows of a picture as PNG packs them."""
    return [row.astype(picture.dtype.newbyteorder(">")).tobytes() for row in picture]


def _smooth(sides: tuple[int, int]) -> np.ndarray:
    """uint8 waves that JPEG keeps to within a few grey levels."""
    row, column = np.indices(sides)
    return (120 + 100 * np.sin(row / 20) * np.cos(column / 15)).astype(np.uint8)


def _jpeg(folder: Path, picture: np.ndarray) -> bytes:
    path = folder / "made.jpeg"
    image = sitk.GetImageFromArray(picture, isVector=picture.ndim == 3)
    sitk.WriteImage(image, str(path))
    return path.read_bytes()


def _error(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_image2d(path)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text
    return text


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_grey_png_is_read_with_x_to_the_right_and_y_down(tmp_path, rng, kind):
    picture = rng.integers(0, np.iinfo(kind).max, (5, 7), endpoint=True).astype(kind)
    bits = 8 * picture.dtype.itemsize
    data = make_png(_rows(picture), 7, bits, GREY)
    volume = read_image2d(_write(tmp_path, "a.PNG", data))
    assert volume.array.shape == (7, 5, 1) and volume.array.dtype == kind
    assert volume.spacing == (1.0, 1.0, 1.0) and volume.origin == (0.0, 0.0, 0.0)
    np.testing.assert_array_equal(volume.array[..., 0], picture.T)
    assert volume.array[6, 0, 0] == picture[0, -1]  # the right end of the top row


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("colours", [RGB, RGBA])
def test_colours_become_luminance_and_alpha_is_dropped(tmp_path, rng, kind, colours):
    channels = 3 if colours == RGB else 4
    largest = np.iinfo(kind).max
    picture = rng.integers(0, largest, (6, 5, channels), endpoint=True).astype(kind)
    picture[2, :, :3] = picture[2, :, :1]  # grey written as colours
    data = make_png(_rows(picture), 5, 8 * picture.dtype.itemsize, colours)
    array = read_image2d(_write(tmp_path, "a.png", data)).array
    red, green, blue = (picture[..., k].astype(float).T for k in range(3))
    expected = np.round(0.299 * red + 0.587 * green + 0.114 * blue)
    assert array.dtype == kind and array.shape == (5, 6, 1)
    np.testing.assert_array_equal(array[..., 0], expected)
    np.testing.assert_array_equal(array[:, 2, 0], picture[2, :, 0])


def test_a_palette_is_looked_up(tmp_path):
    palette = png_chunk(b"PLTE", bytes([0, 0, 0, 10, 10, 10, 250, 250, 250]))
    data = make_png([bytes([0, 1, 2])], 3, 8, PALETTE, palette)
    array = read_image2d(_write(tmp_path, "a.png", data)).array
    assert array.ravel().tolist() == [0, 10, 250]


def test_grey_with_alpha_is_refused_rather_than_read_wrongly(tmp_path):
    data = make_png([bytes([9, 255, 8, 0])], 2, 8, GREY_ALPHA)
    assert _error(_write(tmp_path, "a.png", data)).startswith(
        "an image file is whole and undamaged. Received: "
    )


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
def test_jpeg_is_read_in_grey_and_in_colours(tmp_path, suffix):
    picture = _smooth((40, 56))
    colours = np.stack([picture, 255 - picture, picture // 2], -1)
    for number, stored in enumerate((picture, colours)):
        path = _write(tmp_path, f"{number}{suffix}", _jpeg(tmp_path, stored))
        array = read_image2d(path).array
        assert array.shape == (56, 40, 1) and array.dtype == np.uint8
        expected = stored if number == 0 else stored @ [0.299, 0.587, 0.114]
        assert np.abs(array[..., 0].T - expected.astype(float)).max() < 8


@pytest.mark.parametrize("stored", ["grey", "colours"])
def test_a_png_cut_short_anywhere_is_refused(tmp_path, rng, stored):
    sides = (12, 15) if stored == "grey" else (9, 10, 3)
    picture = rng.integers(0, 256, sides).astype(np.uint8)
    colours = GREY if stored == "grey" else RGB
    data = make_png(_rows(picture), sides[1], 8, colours)
    assert read_image2d(_write(tmp_path, "whole.png", data)).array.shape[2] == 1
    for length in range(len(data)):
        _error(_write(tmp_path, "cut.png", data[:length]))


def test_a_png_with_a_changed_byte_is_refused(tmp_path, rng):
    picture = rng.integers(0, 256, (12, 15)).astype(np.uint8)
    data = make_png(_rows(picture), 15, 8, GREY)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        _error(_write(tmp_path, "damaged.png", bytes(damaged)))


def test_a_png_whose_rows_end_early_is_refused(tmp_path):
    data = make_png(_rows(RISING), 4, 8, GREY)
    whole = struct.pack(">II", 4, 3)
    start = data.index(whole)
    taller = data[start - 4 : start] + struct.pack(">II", 4, 5) + data[start + 8 :]
    header = png_chunk(b"IHDR", taller[4:17])
    _error(_write(tmp_path, "a.png", data[: start - 8] + header + data[start + 17 :]))


def test_a_jpeg_cut_short_anywhere_is_refused(tmp_path):
    data = _jpeg(tmp_path, _smooth((96, 80)))
    whole = read_image2d(_write(tmp_path, "whole.jpg", data)).array
    assert data.endswith(b"\xff\xd9") and whole.shape == (80, 96, 1)
    for length in range(len(data)):
        text = _error(_write(tmp_path, "cut.jpg", data[:length]))
        assert text == (
            "a JPEG file goes on to its end mark. "
            f"Received: {tmp_path / 'cut.jpg'} of {length} bytes without one"
        )


def test_zeros_for_the_rest_of_a_jpeg_are_refused(tmp_path):
    """What a full disk or a broken download leaves."""
    data = _jpeg(tmp_path, _smooth((96, 80)))
    half = data[: len(data) // 2]
    _error(_write(tmp_path, "a.jpg", half.ljust(len(data), b"\0")))


def test_the_end_mark_of_a_thumbnail_is_not_that_of_the_jpeg(tmp_path):
    data = _jpeg(tmp_path, _smooth((48, 40)))
    thumbnail = b"Exif\0\0" + data
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    full = data[:2] + segment + data[2:]
    plain = read_image2d(_write(tmp_path, "plain.jpg", data)).array
    array = read_image2d(_write(tmp_path, "exif.jpg", full)).array
    np.testing.assert_array_equal(array, plain)
    for length in range(4 + len(thumbnail), len(full), 97):
        _error(_write(tmp_path, "cut.jpg", full[:length]))


def test_what_follows_the_end_mark_of_a_jpeg_does_no_harm(tmp_path):
    data = _jpeg(tmp_path, _smooth((48, 40)))
    plain = read_image2d(_write(tmp_path, "plain.jpg", data)).array
    array = read_image2d(_write(tmp_path, "more.jpg", data + b"\0\0camera")).array
    np.testing.assert_array_equal(array, plain)


def test_restart_marks_and_fill_bytes_are_not_taken_for_segments(tmp_path):
    data = _jpeg(tmp_path, _smooth((48, 40)))
    scan = data.index(b"\xff\xda") + 2
    scan += int.from_bytes(data[scan : scan + 2])
    for between in (b"\xff\xd0", b"\xff\x00", b"\xff\xff"):
        cut = _write(tmp_path, "cut.jpg", data[: scan + 9] + between)
        assert "without one" in _error(cut)
    filled = _write(tmp_path, "filled.jpg", data[:-2] + b"\xff" + data[-2:])
    assert read_image2d(filled).array.shape == (40, 48, 1)


@pytest.mark.parametrize(
    ("pixels", "bits", "inverted"),
    [
        (RISING, 8, 255 - RISING),
        (RISING.astype(np.uint16), 12, 4095 - RISING.astype(int)),
        (RISING.astype(np.uint16), 16, 65535 - RISING.astype(int)),
        (RISING.astype(np.int16) - 5, 16, 4 - RISING.astype(int)),
    ],
    ids=["8", "12", "16", "signed"],
)
def test_monochrome1_is_inverted_so_that_bright_is_dense(
    tmp_path, pixels, bits, inverted
):
    for photometric, expected in (("MONOCHROME2", pixels), ("MONOCHROME1", inverted)):
        data = make_dicom(pixels, photometric, bits)
        array = read_image2d(_write(tmp_path, f"{photometric}.dcm", data)).array
        assert array.shape == (4, 3, 1)
        np.testing.assert_array_equal(array[..., 0], expected.T)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_pixels_are_rescaled(tmp_path, photometric):
    tags = {SLOPE: ("DS", "2"), INTERCEPT: ("DS", "-10")}
    data = make_dicom(RISING.astype(np.uint16), photometric, 12, tags)
    array = read_image2d(_write(tmp_path, "a.dcm", data)).array
    stored = RISING.T.astype(int)
    if photometric == "MONOCHROME1":
        stored = 4095 - stored
    np.testing.assert_array_equal(array[..., 0], 2 * stored - 10)


@pytest.mark.parametrize(
    ("texts", "spacing"),
    [
        ({}, (1.0, 1.0)),
        ({DETECTOR_SPACING: "0.2\\0.4"}, (0.4, 0.2)),
        ({SPACING: "0.5\\0.7"}, (0.7, 0.5)),
        ({SPACING: "0.5\\0.7", DETECTOR_SPACING: "0.2\\0.4"}, (0.7, 0.5)),
        ({SPACING: "0\\0", DETECTOR_SPACING: "0.2\\0.4"}, (0.4, 0.2)),
        ({SPACING: "", DETECTOR_SPACING: "0.2"}, (1.0, 1.0)),
        ({SPACING: "nan\\1"}, (1.0, 1.0)),
    ],
)
def test_the_spacing_is_that_of_columns_and_rows(tmp_path, texts, spacing):
    tags = {tag: ("DS", text) for tag, text in texts.items()}
    path = _write(tmp_path, "a.dcm", make_dicom(RISING, tags=tags))
    assert read_image2d(path).spacing == (*spacing, 1.0)


def test_dicom_in_colours_becomes_grey(tmp_path, rng):
    picture = rng.integers(0, 256, (6, 5, 3)).astype(np.uint8)
    path = _write(tmp_path, "a.dcm", make_dicom(picture, "RGB"))
    expected = np.round(picture @ [0.299, 0.587, 0.114])
    np.testing.assert_array_equal(read_image2d(path).array[..., 0], expected.T)


def test_dicom_that_holds_a_jpeg_is_read(tmp_path):
    picture = _smooth((48, 40))
    jpeg = _jpeg(tmp_path, picture)
    path = _write(tmp_path, "a.dcm", make_dicom(picture, jpeg=jpeg))
    plain = read_image2d(_write(tmp_path, "plain.jpg", jpeg)).array
    np.testing.assert_array_equal(read_image2d(path).array, plain)
    data = make_dicom(picture, jpeg=jpeg[: len(jpeg) // 2])
    _error(_write(tmp_path, "cut.dcm", data))


def test_dicom_cut_short_anywhere_is_refused(tmp_path, rng):
    pixels = rng.integers(0, 4096, (9, 11)).astype(np.uint16)
    data = make_dicom(pixels, bits=12)
    assert read_image2d(_write(tmp_path, "whole.dcm", data)).array.shape == (11, 9, 1)
    for length in range(len(data)):
        _error(_write(tmp_path, "cut.dcm", data[:length]))


def test_a_loop_of_frames_is_no_image(tmp_path):
    frames = np.stack([RISING, RISING])
    text = _error(_write(tmp_path, "a.dcm", make_dicom(frames)))
    assert text.startswith("a DICOM image has one frame. Received: ")
    assert text.endswith("a.dcm with 2")


def test_an_inverted_image_of_32_bits_is_refused(tmp_path):
    """GDCM's inversion leaves memory that nobody wrote to."""
    data = make_dicom(RISING.astype(np.uint32), "MONOCHROME1")
    text = _error(_write(tmp_path, "a.dcm", data))
    assert "a MONOCHROME1 image has 8 or 16 bits per pixel" in text


def test_files_that_are_no_images_are_refused(tmp_path):
    assert _error(tmp_path / "none.png").startswith("an image has to exist")
    assert _error(tmp_path).startswith("an image has to exist")
    assert _error(_write(tmp_path, "a.bmp", b"BM")) == (
        f"an image is a file of .png, .jpg, .jpeg, .dcm. Received: {tmp_path / 'a.bmp'}"
    )
    for suffix in (".png", ".jpg", ".dcm"):
        for number, data in enumerate((b"", b"text", make_dicom(RISING)[:300])):
            _error(_write(tmp_path, f"{number}{suffix}", data))
    _error(_write(tmp_path, "png.jpg", make_png(_rows(RISING), 4, 8, GREY)))


def test_labels_keep_the_values_that_are_stored(tmp_path):
    path = _write(tmp_path, "8.png", make_png(_rows(RISING), 4, 8, GREY))
    np.testing.assert_array_equal(read_label2d(path).array[..., 0], RISING.T)
    wide = RISING.astype(np.uint16) * 1000
    path = _write(tmp_path, "16.png", make_png(_rows(wide), 4, 16, GREY))
    np.testing.assert_array_equal(read_label2d(path).array[..., 0], wide.T)
    packed = {1: (0b10110000, [1, 0, 1, 1]), 2: (0b11100001, [3, 2, 0, 1])}
    for bits, (row, values) in packed.items():
        path = _write(tmp_path, f"{bits}.png", make_png([bytes([row])], 4, bits, GREY))
        assert read_label2d(path).array.ravel().tolist() == values
    path = _write(tmp_path, "4.png", make_png([bytes([0x05, 0xAF])], 4, 4, GREY))
    assert read_label2d(path).array.ravel().tolist() == [0, 5, 10, 15]


def test_a_picture_that_is_written_is_read_again(tmp_path, rng):
    picture = rng.integers(0, 256, (7, 5, 1)).astype(np.uint8)
    path = tmp_path / "new" / "a.png"
    write_image2d(path, picture)
    np.testing.assert_array_equal(read_image2d(path).array, picture)
    np.testing.assert_array_equal(read_label2d(path).array, picture)
    with pytest.raises(InputError, match="an image can be written. Received: .*b.png"):
        write_image2d(tmp_path / "new" / "b.png", picture.astype(np.float32))
    assert list(path.parent.iterdir()) == [path]


def test_labels_that_have_no_one_value_are_refused(tmp_path):
    palette = png_chunk(b"PLTE", bytes([0, 0, 0, 255, 0, 0]))
    for name, colours, data in (
        ("palette", PALETTE, make_png([bytes([0, 1])], 2, 8, PALETTE, palette)),
        ("colours", RGB, make_png([bytes([0, 1, 2])], 1, 8, RGB)),
    ):
        path = _write(tmp_path, f"{name}.png", data)
        with pytest.raises(InputError, match="a grey PNG without a palette") as caught:
            read_label2d(path)
        assert str(caught.value).endswith(f"{path} of PNG colour type {colours}")
    path = _write(tmp_path, "a.jpg", _jpeg(tmp_path, _smooth((20, 20))))
    with pytest.raises(InputError, match="a label image is a .png file. Received"):
        read_label2d(path)


def test_images_are_listed_sorted_at_any_depth(tmp_path, monkeypatch):
    names = ("b/2.png", "b/1.JPG", "a/3.jpeg", "a/x.dcm", "c.nii", "a/.4.png", "5.txt")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()

    def found(**options) -> list[str]:
        images = list_images(tmp_path, **options)
        return [path.relative_to(tmp_path).as_posix() for path in images]

    everything = ["a/3.jpeg", "a/x.dcm", "b/1.JPG", "b/2.png"]
    assert found() == everything
    assert found(include=["*.png", "*.jpeg"]) == ["a/3.jpeg", "b/2.png"]
    assert found(include=["[12]*"], exclude=["*.JPG"]) == ["b/2.png"]
    walk = os.walk

    def backwards(top, followlinks):
        for parent, below, files in walk(top, followlinks=followlinks):
            below.reverse()
            yield parent, below, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert found() == everything
    with pytest.raises(InputError, match="--data_dir is an existing folder. Received"):
        list_images(tmp_path / "none")


def test_a_folder_of_a_series_is_no_image_whatever_its_name(tmp_path):
    (tmp_path / "1.2.dcm").mkdir()
    assert not is_image2d(tmp_path / "1.2.dcm")
    assert is_image2d(tmp_path / "not_there.dcm") and is_image2d(Path("A.PNG"))
    assert all(is_image2d(Path(f"a{suffix}")) for suffix in IMAGE_SUFFIXES)
    assert not is_image2d(Path("a.nii.gz"))
