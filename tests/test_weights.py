"""Weights are taken by name, completely or not at all, and the report says so."""

import keras
import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.heads import build_classifier
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.models.weights import layer_tensors, transfer_weights
from tests.networks import randomise

SHAPE = (8, 16, 8, 1)


def _same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name]) for name in one
    )


@pytest.fixture
def source(rng) -> keras.Model:
    return randomise(build_unet3d(SHAPE, 2), rng)


def test_tensors_are_named_by_layer_and_variable(source):
    tensors = layer_tensors(source)
    assert len(tensors) == 14 * (2 + 4) + 2
    assert list(tensors)[:6] == [
        "depth_0_conv/kernel",
        "depth_0_conv/bias",
        "depth_0_bn/gamma",
        "depth_0_bn/beta",
        "depth_0_bn/moving_mean",
        "depth_0_bn/moving_variance",
    ]
    kernel = source.get_layer("depth_9_conv").kernel
    assert np.array_equal(tensors["depth_9_conv/kernel"], kernel)


@pytest.mark.parametrize("as_model", [True, False])
def test_every_tensor_of_a_twin_is_copied(source, as_model):
    target = build_unet3d(SHAPE, 2)
    report = transfer_weights(source if as_model else layer_tensors(source), target)
    assert _same(layer_tensors(target), layer_tensors(source))
    assert [tensor.name for tensor in report.copied] == list(layer_tensors(source))
    assert sum(np.prod(t.shape) for t in report.copied) == source.count_params()
    assert report.new == report.unused == report.adapted == ()


def test_cubes_of_another_size_take_the_same_weights(source):
    target = build_unet3d((16, 8, 24, 1), 2)
    transfer_weights(source, target)
    assert _same(layer_tensors(target), layer_tensors(source))


def _broken(tensors: dict, kind: str) -> dict:
    tensors = dict(tensors)
    if kind == "missing":
        del tensors["depth_13_conv/bias"]
    if kind == "extra":
        tensors["depth_14_conv/bias"] = np.zeros(4)
    if kind == "shape":
        tensors["depth_13_conv/bias"] = np.zeros(3)
    if kind == "number":
        tensors["depth_13_conv/bias"] = np.array([0.0, 1.0, np.nan, 2.0])
    return tensors


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "depth_13_conv/bias is not in the weights"),
        ("extra", "depth_14_conv/bias is not in the network"),
        ("shape", r"depth_13_conv/bias is \(3,\) in the weights and \(4,\) in the net"),
        ("number", "depth_13_conv/bias holds values that are no numbers"),
    ],
)
def test_one_tensor_that_does_not_fit_leaves_the_network_as_it_was(
    source, kind, message
):
    target = build_unet3d(SHAPE, 2)
    before = layer_tensors(target)
    with pytest.raises(InputError, match=message) as caught:
        transfer_weights(_broken(layer_tensors(source), kind), target)
    assert "\n" not in str(caught.value)
    assert _same(layer_tensors(target), before)


def test_many_problems_are_counted(source):
    tensors = {
        name: value
        for name, value in layer_tensors(source).items()
        if not name.startswith("depth_7_")
    }
    with pytest.raises(InputError, match="; 3 more$"):
        transfer_weights(tensors, build_unet3d(SHAPE, 2))


def test_nothing_copied_is_an_error(source):
    layers = [layer.name for layer in source.layers]
    with pytest.raises(InputError, match="Received: none"):
        transfer_weights(layer_tensors(source), build_unet3d(SHAPE, 2), new=layers)


def test_a_layer_declared_new_stays_as_initialised_even_if_the_source_has_it(source):
    target = build_unet3d(SHAPE, 2)
    before = layer_tensors(target)
    report = transfer_weights(source, target, new=["restoration_conv"])
    names = ["restoration_conv/kernel", "restoration_conv/bias"]
    assert [tensor.name for tensor in report.new] == names
    assert [tensor.name for tensor in report.unused] == names
    for name in names:
        assert np.array_equal(layer_tensors(target)[name], before[name])
    assert len(report.copied) == 14 * 6


def test_what_only_the_source_has_is_left_out_if_it_is_declared(source):
    tensors = layer_tensors(source) | {
        "depth_0_bn/count": np.array(7),
        "extra/kernel": np.zeros((2, 3)),
    }
    report = transfer_weights(
        tensors, build_unet3d(SHAPE, 2), unused=["depth_0_bn/count", "extra"]
    )
    assert [t.name for t in report.unused] == ["depth_0_bn/count", "extra/kernel"]
    with pytest.raises(InputError, match="extra/kernel is not in the network"):
        transfer_weights(tensors, build_unet3d(SHAPE, 2), unused=["depth_0_bn/count"])


