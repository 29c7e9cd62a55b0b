"""Heads of images: chosen by the shape or the weights, as strict as those of cubes."""

import keras
import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.heads import (
    build_classifier,
    build_encoder,
    build_segmenter,
)
from models_genesis_tf.models.pretrained import load_pretrained
from models_genesis_tf.models.saving import read_metadata, save_model
from models_genesis_tf.models.trunks import trunk_of
from models_genesis_tf.models.unet2d import Trunk2D, build_unet2d
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.models.weights import layer_tensors, transfer_weights
from tests.networks import BUILDERS, HEADS, randomise, table_lines

SHAPE = (32, 64, 1)
ENCODER_TENSORS, DECODER_TENSORS = 20 * 5, 10 * 5


@pytest.fixture
def source(rng) -> keras.Model:
    return randomise(build_unet2d(SHAPE, 2), rng)


@pytest.fixture
def weights(source, tmp_path):
    save_model(source, tmp_path / "model.keras", {"scheme": "unified"})
    return tmp_path / "model.keras"


def test_a_saved_model_opens_in_keras_and_restores_the_same(source, weights, rng):
    opened = keras.saving.load_model(weights, safe_mode=True)
    images = rng.random((2, *SHAPE), np.float32)
    np.testing.assert_array_equal(opened(images), source(images))
    assert read_metadata(weights) == {"scheme": "unified"}
    mixed = build_unet2d(SHAPE, 2, dtype="mixed_bfloat16", synchronized=True)
    save_model(mixed, weights, {})
    opened = load_pretrained(weights)
    assert {layer.dtype_policy.name for layer in opened.layers} == {"float32"}
    assert not opened.get_layer("stem_bn").synchronized


@pytest.mark.parametrize("name", BUILDERS)
def test_exactly_the_trunk_is_copied_and_exactly_the_head_is_new(
    name, source, weights, capsys
):
    model = BUILDERS[name](weights=weights)
    expected, found = layer_tensors(source), layer_tensors(model)
    assert [key for key in found if key not in expected] == HEADS[name]
    trunk = [key for key in found if key in expected]
    assert all(np.array_equal(found[key], expected[key]) for key in trunk)
    kinds = table_lines(capsys.readouterr().out)
    copied = ENCODER_TENSORS + (DECODER_TENSORS if name == "segmenter" else 0)
    assert kinds["copied"][1] == str(copied) == str(len(trunk))
    places = "stem_conv, stem_bn, stage_1 to stage_4"
    if name == "segmenter":
        places += ", decoder_0 to decoder_4"
    assert kinds["copied"][3] == places
    assert kinds["new"][1] == str(len(HEADS[name]))
    assert kinds["unused"][1] == str(len(expected) - copied)
    left = "restoration_conv"
    if name != "segmenter":
        left = f"decoder_0 to decoder_4, {left}"
    assert kinds["unused"][3] == left


@pytest.mark.parametrize("name", BUILDERS)
def test_the_trunk_gives_the_features_of_the_pre_trained_network(
    name, source, weights, rng
):
    end = "decoder_0_relu_1" if name == "segmenter" else "stage_4_block_1_relu_1"
    images = rng.random((2, *SHAPE), np.float32)
    expected, found = (
        np.asarray(keras.Model(model.input, model.get_layer(end).output)(images))
        for model in (source, BUILDERS[name](weights=weights, verbose=False))
    )
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("pooling", "reduce"), [("avg", np.mean), ("max", np.max)])
def test_pooled_features_are_those_of_the_maps(pooling, reduce, weights, rng):
    images = rng.random((2, *SHAPE), np.float32)
    maps = np.asarray(build_encoder(weights=weights, verbose=False)(images))
    pooled = build_encoder(weights=weights, pooling=pooling, verbose=False)
    assert maps.shape == (2, 1, 2, 16)
    np.testing.assert_allclose(pooled(images), reduce(maps, axis=(1, 2)), rtol=1e-5)


def test_labels_that_do_not_exclude_each_other_have_a_probability_each(rng):
    models = [
        build_classifier(
            SHAPE, num_classes=14, base_filters=2, classifier_activation=activation
        )
        for activation in ("sigmoid", "linear")
    ]
    models[0].set_weights(models[1].get_weights())
    images = rng.random((3, *SHAPE), np.float32)
    probabilities, logits = (np.asarray(model(images)) for model in models)
    assert probabilities.shape == (3, 14)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert np.abs(probabilities.sum(-1) - 1).min() > 0.1


