"""The 3D U-Net is the official one: layers, names, order and parameters."""

import keras
import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.models import unet3d
from models_genesis_tf.models.unet3d import (
    Trunk,
    build_restorer,
    build_unet3d,
    trunk_of,
)
from tests.hardware import needs_bfloat16

# Parameters of convolution and batch normalisation k at 32 filters, one channel
# (paper_facts 3.1).
OFFICIAL_PARAMETERS = (
    (896, 128),
    (55_360, 256),
    (110_656, 256),
    (221_312, 512),
    (442_496, 512),
    (884_992, 1_024),
    (1_769_728, 1_024),
    (3_539_456, 2_048),
    (5_308_672, 1_024),
    (1_769_728, 1_024),
    (1_327_232, 512),
    (442_496, 512),
    (331_840, 256),
    (110_656, 256),
)


@pytest.fixture(scope="module")
def official() -> keras.Model:
    return build_unet3d((64, 64, 32, 1))


def test_official_width_has_the_official_number_of_parameters(official):
    trainable = sum(int(np.prod(weight.shape)) for weight in official.trainable_weights)
    assert official.count_params() == 16_324_929
    assert trainable == 16_320_257


@pytest.mark.parametrize("depth", range(14))
def test_every_layer_has_the_official_number_of_parameters(official, depth):
    convolution = official.get_layer(f"depth_{depth}_conv")
    normalisation = official.get_layer(f"depth_{depth}_bn")
    counts = (convolution.count_params(), normalisation.count_params())
    assert counts == OFFICIAL_PARAMETERS[depth]


def test_transposed_convolutions_have_the_official_number_of_parameters():
    model = build_unet3d((64, 64, 32, 1), upsampling="transposed")
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert (model.count_params(), trainable) == (19_078_337, 19_073_665)
    # Without moving statistics all weights are trained.
    batch = build_unet3d(
        (64, 64, 32, 1), upsampling="transposed", bn_statistics="batch"
    )
    assert batch.count_params() == 19_073_665


def test_encoder_and_final_convolution_have_the_official_number_of_parameters(official):
    encoder = keras.Model(official.input, official.get_layer(unet3d.ENCODER_END).output)
    assert encoder.count_params() == 7_030_656
    assert official.get_layer("restoration_conv").count_params() == 65


def test_layers_come_in_the_order_of_their_depth():
    names = [layer.name for layer in build_unet3d((16, 16, 16, 1), 2).layers]
    expected = [
        f"depth_{depth}_{kind}"
        for depth in range(unet3d.NUM_DEPTHS)
        for kind in ("conv", "bn", "relu")
    ]
    assert [name for name in names if name.startswith("depth_")] == expected
    assert names[-2:] == ["restoration_conv", "restoration"]
    assert unet3d.DECODER_END == "depth_13_relu" == expected[-1]


@pytest.mark.parametrize(("level", "skip"), [(2, 5), (1, 3), (0, 1)])
def test_upsampled_features_come_before_those_of_the_skip(level, skip):
    model = build_unet3d((16, 16, 16, 1), 2)
    upsampled, skipped = model.get_layer(f"concatenation_{level}").input
    assert upsampled is model.get_layer(f"upsampling_{level}").output
    assert skipped is model.get_layer(f"depth_{skip}_relu").output


def test_layers_are_set_as_in_the_official_network():
    model = build_unet3d((16, 16, 16, 1), 2, bn_momentum=0.99)
    for depth in range(unet3d.NUM_DEPTHS):
        convolution = model.get_layer(f"depth_{depth}_conv")
        assert convolution.kernel_size == (3, 3, 3) and convolution.use_bias
        assert isinstance(
            convolution.kernel_initializer, keras.initializers.GlorotUniform
        )
        normalisation = model.get_layer(f"depth_{depth}_bn")
        assert (normalisation.momentum, normalisation.epsilon) == (0.99, 1e-3)
        assert not normalisation.synchronized
    for level in range(3):
        assert model.get_layer(f"pool_{level}").pool_size == (2, 2, 2)
        assert type(model.get_layer(f"upsampling_{level}")) is keras.layers.UpSampling3D
        assert model.get_layer(f"upsampling_{level}").size == (2, 2, 2)
    assert model.get_layer("restoration").activation is keras.activations.sigmoid


