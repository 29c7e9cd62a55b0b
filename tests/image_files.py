"""PNG and DICOM files made byte by byte, in forms that SimpleITK does not write."""

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_XRAY_STORAGE = "1.2.840.10008.5.1.4.1.1.1"
_LONG_FORMS = ("OB", "OW")
_DELIMITER = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Makes one chunk of a PNG file."""
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def make_png(
    rows: Sequence[bytes], width: int, bits: int, colours: int, chunks: bytes = b""
) -> bytes:
    """Makes a PNG file of rows that are packed already, from the top."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colours, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + chunks
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


def make_dicom(
    pixels: np.ndarray,
    photometric: str = "MONOCHROME2",
    bits: int | None = None,
    tags: Mapping[tuple[int, int], tuple[str, str]] | None = None,
    jpeg: bytes | None = None,
) -> bytes:
    """Makes a DICOM file.

    Args:
      pixels: Integers `(row, column)`, `(row, column, 3)` or `(frame, row, column)`.
      photometric: Its photometric interpretation.
      bits: Stored of each pixel; None is all.
      tags: More elements, each a value representation and a text.
      jpeg: Stands for the pixels, encoded.

    Returns:
      The file's bytes.
    """
    samples = 3 if pixels.shape[-1] == 3 else 1
    *frames, rows, columns = pixels.shape[:-1] if samples == 3 else pixels.shape
    allocated = pixels.dtype.itemsize * 8
    bits = bits or allocated
    numbers = {
        (0x28, 0x02): samples,
        (0x28, 0x10): rows,
        (0x28, 0x11): columns,
        (0x28, 0x100): allocated,
        (0x28, 0x101): bits,
        (0x28, 0x102): bits - 1,
        (0x28, 0x103): int(pixels.dtype.kind == "i"),
    }
    if samples == 3:
        numbers[0x28, 0x06] = 0
    texts = {
        (0x08, 0x16): ("UI", _XRAY_STORAGE),
        (0x08, 0x18): ("UI", "2.25.1"),
        (0x08, 0x60): ("CS", "CR"),
        (0x28, 0x04): ("CS", photometric),
        **(tags or {}),
    }
    if frames:
        texts[0x28, 0x08] = ("IS", str(frames[0]))
    elements = {
        tag: _element(*tag, "US", struct.pack("<H", value))
        for tag, value in numbers.items()
    }
    elements |= {
        tag: _element(*tag, form, text.encode()) for tag, (form, text) in texts.items()
    }
    body = b"".join(elements[tag] for tag in sorted(elements))
    if jpeg is None:
        syntax = EXPLICIT_LITTLE_ENDIAN
        body += _element(0x7FE0, 0x10, "OW", np.ascontiguousarray(pixels).tobytes())
    else:
        syntax = JPEG_BASELINE
        body += _encapsulate(jpeg)
    return b"\0" * 128 + b"DICM" + _file_meta(syntax) + body


def _file_meta(syntax: str) -> bytes:
    elements = [
        _element(0x02, 0x01, "OB", b"\0\1"),
        _element(0x02, 0x02, "UI", _XRAY_STORAGE.encode()),
        _element(0x02, 0x03, "UI", b"2.25.1"),
        _element(0x02, 0x10, "UI", syntax.encode()),
        _element(0x02, 0x12, "UI", b"2.25.2"),
    ]
    meta = b"".join(elements)
    return _element(0x02, 0x00, "UL", struct.pack("<I", len(meta))) + meta


def _element(group: int, number: int, form: str, value: bytes) -> bytes:
    value += (b"\0" if form in ("UI", "OB", "OW") else b" ") * (len(value) % 2)
    length = "<2xI" if form in _LONG_FORMS else "<H"
    head = struct.pack("<HH", group, number) + form.encode()
    return head + struct.pack(length, len(value)) + value


def _encapsulate(jpeg: bytes) -> bytes:
    jpeg += b"\0" * (len(jpeg) % 2)
    return (
        struct.pack("<HH2s2xI", 0x7FE0, 0x10, b"OB", 0xFFFFFFFF)
        + struct.pack("<HHI", 0xFFFE, 0xE000, 0)
        + struct.pack("<HHI", 0xFFFE, 0xE000, len(jpeg))
        + jpeg
        + _DELIMITER
    )