@pytest.mark.parametrize(("classes", "activation"), [(1, "sigmoid"), (3, "softmax")])
@pytest.mark.parametrize("name", ["classifier", "segmenter"])
def test_the_last_activation_follows_the_number_of_classes(name, classes, activation):
    model = BUILDERS[name](SHAPE, base_filters=2, num_classes=classes)
    spatial = SHAPE[:-1] if name == "segmenter" else ()
    assert model.output_shape == (None, *spatial, classes)
    assert model.layers[-1].activation.__name__ == activation


def test_weights_of_another_dimension_are_refused_in_one_line(weights, tmp_path):
    with pytest.raises(InputError) as caught:
        build_classifier((32, 32, 32, 1), weights)
    assert str(caught.value) == (
        "weights and input_shape have the same dimension. Received: "
        f"{weights}, of a 2D network, for input_shape=(32, 32, 32, 1)"
    )
    save_model(build_unet3d((8, 8, 8, 1), 2), tmp_path / "cubes.keras", {})
    with pytest.raises(InputError, match="of a 3D network, for input_shape=.32, 32, 1"):
        build_classifier((32, 32, 1), tmp_path / "cubes.keras")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_filters": 4}, "that of the weights, 2. Received: base_filters=4"),
        ({"num_classes": 0}, "num_classes is 1 or more. Received: 0"),
        ({"input_shape": (32, 40, 1)}, "multiples of 32; 32,32 or 32,64 would fit"),
        ({"stem": "mean"}, "channel policy"),
    ],
)
def test_an_argument_without_meaning_is_refused(arguments, message, weights):
    with pytest.raises(InputError, match=message):
        build_classifier(weights=weights, **arguments)


def test_how_it_trains_does_not_follow_the_weights(tmp_path):
    model = build_unet2d(SHAPE, 2, bn_momentum=0.99, synchronized=True)
    save_model(model, tmp_path / "model.keras", {})
    plain = build_classifier(weights=tmp_path / "model.keras", verbose=False)
    assert trunk_of(plain) == Trunk2D(base_filters=2)
    given = build_classifier(
        weights=tmp_path / "model.keras",
        verbose=False,
        bn_momentum=0.5,
        synchronized=True,
        dtype="mixed_bfloat16",
    )
    assert trunk_of(given) == Trunk2D(2, bn_momentum=0.5, synchronized=True)
    assert given.get_layer("stage_2_block_0_conv_0").compute_dtype == "bfloat16"
    assert given.output.dtype == "float32"


def test_a_classifier_starts_the_next_one_but_no_segmenter(weights, tmp_path, capsys):
    first = build_classifier(weights=weights, num_classes=4, verbose=False)
    save_model(first, tmp_path / "first.keras", {})
    build_classifier((64, 64, 1), tmp_path / "first.keras", num_classes=2)
    assert "unused            4" in capsys.readouterr().out
    with pytest.raises(InputError, match="decoder_4_conv_0/kernel is not in the weig"):
        build_segmenter(weights=tmp_path / "first.keras")


@pytest.mark.parametrize("stem", ["repeat", "first", "random"])
def test_more_channels_get_their_stem_by_the_policy(stem, source, rng):
    shape = (*SHAPE[:-1], 3)
    target = build_unet2d(shape, 2, output_channels=1)
    before = layer_tensors(target)["stem_conv/kernel"]
    report = transfer_weights(source, target, stem=stem)
    assert len(report.copied) == ENCODER_TENSORS + DECODER_TENSORS + 2 - 1
    images = rng.random((2, *shape), np.float32)
    if stem == "repeat":
        images = np.repeat(images[..., :1], 3, axis=-1)
    if stem == "random":
        assert [tensor.name for tensor in report.new] == ["stem_conv/kernel"]
        kernel = layer_tensors(target)["stem_conv/kernel"]
        assert np.array_equal(kernel, before)
        return
    assert [tensor.name for tensor in report.adapted] == ["stem_conv/kernel"]
    assert report.table().splitlines()[2].endswith(f"stem_conv, 1 channel to 3: {stem}")
    np.testing.assert_allclose(target(images), source(images[..., :1]), atol=1e-5)


def test_several_channels_are_not_made_one(source):
    several = build_unet2d((*SHAPE[:-1], 3), 2, output_channels=1)
    with pytest.raises(InputError, match="stem_conv/kernel is .7, 7, 3, 2. in the wei"):
        transfer_weights(several, source)


@pytest.mark.parametrize("name", ["classifier", "segmenter"])
def test_a_network_learns_with_fit(name, rng):
    keras.utils.set_random_seed(0)
    model = BUILDERS[name](SHAPE, base_filters=2)
    images = rng.random((4, *SHAPE), np.float32)
    targets = np.zeros((4, *model.output_shape[1:]), np.float32)
    model.compile("sgd", "mse", jit_compile=False)
    losses = model.fit(images, targets, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
