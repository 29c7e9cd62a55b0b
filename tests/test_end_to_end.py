"""The whole way, through the commands as a user types them."""

import csv
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models_genesis_tf.config import TransformConfig
from models_genesis_tf.imaging.cube_files import open_cubes
from models_genesis_tf.phantoms import luna16
from models_genesis_tf.transforms.pairs import genesis_pair


def _type(line: str, cwd: Path) -> str:
    """Runs `python -m models_genesis_tf.<line>` and gives what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *f"models_genesis_tf.{line}".split()],
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_phantoms_become_cubes_become_a_model_that_restores(tmp_path):
    # Small scans in LUNA16's layout, one in each of the folds 0 to 6.
    luna16.write(tmp_path / "scans", cases=7, size=luna16.MIN_SIZE)
    _type(
        "extract_cubes --data_dir=scans --output_dir=cubes --cube_size=32,32,16 "
        "--cubes_per_volume=12 --acceptance=none",
        tmp_path,
    )
    cubes = open_cubes(tmp_path / "cubes")
    assert len(cubes) == 7 * 12 and cubes.cube_shape == (32, 32, 16, 1)
    printed = _type(
        "pretrain --data_dir=cubes --output_dir=run --base_filters=4 --batch_size=4 "
        "--epochs=6 --learning_rate=0.3",
        tmp_path,
    )
    assert printed.splitlines()[-1] == "run/model.keras"
    with (tmp_path / "run" / "history.csv").open(newline="") as stream:
        losses = [float(row["val_loss"]) for row in csv.DictReader(stream)]
    assert len(losses) == 6 and min(losses) < 0.9 * losses[0]
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    valid = np.flatnonzero(np.isin(cubes.folds, [5, 6]))
    pairs = [
        genesis_pair(cubes[k], np.random.default_rng(k), TransformConfig())
        for k in valid.tolist()
    ]
    deformed, originals = (np.stack(part) for part in zip(*pairs, strict=True))
    restored = model.predict(deformed, verbose=0)
    error = np.mean((restored - originals) ** 2)
    assert error < 0.5 * np.mean((deformed - originals) ** 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        "--base_filters=2 --cube_size=32,32,16",
        "--model=unet2d --base_filters=16 --cube_size=64,64",
    ],
    ids=["cubes", "slices"],
)
def test_two_real_chest_cts_train_from_raw_scans(tmp_path, shared_data, network):
    printed = _type(
        f"pretrain --data_dir={shared_data / 'lidc_ct'} --output_dir=run {network} "
        "--epochs=2 --cubes_per_volume=4 --batch_size=2 --exclude=*votes*",
        tmp_path,
    )
    assert "4 train, 4 validate" in printed
    with (tmp_path / "run" / "history.csv").open(newline="") as stream:
        losses = [float(row["val_loss"]) for row in csv.DictReader(stream)]
    assert losses[1] < losses[0]
    with (tmp_path / "run" / "split.csv").open(newline="") as stream:
        patients = {row["split"]: row["patient"] for row in csv.DictReader(stream)}
    assert sorted(patients.values()) == ["LIDC-IDRI-0001", "LIDC-IDRI-0002"]
