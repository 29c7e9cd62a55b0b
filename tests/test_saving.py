"""Saved models open in plain Keras, are float32, and carry their facts."""

import functools
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from models_genesis_tf.models.heads import (
    build_classifier,
    build_encoder,
    build_segmenter,
)
from models_genesis_tf.models.losses import mean_squared_error
from models_genesis_tf.models.saving import float32_copy, read_metadata, save_model
from models_genesis_tf.models.unet3d import build_unet3d

# Runs without this package: importing it raises.
RESTORE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "models_genesis_tf":
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
import keras
import numpy as np

assert keras.config.dtype_policy().name == "float32"
cubes = np.load(sys.argv[1])
for path in sys.argv[2:]:
    model = keras.saving.load_model(path, safe_mode=True)
    assert not model.compiled
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert not any(getattr(layer, "synchronized", False) for layer in model.layers)
    np.save(path + ".npy", model(cubes, training=False))
assert "models_genesis_tf" not in sys.modules
"""


def _build(policy: str, synchronized: bool, rng: np.random.Generator) -> keras.Model:
    """A model whose statistics and scales are not the initial ones."""
    model = build_unet3d((16, 8, 8, 2), 2, synchronized=synchronized, dtype=policy)
    model.set_weights(
        [rng.uniform(0.1, 0.5, weight.shape) for weight in model.get_weights()]
    )
    return model


def test_plain_keras_restores_a_cube_bit_for_bit_without_this_package(tmp_path, rng):
    cubes = rng.random((2, 16, 8, 8, 2), np.float32)
    np.save(tmp_path / "cubes.npy", cubes)
    shape = (16, 8, 8, 2)
    builders = {
        "plain": build_unet3d,
        "other": functools.partial(
            build_unet3d, upsampling="transposed", bn_statistics="batch"
        ),
        "classifier": functools.partial(build_classifier, num_classes=3),
        "segmenter": build_segmenter,
        "encoder": functools.partial(build_encoder, pooling="avg"),
    }
    models = {
        "synchronised": _build("float32", True, rng),
        "bfloat16": _build("mixed_bfloat16", True, rng),
        "float16": _build("mixed_float16", False, rng),
    } | {
        name: build(shape, base_filters=2, dtype="mixed_bfloat16")
        for name, build in builders.items()
    }
    paths = []
    for name, model in models.items():
        model.compile(optimizer="sgd", loss=mean_squared_error)  # no stock loss
        save_model(model, tmp_path / f"{name}.keras", {"scheme": "unified"})
        paths.append(str(tmp_path / f"{name}.keras"))
    subprocess.run(
        [sys.executable, "-I", "-c", RESTORE, str(tmp_path / "cubes.npy"), *paths],
        check=True,
        cwd=tmp_path,
        capture_output=True,
    )
    for name, model in models.items():
        restored = np.load(tmp_path / f"{name}.keras.npy")
        twin = builders.get(name, build_unet3d)(shape, base_filters=2)
        twin.set_weights(model.get_weights())
        np.testing.assert_array_equal(restored, twin(cubes, training=False))


def test_the_trained_model_itself_stays_as_it_was(rng):
    model = _build("mixed_bfloat16", True, rng)
    weights = model.get_weights()
    copy = float32_copy(model)
    assert model.get_layer("depth_0_conv").compute_dtype == "bfloat16"
    assert model.get_layer("depth_0_bn").synchronized
    for own, copied, before in zip(
        model.get_weights(), copy.get_weights(), weights, strict=True
    ):
        np.testing.assert_array_equal(own, before)
        np.testing.assert_array_equal(copied, before)
    assert [layer.name for layer in copy.layers] == [
        layer.name for layer in model.layers
    ]


def test_facts_are_read_back_and_are_one_member_of_the_archive(tmp_path, rng):
    path = tmp_path / "new" / "model.keras"
    facts = {"task": "restoration", "patch_size": [16, 8, 8], "window": "ct"}
    save_model(_build("float32", False, rng), path, facts)
    assert read_metadata(path) == facts
    with zipfile.ZipFile(path) as archive:
        assert "models_genesis_tf.json" in archive.namelist()
        assert archive.testzip() is None


def test_facts_are_none_after_keras_saved_the_model_again(tmp_path, rng):
    save_model(_build("float32", False, rng), tmp_path / "model.keras", {"a": 1})
    keras.saving.load_model(tmp_path / "model.keras").save(tmp_path / "again.keras")
    assert read_metadata(tmp_path / "again.keras") is None


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, rng):
    path = tmp_path / "model.keras"
    model = _build("float32", False, rng)
    save_model(model, path, {"epoch": 1})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_model(model, path, {"epoch": object()})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.keras"]
