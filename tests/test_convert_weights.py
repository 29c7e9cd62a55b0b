"""The command converts official files and refuses all others in one line."""

import hashlib
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras2_files import genesis_layers, restore_channels_first, write_keras2_file

from models_genesis_tf.models.saving import read_metadata

DATA = Path(__file__).parent / "data"


def _convert(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "models_genesis_tf.convert_weights", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def _reason(done: subprocess.CompletedProcess) -> str:
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and len(lines) == 1
    assert "Traceback" not in done.stderr and done.stdout == ""
    return lines[0]


def test_a_keras_file_is_converted_and_reported(tmp_path, rng):
    source = tmp_path / "Genesis_Chest_CT.h5"
    layers = genesis_layers(rng, 2)
    write_keras2_file(source, layers)
    done = _convert(f"--source={source}", "--cube_size=16,24,8")
    assert done.returncode == 0, done.stderr
    output = tmp_path / "Genesis_Chest_CT.keras"
    model = keras.saving.load_model(output)
    cubes = rng.random((1, 16, 24, 8, 1), np.float32)
    expected = restore_channels_first(layers, np.moveaxis(cubes, -1, 1))
    np.testing.assert_allclose(np.moveaxis(model(cubes), -1, 1), expected, atol=1e-5)
    lines = done.stdout.splitlines()
    assert lines[1].split() == [
        *("copied", "86", f"{model.count_params():,}"),
        *("depth_0", "to", "depth_13,", "restoration_conv"),
    ]
    assert "moving statistics" in done.stdout and lines[-1] == str(output)
    assert read_metadata(output) == {
        "task": "restoration",
        "base_filters": 2,
        "patch_size": [16, 24, 8],
        "channels": 1,
        "bn_statistics": "moving",
        "converted_from": {
            "file": "Genesis_Chest_CT.h5",
            "form": "keras",
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        },
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statistics", "depends"), [("auto", True), ("batch", True), ("moving", False)]
)
def test_a_torch_file_normalises_as_asked(tmp_path, rng, statistics, depends):
    output = tmp_path / "models" / "genesis.keras"
    done = _convert(
        f"--source={DATA / 'genesis_narrow_legacy.pt'}",
        f"--output={output}",
        f"--bn_statistics={statistics}",
        "--cube_size=16,8,8",
    )
    assert done.returncode == 0, done.stderr
    model = keras.saving.load_model(output)
    cubes = rng.random((2, 16, 8, 8, 1), np.float32)
    together = model.predict(cubes, batch_size=2, verbose=0)[:1]
    alone = model.predict(cubes[:1], verbose=0)
    assert (np.abs(together - alone).max() > 1e-3) == depends
    assert read_metadata(output)["bn_statistics"] == (
        "moving" if statistics == "moving" else "batch"
    )
    unused = 14 if statistics == "moving" else 3 * 14
    assert f"unused    {unused:>9}" in done.stdout


@pytest.mark.slow
def test_a_file_that_is_there_is_kept_unless_told_otherwise(tmp_path):
    output = tmp_path / "genesis.keras"
    output.write_text("precious")
    arguments = [f"--source={DATA / 'genesis_narrow_zip.pt'}", f"--output={output}"]
    assert "--overwrite" in _reason(_convert(*arguments))
    assert output.read_text() == "precious"
    assert _convert(*arguments, "--overwrite").returncode == 0
    assert keras.saving.load_model(output).name == "unet3d"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "takes --source"),
        ("missing.h5", "--source is a file"),
        ("page.h5", "HDF5 file or a PyTorch checkpoint"),
        ("short.h5", "short.h5"),
        ("short.pt", "short.pt"),
        ("other.h5", "first convolution depth_0"),
    ],
)
def test_a_file_that_cannot_be_converted_leaves_nothing(tmp_path, rng, name, message):
    source = tmp_path / name
    if name == "page.h5":
        source.write_text("an error page of a download\n")
    if name == "other.h5":
        write_keras2_file(source, {"dense": [("dense/kernel:0", np.zeros((4, 2)))]})
    if name == "short.h5":
        write_keras2_file(source, genesis_layers(rng, 2))
        source.write_bytes(source.read_bytes()[:-5000])
    if name == "short.pt":
        source.write_bytes((DATA / "genesis_narrow_zip.pt").read_bytes()[:-5000])
    before = sorted(tmp_path.iterdir())
    arguments = [] if name == "none" else [f"--source={source}"]
    assert message in _reason(_convert(*arguments))
    assert sorted(tmp_path.iterdir()) == before


def test_the_output_is_a_keras_file(tmp_path):
    source = DATA / "genesis_narrow_zip.pt"
    done = _convert(f"--source={source}", f"--output={tmp_path / 'genesis.h5'}")
    assert "--output ends in .keras" in _reason(done)
