"""A saved model predicts the same under another backend of Keras."""

import functools
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from models_genesis_tf.models.heads import build_classifier, build_segmenter
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.unet2d import build_unet2d
from models_genesis_tf.models.unet3d import build_unet3d

PREDICT = """
import sys
import keras
import numpy as np

assert keras.backend.backend() == "jax"
for path in sys.argv[1:]:
    model = keras.saving.load_model(path)
    inputs = np.load(path + ".inputs.npy")
    np.save(path + ".npy", model.predict(inputs, batch_size=2, verbose=0))
assert "tensorflow" not in sys.modules
"""
CUBES, IMAGES = (16, 24, 8, 1), (64, 32, 1)
BUILDERS = {
    "unet3d": build_unet3d,
    "transposed": functools.partial(build_unet3d, upsampling="transposed"),
    "batch": functools.partial(build_unet3d, bn_statistics="batch"),
    "classifier": functools.partial(build_classifier, num_classes=3),
    "segmenter": build_segmenter,
    "unet2d": build_unet2d,
    "classifier2d": functools.partial(
        build_classifier, num_classes=3, input_scaling="imagenet"
    ),
    "segmenter2d": build_segmenter,
}


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="jax is not installed")
def test_a_saved_model_predicts_the_same_under_jax(tmp_path, rng):
    expected = {}
    for name, build in BUILDERS.items():
        shape = IMAGES if name.endswith("2d") else CUBES
        model = build(shape, base_filters=4)
        model.set_weights(
            [
                rng.normal(0, (2 / np.prod(w.shape[:-1])) ** 0.5, w.shape)
                if w.ndim > 1
                else rng.uniform(0.5, 1.5, w.shape)
                for w in model.get_weights()
            ]
        )
        path = tmp_path / f"{name}.keras"
        save_model(model, path, {})
        inputs = rng.random((2, *shape), np.float32)
        np.save(f"{path}.inputs.npy", inputs)
        expected[path] = model.predict(inputs, batch_size=2, verbose=0)
    subprocess.run(
        [sys.executable, "-c", PREDICT, *expected],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        check=True,
        capture_output=True,
    )
    for path, values in expected.items():
        assert values.std() > 1e-3, path
        np.testing.assert_allclose(np.load(f"{path}.npy"), values, atol=1e-4)
