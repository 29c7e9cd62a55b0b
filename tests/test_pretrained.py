"""Any file that holds a pre-trained model opens; any other is refused in one line."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras2_files import genesis_layers, write_keras2_file

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.official import build_official, read_official
from models_genesis_tf.models.pretrained import load_pretrained
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.models.weights import layer_tensors

DATA = Path(__file__).parent / "data"


def test_a_model_of_this_package_opens_uncompiled(tmp_path, rng):
    model = build_unet3d((8, 16, 8, 1), 2, dtype="mixed_bfloat16", synchronized=True)
    save_model(model, tmp_path / "model.keras", {})
    loaded = load_pretrained(tmp_path / "model.keras")
    assert not loaded.compiled and loaded.get_layer("depth_3_bn").dtype == "float32"
    before, after = layer_tensors(model), layer_tensors(loaded)
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", ["keras.h5", "torch.pt", "torch.keras", "keras"])
def test_official_files_open_whatever_they_are_called(tmp_path, rng, name):
    path = tmp_path / name
    if name.startswith("keras"):
        write_keras2_file(path, genesis_layers(rng, 2))
    else:
        path.write_bytes((DATA / "genesis_narrow_zip.pt").read_bytes())
    loaded = load_pretrained(path)
    expected = layer_tensors(build_official(read_official(path))[0])
    found = layer_tensors(loaded)
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
    assert loaded.input_shape == (None, 64, 64, 32, 1)


def _refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_pretrained(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_a_wrong_path_is_refused(tmp_path):
    assert "weights are a file" in _refused(tmp_path / "missing.keras")
    assert "weights are a file" in _refused(tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("an error page of a download\n")
    assert "none of them or is cut short" in _refused(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model_is_refused(tmp_path, share):
    path = tmp_path / "model.keras"
    save_model(build_unet3d((8, 8, 8, 1), 2), path, {})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "cut short" in _refused(path)


def test_a_damaged_model_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    save_model(build_unet3d((8, 8, 8, 1), 2), path, {})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    assert "opens in Keras" in _refused(path)


def test_another_network_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    assert "has the layers depth_0_conv to depth_7_bn" in _refused(path)
    inputs = keras.Input((8, 8, 8, 1))
    outputs = keras.layers.Conv3D(2, 3, name="depth_0_conv")(inputs)
    keras.Model(inputs, outputs, name="short").save(path)
    assert _refused(path).endswith("Received: short, without depth_0_bn")


def test_code_in_a_model_is_not_run(tmp_path):
    path, canary = tmp_path / "model.keras", tmp_path / "canary"
    inputs = keras.Input((8, 8, 8, 1))
    touch = eval(f"lambda x: (open({str(canary)!r}, 'w'), x)[1]")
    keras.Model(inputs, keras.layers.Lambda(touch)(inputs)).save(path)
    canary.unlink(missing_ok=True)
    _refused(path)
    assert not canary.exists()