@pytest.mark.parametrize(
    ("shape", "filters"), [((8, 8, 8, 1), 2), ((16, 24, 8, 3), 2), ((40, 8, 16, 2), 4)]
)
def test_any_multiple_of_eight_and_any_channels_are_restored_at_their_size(
    shape, filters, rng
):
    model = build_unet3d(shape, filters)
    encoded = model.get_layer(unet3d.ENCODER_END).output
    sides = tuple(side // 8 for side in shape[:-1])
    assert encoded.shape == (None, *sides, 16 * filters)
    restored = np.asarray(model(rng.random((2, *shape), np.float32)))
    assert restored.shape == (2, *shape) and restored.dtype == np.float32
    assert restored.min() > 0 and restored.max() < 1


def test_number_of_restored_channels_can_differ_from_those_of_the_input():
    assert build_unet3d((8, 8, 8, 4), 2, output_channels=1).output_shape[-1] == 1


def test_all_layers_are_those_of_keras():
    for layer in build_unet3d((8, 8, 8, 1), 2).layers:
        assert type(layer).__module__.startswith("keras."), layer


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_under_mixed_precision_only_what_layers_compute_is_in_half_the_bits(half):
    before = keras.config.dtype_policy()
    model = build_unet3d((8, 8, 8, 1), 2, dtype=f"mixed_{half}")
    assert keras.config.dtype_policy() == before
    for layer in model.layers[1:-1]:
        assert layer.compute_dtype == half, layer.name
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.layers[-1].compute_dtype == model.output.dtype == "float32"


def test_the_policy_is_the_one_given_whatever_the_global_one_is(rng):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_unet3d((8, 8, 8, 1), 2)
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}


@needs_bfloat16
def test_bfloat16_gives_nearly_the_output_of_float32(rng):
    keras.utils.set_random_seed(0)
    cubes = rng.random((2, 24, 8, 8, 1), np.float32)
    models = [
        build_unet3d((24, 8, 8, 1), 4, dtype=policy)
        for policy in ("float32", "mixed_bfloat16")
    ]
    models[1].set_weights(models[0].get_weights())
    whole, half = (np.asarray(model(cubes, training=True)) for model in models)
    assert half.dtype == np.float32
    # Eight bits of each number, through fourteen normalised layers.
    assert np.sqrt(np.mean((half - whole) ** 2)) < 0.15 * whole.std()
    assert not np.array_equal(half, whole)


@pytest.mark.parametrize(
    ("sides", "lower", "upper"),
    [
        ((64, 64, 30), "64,64,24", "64,64,32"),
        ((60, 64, 32), "56,64,32", "64,64,32"),
        ((4, 16, 16), "8,16,16", "8,16,16"),
        ((0, 16, 16), "8,16,16", "8,16,16"),
    ],
)
def test_a_size_that_does_not_fit_is_named_with_the_nearest_that_do(
    sides, lower, upper
):
    with pytest.raises(InputError) as caught:
        build_unet3d((*sides, 1), 2)
    message = str(caught.value)
    assert "multiples of 8" in message
    fits = lower if lower == upper else f"{lower} or {upper}"
    assert f"; {fits} would fit" in message
    assert message.endswith("Received: " + ",".join(map(str, sides)))


@pytest.mark.parametrize("training", [None, False, True])
def test_statistics_of_the_batch_are_those_of_all_its_voxels(training, rng):
    model = build_unet3d((8, 16, 8, 1), 2, bn_statistics="batch", bn_epsilon=1e-5)
    layer = model.get_layer("depth_0_bn")
    layer.set_weights([rng.uniform(0.5, 1.5, 2), rng.normal(size=2)])
    cubes = rng.random((3, 8, 16, 8, 1), np.float32)
    convolved, activated = (
        np.asarray(keras.Model(model.input, model.get_layer(name).output)(cubes))
        for name in ("depth_0_conv", "depth_0_relu")
    )
    if training is not None:
        part = keras.Model(model.input, model.get_layer("depth_0_relu").output)
        activated = np.asarray(part(cubes, training=training))
    mean = convolved.mean(axis=(0, 1, 2, 3))
    variance = convolved.var(axis=(0, 1, 2, 3))
    gamma, beta = layer.get_weights()
    expected = (convolved - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    assert convolved.shape == (3, 8, 16, 8, 2)
    np.testing.assert_allclose(activated, np.maximum(expected, 0), atol=1e-4)


@pytest.mark.parametrize(
    "trunk",
    [
        Trunk(),
        Trunk(2, "transposed", "batch", bn_epsilon=1e-5),
        Trunk(4, "nearest", "moving", bn_momentum=0.99, synchronized=True),
        Trunk(3, "transposed", "moving"),
    ],
)
def test_a_trunk_is_read_from_the_network_built_on_it(trunk):
    assert trunk_of(build_restorer(trunk, (8, 8, 8, 1))) == trunk


@pytest.mark.parametrize("level", range(3))
def test_a_transposed_convolution_keeps_the_channels_and_doubles_the_sides(level):
    layer = build_unet3d((8, 16, 8, 1), 2, upsampling="transposed").get_layer(
        f"upsampling_{level}"
    )
    channels = 8 * 2**level
    assert layer.kernel.shape == (2, 2, 2, channels, channels)
    assert layer.output.shape[1:] == (
        *(2 * side for side in layer.input.shape[1:-1]),
        channels,
    )


@pytest.mark.parametrize(
    ("name", "known"),
    [("upsampling", "nearest, transposed"), ("bn_statistics", "moving, batch")],
)
def test_a_form_that_there_is_not_is_refused(name, known):
    with pytest.raises(InputError, match=f"{known}. Received: {name}=other"):
        build_unet3d((8, 8, 8, 1), 2, **{name: "other"})


def test_a_network_without_the_encoder_has_no_trunk():
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(InputError, match="depth_0_conv to depth_7_bn"):
        trunk_of(other)
