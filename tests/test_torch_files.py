"""Checkpoints of torch are read exactly, and nothing a hostile one asks for is done."""

import io
import itertools
import math
import pickle
import re
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.torch_files import is_torch_file, read_state_dict

DATA = Path(__file__).parent / "data"
FIXTURES = {form: DATA / f"genesis_narrow_{form}.pt" for form in ("zip", "legacy")}
MAGIC = 0x1950A86A20F9469CFC6C
NUMBERS = np.arange(24, dtype=np.float32)
KINDS = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
both_forms = pytest.mark.parametrize("form", ["zip", "legacy"])


# A second writer of the format: opcodes of pickle protocol 2, put together by hand.
def _value(value) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _call(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def _set_state(target: bytes, state) -> bytes:
    return target + _value(state) + b"b"


def _dict(entries: dict[str, bytes]) -> bytes:
    inner = b"".join(_value(name) + value for name, value in entries.items())
    return b"}(" + inner + b"u"


REBUILD = _global("torch._utils", "_rebuild_tensor_v2")
PARAMETER = _global("torch._utils", "_rebuild_parameter")
ORDERED_DICT = _global("collections", "OrderedDict")


def _storage(form, numel, kind="FloatStorage", key="0", view=None) -> bytes:
    parts = [_value("storage"), _global("torch", kind), _value(key), _value("cpu")]
    parts += [_value(numel), _value(view)] if form == "legacy" else [_value(numel)]
    return b"(" + b"".join(parts) + b"tQ"


def _tensor(storage: bytes, shape, strides, offset=0, *more: bytes) -> bytes:
    numbers = [_value(part) for part in (offset, shape, strides)]
    return _call(REBUILD, storage, *numbers, b"\x89", _call(ORDERED_DICT), *more)


def _simple(form) -> bytes:
    return _tensor(_storage(form, NUMBERS.size), (2, 3, 4), (12, 4, 1))


def _write(path, form, top: bytes, record=NUMBERS, order="little", numel=None) -> Path:
    """Writes a checkpoint with one storage, of key "0", or with none."""
    raw = b"" if record is None else record.tobytes()
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("made/data.pkl", b"\x80\x02" + top + b".")
            archive.writestr("made/byteorder", order)
            if record is not None:
                archive.writestr("made/data/0", raw)
        return path
    system = {"protocol_version": 1001, "little_endian": order == "little"}
    head = b"".join(pickle.dumps(part, 2) for part in (MAGIC, 1001, system))
    tail = pickle.dumps([], 2)
    if record is not None:
        count = record.size if numel is None else numel
        tail = pickle.dumps(["0"], 2) + struct.pack("<q", count) + raw
    path.write_bytes(head + b"\x80\x02" + top + b"." + tail)
    return path


def _write_tensor(path, form, *tensor, **storage) -> Path:
    record = storage.pop("record", NUMBERS)
    described = _storage(form, storage.pop("numel", record.size), **storage)
    return _write(path, form, _dict({"a": _tensor(described, *tensor)}), record)


def _refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        read_state_dict(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


@both_forms
def test_the_twin_s_tensors_are_those_that_torch_wrote(form):
    state = read_state_dict(FIXTURES[form])
    stored = np.load(DATA / "genesis_narrow.npz")
    names = [name for name in stored.files if "." in name]
    assert len(names) == 3
    for name in names:
        assert state[name].dtype == stored[name].dtype == np.float32
        np.testing.assert_array_equal(state[name], stored[name])
    # Fifteen convolutions (14 of LUConv, the last), three transposed ones, 14 norms.
    assert len(state) == 2 * (15 + 3) + 5 * 14
    assert state["down_tr512.ops.1.conv1.weight"].shape == (16, 8, 3, 3, 3)
    assert state["up_tr256.ops.0.conv1.weight"].shape == (8, 24, 3, 3, 3)
    assert state["out_tr.final_conv.bias"].shape == (1,)
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    assert {state[name].dtype for name in counters} == {np.dtype(np.int64)}
    assert {state[name].shape for name in counters} == {()}


def test_both_forms_give_the_same_dict_bit_for_bit():
    states = [read_state_dict(path) for path in FIXTURES.values()]
    assert list(states[0]) == list(states[1])
    for one, other in zip(states[0].values(), states[1].values(), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert one.tobytes() == other.tobytes()
        assert one.flags.owndata and one.flags.c_contiguous and one.flags.writeable


def _flip_in_member(source: Path, target: Path, member: str) -> Path:
    """Copies an archive with the first byte of one member's data changed."""
    raw = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        begin = archive.getinfo(member).header_offset
    begin += 30 + sum(struct.unpack_from("<HH", raw, begin + 26))
    raw[begin] ^= 255
    target.write_bytes(raw)
    return target


def test_the_optimizer_s_records_are_not_read(tmp_path):
    with zipfile.ZipFile(FIXTURES["zip"]) as archive:
        keys = sorted(int(n.split("/")[2]) for n in archive.namelist() if "/data/" in n)
    assert keys == list(range(106 + 64)), "state first, then one buffer per parameter"
    for key in (106, 169):
        path = _flip_in_member(
            FIXTURES["zip"], tmp_path / "a.pt", f"genesis_narrow_zip/data/{key}"
        )
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() == f"genesis_narrow_zip/data/{key}"
        assert len(read_state_dict(path)) == 106


@pytest.mark.parametrize("member", ["data/0", "data/105", "data.pkl"])
def test_a_changed_byte_in_what_is_read_is_found(tmp_path, member):
    member = f"genesis_narrow_zip/{member}"
    path = _flip_in_member(FIXTURES["zip"], tmp_path / "a.pt", member)
    assert "damaged" in _refusal(path)


@both_forms
@pytest.mark.parametrize("kind", KINDS)
def test_every_dtype_is_kept_with_its_values(tmp_path, rng, form, kind):
    values = rng.integers(0, 256, 6 * np.dtype(KINDS[kind]).itemsize, np.uint8)
    if kind == "BoolStorage":
        values %= 2
    values = values.view(KINDS[kind])
    path = _write_tensor(tmp_path / "a", form, (2, 3), (3, 1), record=values, kind=kind)
    array = read_state_dict(path)["a"]
    assert array.dtype == KINDS[kind] and array.shape == (2, 3)
    assert array.tobytes() == values.tobytes()


@both_forms
def test_bfloat16_becomes_float32_exactly(tmp_path, form):
    bits = np.array([0x3F80, 0xC000, 0x4049, 0x0001, 0x8000, 0xFF80], np.uint16)
    path = _write_tensor(
        tmp_path / "a", form, (3, 2), (1, 3), record=bits, kind="BFloat16Storage"
    )
    array = read_state_dict(path)["a"]
    numbers = [1.0, -2.0, 3.140625, 2.0**-133, -0.0, -math.inf]
    assert array.dtype == np.float32 and array.flags.c_contiguous
    np.testing.assert_array_equal(array, np.reshape(numbers, (2, 3)).T)
    assert np.signbit(array[1, 1])
    path = _write_tensor(
        tmp_path / "b", form, (), (), 2, record=bits, kind="BFloat16Storage"
    )
    scalar = read_state_dict(path)["a"]
    assert isinstance(scalar, np.ndarray) and scalar == np.float32(3.140625)


@both_forms
@pytest.mark.parametrize(
    "shape, strides, offset, expected",
    [
        ((4, 3, 2), (1, 4, 12), 0, NUMBERS.reshape(2, 3, 4).T),
        ((3, 2), (4, 12), 1, NUMBERS.reshape(2, 3, 4)[:, :, 1].T),
        ((2, 2), (12, 2), 5, NUMBERS.reshape(2, 12)[:, 5:8:2]),
        ((3, 3), (1, 1), 21 - 2, NUMBERS[19:24][np.add.outer(range(3), range(3))]),
        ((2, 3), (0, 1), 0, np.tile(NUMBERS[:3], (2, 1))),
        ((), (), 23, NUMBERS[23]),
        ((3, 0), (8, 1), 24, np.zeros((3, 0), np.float32)),
        ((1, 24), (999, 1), 0, NUMBERS[np.newaxis]),
    ],
)
def test_views_are_read_as_they_lie(tmp_path, form, shape, strides, offset, expected):
    path = _write_tensor(tmp_path / "a", form, shape, strides, offset)
    array = read_state_dict(path)["a"]
    assert array.shape == expected.shape and array.dtype == np.float32
    assert array.flags.c_contiguous and array.flags.owndata
    np.testing.assert_array_equal(array, expected)


@both_forms
def test_empty_storages_are_read(tmp_path, form):
    path = _write_tensor(tmp_path / "a", form, (0,), (1,), record=NUMBERS[:0])
    assert read_state_dict(path)["a"].shape == (0,)


def _parameter(data: bytes) -> bytes:
    return _call(PARAMETER, data, b"\x88", _call(ORDERED_DICT))


@both_forms
def test_a_parameter_is_read_as_its_tensor(tmp_path, form):
    top = _dict({"a": _parameter(_simple(form)), "b": _simple(form)})
    state = read_state_dict(_write(tmp_path / "a", form, top))
    for array in state.values():
        np.testing.assert_array_equal(array, NUMBERS.reshape(2, 3, 4))


@both_forms
@pytest.mark.parametrize("nested", [True, False])
def test_the_prefix_goes_only_if_all_names_carry_it(tmp_path, form, nested):
    for names, expected in [
        (["module.a", "module.module.b"], ["a", "module.b"]),
        (["module.a", "b"], ["module.a", "b"]),
    ]:
        top = _dict({name: _simple(form) for name in names})
        top = _dict({"epoch": _value(3), "state_dict": top}) if nested else top
        state = read_state_dict(_write(tmp_path / "a", form, top))
        assert list(state) == expected
        assert not np.shares_memory(*state.values())
        for array in state.values():
            np.testing.assert_array_equal(array, NUMBERS.reshape(2, 3, 4))


@both_forms
@pytest.mark.parametrize(
    "top, words",
    [
        (_value([1]), "state dict"),
        (_value({}), "state dict"),
        (_value({"state_dict": None}), "state dict"),
        (_value({"epoch": 3}), "epoch is int"),
        (_dict({"state_dict": _value({"a\nb": [1.5]})}), r"a\nb is list"),
        (_dict({"state_dict": _value({1: 2})}), "1 is int"),
        (_dict({"a": REBUILD}), "a is _Rebuild"),
        (_dict({"a": _parameter(_value(3))}), "a is int"),
        (_dict({"a": _global("torch", "HalfStorage")}), "a is str"),
    ],
    ids=range(9),
)
def test_a_state_dict_holds_tensors_only(tmp_path, form, top, words):
    assert words in _refusal(_write(tmp_path / "a", form, top, record=None))


@both_forms
def test_tensors_have_names_that_are_text(tmp_path, form):
    top = b"}" + _value(1) + _simple(form) + b"s"
    assert "1 is _Tensor" in _refusal(_write(tmp_path / "a", form, top))


def _attacks(canary: str) -> dict[str, tuple[bytes, str]]:
    """Pickles that would write the canary or change the reader, and what is named."""
    getattr_ = _global("builtins", "getattr")
    text = f"open({canary!r}, 'w')"
    method = _value("collections") + _value("OrderedDict.fromkeys") + b"\x93"
    return {
        "system": (_call(_global("os", "system"), _value(f"touch {canary}")), "os.sys"),
        "posix": (_call(_global("posix", "system"), _value("true")), "posix.system"),
        "eval": (_call(_global("builtins", "eval"), _value(text)), "builtins.eval"),
        "eval of Python 2": (
            _call(_global("__builtin__", "eval"), _value(text)),
            "__builtin__.eval",
        ),
        "old call": (b"(" + _value(text) + b"ibuiltins\neval\n", "builtins.eval"),
        "open": (
            _call(_global("io", "open"), _value(canary), _value("w")),
            "io.open",
        ),
        "getattr": (_call(getattr_, ORDERED_DICT, _value("x")), "builtins.getattr"),
        "version 1": (_global("torch._utils", "_rebuild_tensor"), "_rebuild_tensor"),
        "load": (_global("torch", "load"), "torch.load"),
        "another storage": (_global("torch.cuda", "FloatStorage"), "torch.cuda.Float"),
        "split name": (_global("torch", "_utils._rebuild_tensor_v2"), "torch._utils"),
        "partial": (_global("functools", "partial"), "functools.partial"),
        "a method": (method, "collections.OrderedDict.fromkeys"),
        "two lines": (_value("os\nx") + _value("y") + b"\x93", r"os\nx.y"),
        "extension": (b"\x82\x01", "damaged"),
        "call of a dtype": (_call(_global("torch", "LongStorage")), "damaged"),
        "state of a dtype": (
            _set_state(_global("torch", "LongStorage"), {"x": 1}),
            "damaged",
        ),
        "state of the call": (_set_state(REBUILD, {"x": 1}), "damaged"),
        "state of the other": (_set_state(PARAMETER, {"x": 1}), "damaged"),
        "slots of the call": (_set_state(REBUILD, (None, {"x": 1})), "damaged"),
        "class of the call": (_set_state(REBUILD, (None, {"__class__": 1})), "damaged"),
        "slots of a class": (_set_state(ORDERED_DICT, (None, {"x": 1})), "damaged"),
        "state of a class": (_set_state(ORDERED_DICT, {"x": 1}), "damaged"),
        "new of the call": (REBUILD + b")\x81", "damaged"),
        "memo": (b"]r" + struct.pack("<I", 1 << 24), "memo index"),
        "memo in words": (b"]p16777216\n", "memo index"),
        "stack": (b"R", "damaged"),
        "no bytes": (b"B\xff\xff\xff\x7f", "damaged"),
    }


@both_forms
@pytest.mark.parametrize("attack", _attacks(""))
@pytest.mark.parametrize("where", ["top", "beside the state dict"])
def test_whatever_else_a_pickle_asks_for_is_refused(tmp_path, form, attack, where):
    canary = tmp_path / "canary"
    body, words = _attacks(str(canary))[attack]
    record = None
    if where != "top":
        body = _dict({"state_dict": _dict({"a": _simple(form)}), "b": body})
        record = NUMBERS
    assert words in _refusal(_write(tmp_path / "a.pt", form, body, record))
    assert not canary.exists()
    good = _write(tmp_path / "b.pt", form, _dict({"a": _simple(form)}))
    np.testing.assert_array_equal(read_state_dict(good)["a"].ravel(), NUMBERS)


@pytest.mark.parametrize("place", range(1, 5))
def test_every_pickle_of_the_older_form_is_restricted(tmp_path, place):
    canary = tmp_path / "canary"
    call = _call(_global("os", "system"), _value(f"touch {canary}"))
    top = b"\x80\x02" + _dict({"a": _simple("legacy")}) + b"."
    system = pickle.dumps({"little_endian": True}, 2)
    parts = [pickle.dumps(MAGIC, 2), pickle.dumps(1001, 2), system, top]
    parts += [pickle.dumps(["0"], 2), struct.pack("<q", 24) + NUMBERS.tobytes()]
    path = tmp_path / "a.pt"
    path.write_bytes(b"".join(parts))
    assert list(read_state_dict(path)) == ["a"]
    parts[place] = b"\x80\x02" + call + b"."
    path.write_bytes(b"".join(parts))
    assert "os.system" in _refusal(path)
    assert not canary.exists()


@both_forms
@pytest.mark.parametrize("state", [{"numel": 1}, (None, {"offset": 1})])
def test_descriptions_cannot_be_changed(tmp_path, form, state):
    storage = _set_state(_storage(form, 24), state)
    tensor = _set_state(_simple(form), state)
    for body in (_tensor(storage, (24,), (1,)), tensor):
        assert "damaged" in _refusal(_write(tmp_path / "a", form, _dict({"a": body})))


@both_forms
@pytest.mark.parametrize(
    "shape, strides, offset, words",
    [
        ((1000,), (0,), 0, "no more elements"),
        ((5, 5), (0, 1), 0, "no more elements"),
        ((25,), (1,), 0, "inside its storage"),
        ((24,), (1,), 1, "inside its storage"),
        ((2, 2), (12, 12), 0, "inside its storage"),
        ((), (), 24, "inside its storage"),
        ((2,), (1 << 62,), 0, "inside its storage"),
        ((2,), (1,), -1, "whole numbers"),
        ((2,), (-1,), 1, "whole numbers"),
        ((-2,), (1,), 0, "whole numbers"),
        ((2,), (1,), True, "whole numbers"),
        ((2,), (1.0,), 0, "whole numbers"),
        ((2, 2), (1,), 0, "whole numbers"),
        ((1,) * 100, (1,) * 100, 0, "damaged"),
        (7, 7, 0, "damaged"),
    ],
)
def test_a_tensor_has_to_fit_its_storage(tmp_path, form, shape, strides, offset, words):
    path = _write_tensor(tmp_path / "a", form, shape, strides, offset)
    assert words in _refusal(path)


@both_forms
def test_negated_tensors_are_refused(tmp_path, form):
    tensor = ((24,), (1,), 0)
    path = _write_tensor(tmp_path / "a", form, *tensor, _value({}))
    np.testing.assert_array_equal(read_state_dict(path)["a"], NUMBERS)
    path = _write_tensor(tmp_path / "b", form, *tensor, _value({"neg": True}))
    assert "negated" in _refusal(path)


@both_forms
@pytest.mark.parametrize("numel", [23, 25, 1 << 61, -24, True, None])
def test_a_storage_has_the_size_that_is_said(tmp_path, form, numel):
    path = _write_tensor(tmp_path / "a", form, (2,), (1,), numel=numel)
    assert re.search("damaged|and a size", _refusal(path))


def test_the_older_form_s_record_has_the_size_that_is_said(tmp_path):
    top = _dict({"a": _simple("legacy")})
    for numel in (23, 25, -1):
        path = _write(tmp_path / "a", "legacy", top, numel=numel)
        assert "damaged" in _refusal(path)


def test_a_wrong_size_is_found_in_a_record_that_is_not_read(tmp_path):
    other = _tensor(_storage("legacy", 2, key="1"), (2,), (1,))
    top = _dict({"state_dict": _dict({"a": _simple("legacy")}), "b": other})
    path = _write(tmp_path / "a", "legacy", top)
    raw, keys = path.read_bytes(), pickle.dumps(["0"], 2)
    assert raw.count(keys) == 1
    for numel in (2, 1, 0):
        record = struct.pack("<q", numel) + NUMBERS[:numel].tobytes()
        path.write_bytes(raw.replace(keys, pickle.dumps(["1", "0"], 2) + record))
        if numel == 2:
            assert list(read_state_dict(path)) == ["a"]
        else:
            assert "damaged" in _refusal(path)


def test_another_version_of_the_older_form_is_refused(tmp_path):
    path = _write_tensor(tmp_path / "a", "legacy", (2,), (1,))
    raw, version = path.read_bytes(), pickle.dumps(1001, 2)
    path.write_bytes(raw.replace(version, pickle.dumps(1002, 2), 1))
    assert "version 1002" in _refusal(path)


def test_an_archive_with_two_pickles_is_refused(tmp_path):
    path = _write_tensor(tmp_path / "a", "zip", (2,), (1,))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", archive.read("made/data.pkl"))
    assert "2 */data.pkl" in _refusal(path)


@both_forms
@pytest.mark.parametrize("kind", ["object", "V4", "complex64", "S4"])
def test_a_dtype_that_is_no_storage_s_is_refused(tmp_path, form, kind):
    named = _global("torch", "FloatStorage")
    storage = _storage(form, 24).replace(named, _value(kind))
    top = _dict({"a": _tensor(storage, (2,), (1,))})
    assert "has a dtype" in _refusal(_write(tmp_path / "a", form, top))


@both_forms
def test_a_storage_with_two_sizes_or_dtypes_is_refused(tmp_path, form):
    for kind, numel in (("FloatStorage", 12), ("IntStorage", 24)):
        other = _tensor(_storage(form, numel, kind), (2,), (1,))
        top = _dict({"a": _simple(form), "b": other})
        assert "one dtype" in _refusal(_write(tmp_path / "a", form, top))


def test_parts_of_other_storages_and_foreign_tags_are_refused(tmp_path):
    path = _write_tensor(tmp_path / "a", "legacy", (2,), (1,), view=("1", 0, 2))
    assert "part of another" in _refusal(path)
    module = b"(" + _value("module") + _value("a") * 4 + b"tQ"
    assert "a dtype, a key" in _refusal(_write(tmp_path / "b", "zip", module))
    assert "damaged" in _refusal(_write(tmp_path / "c", "zip", _value(5) + b"Q"))


@both_forms
def test_a_tensor_without_its_record_is_refused(tmp_path, form):
    tensor = _tensor(_storage(form, 24, key="../0"), (2,), (1,))
    assert "damaged" in _refusal(_write(tmp_path / "a", form, _dict({"a": tensor})))


@both_forms
def test_big_endian_checkpoints_are_refused(tmp_path, form):
    top = _dict({"a": _simple(form)})
    assert "little-endian" in _refusal(_write(tmp_path / "a", form, top, order="big"))


@both_forms
def test_a_file_cut_short_is_refused_at_every_length(tmp_path, form):
    path = tmp_path / "a.pt"
    raw = _write(path, form, _dict({"a": _simple(form)})).read_bytes()
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        _refusal(path)
    raw = FIXTURES[form].read_bytes()
    for length in itertools.chain(range(0, len(raw), 4999), [len(raw) - 1]):
        path.write_bytes(raw[:length])
        assert "damaged" in _refusal(path)


def test_a_final_empty_storage_cut_away_is_missed(tmp_path):
    path = _write_tensor(tmp_path / "a", "legacy", (0,), (1,), record=NUMBERS[:0])
    path.write_bytes(path.read_bytes()[:-8])
    assert "damaged" in _refusal(path)


@both_forms
def test_any_changed_byte_is_found_or_harmless(tmp_path, form):
    path = tmp_path / "a.pt"
    raw = _write(path, form, _dict({"a": _simple(form)})).read_bytes()
    found = 0
    for place, flip in itertools.product(range(len(raw)), (1, 255)):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ flip]) + raw[place + 1 :])
        try:
            state = read_state_dict(path)
        except InputError:
            found += 1
            continue
        if form == "zip":  # which has a checksum
            np.testing.assert_array_equal(state["a"], NUMBERS.reshape(2, 3, 4))
    assert found > len(raw) / 2


