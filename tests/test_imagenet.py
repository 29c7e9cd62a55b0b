"""A ResNet-18 of torchvision becomes the encoder, number for number."""

import keras
import numpy as np
import pytest
from torchvision_files import (
    DEVIATION,
    MEAN,
    resnet18_features,
    resnet18_tensors,
    write_torch_file,
)

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.heads import (
    build_classifier,
    build_encoder,
    build_segmenter,
)
from models_genesis_tf.models.imagenet import build_imagenet_encoder, is_resnet
from models_genesis_tf.models.pretrained import load_pretrained, read_pretrained
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.trunks import trunk_of
from models_genesis_tf.models.unet2d import Trunk2D, build_unet2d
from models_genesis_tf.models.weights import layer_tensors

# No two sides are equal, so that no two axes can change places unnoticed.
SIDES = (96, 64)
ENDS = {
    "relu": "stem_relu",
    "maxpool": "pool",
    **{f"layer{stage}": f"stage_{stage}_block_1_relu_1" for stage in range(1, 5)},
}


@pytest.fixture
def tensors(rng):
    return resnet18_tensors(rng, base_filters=4, classes=10)


@pytest.fixture
def file(tmp_path, tensors):
    return write_torch_file(tmp_path / "resnet18-0123abcd.pth", tensors)


def _expected(tensors, images: np.ndarray) -> dict[str, np.ndarray]:
    """What torchvision makes of images (batch, height, width, colour) in [0, 1]."""
    normalised = (images - MEAN) / DEVIATION
    features = resnet18_features(tensors, np.moveaxis(normalised, -1, 1))
    return {name: np.moveaxis(values, 1, -1) for name, values in features.items()}


def _check_features(model: keras.Model, images: np.ndarray, expected: dict) -> None:
    for name, layer in ENDS.items():
        part = keras.Model(model.input, model.get_layer(layer).output)
        assert expected[name].std() > 0.1, name
        found = np.asarray(part(images, training=False))
        np.testing.assert_allclose(found, expected[name], atol=1e-4, err_msg=name)


def test_colour_images_have_the_features_of_torchvision_up_to_the_border(
    tensors, file, rng
):
    images = rng.random((2, *SIDES, 3), np.float32)
    model = build_encoder((*SIDES, 3), f"imagenet:{file}", verbose=False)
    _check_features(model, images, _expected(tensors, images))
    assert model.output_shape == (None, 3, 2, 32)


def test_grey_images_have_the_features_of_three_equal_colours(
    tensors, file, tmp_path, rng
):
    images = rng.random((2, *SIDES, 1), np.float32)
    expected = _expected(tensors, np.repeat(images, 3, axis=-1))
    model = build_encoder((*SIDES, 1), f"imagenet:{file}", verbose=False)
    _check_features(model, images, expected)
    save_model(model, tmp_path / "encoder.keras", {})
    opened = keras.saving.load_model(tmp_path / "encoder.keras", safe_mode=True)
    _check_features(opened, images, expected)
    # What follows from it does not forget how its input is scaled either.
    again = build_encoder(weights=tmp_path / "encoder.keras", verbose=False)
    _check_features(again, images, expected)
    colours = build_encoder((*SIDES, 3), tmp_path / "encoder.keras", verbose=False)
    _check_features(colours, np.repeat(images, 3, axis=-1), expected)


@pytest.mark.parametrize("counters", [True, False])
def test_only_the_classifier_of_imagenet_is_left_out(rng, counters):
    tensors = resnet18_tensors(rng, 4, 10, counters)
    model, report = build_imagenet_encoder(tensors, (32, 32, 3))
    assert len(report.copied) == 20 * 5 == len(layer_tensors(model))
    assert report.new == report.adapted == ()
    assert {(t.name, t.shape) for t in report.unused} == {
        ("fc/kernel", (10, 32)),
        ("fc/bias", (10,)),
    }


def test_resnet_18_itself_has_its_published_number_of_parameters(tmp_path, rng, capsys):
    tensors = resnet18_tensors(rng)
    path = write_torch_file(tmp_path / "resnet18.pth", tensors)
    model = build_encoder((32, 32, 3), f"imagenet:{path}")
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert (trained, model.count_params()) == (11_176_512, 11_186_112)
    # 11,689,512 are known for the whole network, 513,000 of them in its classifier.
    assert trained + 512 * 1000 + 1000 == 11_689_512
    lines = [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        ["copied", "100", "11,186,112", "stem_conv, stem_bn, stage_1 to stage_4"],
        ["adapted", "0", "0"],
        ["new", "0", "0"],
        ["unused", "2", "513,000", "fc"],
    ]
    with pytest.raises(InputError, match="weights, 64. Received: base_filters=8"):
        build_classifier((32, 32, 1), f"imagenet:{path}", base_filters=8)


@pytest.mark.parametrize("prefix", ["imagenet:", ""])
@pytest.mark.parametrize("parameters", [True, False])
def test_the_file_is_known_by_its_tensors(
    tmp_path, tensors, file, rng, prefix, parameters
):
    path = write_torch_file(tmp_path / "weights", tensors, parameters)
    found = read_pretrained(f"{prefix}{path}")
    assert found.from_imagenet and is_resnet(tensors)
    assert found.trunk == trunk_of(found.model)
    assert found.trunk == Trunk2D(base_filters=4, input_scaling="imagenet")
    assert found.model.input_shape == (None, 224, 224, 3)
    expected = layer_tensors(load_pretrained(file))
    found = layer_tensors(found.model)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    kernel = tensors["layer3.0.downsample.0.weight"]
    turned = found["stage_3_block_0_projection_conv/kernel"]
    assert turned.shape == (1, 1, 8, 16) and turned[0, 0, 3, 5] == kernel[5, 3, 0, 0]