def test_declaring_a_layer_unused_does_not_keep_the_network_from_taking_it(source):
    target = build_unet3d(SHAPE, 2)
    report = transfer_weights(source, target, unused=["depth_0_conv"])
    assert report.unused == () and _same(layer_tensors(target), layer_tensors(source))


def test_repeated_channels_give_equal_channels_the_response_of_one(source, rng):
    target = build_unet3d((*SHAPE[:-1], 4), 2, output_channels=1)
    report = transfer_weights(source, target, stem="repeat")
    assert [tensor.name for tensor in report.adapted] == ["depth_0_conv/kernel"]
    assert report.adapted[0].shape == (3, 3, 3, 4, 2)
    assert len(report.copied) == 14 * 6 + 1
    cubes = rng.random((2, *SHAPE), np.float32)
    several = target(np.repeat(cubes, 4, axis=-1), training=False)
    np.testing.assert_allclose(several, source(cubes, training=False), atol=1e-5)


def test_the_first_of_the_channels_alone_is_seen(source, rng):
    target = build_unet3d((*SHAPE[:-1], 3), 2, output_channels=1)
    transfer_weights(source, target, stem="first")
    cubes = rng.random((2, *SHAPE[:-1], 3), np.float32)
    alone = source(cubes[..., :1], training=False)
    np.testing.assert_allclose(target(cubes, training=False), alone, atol=1e-5)


def test_a_random_stem_keeps_the_kernel_alone_as_initialised(source):
    target = build_unet3d((*SHAPE[:-1], 3), 2, output_channels=1)
    before = layer_tensors(target)["depth_0_conv/kernel"]
    report = transfer_weights(source, target, stem="random")
    after = layer_tensors(target)
    assert np.array_equal(after["depth_0_conv/kernel"], before)
    assert [tensor.name for tensor in report.new] == ["depth_0_conv/kernel"]
    assert [tensor.name for tensor in report.unused] == ["depth_0_conv/kernel"]
    bias = layer_tensors(source)["depth_0_conv/bias"]
    assert np.array_equal(after["depth_0_conv/bias"], bias)


def test_several_channels_are_not_made_one(rng):
    several = randomise(build_unet3d((*SHAPE[:-1], 2), 2, output_channels=1), rng)
    with pytest.raises(InputError, match="depth_0_conv/kernel is "):
        transfer_weights(several, build_unet3d(SHAPE, 2))


def test_an_unknown_policy_is_refused(source):
    with pytest.raises(InputError, match="repeat, first, random. Received: mean"):
        transfer_weights(source, build_unet3d(SHAPE, 2), stem="mean")


def _parameters(model: keras.Model, depths: range) -> int:
    names = [f"depth_{depth}_{kind}" for depth in depths for kind in ("conv", "bn")]
    return sum(model.get_layer(name).count_params() for name in names)


def test_the_table_counts_tensors_and_parameters_and_names_layers(source):
    target = build_classifier((*SHAPE[:-1], 4), base_filters=2, num_classes=2)
    report = transfer_weights(
        source,
        target,
        new=["classifier_hidden", "classifier_logits"],
        unused=[layer.name for layer in source.layers],
    )
    stem = 27 * 2
    head = 32 * 1024 + 1024 + 1024 * 2 + 2
    lines = [line.split(maxsplit=3) for line in report.table().splitlines()]
    encoder = _parameters(source, range(8)) - stem
    decoder = _parameters(source, range(8, 14)) + 4 + 1
    assert lines == [
        ["weights", "tensors", "parameters", "layers"],
        ["copied", "47", f"{encoder:,}", "depth_0 to depth_7"],
        ["adapted", "1", f"{4 * stem:,}", "depth_0, 1 channel to 4: repeat"],
        ["new", "4", f"{head:,}", "classifier_hidden, classifier_logits"],
        ["unused", "38", f"{decoder:,}", "depth_8 to depth_13, restoration_conv"],
    ]


def test_the_table_names_single_depths_and_what_there_is_none_of(source):
    report = transfer_weights(
        source, build_unet3d(SHAPE, 2), new=["depth_3_bn", "depth_12_conv"]
    )
    copied, adapted, new, unused = report.table().splitlines()[1:]
    assert copied.endswith("depth_0 to depth_13, restoration_conv")
    assert new.endswith("  depth_3, depth_12") and unused.endswith(new[-20:])
    assert adapted == f"adapted   {0:>9}{0:>13}"