@pytest.mark.parametrize("change", ["compressed", "huge", "overlapping"])
def test_archives_that_grow_when_read_are_refused(tmp_path, change):
    path = tmp_path / "a.pt"
    method = zipfile.ZIP_DEFLATED if change == "compressed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w") as archive:
        top = _dict({"a": _simple("zip")})
        archive.writestr("made/data.pkl", b"\x80\x02" + top + b".")
        archive.writestr("made/data/0", NUMBERS.tobytes(), method)
        record = archive.getinfo("made/data/0")
        if change == "huge":
            record.file_size = 1 << 40
        if change == "overlapping":
            archive.filelist.extend([record] * 40)
    assert sum(i.file_size for i in zipfile.ZipFile(path).infolist()) > (
        0 if change == "compressed" else path.stat().st_size
    )
    assert "not compressed and fit" in _refusal(path)


def test_missing_files_and_folders_are_named(tmp_path):
    assert "no such file" in _refusal(tmp_path / "none.pt")
    assert "no such file" in _refusal(tmp_path)


def test_the_tar_form_is_refused_with_its_reason(tmp_path):
    path = tmp_path / "a.pt"
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert "tar archives" in _refusal(path)
    assert not is_torch_file(path)


def test_torch_files_are_known_by_their_content(tmp_path):
    assert all(is_torch_file(path) for path in FIXTURES.values())
    assert is_torch_file(str(FIXTURES["zip"]))
    keras = tmp_path / "model.pt"
    with zipfile.ZipFile(keras, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"data.pkl")
        archive.writestr("data.pkl", b"")
    contents = {
        "empty": b"",
        "zip": FIXTURES["zip"].read_bytes()[:50_000],
        "integer": pickle.dumps(MAGIC + 1, 2),
        "hdf5": b"\x89HDF\r\n\x1a\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    others = [keras, DATA / "genesis_narrow.npz", *(tmp_path / n for n in contents)]
    for path in others:
        assert not is_torch_file(path)
        assert "damaged or no torch checkpoint" in _refusal(path)
    assert not is_torch_file(tmp_path) and not is_torch_file(tmp_path / "none")
