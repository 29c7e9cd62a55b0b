"""Whole scans in benchmarks: cubes beside the official script's, masks part by part."""

import json
import subprocess
import sys

import numpy as np
import pytest

from models_genesis_tf.benchmarks import extract, official_extraction, predict
from models_genesis_tf.benchmarks.own_process import run_alone
from models_genesis_tf.benchmarks.settings import describe_settings
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments import predicted_masks, prediction
from models_genesis_tf.experiments.model_facts import read_facts
from models_genesis_tf.imaging.volumes import new_volume, read_volume, write_volume
from models_genesis_tf.models.heads import build_classifier
from models_genesis_tf.models.saving import save_model

# Stands in for the official script: written here, with that script's arguments.
STAND_IN = """
import sys
from glob import glob
from optparse import OptionParser
import keras, tensorflow
import matplotlib.pyplot as plt
import numpy as np
import SimpleITK
from skimage.transform import resize
from sklearn import metrics
assert __name__ == "__main__"
print("Keras = {}".format(keras.__version__))
parser = OptionParser()
parser.add_option("--fold", type="int")
parser.add_option("--scale", type="int")
parser.add_option("--data")
parser.add_option("--save")
options, _ = parser.parse_args()
(path,) = glob(options.data + "/subset%d/*.mhd" % options.fold)
array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
assert array.shape == (96, 272, 265) and (array == -800).all()
held = np.ones(2**26)  # 512 MiB
import os
os.makedirs(options.save)
np.save(options.save + "/bat_3.npy", np.zeros((options.scale - 1, 64, 64, 32)))
"""
PATCH = (16, 16, 16)


def _write_scan(path, size, value):
    array = np.full(size, value, np.int16)
    write_volume(path, array, new_volume(array, (1, 1, 1)))
    return path


@pytest.fixture
def lung(tmp_path):
    """A scan of nothing but lung, of which every window is taken."""
    return str(_write_scan(tmp_path / "lung.nii.gz", (265, 272, 96), -800))


@pytest.fixture
def clone(tmp_path):
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "infinite_generator_3D.py").write_text(STAND_IN)
    return tmp_path / "clone"


def test_extraction_is_measured_beside_the_official_script(lung, clone, monkeypatch):
    monkeypatch.setattr(extract, "_ROUNDS", 1)
    result = extract.measure(lung, cubes=4, official_dir=str(clone))
    assert result["size"] == [265, 272, 96]
    assert result["cubes"] == {"read_and_extract": 4, "official": 3}
    seconds, peaks, ratios = (result[k] for k in ("seconds", "peak_mib", "ratios"))
    parts = {"read", "read_and_extract", "official"}
    assert set(seconds) == set(peaks) == parts
    assert peaks["official"] >= 512 > peaks["read_and_extract"]
    for name, measured in (("seconds", seconds), ("peak", peaks)):
        expected = measured["official"] / measured["read_and_extract"]
        assert ratios[f"official_{name}_over_ours"] == pytest.approx(expected, rel=0.05)


def test_the_official_script_is_asked_for_scans_it_can_work_on(tmp_path, clone):
    small = str(_write_scan(tmp_path / "small.nii.gz", (264, 265, 96), -800))
    with pytest.raises(InputError, match="of 265x265x96 voxels or more.*264x265x96"):
        extract.measure(small, official_dir=str(clone))
    with pytest.raises(InputError, match="a clone of.*infinite_generator_3D.py"):
        official_extraction.check_comparable(tmp_path, (512, 512, 128))
    official_extraction.check_comparable(clone, (265, 265, 96))


def test_work_that_fails_in_its_own_process_ends_in_one_line():
    with pytest.raises(InputError, match="to its end. Received: ValueError: no cube$"):
        run_alone("", "raise ValueError('no cube')")
    found = run_alone("import math", "found = {'sum': math.fsum([0.5, 1])}")
    assert found["sum"] == 1.5 and found["seconds"] >= 0 <= found["peak_mib"]


def test_peak_memory_is_that_of_the_work_alone():
    held = run_alone("import numpy\nx = numpy.ones(2**24)", "y = numpy.ones(2**23)")
    assert 64 <= held["peak_mib"] < 80  # 2^23 float64; the 128 MiB before do not count


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.keras"
    predict._write_model(path, 1, PATCH)
    return path


