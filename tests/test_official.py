"""Official files become networks that restore cubes as the official ones do."""

from pathlib import Path

import numpy as np
import pytest
from keras2_files import genesis_layers, restore_channels_first, write_keras2_file

from models_genesis_tf.errors import InputError
from models_genesis_tf.models.hdf5_files import read_keras2_tensors
from models_genesis_tf.models.official import (
    build_official,
    from_keras2,
    from_torch,
    is_official_file,
    read_official,
)
from models_genesis_tf.models.torch_files import read_state_dict
from models_genesis_tf.models.unet3d import Trunk, trunk_of

DATA = Path(__file__).parent / "data"
TORCH_FILES = [DATA / "genesis_narrow_zip.pt", DATA / "genesis_narrow_legacy.pt"]
# No two sides are equal, so that no two axes can change places unnoticed.
SIDES = (16, 24, 8)


def _restore(model, cubes_first: np.ndarray) -> np.ndarray:
    """Restores cubes (batch, channel, x, y, z) by a network of channels last."""
    return np.moveaxis(model(np.moveaxis(cubes_first, 1, -1), training=False), -1, 1)


@pytest.mark.parametrize("final_name", ["conv3d_1", "conv3d_17", "last"])
@pytest.mark.parametrize("whole_model", [True, False])
def test_a_keras_file_restores_cubes_as_the_network_of_channels_first(
    tmp_path, rng, whole_model, final_name
):
    layers = genesis_layers(rng, 2, final_name=final_name)
    write_keras2_file(tmp_path / "genesis.h5", layers, whole_model)
    weights = read_official(tmp_path / "genesis.h5")
    model, report = build_official(weights, sides=SIDES)
    cubes = rng.random((2, 1, *SIDES), np.float32)
    expected = restore_channels_first(layers, cubes)
    assert expected.std() > 0.01
    np.testing.assert_allclose(_restore(model, cubes), expected, atol=1e-5)
    assert len(report.copied) == 86
    assert report.new == report.unused == report.adapted == ()


@pytest.mark.slow
def test_the_official_width_restores_cubes_as_the_network_of_channels_first(
    tmp_path, rng
):
    layers = genesis_layers(rng, 32)
    write_keras2_file(tmp_path / "genesis.h5", layers)
    model, report = build_official(read_official(tmp_path / "genesis.h5"), sides=SIDES)
    assert model.count_params() == 16_324_929
    assert sum(np.prod(tensor.shape) for tensor in report.copied) == 16_324_929
    cubes = rng.random((1, 1, *SIDES), np.float32)
    expected = restore_channels_first(layers, cubes)
    np.testing.assert_allclose(_restore(model, cubes), expected, atol=1e-5)


def test_several_channels_and_any_width_are_seen_on_the_tensors(tmp_path, rng):
    layers = genesis_layers(rng, 3, channels=2)
    write_keras2_file(tmp_path / "genesis.h5", layers)
    weights = read_official(tmp_path / "genesis.h5")
    assert weights.form == "keras" and weights.trunk == Trunk(base_filters=3)
    model, _ = build_official(weights, sides=SIDES)
    assert model.input_shape == model.output_shape == (None, *SIDES, 2)


