"""Models that come with the package: found by name, whole, with a card and a record."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.starting_weights import describe_weights, seen_before
from models_genesis_tf.models import weight_names
from models_genesis_tf.models.heads import build_segmenter
from models_genesis_tf.models.pretrained import load_pretrained
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.splits import Split

NAME = "genesis-small-test"
RECORD = {
    "series": {"train": ["a"], "valid": ["b"]},
    "patients": {"train": ["anna"], "valid": ["bert"]},
    "cube_shape": [8, 8, 8, 1],
    "settings": {"seed": 3, "epochs": 2},
}
# Opens a file as somebody without this package does.
OPEN = """
import sys, keras
sys.modules["models_genesis_tf"] = None
model = keras.saving.load_model(sys.argv[1])
print(model.count_params())
"""


@pytest.fixture
def released(tmp_path, monkeypatch) -> Path:
    """A folder with one released model."""
    save_model(build_unet3d((8, 8, 8, 1), 2), tmp_path / f"{NAME}.keras", {})
    digest = hashlib.sha256((tmp_path / f"{NAME}.keras").read_bytes()).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{digest}  {NAME}.keras\n")
    (tmp_path / f"{NAME}.json").write_text(json.dumps(RECORD))
    monkeypatch.setattr(weight_names, "RELEASED", tmp_path)
    return tmp_path


def test_a_name_is_as_good_as_a_path(released):
    assert weight_names.released_names() == [NAME]
    assert weight_names.weights_path(NAME) == released / f"{NAME}.keras"
    assert weight_names.start_name(NAME) == NAME
    model = load_pretrained(NAME)
    plain = keras.saving.load_model(released / f"{NAME}.keras")
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    segmenter = build_segmenter((16, 8, 8, 1), weights=NAME, verbose=False)
    for name in ("depth_0_conv", "depth_13_conv"):
        np.testing.assert_array_equal(
            segmenter.get_layer(name).kernel, plain.get_layer(name).kernel
        )


def test_its_own_record_says_what_it_is_and_what_it_saw(released):
    config = FinetuneConfig(weights=NAME)
    found = describe_weights(config)
    assert (found["name"], found["seed"]) == (NAME, 3)
    assert len(found["recipe_sha256"]) == 64
    cases = [
        Case(name, (Path(f"{name}.nii"),), 0, patient, "test")
        for name, patient in (("one", "anna"), ("two", "carla"), ("b", "dora"))
    ]
    split = Split((), (), tuple(cases), "")
    assert seen_before(config, split) == [
        "case one of the test part was in pre-training",
        "case b of the test part was in pre-training",
    ]


def test_a_file_that_is_not_the_released_one_is_refused(released):
    with (released / f"{NAME}.keras").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(InputError, match=f"SHA-256.*Received: .*{NAME}.keras with ano"):
        load_pretrained(NAME)


def test_another_name_is_refused_with_those_that_there_are(released):
    message = f"weights are a file, or one of {NAME}. Received: genesis-small-x, which"
    with pytest.raises(InputError, match=message):
        load_pretrained("genesis-small-x")


def _released_files(suffix: str) -> list[Path]:
    return sorted(weight_names.RELEASED.glob(f"*{suffix}"))


def test_every_released_model_is_listed_with_a_card_and_a_record():
    models = [path.stem for path in _released_files(".keras")]
    sums = weight_names._released_sums() if models else {}
    assert [f"{name}.keras" for name in models] == sorted(sums)
    for suffix in (".md", ".json"):
        assert [path.stem for path in _released_files(suffix)] == models


@pytest.mark.parametrize("path", _released_files(".keras"), ids=lambda path: path.stem)
def test_a_released_model_opens_in_plain_keras_and_is_the_one_that_was_released(path):
    weight_names.check_weights(path.stem)
    command = [sys.executable, "-c", OPEN, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", card, re.MULTILINE)
    assert headings == ["Use", "Data", "Training", "Licence"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    assert f"{int(done.stdout):,} parameters" in card


def test_released_models_are_installed_with_the_package():
    setup = (Path(__file__).parents[1] / "setup.py").read_text(encoding="utf-8")
    assert 'package_data={"models_genesis_tf": ["released/*"]}' in setup