def test_a_scan_is_predicted_in_parts_that_add_up(tmp_path):
    scan = str(_write_scan(tmp_path / "scan.nii.gz", (24, 24, 24), 0))
    result = predict.measure(scan=scan, base_filters=1, cube_size=PATCH)
    assert result["size"] == [24, 24, 24] and result["patch_size"] == list(PATCH)
    assert result["windows"] == 8  # starts 0 and 8 along each axis
    seconds = result["seconds"]
    assert list(seconds) == ["read", "network", "segment", "write", "all"]
    assert 0 < seconds["network"] <= seconds["segment"] <= seconds["all"]
    parts = seconds["read"] + seconds["segment"] + seconds["write"]
    assert parts == pytest.approx(seconds["all"], abs=0.002)
    speed = 24**3 / seconds["all"]
    assert result["voxels_per_second"] == pytest.approx(speed, rel=0.05)
    assert result["peak_mib"] > 0
    for part in ("segment", "all"):
        ratio = seconds[part] / seconds["network"]
        assert result["ratios"][f"{part}_over_network"] == pytest.approx(ratio, rel=0.1)


def test_each_part_is_timed_alone_and_compiling_is_not(model, tmp_path, monkeypatch):
    clock = [0.0]

    def taking(seconds, work):
        def take(*arguments, **options):
            clock[0] += seconds
            return work(*arguments, **options)

        return take

    make_predict = prediction.make_predict
    monkeypatch.setattr(predict.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(
        prediction, "make_predict", lambda *how: taking(1, make_predict(*how))
    )
    for module, name, seconds in (
        (prediction, "make_arrays", 10),
        (prediction, "to_labels", 0.25),
        (predicted_masks, "write_volume", 100),
    ):
        monkeypatch.setattr(module, name, taking(seconds, getattr(module, name)))
    scan = _write_scan(tmp_path / "scan.nii.gz", (24, 24, 24), 0)
    mask = tmp_path / "mask.nii.gz"
    found = predict.predict_scan(str(model), str(scan), str(mask))
    # Eight windows in batches of four, and two slabs of classes.
    assert found["parts"] == {"read": 10, "network": 2, "segment": 2.5, "all": 112.5}
    assert predict._describe(found | {"peak_mib": 1})["seconds"]["write"] == 100


def test_the_mask_of_random_weights_is_empty(model, tmp_path):
    scan = _write_scan(tmp_path / "scan.nii.gz", (24, 24, 24), 0)
    predict.predict_scan(str(model), str(scan), str(tmp_path / "mask.nii.gz"))
    mask = read_volume(tmp_path / "mask.nii.gz").array
    assert mask.shape == (24, 24, 24) and not mask.any()


def test_a_model_that_classifies_is_refused(model, tmp_path):
    path = tmp_path / "classifier.keras"
    facts = vars(read_facts(model)) | {"kind": "classification"}
    network = build_classifier((*PATCH, 1), base_filters=1, verbose=False)
    save_model(network, path, facts)
    with pytest.raises(InputError, match="takes a model of a segm.*of a classific"):
        predict.measure(str(path))


def test_settings_tell_paths_by_their_last_part():
    values = {"input": "/data/scan.mhd", "official_dir": None}
    expected = {"input": "scan.mhd", "official_dir": None}
    assert describe_settings("extract", values.get) == expected


@pytest.mark.slow
def test_the_command_predicts_with_another_backend_chosen_for_steps(tmp_path):
    scan = _write_scan(tmp_path / "scan.nii.gz", (16, 16, 16), 0)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "models_genesis_tf.benchmark", "predict"),
            *(f"--input={scan}", "--base_filters=1", "--cube_size=16,16,16"),
            *("--backend=jax", f"--output_dir={tmp_path}"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "benchmark_predict.json").read_text())
    assert report["results"]["windows"] == 1
    assert report["settings"] == {
        "model": None,
        "input": "scan.nii.gz",
        "base_filters": 1,
        "cube_size": ["16", "16", "16"],
        "fast_upsampling": True,
    }
