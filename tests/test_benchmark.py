"""Benchmarks measure what they say and give their figures as JSON."""

import json
import subprocess
import sys

import numpy as np
import pytest

from models_genesis_tf.benchmarks import extract, input, official, transforms
from models_genesis_tf.errors import InputError
from models_genesis_tf.imaging.volumes import new_volume, write_volume

# Stands in for a clone: a module with the official generator's names, written here.
STAND_IN = """
import imageio
from skimage.transform import resize
import numpy as np
def data_augmentation(x, y, prob): return x, y
def local_pixel_shuffling(x, prob): return x
def nonlinear_transformation(x, prob): return x
def image_in_painting(x): return x
def image_out_painting(x): return x
def generate_pair(img, batch_size, config, status="test"):
    assert (config.flip_rate, config.local_rate, config.paint_rate) == (0.4, 0.5, 0.9)
    assert abs(config.inpaint_rate - 0.2) < 1e-12 and config.nonlinear_rate == 0.9
    while True:
        yield np.copy(img[:batch_size]), np.copy(img[:batch_size])
"""


@pytest.fixture
def clone(tmp_path):
    (tmp_path / "clone" / "keras").mkdir(parents=True)
    (tmp_path / "clone" / "keras" / "utils.py").write_text(STAND_IN)
    return tmp_path / "clone"


def test_input_compares_four_ways_to_deliver_the_same_batches(clone):
    result = input.measure(str(clone), pairs=12)
    rates = result["pairs_per_second"]
    assert set(rates) == {"one_thread", "all_threads", "tf_data", "official"}
    assert min(rates.values()) > 0
    ratio = rates["tf_data"] / rates["one_thread"]
    assert result["ratios"]["tf_data_over_one_thread"] == pytest.approx(ratio, abs=0.01)
    assert "official" not in input.measure(pairs=12)["pairs_per_second"]


def test_transforms_are_timed_one_by_one_beside_the_official_ones(clone):
    result = transforms.measure(str(clone), repeats=10)
    names = {"flipping", "shuffling", "nonlinear", "inpainting", "outpainting"}
    assert set(result["milliseconds"]) == names | {"pair"}
    assert set(result["official_milliseconds"]) == names
    for name, ratio in result["ratios"]["official_over_ours"].items():
        of_times = result["official_milliseconds"][name] / result["milliseconds"][name]
        assert ratio == pytest.approx(of_times, rel=0.1, abs=0.02)
    rates = result["pairs_per_second"]
    assert set(rates) == {"one_thread", "all_threads"}
    # A pair takes about as long in the loop of one thread as alone.
    alone = 1000 / result["milliseconds"]["pair"]
    assert 0.2 < rates["one_thread"] / alone < 5
    without = transforms.measure(repeats=10)
    assert "ratios" not in without and "official_milliseconds" not in without
    assert 0 < result["import_seconds"] < 60
    assert "skimage" not in sys.modules and "imageio" not in sys.modules


def test_a_folder_that_is_no_clone_is_refused(tmp_path):
    with pytest.raises(InputError, match="--official_dir is a clone.*keras/utils.py"):
        official.load_official_transforms(tmp_path)


def test_extraction_is_measured_beside_reading_with_its_own_peak_memory(tmp_path):
    array = np.random.default_rng(0).normal(100, 50, (96, 96, 64)).astype(np.float32)
    scan = tmp_path / "scan.nii.gz"
    write_volume(scan, array, new_volume(array, (1, 1, 1)))
    result = extract.measure(str(scan), cubes=4)
    assert result["size"] == [96, 96, 64]
    assert result["cubes"] == {"read_and_extract": 4}
    assert result["float32_mib"] == pytest.approx(96 * 96 * 64 * 4 / 2**20, abs=0.1)
    # Reading alone needs the volume itself, and cutting at least the same.
    assert result["peak_mib"]["read"] >= result["float32_mib"]
    assert result["peak_mib"]["read_and_extract"] >= result["float32_mib"]
    assert [path.name for path in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_the_command_prints_json_with_machine_and_versions(tmp_path):
    command = [sys.executable, "-m", "models_genesis_tf.benchmark"]
    done = subprocess.run(
        [*command, "transforms", f"--output_dir={tmp_path}"],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "benchmark_transforms.json").read_text())
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["memory_gib"] > 0
    assert report["settings"] == {"official_dir": None}
    assert report["software"]["packages"]["numpy"] == np.__version__
    assert report["results"]["milliseconds"]["pair"] > 0
    for words in ([], ["sorting"], ["transforms", "input"]):
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr == (
            "error: the command takes one of transforms, input, extract, step, "
            f"predict, page. Received: {' '.join(words) or 'none'}\n"
        )
