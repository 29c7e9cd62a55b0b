"""Whether a scan's file holds all the data that its header promises.

SimpleITK fills what is missing in a truncated `.nii.gz` with zeros and says nothing, so
the length is checked before it reads. Compressed data are not decompressed for that: a
gzip file ends with the length of what it holds, MetaImage headers give the compressed
length; only where those disagree with the header or are absent is the stream read.
"""

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from models_genesis_tf.errors import InputError

_BLOCK = 2**20
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
_NRRD_BYTES = {
    1: "signed char|int8|int8_t|uchar|unsigned char|uint8|uint8_t",
    2: "short|short int|signed short|signed short int|int16|int16_t|ushort|"
    "unsigned short|unsigned short int|uint16|uint16_t",
    4: "int|signed int|int32|int32_t|uint|unsigned int|uint32|uint32_t|float",
    8: "longlong|long long|long long int|int64|int64_t|ulonglong|"
    "unsigned long long|unsigned long long int|uint64|uint64_t|double",
}


@dataclass(frozen=True)
class Payload:
    """Where a header says that the voxels lie.

    Attributes:
      path: File that holds them.
      offset: Bytes before them.
      length: Bytes they take, decompressed.
      packing: "raw", "gzip" (the whole rest of the file) or "zlib".
      packed_length: Bytes they take compressed, where the header says so.
    """

    path: Path
    offset: int
    length: int
    packing: str = "raw"
    packed_length: int | None = None


def check_complete(path: Path) -> None:
    """Checks that the file, or the data file that it names, is as long as it has to be.

    Args:
      path: A file in one of the formats that `volumes.read_volume` takes.

    Raises:
      InputError: If voxels are missing or the header cannot be understood.
    """
    try:
        payload = _payload(path)
    except (ValueError, KeyError, IndexError, struct.error, OSError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"a scan has a readable header. Received: {path}") from error
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


def _payload(path: Path) -> Payload | None:
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return _nifti_payload(path, name.endswith(".gz"))
    if name.endswith((".mhd", ".mha")):
        return _metaimage_payload(path)
    return _nrrd_payload(path)


def _nifti_payload(path: Path, packed: bool) -> Payload:
    with gzip.open(path) if packed else path.open("rb") as stream:
        head = stream.read(540)
    order = "<" if head[:4] in (b"\x5c\x01\0\0", b"\x1c\x02\0\0") else ">"
    (size,) = struct.unpack_from(order + "i", head)
    if size == 348:
        dimensions = struct.unpack_from(order + "8h", head, 40)
        (bits,) = struct.unpack_from(order + "h", head, 72)
        (offset,) = struct.unpack_from(order + "f", head, 108)
    elif size == 540:
        dimensions = struct.unpack_from(order + "8q", head, 16)
        (bits,) = struct.unpack_from(order + "h", head, 14)
        (offset,) = struct.unpack_from(order + "q", head, 168)
    else:
        raise ValueError("not NIfTI")
    length = math.prod(dimensions[1 : dimensions[0] + 1]) * bits // 8
    if packed:
        return Payload(path, 0, int(offset) + length, "gzip")
    return Payload(path, int(offset), length)


def _metaimage_payload(path: Path) -> Payload | None:
    fields, end = _header_fields(path, "=", last="ElementDataFile")
    data_file = fields["ElementDataFile"]
    if data_file.startswith("LIST") or "%" in data_file:
        return None  # one file per slice; SimpleITK reports one that is absent
    local = data_file.upper() == "LOCAL"
    target = path if local else path.parent / data_file
    sides = [int(side) for side in fields["DimSize"].split()]
    channels = int(fields.get("ElementNumberOfChannels", 1))
    length = math.prod(sides) * channels * _METAIMAGE_BYTES[fields["ElementType"]]
    if fields.get("CompressedData", "").lower() == "true":
        packed = fields.get("CompressedDataSize")
        return Payload(
            target, end if local else 0, length, "zlib", int(packed) if packed else None
        )
    return Payload(target, end if local else int(fields.get("HeaderSize", 0)), length)


def _nrrd_payload(path: Path) -> Payload:
    fields, end = _header_fields(path, ":", last="")
    data_file = fields.get("data file") or fields.get("datafile")
    target = path.parent / data_file if data_file else path
    element = fields["type"].lower()
    width = next(w for w, names in _NRRD_BYTES.items() if element in names.split("|"))
    length = math.prod(int(side) for side in fields["sizes"].split()) * width
    packing = fields["encoding"].lower()
    packing = "gzip" if packing in ("gz", "gzip") else packing
    return Payload(target, 0 if data_file else end, length, packing)


def _header_fields(path: Path, sign: str, last: str) -> tuple[dict[str, str], int]:
    """Reads `name = value` lines up to the last one; gives where the data start."""
    fields: dict[str, str] = {}
    with path.open("rb") as stream:
        for line in stream:
            text = line.decode("latin-1").strip()
            name, found, value = text.partition(sign)
            if found and not text.startswith("#"):
                fields[name.strip()] = value.strip()
            if (last and name.strip() == last) or (not last and not text):
                break
            if stream.tell() > _BLOCK:
                raise ValueError("no end of header")
        return fields, stream.tell()


def _found_length(payload: Payload) -> int:
    """Bytes of voxels that are there, decompressed."""
    size = payload.path.stat().st_size
    if payload.packing == "gzip":
        with payload.path.open("rb") as stream:
            stream.seek(max(0, size - 4))
            trailer = stream.read(4)
        if trailer == struct.pack("<I", payload.length % 2**32):
            return payload.length
        return _count_gzip(payload)
    if payload.packing == "zlib":
        if payload.packed_length is not None:
            whole = size - payload.offset >= payload.packed_length
            return payload.length if whole else _count_zlib(payload)
        return _count_zlib(payload)
    if payload.packing == "raw":
        return max(0, size - payload.offset)
    return payload.length  # text and bzip2 in NRRD, which their own readers check


def _count_gzip(payload: Payload) -> int:
    count = 0
    with payload.path.open("rb") as file:
        file.seek(payload.offset)
        with gzip.GzipFile(fileobj=file) as stream:
            try:
                while block := stream.read(_BLOCK):
                    count += len(block)
            except (EOFError, OSError, zlib.error):
                pass  # truncated or damaged: what was read so far counts
    return count


def _count_zlib(payload: Payload) -> int:
    count = 0
    unpack = zlib.decompressobj()
    with payload.path.open("rb") as file:
        file.seek(payload.offset)
        try:
            while block := file.read(_BLOCK):
                count += len(unpack.decompress(block))
        except zlib.error:
            pass  # damaged: what was read so far counts
    return count
