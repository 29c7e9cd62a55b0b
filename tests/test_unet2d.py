"""The 2D U-Net: ResNet-18 on its way down, its mirror on its way up."""

import keras
import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.blocks import build_restorer
from models_genesis_tf.models.heads import (
    build_classifier,
    build_encoder,
    build_segmenter,
)
from models_genesis_tf.models.trunks import default_trunk, trunk_of
from models_genesis_tf.models.unet2d import (
    DECODER_END,
    ENCODER_END,
    Trunk2D,
    build_unet2d,
    check_sides,
)
from models_genesis_tf.models.unet3d import Trunk, build_unet3d
from models_genesis_tf.models.weights import layer_tensors

SHAPE = (32, 64, 1)


@pytest.fixture(scope="module")
def wide() -> keras.Model:
    return build_unet2d()


def _counts(model: keras.Model) -> tuple[int, int]:
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return trained, model.count_params()


def test_the_encoder_has_the_parameters_of_resnet_18_without_its_classifier():
    assert _counts(build_encoder((224, 224, 3))) == (11_176_512, 11_186_112)
    # One channel instead of three in a convolution 7x7 to 64.
    less = 7 * 7 * 2 * 64
    encoder = build_encoder((224, 224, 1), pooling="avg")
    assert _counts(encoder) == (11_176_512 - less, 11_186_112 - less)


def test_every_head_has_its_number_of_parameters(wide):
    encoder = 11_186_112 - 7 * 7 * 2 * 64
    hidden = 512 * 1024 + 1024
    for classes in (1, 3, 14):
        model = build_classifier((64, 64, 1), num_classes=classes)
        assert model.count_params() == encoder + hidden + 1025 * classes
    convolutions = 9 * sum(
        inputs * filters + filters**2
        for inputs, filters in (
            (512 + 256, 256),
            (256 + 128, 128),
            (128 + 64, 64),
            (64 + 64, 64),
            (64, 32),
        )
    )
    decoder = convolutions + 2 * 4 * (256 + 128 + 64 + 64 + 32)
    assert wide.count_params() == encoder + decoder + 32 + 1 == 14_419_041
    segmenter = build_segmenter((64, 64, 1), num_classes=2)
    assert segmenter.count_params() == encoder + decoder + 2 * 33 == 14_419_074


