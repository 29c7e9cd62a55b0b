"""Weights of Keras 2 are read bit for bit, and nothing else in the file is trusted."""

import fcntl
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras2_files import genesis_layers, name_array, write_keras2_file

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.hdf5_files import is_hdf5_file, read_keras2_tensors

KERNEL = "model_weights/conv/conv/kernel:0"
LAYER = "model_weights/conv"


@pytest.fixture
def layers(rng) -> dict:
    return {
        "input_1": [],
        "conv": [
            ("conv/kernel:0", rng.random((3, 3, 3, 1, 2), np.float32)),
            ("conv/bias:0", rng.random(2, np.float32)),
        ],
        "a_bn": [("a_bn/gamma:0", rng.random(2, np.float32))],
    }


@pytest.fixture
def path(tmp_path, layers) -> Path:
    """A sound file for tests to harm."""
    path = tmp_path / "weights.h5"
    write_keras2_file(path, layers)
    return path


@pytest.fixture
def reads(monkeypatch) -> list:
    """Names of the datasets that were read."""
    names = []
    original = h5py.Dataset.__getitem__

    def record(dataset, *args, **kwargs):
        names.append(dataset.name)
        return original(dataset, *args, **kwargs)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", record)
    return names


def _tensors(layers: dict) -> dict[str, np.ndarray]:
    """What has to be read, where names have two parts."""
    weights = [weight for layer in layers.values() for weight in layer]
    return {name.removesuffix(":0"): array for name, array in weights}


