"""Weights in files of Keras 2, read without Keras.

Keras 2 writes HDF5: a group per layer, whose attribute `weight_names` lists its
tensors. The file comes from elsewhere and HDF5 can do more than hold tensors: lead into
other files, promise terabytes in a kilobyte, run in circles. So everything is checked
from what describes the tensors before the first of them is read, and no pickle, code or
model configuration in the file is looked at.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from models_genesis_tf.errors import InputError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_FLOATS = (np.float16, np.float32, np.float64)
_KERAS_3_GROUPS = ("layers", "_layer_checkpoint_dependencies", "vars")
_NOT_IN_A_PATH = ("", ".", "..")
_SHOWN = 100  # characters of a name or a cause in a message
# What h5py raises, depending on where the damage lies.
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError)


def is_hdf5_file(path: str | Path) -> bool:
    """Says whether a file starts as HDF5 files do.

    Args:
      path: What is no file is no HDF5 file either.

    Returns:
      Whether the first eight bytes are the signature of HDF5.
    """
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def read_keras2_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Reads all weights of a model that Keras 2 saved.

    Args:
      path: HDF5 file of a whole model or of weights only. Of a whole model, neither the
        configuration nor the state of the optimizer is read.

    Returns:
      Arrays of float16, float32 or float64, as stored, by "<layer>/<variable>", in the
      file's order. These are the last two parts of a weight's name, so that weights of
      a model within a model, as of `multi_gpu_model`, are called as they are outside.

    Raises:
      InputError: If there is no such file, it is no file of Keras 2, it is damaged, two
        weights have one name, or anything in it leads outside or is larger than the
        file.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"weights are read from a file. Received: {path}")
        if not is_hdf5_file(path):
            raise InputError(f"weights of Keras 2 are in HDF5. Received: {path}")
        # Locking fails on file systems where nothing can be written.
        with h5py.File(path, "r", locking=False) as file:
            _check_links(file)
            datasets = _find_datasets(_weights_group(file))
            _check_sizes(datasets, path)
            return {key: np.asarray(data[()]) for key, data in datasets.items()}
    except InputError:
        raise
    except _DAMAGE as error:
        cause = error.args[-1] if error.args else type(error).__name__
        raise InputError(
            "a file of weights can be read from end to end. "
            f"Received: {path}, which is damaged ({_short(cause)})"
        ) from error


def _refusal(rule: str, node: h5py.Group | h5py.Dataset, found: str) -> InputError:
    return InputError(f"{rule}. Received: {node.file.filename} with {found}")


def _short(text: object) -> str:
    """Text from a file as one line that does not flood a message."""
    line = " ".join(str(text).split()).encode("unicode_escape").decode()
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


def _check_links(file: h5py.File) -> None:
    """Walks all groups, those that are not read included, and follows no other link."""
    groups, seen = [file["/"]], set()
    while groups:
        group = groups.pop()
        if group in seen:  # hard links can run in circles
            continue
        seen.add(group)
        for name in group:
            if not _is_hard_link(group, name):
                raise _refusal(
                    "a file of weights holds no soft, external or user-defined links",
                    group,
                    f"{_short(name)} in {_short(group.name)}",
                )
            if group.get(name, getclass=True) is h5py.Group:
                groups.append(group[name])


def _is_hard_link(group: h5py.Group, name: str) -> bool:
    try:
        return isinstance(group.get(name, getlink=True), h5py.HardLink)
    except TypeError:  # h5py knows no user-defined links
        return False


def _weights_group(file: h5py.File) -> h5py.Group:
    """The group that lists layers: the root, or one inside a whole model."""
    for group in (file["/"], file.get("model_weights")):
        if isinstance(group, h5py.Group) and _has_names(group, "layer_names"):
            return group
    if any(name in file for name in _KERAS_3_GROUPS):
        raise _refusal(
            "a .weights.h5 file of Keras 3 names layers by class and number instead of "
            "by their names; save the model as .keras",
            file,
            f"the groups {_short(', '.join(file))}",
        )
    raise _refusal("Keras 2 lists layers in layer_names", file, "no such attribute")


def _find_datasets(weights: h5py.Group) -> dict[str, h5py.Dataset]:
    """Finds and checks each weight's dataset by its key; reads none."""
    datasets: dict[str, h5py.Dataset] = {}
    for layer in _read_names(weights, "layer_names"):
        group = _member(weights, layer, h5py.Group)
        for name in _read_names(group, "weight_names"):
            key = _key(layer, name)
            if key in datasets:
                raise _refusal("weights have different names", group, _short(key))
            datasets[key] = _member(group, name, h5py.Dataset)
            _check_dataset(key, datasets[key])
    return datasets