@pytest.mark.parametrize("path", TORCH_FILES, ids=lambda path: path.stem)
def test_a_torch_file_restores_cubes_as_torch_did(path):
    weights = read_official(path)
    narrow = np.load(DATA / "genesis_narrow.npz")
    model, report = build_official(weights, sides=narrow["cube"].shape[1:-1])
    expected = narrow["restored"]
    assert expected.std() > 0.01
    np.testing.assert_allclose(model(narrow["cube"]), expected, atol=1e-5)
    found = model.predict(narrow["cube"], batch_size=2, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(report.copied) == 14 * 4 + 2 + 6
    assert report.new == report.adapted == ()
    assert {tensor.name for tensor in report.unused} == {
        f"depth_{k}_bn/{name}"
        for k in range(14)
        for name in ("moving_mean", "moving_variance", "num_batches_tracked")
    }


def test_a_torch_network_is_known_by_its_tensors():
    weights = read_official(TORCH_FILES[0])
    assert weights.form == "torch"
    assert weights.trunk == Trunk(
        base_filters=1,
        upsampling="transposed",
        bn_statistics="batch",
        bn_epsilon=1e-5,
    )
    built, _ = build_official(weights)
    assert trunk_of(built).upsampling == "transposed"
    assert built.input_shape == (None, 64, 64, 32, 1)


@pytest.mark.parametrize("training", [None, False, True])
def test_batch_statistics_are_those_of_the_cubes_in_every_mode(training, rng):
    weights = read_official(TORCH_FILES[0])
    model, _ = build_official(weights, sides=SIDES)
    cubes = rng.random((2, *SIDES, 1), np.float32)
    together = np.asarray(model(cubes, training=training))
    np.testing.assert_allclose(together, model(cubes), atol=1e-6)
    alone = np.asarray(model(cubes[:1], training=training))
    assert np.abs(together[:1] - alone).max() > 1e-3


def test_moving_statistics_can_be_asked_for(rng):
    weights = read_official(TORCH_FILES[0])
    trunk = Trunk(1, "transposed", "moving", bn_epsilon=1e-5)
    model, _ = build_official(weights, trunk, SIDES)
    cubes = rng.random((2, *SIDES, 1), np.float32)
    together = np.asarray(model(cubes, training=False))
    alone = np.asarray(model(cubes[:1], training=False))
    np.testing.assert_allclose(together[:1], alone, atol=1e-6)


def test_kernels_of_torch_are_turned_and_nothing_else():
    tensors = read_state_dict(TORCH_FILES[0])
    weights = from_torch(tensors)
    theirs = tensors["up_tr128.ops.0.conv1.weight"]  # (out, in, x, y, z)
    ours = weights.tensors["depth_10_conv/kernel"]
    assert ours[0, 1, 2, 3, 1] == theirs[1, 3, 0, 1, 2]
    theirs = tensors["up_tr256.up_conv.weight"]  # (in, out, x, y, z)
    ours = weights.tensors["upsampling_2/kernel"]
    assert ours[0, 1, 1, 3, 9] == theirs[9, 3, 0, 1, 1]
    assert np.array_equal(
        weights.tensors["depth_7_bn/moving_variance"],
        tensors["down_tr512.ops.1.bn1.running_var"],
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("depth_0_conv/kernel", "first convolution depth_0"),
        ("depth_5_bn/moving_mean", "depth_5_bn/moving_mean is not in the weights"),
        ("conv3d_1/kernel", "end in one convolution 1x1x1 from 4 channels"),
        ("conv3d_1/bias", "restoration_conv/bias is not in the weights"),
    ],
)
def test_a_keras_network_that_lacks_a_tensor_is_refused(tmp_path, rng, name, message):
    write_keras2_file(tmp_path / "genesis.h5", genesis_layers(rng, 2))
    tensors = read_keras2_tensors(tmp_path / "genesis.h5")
    del tensors[name]
    with pytest.raises(InputError, match=message):
        build_official(from_keras2(tensors), sides=SIDES)


def test_a_keras_network_with_a_layer_more_is_refused(tmp_path, rng):
    write_keras2_file(tmp_path / "genesis.h5", genesis_layers(rng, 2))
    tensors = read_keras2_tensors(tmp_path / "genesis.h5")
    tensors["attention/kernel"] = np.zeros((3, 3))
    with pytest.raises(InputError, match="attention/kernel is not in the network"):
        build_official(from_keras2(tensors), sides=SIDES)
    tensors["second/kernel"] = tensors["conv3d_1/kernel"]
    with pytest.raises(InputError, match="Received: attention, conv3d_1, second"):
        from_keras2(tensors)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("down_tr64.ops.0.conv1.weight", "down_tr64 in PyTorch"),
        ("up_tr64.up_conv.weight", "upsampling_0/kernel is not in the weights"),
        ("out_tr.final_conv.bias", "restoration_conv/bias is not in the weights"),
    ],
)
def test_a_torch_network_that_lacks_a_tensor_is_refused(name, message):
    tensors = read_state_dict(TORCH_FILES[0])
    del tensors[name]
    with pytest.raises(InputError, match=message):
        build_official(from_torch(tensors), sides=SIDES)


def test_a_torch_network_with_a_layer_more_is_refused():
    tensors = read_state_dict(TORCH_FILES[0])
    tensors["attention.weight"] = np.zeros((3, 3), np.float32)
    with pytest.raises(InputError, match="attention/kernel is not in the network"):
        build_official(from_torch(tensors), sides=SIDES)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "genesis.h5").write_text("an error page of a download\n")
    assert not is_official_file(tmp_path / "genesis.h5")
    with pytest.raises(InputError, match="HDF5 file or a PyTorch checkpoint. Received"):
        read_official(tmp_path / "genesis.h5")
