"""Whether a scan's file holds all the data that its header promises, undamaged.

SimpleITK says nothing about a truncated or damaged `.nii.gz` (what is missing becomes
zeros), a short `.nii`, NaN in either (zeros again) or a compressed MetaImage that does
not inflate, so these are checked here. It does report an NRRD file or a slice of a
MetaImage list that is short.

Decompressing everything once more would double the time of reading. A gzip file ends
with the checksum and the length of what it holds, so the length is compared before
SimpleITK reads, and the checksum with that of the voxels it gave; the file is
decompressed only where one of them differs.
"""

import gzip
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_genesis_tf.errors import InputError

_BLOCK = 2**16  # a block of nothing but zeros inflates to a thousand times its size
_LONGEST_HEADER = 2**20
_NIFTI_HEADER = 348
_GZIP_MARK = b"\x1f\x8b"
_NIFTI_FLOATS = {16: "f4", 64: "f8"}
_METAIMAGE_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}


@dataclass(frozen=True)
class Payload:
    """Where a header says that the voxels lie.

    Attributes:
      path: File that holds them.
      offset: Bytes before them; in a gzip file, of its decompressed contents.
      length: Bytes they take, decompressed.
      packing: "raw", "gzip" (the whole file) or "zlib" (the voxels alone).
      floats: Number type of NIfTI voxels that may be NaN or infinite.
    """

    path: Path
    offset: int
    length: int
    packing: str = "raw"
    floats: np.dtype | None = None


def check_complete(path: Path) -> None:
    """Checks that the file, or the data file that it names, is as long as it has to be.

    Args:
      path: A file in one of the formats that `volumes.read_volume` takes.

    Raises:
      InputError: If voxels are missing or damaged or the header cannot be understood.
    """
    payload = _payload(path)
    if payload is None:
        return
    if not payload.path.is_file():
        raise InputError(
            f"the data file that a header names has to exist. Received: {path} "
            f"without {payload.path.name}"
        )
    found = _found_length(payload)
    if found < payload.length:
        raise InputError(
            f"a scan is as long as its header says. Received: {payload.path} with "
            f"{found} of {payload.length} bytes of voxels"
        )


def check_faithful(path: Path, voxels: np.ndarray) -> None:
    """Checks that what was read is what the file holds.

    Args:
      path: A file that passed `check_complete`.
      voxels: What SimpleITK read from it, in the file's order, contiguous.

    Raises:
      InputError: If the file is damaged or holds NaN or infinite values.
    """
    payload = _payload(path)
    if payload is None:
        return
    if payload.packing == "gzip":
        with gzip.open(path) as stream:
            head = stream.read(payload.offset)
        checksum, _ = _gzip_trailer(path)
        if zlib.crc32(voxels, zlib.crc32(head)) == checksum:
            return
        # Voxels that were rescaled or byte-swapped on reading differ as well.
        _inflated_length(path, 0)
    if payload.floats is not None:
        check_finite(path, _count_not_finite(payload))


def check_finite(path: Path, count: int) -> None:
    """Refuses a scan that holds values that are no numbers.

    Args:
      path: The scan, for the message.
      count: Number of voxels that are NaN or infinite.

    Raises:
      InputError: If there are any.
    """
    if count:
        raise InputError(
            f"a scan holds finite values only. Received: {path} with {count} voxels "
            "that are NaN or infinite"
        )


def _payload(path: Path) -> Payload | None:
    """Reads the header; None where SimpleITK's own checks suffice."""
    name = path.name.lower()
    if name.endswith(".nrrd"):
        return None
    try:
        if name.endswith((".mhd", ".mha")):
            return _metaimage_payload(path)
        return _nifti_payload(path)
    except (KeyError, ValueError, OverflowError) as error:
        reason = f"a scan has a readable header. Received: {path} ({error})"
        raise InputError(reason) from error
    except (struct.error, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"a scan has a whole header. Received: {path}") from error


