"""Heads: the layers of the paper, started from weights exactly as they say."""

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
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.unet3d import Trunk, build_unet3d, trunk_of
from models_genesis_tf.models.weights import layer_tensors
from tests.networks import BUILDERS, HEADS, randomise, table_lines

SHAPE = (8, 16, 8, 1)


def _pretrained(folder, rng, **options):
    """Saves a network with random weights and statistics; returns its path."""
    model = randomise(build_unet3d(SHAPE, 2, **options), rng)
    save_model(model, folder / "model.keras", {})
    return folder / "model.keras"


@pytest.fixture
def weights(tmp_path, rng):
    return _pretrained(tmp_path, rng)


def test_official_width_has_the_official_number_of_parameters():
    one = build_classifier((64, 64, 32, 1), num_classes=1)
    assert one.count_params() == 7_556_993
    assert build_classifier(num_classes=2).count_params() == 7_558_018
    assert build_encoder().count_params() == 7_030_656
    # One 1x1x1 convolution of 64 channels in place of the other.
    segmenter = build_segmenter(num_classes=2)
    assert segmenter.count_params() == 16_324_929 - 65 + 130


def test_a_classifier_is_pooling_and_two_dense_layers():
    model = build_classifier(SHAPE, base_filters=2, num_classes=3)
    names = [layer.name for layer in model.layers]
    head = names[names.index("depth_7_relu") + 1 :]
    assert head == [
        "pooling",
        "classifier_hidden",
        "classifier_logits",
        "classification",
    ]
    assert type(model.get_layer("pooling")) is keras.layers.GlobalAveragePooling3D
    assert model.get_layer("classifier_hidden").units == 1024
    assert model.get_layer("classifier_hidden").activation is keras.activations.relu


@pytest.mark.parametrize("name", ["classifier", "segmenter"])
@pytest.mark.parametrize(("classes", "sums"), [(1, None), (3, 1.0)])
def test_one_class_is_a_probability_and_several_share_one(name, classes, sums, rng):
    model = BUILDERS[name](SHAPE, base_filters=2, num_classes=classes)
    outputs = np.asarray(model(rng.random((2, *SHAPE), np.float32)))
    spatial = SHAPE[:-1] if name == "segmenter" else ()
    assert outputs.shape == (2, *spatial, classes)
    assert outputs.min() > 0 and outputs.max() < 1
    if sums:
        np.testing.assert_allclose(outputs.sum(-1), sums, atol=1e-5)
    activation = model.layers[-1].activation
    expected = keras.activations.softmax if sums else keras.activations.sigmoid
    assert activation is expected


def test_logits_can_be_asked_for(rng):
    keras.utils.set_random_seed(1)
    linear = build_classifier(SHAPE, base_filters=2, classifier_activation="linear")
    sigmoid = build_classifier(SHAPE, base_filters=2)
    sigmoid.set_weights(linear.get_weights())
    cubes = rng.random((4, *SHAPE), np.float32)
    logits = np.asarray(linear(cubes))
    np.testing.assert_allclose(sigmoid(cubes), 1 / (1 + np.exp(-logits)), atol=1e-6)


@pytest.mark.parametrize("name", BUILDERS)
def test_exactly_the_trunk_is_copied_and_exactly_the_head_is_new(name, weights, capsys):
    source = layer_tensors(load_pretrained(weights))
    model = BUILDERS[name](weights=weights)
    tensors = layer_tensors(model)
    assert [key for key in tensors if key not in source] == HEADS[name]
    trunk = [key for key in tensors if key in source]
    depths = 14 if name == "segmenter" else 8
    assert len(trunk) == 6 * depths
    for key in trunk:
        assert np.array_equal(tensors[key], source[key]), key
    kinds = table_lines(capsys.readouterr().out)
    assert kinds["copied"][1] == str(6 * depths)
    assert kinds["copied"][3] == f"depth_0 to depth_{depths - 1}"
    assert kinds["new"][1] == str(len(HEADS[name]))
    assert kinds["unused"][1] == str(len(source) - 6 * depths)


@pytest.mark.parametrize("name", BUILDERS)
def test_the_trunk_gives_the_features_of_the_pre_trained_network(name, weights, rng):
    source = load_pretrained(weights)
    end = "depth_13_relu" if name == "segmenter" else "depth_7_relu"
    cubes = rng.random((2, *SHAPE), np.float32)
    expected, found = (
        keras.Model(model.input, model.get_layer(end).output)(cubes, training=False)
        for model in (source, BUILDERS[name](weights=weights, verbose=False))
    )
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("pooling", "reduce"), [("avg", np.mean), ("max", np.max)])
def test_pooled_features_are_those_of_the_maps(pooling, reduce, weights, rng):
    cubes = rng.random((2, *SHAPE), np.float32)
    maps = build_encoder(weights=weights, verbose=False)(cubes, training=False)
    pooled = build_encoder(weights=weights, pooling=pooling, verbose=False)
    found = pooled(cubes, training=False)
    assert found.shape == (2, 32)
    np.testing.assert_allclose(found, reduce(maps, axis=(1, 2, 3)), atol=1e-5)


