"""Torch checkpoints, read without torch and without running what a pickle asks for.

`torch.save` writes a pickle whose tensors are described, not held: each names a
storage, an offset, a shape and strides. The storages lie beside it, either as members
of a zip archive (torch 1.6 and later) or one after another behind the pickle (before).
The unpickler here knows only what describes tensors; a description is checked against
its storage before the tensor is read.
"""

import collections
import io
import math
import os
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from models_genesis_tf.errors import InputError

_ZIP_START = b"PK\x03\x04"
_LEGACY_START = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
_LEGACY_VERSION = 1001
_TAR_START, _TAR_OFFSET = b"ustar", 257
_ZIP_PICKLE = re.compile(r"([^/]+)/data\.pkl")
_DATA_PARALLEL = "module."
# Strings, since a pickle can neither call a string nor change it.
_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


# Named tuples, since a pickle can set attributes of a frozen dataclass.
class _Storage(NamedTuple):
    """Where numbers lie: `numel` of them in the record `key`."""

    kind: str
    key: str
    numel: int


class _Tensor(NamedTuple):
    """What a pickle says about a tensor; nothing of it is checked yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    metadata: dict | None


_ReadRecord = Callable[[_Storage], bytes]


def is_torch_file(path: str | Path) -> bool:
    """Tells by content whether a file is a checkpoint of `torch.save`.

    Args:
      path: Any path.

    Returns:
      True for a zip archive that holds a member `*/data.pkl` and for a file of torch
      before 1.6; False for any other file, a folder and a path that does not exist.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(len(_LEGACY_START))
            if start.startswith(_ZIP_START):
                names = zipfile.ZipFile(file).namelist()
                return any(_ZIP_PICKLE.fullmatch(name) for name in names)
            return start == _LEGACY_START
    except Exception:  # zipfile raises anything on files that are damaged
        return False


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a checkpoint's state dict, and no others.

    Args:
      path: A file of `torch.save` that holds a state dict, or a dict with one under
        the key "state_dict".

    Returns:
      An array in C order with memory of its own for each name, in the file's order and
      dtype; bfloat16, which NumPy lacks, becomes float32 exactly. A prefix "module."
      that all names carry, as `torch.nn.DataParallel` leaves it, is taken off.

    Raises:
      InputError: If there is no such file, if it is damaged or no checkpoint, if its
        pickle asks for anything but tensors, containers and numbers, or if the state
        dict holds anything but tensors.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"a checkpoint is a file. Received: no such file: {path}")
        with open(path, "rb") as file:
            top, read_record = _open_checkpoint(file, path)
            state = _find_state(top, path)
            arrays = {
                name: _read_tensor(tensor, read_record, f"{path}: {_shown(name)}")
                for name, tensor in state.items()
            }
    except InputError:
        raise
    except Exception as error:  # a damaged or hostile pickle can raise anything
        raise InputError(
            f"a checkpoint is a whole file of torch.save. Received: {path}, which is "
            f"damaged or no torch checkpoint ({type(error).__name__}: {_shown(error)})"
        ) from error
    if all(name.startswith(_DATA_PARALLEL) for name in arrays):
        return {name[len(_DATA_PARALLEL) :]: array for name, array in arrays.items()}
    return arrays


class _Rebuild:
    """Stands for `torch._utils._rebuild_tensor_v2`: describes a tensor."""

    # Without a `__dict__` there is nothing that the BUILD opcode could set.
    __slots__ = ()

    def __call__(
        self, storage, offset, shape, strides, requires_grad, hooks, metadata=None
    ) -> _Tensor:
        return _Tensor(storage, offset, shape, strides, metadata)


class _RebuildParameter:
    """Stands for `torch._utils._rebuild_parameter`: what is trained is a tensor, too.

    A dict of parameters is pickled with it; `state_dict()` itself has plain tensors.
    """

    __slots__ = ()

    def __call__(self, tensor, requires_grad, hooks):
        return tensor