def _refusal(weights: str, **options) -> str:
    with pytest.raises(InputError) as caught:
        build_classifier(weights=weights, verbose=False, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_prefix_takes_no_other_file(tmp_path):
    path = tmp_path / "model"
    assert "weights are a file" in _refusal(f"imagenet:{path}")
    path.write_text("an error page of a download\n", encoding="utf-8")
    assert "a whole file of torch.save" in _refusal(f"imagenet:{path}")
    save_model(build_unet2d((32, 32, 1), 2), tmp_path / "a.keras", {})
    assert "a whole file of torch.save" in _refusal(f"imagenet:{tmp_path / 'a.keras'}")
    other = {"down_tr64.ops.0.conv1.weight": np.zeros((2, 1, 3, 3, 3), np.float32)}
    write_torch_file(path, other)
    message = _refusal(f"imagenet:{path}")
    assert "ImageNet's weights are torchvision's ResNet-18, with conv1.wei" in message
    assert message.endswith("Received: tensors down_tr64.ops.0.conv1.weight")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("layer1.2.conv1.weight", (4, 4, 3, 3), "layer1.2.conv1/kernel is not in the"),
        ("layer1.0.conv3.weight", (4, 4, 1, 1), "layer1.0.conv3/kernel is not in the"),
        ("layer2.0.conv1.weight", (9, 4, 3, 3), r"is (3, 3, 4, 9) in the weights and "),
        ("conv1.weight", (4, 3), "with conv1.weight first"),
    ],
)
def test_another_resnet_is_refused(tmp_path, tensors, name, shape, message):
    tensors[name] = np.zeros(shape, np.float32)
    path = write_torch_file(tmp_path / "resnet.pth", tensors)
    assert message in _refusal(f"imagenet:{path}")
    tensors.pop(name)
    if name == "layer2.0.conv1.weight":
        write_torch_file(path, tensors)
        missing = "stage_2_block_0_conv_0/kernel is not in the weights"
        assert missing in _refusal(f"imagenet:{path}")


def test_images_have_one_colour_or_three(file):
    message = _refusal(f"imagenet:{file}", input_shape=(32, 32, 2))
    assert message == (
        "networks that start from ImageNet take 1 channel (grey) or 3 (red, green, "
        "blue). Received: input_shape=(32, 32, 2)"
    )


def test_a_segmenter_from_imagenet_has_a_new_decoder(file, tmp_path, capsys):
    model = build_segmenter((32, 64, 1), f"imagenet:{file}", num_classes=2)
    new = [line for line in capsys.readouterr().out.splitlines() if line[:3] == "new"]
    assert new[0].split(maxsplit=3)[1] == str(10 * 5 + 2)
    assert new[0].endswith("  decoder_0 to decoder_4, segmenter_conv")
    source = layer_tensors(load_pretrained(file))
    found = layer_tensors(model)
    assert all(np.array_equal(found[name], source[name]) for name in source)
    assert model.output_shape == (None, 32, 64, 2)
    # Weights of this package are complete or say so.
    encoder = build_encoder((32, 64, 1), file, verbose=False)
    save_model(encoder, tmp_path / "encoder.keras", {})
    with pytest.raises(InputError, match="decoder_4_conv_0/kernel is not in the wei"):
        build_segmenter(weights=tmp_path / "encoder.keras")


def test_a_classifier_that_began_at_imagenet_starts_the_next_one(
    file, tmp_path, rng, capsys
):
    first = build_classifier((32, 64, 1), f"imagenet:{file}", verbose=False)
    images = rng.random((4, 32, 64, 1), np.float32)
    first.compile("sgd", "mse", jit_compile=False)
    first.fit(images, np.ones((4, 1), np.float32), verbose=0)
    save_model(first, tmp_path / "first.keras", {})
    second = build_classifier(weights=tmp_path / "first.keras", num_classes=3)
    kinds = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert kinds[1:] == [
        ["copied", "100"],
        ["adapted", "0"],
        ["new", "4"],
        ["unused", "4"],
    ]
    one, other = (
        keras.Model(model.input, model.get_layer("pooling").output)(images)
        for model in (first, second)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_images_are_scaled_in_float32_whatever_the_network_computes_in(file, rng):
    shape = (32, 64, 1)
    models = [
        build_encoder(shape, file, pooling="avg", verbose=False, dtype=policy)
        for policy in ("float32", "mixed_bfloat16")
    ]
    for name in ("grey_to_colours", "imagenet_scaling"):
        assert models[1].get_layer(name).compute_dtype == "float32"
    assert models[1].get_layer("stem_conv").compute_dtype == "bfloat16"
    images = rng.random((2, *shape), np.float32)
    whole, half = (
        np.asarray(keras.ops.cast(model(images, training=False), "float32"))
        for model in models
    )
    # Eight bits of each number, through eighteen convolutions.
    np.testing.assert_allclose(half, whole, atol=0.1 * whole.std())