def _assert_same(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert isinstance(found[name], np.ndarray), name
        np.testing.assert_array_equal(found[name], array, strict=True)


def _refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_keras2_tensors(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.partition(". Received: ")[2].startswith(str(path))
    return message


def _replace(file: h5py.File, name: str, **kwargs) -> None:
    del file[name]
    file.create_dataset(name, **kwargs)


@pytest.mark.parametrize("whole_model", [True, False])
def test_the_official_network_is_read_bit_for_bit_in_order(tmp_path, rng, whole_model):
    layers = genesis_layers(rng, 2)
    path = tmp_path / "Genesis_Chest_CT.h5"
    write_keras2_file(path, layers, whole_model)
    found = read_keras2_tensors(str(path))
    _assert_same(found, _tensors(layers))
    assert len(found) == 14 * 6 + 2
    assert list(found)[:3] == [
        "depth_0_conv/kernel",
        "depth_0_conv/bias",
        "depth_0_bn/gamma",
    ]


def test_configuration_and_optimizer_are_not_needed(path, layers):
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = b"no JSON"
        file["optimizer_weights/junk"] = np.arange(3)
        file["optimizer_weights"].attrs["weight_names"] = 5
    _assert_same(read_keras2_tensors(path), _tensors(layers))


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_may_be_stored_as_text(path, layers, encoding):
    text = h5py.string_dtype(encoding)
    with h5py.File(path, "r+") as file:
        weights = file["model_weights"]
        weights.attrs["layer_names"] = np.array(list(layers), text)
        for layer, tensors in layers.items():
            names = np.array([name for name, _ in tensors], text)
            weights[layer].attrs["weight_names"] = names
    _assert_same(read_keras2_tensors(path), _tensors(layers))


def test_lists_beyond_64_kilobytes_are_read_in_the_order_of_their_numbers(tmp_path):
    names = [f"layer_{number}" for number in range(24)]
    layers = {name: [(f"{name}/w:0", np.ones(1))] for name in names}
    many = [(f"many/v{number}:0", np.full(2, number, "f4")) for number in range(3)]
    path = tmp_path / "weights.h5"
    write_keras2_file(path, {"many": many, **layers}, whole_model=False)
    with h5py.File(path, "r+") as file:
        all_names = ["many", *names]
        del file.attrs["layer_names"], file["many"].attrs["weight_names"]
        for number in range(13):  # 2 each, the last 1: also numbers of two digits
            part = all_names[2 * number : 2 * number + 2]
            file.attrs[f"layer_names{number}"] = name_array(part)
        for number, (name, _) in enumerate(many):
            file["many"].attrs[f"weight_names{number}"] = name_array([name])
    _assert_same(read_keras2_tensors(path), _tensors({"many": many, **layers}))


def test_a_model_within_a_model_gives_the_names_it_has_outside(tmp_path, layers):
    tensors = _tensors(layers)
    inner = [(f"model_1/{name}:0", array) for name, array in tensors.items()]
    path = tmp_path / "weights.h5"
    write_keras2_file(path, {"lambda_1": [], "model_1": inner})
    _assert_same(read_keras2_tensors(path), tensors)


def test_a_weight_without_its_layer_in_its_name_is_of_the_layer_of_its_group(tmp_path):
    path = tmp_path / "weights.h5"
    write_keras2_file(path, {"scale": [("factor:0", np.ones(2))]})
    assert list(read_keras2_tensors(path)) == ["scale/factor"]


def test_a_layer_that_was_built_twice_keeps_its_name(tmp_path):
    path = tmp_path / "weights.h5"
    layers = {
        "depth_0_conv": [("depth_0_conv_1/kernel:0", np.ones(2, np.float32))],
        "model_1": [("depth_1_conv/kernel:0", np.ones(3, np.float32))],
    }
    write_keras2_file(path, layers)
    assert list(read_keras2_tensors(path)) == [
        "depth_0_conv/kernel",
        "depth_1_conv/kernel",
    ]


def test_a_layer_may_have_the_name_of_a_group_of_whole_models(tmp_path):
    layers = {"model_weights": [("model_weights/kernel:0", np.ones(3))], "layers": []}
    path = tmp_path / "weights.h5"
    write_keras2_file(path, layers, whole_model=False)
    _assert_same(read_keras2_tensors(path), _tensors(layers))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_floats_are_returned_as_stored(tmp_path, dtype):
    layers = {"a": [("a/w:0", np.array([[0.1, -2.5]], dtype))]}
    path = tmp_path / "weights.h5"
    write_keras2_file(path, layers)
    _assert_same(read_keras2_tensors(path), _tensors(layers))


def test_scalars_and_empty_arrays_are_weights_too(tmp_path):
    layers = {"a": [("a/b:0", np.array(2.5)), ("a/c:0", np.zeros((0, 3)))]}
    path = tmp_path / "weights.h5"
    write_keras2_file(path, layers)
    _assert_same(read_keras2_tensors(path), _tensors(layers))


def test_a_file_that_another_process_locked_can_be_read(path, layers):
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _assert_same(read_keras2_tensors(path), _tensors(layers))


@pytest.mark.parametrize("dtype", ["i4", "u1", "?", "c8", "S3", h5py.string_dtype()])
def test_what_is_no_float_is_refused_by_its_name(path, dtype):
    with h5py.File(path, "r+") as file:
        _replace(file, KERNEL, shape=(3,), dtype=dtype)
    message = _refused(path)
    assert message.startswith("weights are float16, float32 or float64")
    assert "conv/kernel" in message


def test_two_weights_of_one_name_are_refused(tmp_path):
    weights = [(f"model_{number}/a/w:0", np.ones(2)) for number in (1, 2)]
    path = tmp_path / "weights.h5"
    write_keras2_file(path, {"model": weights})
    assert _refused(path).endswith("with a/w")


def test_weights_of_keras_3_are_refused_with_what_to_do(tmp_path):
    path = tmp_path / "model.weights.h5"
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save_weights(path)
    assert "save the model as .keras" in _refused(path)


@pytest.mark.parametrize("group", ["layers", "_layer_checkpoint_dependencies", "vars"])
def test_each_form_of_keras_3_is_known(tmp_path, group):
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file[f"{group}/dense/vars/0"] = np.ones(2)
    assert "save the model as .keras" in _refused(path)


def test_hdf5_of_something_else_is_refused(tmp_path):
    path = tmp_path / "image.h5"
    with h5py.File(path, "w") as file:
        file["model_weights"] = np.ones(2)
    assert _refused(path).startswith("Keras 2 lists layers in layer_names")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.h5", tmp_path):
        assert _refused(path).startswith("weights are read from a file")
    assert "name too long" in _refused(tmp_path / ("too long" * 99))


@pytest.mark.parametrize("content", [b"", b"\x89HDF", b"PK\x03\x04" + bytes(600)])
def test_what_is_not_hdf5_is_refused(tmp_path, content):
    path = tmp_path / "weights.h5"
    path.write_bytes(content)
    assert not is_hdf5_file(path)
    assert _refused(path).startswith("weights of Keras 2 are in HDF5")


def test_hdf5_files_are_known_by_their_signature(path, tmp_path):
    assert is_hdf5_file(path)
    assert is_hdf5_file(str(path))
    assert not is_hdf5_file(tmp_path)
    assert not is_hdf5_file(tmp_path / "none.h5")
    shifted = tmp_path / "shifted.h5"
    shifted.write_bytes(bytes(512) + path.read_bytes())
    assert not is_hdf5_file(shifted)


def test_a_truncated_file_is_refused_at_every_length(path):
    content = path.read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        path.write_bytes(content[:length])
        message = _refused(path)
        assert length < 8 or "is damaged (" in message, length


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_damage_anywhere_ends_in_one_line_or_leaves_whole_tensors(path, rng, version):
    with h5py.File(path) as old, h5py.File(f"{path}.new", "w", libver=version) as new:
        old.copy("model_weights", new)
    content = Path(f"{path}.new").read_bytes()
    refusals = 0
    for position in range(8, len(content), 31):
        harmed = bytearray(content)
        harmed[position : position + 4] = rng.bytes(4)
        path.write_bytes(harmed)
        try:
            found = read_keras2_tensors(path)
        except InputError:
            _refused(path)
            refusals += 1
        else:
            assert len(found) == 3
    assert refusals > 20


def test_a_name_that_is_no_text_is_damage(path):
    with h5py.File(path, "r+") as file:
        file[LAYER].attrs["weight_names"] = np.array([b"\xff\xfe"])
    assert "is damaged (" in _refused(path)


def test_numbers_of_a_kind_that_numpy_lacks_are_damage(path):
    with h5py.File(path, "r+") as file:
        space, group = h5py.h5s.create(h5py.h5s.SCALAR), file[f"{LAYER}/conv"].id
        h5py.h5d.create(group, b"time", h5py.h5t.UNIX_D32LE, space)
        file[LAYER].attrs["weight_names"] = name_array(["conv/time"])
    assert "is damaged (" in _refused(path)


@pytest.mark.parametrize("place", ["/", LAYER, "optimizer_weights", "some/where/else"])
@pytest.mark.parametrize("kind", ["soft", "external", "user-defined"])
def test_links_are_refused_wherever_they_are(path, reads, place, kind):
    with h5py.File(path, "r+") as file:
        group = file.require_group(place)
        if kind == "soft":
            group["odd"] = h5py.SoftLink(f"/{KERNEL}")
        elif kind == "external":
            group["odd"] = h5py.ExternalLink("/etc/passwd", "/")
        else:
            # Of what has to be kept in order HDF5 stores links as plain messages.
            form = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
            form.set_link_creation_order(h5py.h5p.CRT_ORDER_TRACKED)
            h5py.h5g.create(group.id, b"ordered", gcpl=form)
            group["ordered/odd"] = h5py.ExternalLink("elsewhere.h5", "/")
    if kind == "user-defined":
        content = bytearray(path.read_bytes())
        end = content.rindex(b"odd", 0, content.index(b"elsewhere.h5"))
        content[content.rindex(b"\x40", 0, end)] = 99  # 64 is external
        path.write_bytes(content)
    message = _refused(path)
    assert message.startswith("a file of weights holds no soft, external or user-def")
    assert "with odd in /" in message
    assert not reads


def test_a_link_in_place_of_a_weight_is_not_followed(path, tmp_path, reads):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["kernel"] = np.ones((3, 3, 3, 1, 2), np.float32)
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        file[KERNEL] = h5py.ExternalLink("other.h5", "/kernel")
    assert "kernel:0 in /model_weights/conv/conv" in _refused(path)
    assert not reads


def test_hard_links_that_run_in_circles_end(path, layers):
    with h5py.File(path, "r+") as file:
        file["model_weights/root"] = file["/"]
        file[f"{LAYER}/self"] = file[LAYER]
        file["optimizer_weights/up"] = file["model_weights"]
    _assert_same(read_keras2_tensors(path), _tensors(layers))


def test_weights_in_another_file_are_refused(path, tmp_path, reads):
    outside = tmp_path / "outside.bin"
    outside.write_bytes(bytes(216))
    with h5py.File(path, "r+") as file:
        place = [(str(outside), 0, 216)]
        _replace(file, KERNEL, shape=(54,), dtype="f4", external=place)
    assert _refused(path).startswith("weights are in the file itself")
    assert not reads


def test_virtual_weights_are_refused(path, tmp_path, reads):
    layout = h5py.VirtualLayout((54,), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (54,))
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        file.create_virtual_dataset(KERNEL, layout)
    assert _refused(path).startswith("weights are in the file itself")
    assert not reads


def test_compressed_weights_are_refused(path, reads):
    with h5py.File(path, "r+") as file:
        _replace(file, KERNEL, data=np.zeros(2**20, "f4"), compression="gzip")
    assert _refused(path).startswith("Keras 2 writes each weight in one piece")
    assert not reads


def test_weights_without_a_shape_are_refused(path):
    with h5py.File(path, "r+") as file:
        _replace(file, KERNEL, data=h5py.Empty("f4"))
    assert _refused(path).startswith("Keras 2 writes each weight in one piece")


# The last two overflow 64 bits, to 0 and to a negative number of bytes.
@pytest.mark.parametrize(
    "shape", [(5,), (2**20, 2**20), (2**33, 2**31), (2**31, 2**30)]
)
def test_shapes_that_promise_more_than_is_stored_are_refused(path, reads, shape):
    with h5py.File(path, "r+") as file:
        _replace(file, KERNEL, shape=shape, dtype="f4")
    size = 4 * int(np.prod(shape, dtype=object))
    message = _refused(path)
    assert message.startswith("a weight is stored whole")
    assert message.endswith(f"with 0 of {size} bytes of conv/kernel")
    assert not reads


def test_weights_that_share_their_bytes_are_refused(path, layers, reads):
    big = np.ones(10_000, np.float32)
    names = [f"conv/w{number}:0" for number in range(2)]
    write_keras2_file(path, {"conv": [(names[0], big)]})
    assert path.stat().st_size < 2 * big.nbytes
    with h5py.File(path, "r+") as file:
        for name in names[1:]:
            file[LAYER][name] = file[LAYER][names[0]]
        file[LAYER].attrs["weight_names"] = name_array(names)
    assert _refused(path).endswith("with 80000 bytes of weights")
    assert not reads


@pytest.mark.parametrize(
    "name",
    [
        "conv/none:0",
        "conv",  # a group
        "/model_weights/conv/conv/kernel:0",
        "/",
        "",
        "../conv/conv/kernel:0",
        "./conv/kernel:0",
        "conv/./kernel:0",
        "conv//kernel:0",
        "conv/kernel:0/",
        "conv/kernel:0/more",
        "conv/kernel:0\0more",
        "\n" + 300 * "long",
    ],
)
def test_names_of_nothing_and_names_that_leave_their_group_are_refused(path, name):
    with h5py.File(path, "r+") as file:
        file[LAYER].attrs["weight_names"] = name_array([name])
    message = _refused(path)
    assert message.startswith("each name is that of a dataset inside its group")
    assert len(message) < 400


@pytest.mark.parametrize(
    "layer", ["none", "/model_weights/conv", ".", "conv/conv/bias:0"]
)
def test_layers_that_are_no_groups_are_refused(path, layer):
    with h5py.File(path, "r+") as file:
        file["model_weights"].attrs["layer_names"] = name_array([layer])
    message = _refused(path)
    assert message.startswith("each name is that of a group inside its group")


def test_a_layer_without_a_list_of_its_weights_is_refused(path):
    with h5py.File(path, "r+") as file:
        del file[LAYER].attrs["weight_names"]
    message = _refused(path)
    assert message.endswith(f"with no such attribute in /{LAYER}")


@pytest.mark.parametrize("attribute", ["layer_names", "weight_names"])
@pytest.mark.parametrize(
    "value",
    [
        np.arange(3),
        np.ones(1),
        np.array([[b"conv/kernel:0"]]),
        b"conv/kernel:0",
        "conv/kernel:0",
        h5py.Empty("S3"),
        np.zeros(2, [("a", "i4"), ("b", "S3")]),
    ],
    ids=["integers", "floats", "table", "bytes", "text", "null", "records"],
)
def test_lists_of_names_that_are_none_are_refused(path, attribute, value):
    with h5py.File(path, "r+") as file:
        place = LAYER if attribute == "weight_names" else "model_weights"
        file[place].attrs[attribute] = value
    assert _refused(path).startswith(f"{attribute} is a list of names")


def test_lists_of_references_and_of_lists_are_refused(path):
    for dtype, content in (
        (h5py.ref_dtype, lambda file: file.ref),
        (h5py.vlen_dtype("i4"), lambda file: np.arange(3)),
    ):
        with h5py.File(path, "r+") as file:
            values = np.empty(1, object)
            values[0] = content(file)
            file[LAYER].attrs.create("weight_names", values, dtype=dtype)
        assert _refused(path).startswith("weight_names is a list of names")