def test_layers_are_those_of_resnet_18_in_its_order(wide):
    expected = [("stem_conv", (7, 7, 1, 64), 2)]
    fan_in = 64
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            stride = 2 if stage > 1 and block == 0 else 1
            name = f"stage_{stage}_block_{block}"
            shape = (3, 3, fan_in, filters)
            expected.append((f"{name}_conv_0", shape, stride))
            expected.append((f"{name}_conv_1", (3, 3, filters, filters), 1))
            if stride == 2:
                shape = (1, 1, fan_in, filters)
                expected.append((f"{name}_projection_conv", shape, 2))
            fan_in = filters
    convolutions = [
        (layer.name, tuple(layer.kernel.shape), layer.strides[0])
        for layer in keras.Model(wide.input, wide.get_layer(ENCODER_END).output).layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert sorted(convolutions) == sorted(expected)
    assert len(expected) == 20
    for name, _, stride in expected:
        layer = wide.get_layer(name)
        assert not layer.use_bias
        # What "same" would pad at stride 2 is not what torchvision pads.
        assert layer.padding == ("valid" if stride == 2 else "same")
        normalisation = wide.get_layer(name.replace("conv", "bn"))
        assert normalisation.epsilon == 1e-5 and normalisation.momentum == 0.9


def test_levels_halve_and_double_the_sides(wide):
    sides = {
        "stem_relu": (112, 64),
        "pool": (56, 64),
        "stage_1_block_1_relu_1": (56, 64),
        "stage_2_block_1_relu_1": (28, 128),
        "stage_3_block_1_relu_1": (14, 256),
        ENCODER_END: (7, 512),
        "concatenation_4": (14, 512 + 256),
        "decoder_4_relu_1": (14, 256),
        "concatenation_3": (28, 256 + 128),
        "concatenation_2": (56, 128 + 64),
        "concatenation_1": (112, 64 + 64),
        "upsampling_0": (224, 64),
        DECODER_END: (224, 32),
        "restoration_conv": (224, 1),
        "restoration": (224, 1),
    }
    for name, (side, channels) in sides.items():
        assert wide.get_layer(name).output.shape == (None, side, side, channels), name
    assert wide.name == "unet2d" and wide.input.name == "image"
    assert wide.input_shape == wide.output_shape == (None, 224, 224, 1)


def _units(tensors: dict, x: np.ndarray, names: list[str]) -> np.ndarray:
    """Convolutions 3x3, each with normalisation and ReLU, in float64."""
    for name in names:
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
        kernel = tensors[f"{name}/kernel"].astype(float)
        x = np.einsum("nxycij,ijco->nxyo", windows, kernel, optimize=True)
        gamma, beta, mean, variance = (
            tensors[f"{name.replace('conv', 'bn')}/{variable}"].astype(float)
            for variable in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        x = ((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta).clip(0)
    return x


def _randomise(model: keras.Model, rng: np.random.Generator) -> keras.Model:
    """Gives a model weights and statistics that no initialiser gives."""
    model.set_weights(
        [
            rng.uniform(0.5, 1.5, weight.shape)
            if weight.ndim == 1
            else rng.normal(0, (2 / np.prod(weight.shape[:-1])) ** 0.5, weight.shape)
            for weight in model.get_weights()
        ]
    )
    return model


def test_the_decoder_enlarges_joins_and_convolves_twice_at_each_level(rng):
    model = _randomise(build_unet2d(SHAPE, 4), rng)
    skips = ["stem_relu", *(f"stage_{stage}_block_1_relu_1" for stage in (1, 2, 3))]
    parts = keras.Model(
        model.input,
        [model.get_layer(name).output for name in (*skips, ENCODER_END)],
    )
    images = rng.random((2, *SHAPE), np.float32)
    *skips, x = (np.asarray(part, float) for part in parts(images, training=False))
    tensors = layer_tensors(model)
    for level in (4, 3, 2, 1, 0):
        x = x.repeat(2, axis=1).repeat(2, axis=2)
        if level:
            x = np.concatenate([x, skips[level - 1]], axis=-1)
        x = _units(tensors, x, [f"decoder_{level}_conv_{i}" for i in (0, 1)])
    kernel, bias = (tensors[f"restoration_conv/{name}"] for name in ("kernel", "bias"))
    expected = 1 / (1 + np.exp(-(x @ kernel[0, 0] + bias)))
    assert expected.std() > 0.01
    restored = np.asarray(model(images, training=False))
    np.testing.assert_allclose(restored, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "filters"), [((32, 32, 1), 1), ((32, 96, 3), 2), ((64, 32, 2), 5)]
)
def test_any_multiple_of_32_and_any_channels_are_restored_at_their_size(
    shape, filters, rng
):
    model = build_unet2d(shape, filters)
    restored = np.asarray(model(rng.random((2, *shape), np.float32)))
    assert restored.shape == (2, *shape) and restored.dtype == np.float32
    assert restored.min() > 0 and restored.max() < 1
    assert build_unet2d(shape, filters, output_channels=4).output_shape[-1] == 4


def test_all_layers_are_those_of_keras():
    model = build_restorer(Trunk2D(2, input_scaling="imagenet"), (32, 32, 1))
    for layer in model.layers:
        assert type(layer).__module__.startswith("keras."), layer


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_under_mixed_precision_only_what_layers_compute_is_in_half_the_bits(half):
    before = keras.config.dtype_policy()
    model = build_unet2d((32, 32, 1), 2, dtype=f"mixed_{half}")
    assert keras.config.dtype_policy() == before
    for layer in model.layers[1:-1]:
        assert layer.compute_dtype == half, layer.name
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.layers[-1].compute_dtype == model.output.dtype == "float32"


def test_bfloat16_gives_nearly_the_output_of_float32(rng):
    models = [
        build_unet2d((64, 64, 1), 4, dtype=policy)
        for policy in ("float32", "mixed_bfloat16")
    ]
    models[1].set_weights(_randomise(models[0], rng).get_weights())
    images = rng.random((2, 64, 64, 1), np.float32)
    whole, half = (np.asarray(model(images, training=True)) for model in models)
    assert half.dtype == np.float32
    # Eight bits of each number, through thirty normalised layers.
    assert np.sqrt(np.mean((half - whole) ** 2)) < 0.15 * whole.std()
    assert not np.array_equal(half, whole)


def test_sides_that_do_not_fit_are_named_with_the_nearest_that_do():
    with pytest.raises(InputError) as caught:
        build_unet2d((224, 200, 1), 2)
    assert str(caught.value) == (
        "the sides of each image are multiples of 32; 224,192 or 224,224 would fit. "
        "Received: 224,200"
    )
    with pytest.raises(InputError, match="; 32,32 would fit. Received: 16,0"):
        check_sides((16, 0))
    check_sides((96, 32))


def test_a_shape_of_another_dimension_is_refused():
    with pytest.raises(InputError) as caught:
        build_unet2d((32, 32, 32, 1), 2)
    assert str(caught.value) == (
        "input_shape of a 2D network is (x, y, channel). "
        "Received: input_shape=(32, 32, 32, 1)"
    )
    with pytest.raises(InputError, match=r"3D network is \(x, y, z, channel\)"):
        build_unet3d((32, 32, 1), 2)
    with pytest.raises(InputError, match=r"or \(x, y, z, channel\). Received: input_s"):
        build_encoder((32, 1))


@pytest.mark.parametrize(
    "trunk",
    [
        Trunk2D(),
        Trunk2D(2, bn_momentum=0.99, synchronized=True),
        Trunk2D(3, input_scaling="imagenet"),
    ],
)
def test_a_trunk_is_read_from_the_network_built_on_it(trunk):
    assert trunk_of(build_restorer(trunk, (32, 32, 1))) == trunk


def test_the_shape_tells_which_trunk_a_network_stands_on():
    assert default_trunk((32, 32, 1)) == Trunk2D()
    assert default_trunk((32, 32, 32, 1)) == default_trunk(None) == Trunk()
    assert type(trunk_of(build_unet3d((8, 8, 8, 1), 2))) is Trunk


def test_a_network_of_another_kind_has_no_trunk():
    inputs = keras.Input((32, 32, 1))
    other = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs), name="other")
    with pytest.raises(InputError) as caught:
        trunk_of(other)
    assert str(caught.value) == (
        "a pre-trained model has the layers depth_0_conv to depth_7_bn, or in 2D "
        "stem_conv to stage_4_block_1_bn_1. "
        "Received: other, without depth_0_conv and stem_conv"
    )
    outputs = keras.layers.Conv2D(2, 3, name="stem_conv")(inputs)
    with pytest.raises(InputError, match="bn_1. Received: short, without stem_bn"):
        trunk_of(keras.Model(inputs, outputs, name="short"))


def test_an_unknown_scaling_is_refused():
    with pytest.raises(InputError, match="none, imagenet. Received: input_scaling=ct"):
        build_encoder((32, 32, 1), base_filters=2, input_scaling="ct")