def _key(layer: str, name: str) -> str:
    """Names a weight "<layer>/<variable>"."""
    *_, own, variable = f"{layer}/{name}".split("/")
    # TensorFlow 1 numbers what is built a second time; the layer keeps its name.
    if re.fullmatch(rf"{re.escape(layer)}_\d+", own):
        own = layer
    return f"{own}/{variable}".removesuffix(":0")


def _has_names(group: h5py.Group, attribute: str) -> bool:
    return attribute in group.attrs or f"{attribute}0" in group.attrs


def _read_names(group: h5py.Group, attribute: str) -> list[str]:
    """Reads a list of names, which Keras 2 numbers and splits beyond 64 KB."""
    if attribute in group.attrs:
        return _read_name_array(group, attribute)
    if not _has_names(group, attribute):
        raise _refusal(
            f"Keras 2 lists names in {attribute}",
            group,
            f"no such attribute in {_short(group.name)}",
        )
    names: list[str] = []
    number = 0
    while (part := f"{attribute}{number}") in group.attrs:
        names += _read_name_array(group, part)
        number += 1
    return names


def _read_name_array(group: h5py.Group, attribute: str) -> list[str]:
    entry = group.attrs.get_id(attribute)
    flat = entry.shape is not None and len(entry.shape) == 1
    if flat and not entry.shape[0]:
        return []  # of any type: NumPy makes an empty list an array of float64
    if not flat or h5py.check_string_dtype(entry.dtype) is None:
        raise _refusal(
            f"{attribute} is a list of names",
            group,
            f"an array {entry.shape} of {entry.dtype} in {_short(group.name)}",
        )
    names = group.attrs[attribute]
    return [name.decode() if isinstance(name, bytes) else name for name in names]


def _member(group: h5py.Group, name: str, kind: type) -> h5py.Group | h5py.Dataset:
    """Opens what a list of names promises to be in a group."""
    parts = name.split("/")
    # HDF5 takes "/a" from the root, "." as the group itself, and stops at a NUL.
    stays = "\0" not in name and not any(part in _NOT_IN_A_PATH for part in parts)
    member = group.get(name) if stays else None
    if not isinstance(member, kind):
        raise _refusal(
            f"each name is that of a {kind.__name__.lower()} inside its group",
            group,
            f"{_short(name)} in the list of {_short(group.name)}",
        )
    return member


def _check_dataset(key: str, dataset: h5py.Dataset) -> None:
    """Checks that a weight's numbers are floats that lie in the file, as they are."""
    if dataset.dtype.newbyteorder("=") not in _FLOATS:
        raise _refusal(
            "weights are float16, float32 or float64",
            dataset,
            f"{_short(key)} of {_short(dataset.dtype)}",
        )
    if dataset.is_virtual or dataset.external:
        raise _refusal(
            "weights are in the file itself", dataset, f"{_short(key)} elsewhere"
        )
    # A compressed piece can inflate to a thousand times its size.
    if dataset.chunks is not None or dataset.shape is None:
        raise _refusal(
            "Keras 2 writes each weight in one piece, uncompressed",
            dataset,
            f"{_short(key)} in another form",
        )


def _check_sizes(datasets: Mapping[str, h5py.Dataset], path: Path) -> None:
    """Checks that shapes promise no more than there is, each and in sum."""
    total = 0
    for key, dataset in datasets.items():
        stored = dataset.id.get_storage_size()
        if dataset.nbytes != stored:  # HDF5 would give zeros
            raise _refusal(
                "a weight is stored whole",
                dataset,
                f"{stored} of {dataset.nbytes} bytes of {_short(key)}",
            )
        total += stored
    length = path.stat().st_size
    if total > length:
        raise InputError(
            "weights take no more than their file. "
            f"Received: {path} of {length} bytes with {total} bytes of weights"
        )