_ADMITTED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    **{("torch", name): kind for name, kind in _STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Unpickles tensors' descriptions, containers and numbers.

    Attributes:
      storages: Those described so far, by key.
    """

    def __init__(self, file: BinaryIO, path: Path):
        super().__init__(file)
        self._path = path
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module, name):
        """Gives what stands for a global name, or refuses it."""
        if (module, name) not in _ADMITTED:
            raise InputError(
                "a checkpoint holds tensors, containers and numbers only. "
                f"Received: {self._path} asks for {_shown(f'{module}.{name}')}"
            )
        return _ADMITTED[module, name]

    def persistent_load(self, pid):
        """Takes down which storage a tensor lies in; nothing is read."""
        tag, kind, key, _location, numel, *view = pid
        valid = (
            tag == "storage"
            and kind in _STORAGES.values()
            and type(key) is str
            and type(numel) is int
            and numel >= 0
        )
        # Before 1.6 a sixth entry follows: which part of another storage this one is.
        if not valid or view not in ([], [None]):
            raise InputError(
                "a storage of a checkpoint has a dtype, a key and a size, and is no "
                f"part of another storage. Received: {self._path}"
            )
        storage = _Storage(kind, key, numel)
        if self.storages.setdefault(key, storage) != storage:
            raise InputError(
                "a storage of a checkpoint has one dtype and one size. "
                f"Received: {self._path}, storage {_shown(key)} with two"
            )
        return storage


def _unpickle(file: BinaryIO, path: Path) -> tuple[object, dict[str, _Storage]]:
    """Reads one pickle and leaves the file at its end.

    The unpickler makes room for the highest memo index it meets, 16 bytes for each up
    to it: five bytes could ask for 64 GiB. torch counts the index up from 0.
    """
    start = file.tell()
    for opcode, argument, position in pickletools.genops(file):
        if "PUT" in opcode.name and argument > position:
            raise pickle.UnpicklingError(f"memo index {argument}")
    file.seek(start)
    unpickler = _Unpickler(file, path)
    return unpickler.load(), unpickler.storages


def _open_checkpoint(file: BinaryIO, path: Path) -> tuple[object, _ReadRecord]:
    """Returns the unpickled object and what reads the record of a storage."""
    start = file.read(_TAR_OFFSET + len(_TAR_START))
    file.seek(0)
    if start.startswith(_ZIP_START):
        return _open_zip(file, path)
    if start.startswith(_LEGACY_START):
        return _open_legacy(file, path)
    if start[_TAR_OFFSET:] == _TAR_START:
        raise InputError(
            "the tar archives of the first torch releases are not read; torch.load and "
            f"torch.save turn them into newer files. Received: {path}"
        )
    raise pickle.UnpicklingError("neither a zip archive nor the magic number")


def _open_zip(file: BinaryIO, path: Path) -> tuple[object, _ReadRecord]:
    """Opens the form of torch 1.6 and later."""
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    compressed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if compressed or sum(member.file_size for member in members) > _size(file):
        raise InputError(
            "the records of a checkpoint are not compressed and fit into its file. "
            f"Received: {path} with others"
        )
    names = archive.namelist()
    prefixes = [match[1] for name in names if (match := _ZIP_PICKLE.fullmatch(name))]
    if len(prefixes) != 1:
        raise pickle.UnpicklingError(f"a zip archive with {len(prefixes)} */data.pkl")
    prefix = prefixes[0]
    order = f"{prefix}/byteorder"
    _check_byte_order(order not in names or archive.read(order) == b"little", path)
    top, _ = _unpickle(io.BytesIO(archive.read(f"{prefix}/data.pkl")), path)

    def read_record(storage: _Storage) -> bytes:
        return archive.read(f"{prefix}/data/{storage.key}")

    return top, read_record


def _open_legacy(file: BinaryIO, path: Path) -> tuple[object, _ReadRecord]:
    """Opens the form before torch 1.6, of which every record has to be there."""
    _magic, _ = _unpickle(file, path)
    version, _ = _unpickle(file, path)
    if version != _LEGACY_VERSION:
        raise pickle.UnpicklingError(f"version {version}, not {_LEGACY_VERSION}")
    system, _ = _unpickle(file, path)
    _check_byte_order(system["little_endian"] is True, path)
    top, storages = _unpickle(file, path)
    keys, _ = _unpickle(file, path)
    size = _size(file)
    places = {}
    for key in keys:
        (numel,) = struct.unpack("<q", file.read(8))
        end = file.tell() + numel * _dtype(storages[key].kind).itemsize
        if numel != storages[key].numel or end > size:
            raise EOFError(f"storage {key} is not whole")
        places[key] = file.tell(), end
        file.seek(end)

    def read_record(storage: _Storage) -> bytes:
        begin, end = places[storage.key]
        file.seek(begin)
        return file.read(end - begin)

    return top, read_record


def _find_state(top: object, path: Path) -> dict[str, _Tensor]:
    """Finds the state dict in what a checkpoint holds."""
    state = top["state_dict"] if isinstance(top, dict) and "state_dict" in top else top
    if not isinstance(state, dict) or not state:
        raise InputError(
            "a checkpoint holds a state dict with one tensor or more. "
            f"Received: {path} without"
        )
    for name, value in state.items():
        if type(name) is not str or not isinstance(value, _Tensor):
            raise InputError(
                "a state dict holds tensors by name and nothing else. Received: "
                f"{path}, where {_shown(name)} is {type(value).__name__}"
            )
    return state


def _read_tensor(tensor: _Tensor, read_record: _ReadRecord, where: str) -> np.ndarray:
    """Reads one tensor after checking what the pickle says about it."""
    _check_tensor(tensor, where)
    storage, offset, shape, strides, _ = tensor
    dtype = _dtype(storage.kind)
    record = read_record(storage)
    if len(record) != storage.numel * dtype.itemsize:
        raise EOFError(f"storage {storage.key} is not whole")
    steps = [stride * dtype.itemsize for stride in strides]
    view = np.ndarray(shape, dtype, record, offset * dtype.itemsize, steps)
    if storage.kind != "bfloat16":
        return np.array(view, dtype.newbyteorder("="), order="C")
    # A bfloat16 is the upper half of a float32.
    bits = np.array(view, np.uint32, order="C")
    bits <<= 16
    return bits.view(np.float32)


def _check_tensor(tensor: _Tensor, where: str) -> None:
    """Refuses a description that does not fit its storage."""
    storage, offset, shape, strides, metadata = tensor
    numbers = [offset, *shape, *strides]
    if (
        not isinstance(storage, _Storage)
        or len(shape) != len(strides)
        or any(type(number) is not int or number < 0 for number in numbers)
    ):
        raise InputError(
            "offset, shape and strides of a tensor are whole numbers from 0 up. "
            f"Received: {where} with others"
        )
    if metadata:
        raise InputError(
            "a tensor is what its storage holds, neither negated nor conjugated. "
            f"Received: {where} with metadata"
        )
    count = math.prod(shape)
    pairs = zip(shape, strides, strict=True)
    last = offset + sum((side - 1) * stride for side, stride in pairs)
    if count > storage.numel or (count and last >= storage.numel):
        raise InputError(
            "a tensor lies inside its storage and has no more elements than that. "
            f"Received: {where}, which does not"
        )


def _check_byte_order(little: bool, path: Path) -> None:
    if not little:
        raise InputError(f"a checkpoint is little-endian. Received: {path}, another")


def _dtype(kind: str) -> np.dtype:
    """The little-endian dtype of a storage's bytes."""
    return np.dtype("uint16" if kind == "bfloat16" else kind).newbyteorder("<")


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _shown(text: object) -> str:
    """What a file says, on one line, printable and not too long."""
    return str(text).encode("unicode_escape").decode()[:160]