def test_quiet_says_nothing_and_scratch_has_nothing_to_say(weights, capsys):
    build_classifier(weights=weights, verbose=False)
    build_classifier(SHAPE, base_filters=2)
    assert capsys.readouterr().out == ""


def test_shape_width_and_architecture_follow_the_weights(tmp_path, rng):
    path = _pretrained(
        tmp_path, rng, upsampling="transposed", bn_statistics="batch", bn_epsilon=1e-5
    )
    model = build_segmenter(weights=path, verbose=False)
    assert model.input_shape == (None, *SHAPE)
    trunk = trunk_of(model)
    assert (trunk.base_filters, trunk.upsampling) == (2, "transposed")
    assert (trunk.bn_statistics, trunk.bn_epsilon) == ("batch", 1e-5)


def test_how_it_trains_does_not_follow_the_weights(tmp_path, rng):
    path = _pretrained(tmp_path, rng, bn_momentum=0.99, upsampling="transposed")
    trunk = trunk_of(build_classifier(weights=path, verbose=False))
    assert trunk.bn_momentum == Trunk().bn_momentum == 0.9
    given = build_classifier(
        weights=path,
        verbose=False,
        bn_momentum=0.5,
        synchronized=True,
        dtype="mixed_bfloat16",
    )
    assert trunk_of(given).bn_momentum == 0.5 and trunk_of(given).synchronized
    assert given.get_layer("depth_3_conv").compute_dtype == "bfloat16"
    assert given.get_layer("classifier_logits").compute_dtype == "bfloat16"
    assert given.output.dtype == "float32"


def test_statistics_of_the_batch_can_be_asked_for(weights, capsys):
    model = build_classifier(weights=weights, bn_statistics="batch")
    assert trunk_of(model).bn_statistics == "batch"
    kinds = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert ["copied", str(8 * 4)] in kinds
    assert ["unused", str(6 * 6 + 2 + 8 * 2)] in kinds


def test_statistics_that_are_not_in_the_weights_are_not_made_up(tmp_path, rng):
    path = _pretrained(tmp_path, rng, bn_statistics="batch")
    with pytest.raises(InputError, match="depth_0_bn/moving_mean is not in the weig"):
        build_classifier(weights=path, bn_statistics="moving")


def test_size_and_channels_are_free(weights, rng):
    model = build_classifier((16, 8, 24, 3), weights, verbose=False)
    cube = rng.random((1, 16, 8, 24, 1), np.float32)
    alone = build_classifier((16, 8, 24, 1), weights, verbose=False)
    head = [model.get_layer(f"classifier_{name}") for name in ("hidden", "logits")]
    for layer in head:
        alone.get_layer(layer.name).set_weights(layer.get_weights())
    several = model(np.repeat(cube, 3, axis=-1), training=False)
    np.testing.assert_allclose(several, alone(cube, training=False), atol=1e-5)


def test_a_classifier_can_start_the_next_one(weights, tmp_path, capsys):
    first = build_classifier(weights=weights, num_classes=4, verbose=False)
    save_model(first, tmp_path / "first.keras", {})
    second = build_classifier(weights=tmp_path / "first.keras", num_classes=4)
    assert "unused            4" in capsys.readouterr().out
    for depth in range(8):
        name = f"depth_{depth}_conv"
        assert np.array_equal(
            first.get_layer(name).kernel, second.get_layer(name).kernel
        )
    head = "classifier_hidden"
    assert not np.array_equal(
        first.get_layer(head).kernel, second.get_layer(head).kernel
    )


def test_a_segmenter_does_not_start_from_an_encoder_in_silence(weights, tmp_path):
    save_model(build_encoder(weights=weights), tmp_path / "encoder.keras", {})
    with pytest.raises(InputError, match="depth_8_conv/kernel is not in the weights"):
        build_segmenter(weights=tmp_path / "encoder.keras")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_filters": 4}, "that of the weights, 2. Received: base_filters=4"),
        ({"num_classes": 0}, "num_classes is 1 or more. Received: 0"),
        ({"input_shape": (8, 8, 12, 1)}, "multiples of 8"),
        ({"stem": "mean"}, "channel policy"),
        ({"bn_statistics": "none"}, "moving, batch. Received: bn_statistics=none"),
        ({"upsampling": "linear"}, "nearest, transposed. Received: upsampling=linear"),
    ],
)
def test_an_argument_without_meaning_is_refused(arguments, message, weights):
    with pytest.raises(InputError, match=message):
        build_classifier(weights=weights, **arguments)


def test_an_unknown_pooling_is_refused():
    with pytest.raises(InputError, match="avg, max or None. Received: sum"):
        build_encoder(SHAPE, base_filters=2, pooling="sum")


@pytest.mark.parametrize("name", BUILDERS)
def test_a_network_learns_with_fit(name, rng):
    keras.utils.set_random_seed(0)
    model = BUILDERS[name](SHAPE, base_filters=2)
    cubes = rng.random((4, *SHAPE), np.float32)
    targets = np.zeros((4, *model.output_shape[1:]), np.float32)
    model.compile("adam", "mse")
    losses = model.fit(cubes, targets, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
