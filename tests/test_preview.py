"""The preview of a scan: a whole PNG, the same for the same seed, honest shares."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from models_genesis_tf.config import CubeConfig, TransformConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.previewing import save_preview
from models_genesis_tf.imaging.volumes import new_volume, write_volume

CONFIG = CubeConfig(cube_size=(16, 16, 8))


@pytest.fixture(scope="module")
def ball():
    """A bright ball in the left half of a scan that is no CT."""
    x, y, z = np.meshgrid(*(np.arange(side) for side in (64, 32, 32)), indexing="ij")
    inside = (x - 16) ** 2 + (y - 16) ** 2 + (z - 16) ** 2 < 12**2
    noise = np.random.default_rng(0).normal(0, 10, inside.shape)
    return new_volume((500.0 * inside + noise).astype(np.float32), (1, 1, 2))


def test_a_preview_is_one_picture_and_depends_on_the_seed_alone(ball, tmp_path):
    pictures = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        save_preview(ball, tmp_path / f"{name}.png", CONFIG, TransformConfig(), seed)
        pictures.append(imread(tmp_path / f"{name}.png"))
    assert pictures[0].shape[0] > 600 and pictures[0].shape[1] > 1000
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.png",
        "b.png",
        "c.png",
    ]


def test_it_says_how_the_scan_is_treated_and_the_share_of_windows_taken(ball, tmp_path):
    text = save_preview(ball, tmp_path / "p.png", CONFIG, TransformConfig())
    assert text.startswith("rule foreground, window percentile")
    share = float(text.split(", ")[-1].split("%")[0])
    # Windows start at 0..48 along x; those that hold a fifth of ball start below 28.
    assert 25 < share < 60
    everything = CubeConfig(cube_size=(16, 16, 8), acceptance="none")
    text = save_preview(ball, tmp_path / "p.png", everything, TransformConfig())
    assert "rule none" in text and "100% of windows" in text


def test_slices_have_a_preview_too(ball, tmp_path):
    config = CubeConfig(cube_size=(32, 32, 1))
    pictures = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}.png"
        text = save_preview(ball, path, config, TransformConfig())
        pictures.append(imread(path))
    np.testing.assert_array_equal(*pictures)
    assert text.startswith("rule foreground, window percentile")
    # Slices near the ball's middle hold a fifth of it.
    inside = [np.pi * (144 - (z - 16) ** 2) >= 0.2 * 64 * 32 for z in range(32)]
    assert 3 < sum(inside) < 20
    share = float(text.split(", ")[-1].split("%")[0])
    assert share / 100 == pytest.approx(np.mean(inside), abs=0.15)


def test_a_scan_without_accepted_windows_has_no_preview(tmp_path):
    flat = new_volume(np.zeros((32, 32, 32), np.float32), (1, 1, 1))
    config = CubeConfig(cube_size=(16, 16, 8), window="0,1", acceptance="foreground")
    with pytest.raises(InputError, match="accepted windows.*foreground"):
        save_preview(flat, tmp_path / "p.png", config, TransformConfig())
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_figure_and_refuses_in_one_line(ball, tmp_path):
    scan = tmp_path / "ball.nii.gz"
    write_volume(scan, ball.array, ball)
    command = [sys.executable, "-m", "models_genesis_tf.preview"]
    flags = [f"--input={scan}", "--cube_size=16,16,8"]
    picture = tmp_path / "figures" / "ball.png"
    done = subprocess.run(
        [*command, *flags, f"--output={picture}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == str(picture)
    assert imread(picture).std() > 0
    wrong = [f"--input={tmp_path / 'absent.nii'}", f"--output={picture}"]
    done = subprocess.run([*command, *wrong], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: a scan has to exist. Received: ")
    assert len(done.stderr.splitlines()) == 1