def _nifti_payload(path: Path) -> Payload:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MARK
    with gzip.open(path) if packed else path.open("rb") as stream:
        head = stream.read(_NIFTI_HEADER)
    order = "<" if head[:4] == struct.pack("<i", _NIFTI_HEADER) else ">"
    (size,) = struct.unpack_from(order + "i", head)
    if size != _NIFTI_HEADER:
        raise ValueError("not NIfTI-1")  # which is all that SimpleITK reads
    sides = struct.unpack_from(order + "8h", head, 40)
    code, bits = struct.unpack_from(order + "2h", head, 70)
    (offset,) = struct.unpack_from(order + "f", head, 108)
    length = math.prod(sides[1 : sides[0] + 1]) * bits // 8
    if length <= 0:
        raise ValueError("no voxels")
    floats = np.dtype(order + _NIFTI_FLOATS[code]) if code in _NIFTI_FLOATS else None
    if floats is not None and floats.itemsize * 8 != bits:
        raise ValueError(f"{bits} bits for {floats.name}")
    packing = "gzip" if packed else "raw"
    return Payload(path, max(int(offset), _NIFTI_HEADER), length, packing, floats)


def _metaimage_payload(path: Path) -> Payload | None:
    fields, end = _metaimage_fields(path)
    data_file = fields["ElementDataFile"]
    if data_file.startswith("LIST") or "%" in data_file:
        return None  # one file per slice
    if not _is_true(fields.get("BinaryData", "True")):
        return None  # numbers as text
    local = data_file.upper() == "LOCAL"
    target = path if local else path.parent / data_file
    offset = int(fields.get("HeaderSize", 0))
    if offset <= 0:  # -1 says that the voxels end the file
        offset = end if local else 0
    sides = [int(side) for side in fields["DimSize"].split()]
    channels = int(fields.get("ElementNumberOfChannels", 1))
    length = math.prod(sides) * channels * _METAIMAGE_BYTES[fields["ElementType"]]
    if not _is_true(fields.get("CompressedData", "False")):
        return Payload(target, offset, length)
    if local and "CompressedDataSize" not in fields:
        raise ValueError("no CompressedDataSize")  # SimpleITK would give noise
    return Payload(target, offset, length, "zlib")


def _metaimage_fields(path: Path) -> tuple[dict[str, str], int]:
    """Reads `name = value` lines up to the last one; gives where they end."""
    fields: dict[str, str] = {}
    with path.open("rb") as stream:
        while "ElementDataFile" not in fields:
            line = stream.readline(_LONGEST_HEADER)
            if not line or stream.tell() > _LONGEST_HEADER:
                raise ValueError("no ElementDataFile")
            name, *value = re.split("[=:]", line.decode("latin-1"), maxsplit=1)
            fields[name.strip()] = "".join(value).strip()
        return fields, stream.tell()


def _is_true(text: str) -> bool:
    return text[:1] in ("T", "t", "1")


def _found_length(payload: Payload) -> int:
    """Bytes of voxels that are there, decompressed."""
    if payload.packing == "zlib":
        return _inflated_length(payload.path, payload.offset)
    if payload.packing == "raw":
        return max(0, payload.path.stat().st_size - payload.offset)
    _, length = _gzip_trailer(payload.path)
    if length == (payload.offset + payload.length) % 2**32:
        return payload.length
    return max(0, _inflated_length(payload.path, 0) - payload.offset)


def _gzip_trailer(path: Path) -> tuple[int, int]:
    """Checksum and length (modulo 2**32) that end a gzip file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8))
        return struct.unpack("<II", file.read(8).rjust(8, b"\0"))


def _inflated_length(path: Path, offset: int) -> int:
    """Decompresses gzip or zlib data as far as they go; gives their length."""
    count = 0
    unpack = zlib.decompressobj(wbits=47)  # 47 takes both
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while block := file.read(_BLOCK):
                count += len(unpack.decompress(block))
                while unpack.unused_data.startswith(_GZIP_MARK):  # one more member
                    block, unpack = unpack.unused_data, zlib.decompressobj(wbits=47)
                    count += len(unpack.decompress(block))
    except zlib.error as error:
        raise InputError(
            f"a scan's compressed voxels are undamaged. Received: {path} ({error})"
        ) from error
    return count


def _count_not_finite(payload: Payload) -> int:
    opened = gzip.open if payload.packing == "gzip" else open
    count, left = 0, payload.length
    with opened(payload.path, "rb") as stream:
        stream.seek(payload.offset)
        while left and (block := stream.read(min(_BLOCK, left))):
            left -= len(block)
            values = np.frombuffer(block, payload.floats)
            count += np.count_nonzero(~np.isfinite(values))
    return count
