"""What a run says of the weights that it starts from."""

import dataclasses
import json
from pathlib import Path

import pytest

from models_genesis_tf.config import FinetuneConfig, PretrainConfig
from models_genesis_tf.experiments.starting_weights import describe_weights, seen_before
from models_genesis_tf.models.saving import save_model
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.splits import Split


@pytest.fixture(scope="module")
def model():
    return build_unet3d((16, 16, 8, 1), base_filters=2)


@pytest.fixture
def describe(tmp_path, model):
    """Writes the weights of a pre-training and describes them."""

    def run(name: str, series: str = "scan_0", **settings) -> dict:
        folder = tmp_path / name
        folder.mkdir()
        config = PretrainConfig(**settings)
        save_model(model, folder / "model.keras", {"scheme": config.scheme})
        record = {
            "settings": dataclasses.asdict(config),
            "series": {"train": [series], "valid": []},
            "cube_shape": [32, 32, 16, 1],
        }
        (folder / "run.json").write_text(json.dumps(record))
        return _describe(folder / "model.keras")

    return run


def _describe(path: Path) -> dict:
    return describe_weights(FinetuneConfig(weights=str(path)))


def test_weights_are_named_by_their_folder_and_scheme(describe):
    facts = describe("pretrain_painting", scheme="painting", seed=3)
    assert (facts["name"], facts["scheme"], facts["seed"]) == (
        "pretrain_painting",
        "painting",
        3,
    )


def test_pre_trainings_are_alike_but_for_seed_and_machine(describe):
    first = describe("a")["recipe_sha256"]
    assert describe("b", seed=7, strategy="mirrored")["recipe_sha256"] == first
    assert describe("c", scheme="painting")["recipe_sha256"] != first
    assert describe("d", epochs=3)["recipe_sha256"] != first
    assert describe("e", series="scan_1")["recipe_sha256"] != first


def test_a_pre_training_from_before_networks_had_names_is_that_of_cubes(
    describe, tmp_path
):
    named = describe("a")["recipe_sha256"]
    path = tmp_path / "a" / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["settings"].pop("model") == "unet3d"
    path.write_text(json.dumps(record), encoding="utf-8")
    assert _describe(tmp_path / "a" / "model.keras")["recipe_sha256"] == named
    assert describe("b", model="unet2d")["recipe_sha256"] != named


def test_weights_without_a_record_are_named_by_their_file(tmp_path, model):
    save_model(model, tmp_path / "official.keras", {})
    facts = _describe(tmp_path / "official.keras")
    assert facts["name"] == "official"
    assert facts["recipe_sha256"] is facts["seed"] is facts["scheme"] is None


def test_scratch_has_none():
    assert describe_weights(FinetuneConfig()) is None


def _case(name: str, series: str | None = None, **more) -> Case:
    return Case(name, (Path(f"{name}.nii.gz"),), 0, name, "test", series=series, **more)


def test_scans_that_pre_training_saw_are_named_once_by_any_of_their_names(
    describe, tmp_path
):
    """A scan is known by its patient, by its file, or by its series UID."""
    describe("a", series="subset7/1.2.3")
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    record["patients"] = {"train": ["patient_4"], "valid": []}
    (tmp_path / "a" / "run.json").write_text(json.dumps(record))
    config = FinetuneConfig(weights=str(tmp_path / "a" / "model.keras"))
    places = [
        _case(f"c{k}", "1.2.3", centre=(0.0, 0.0, float(k)), candidate=None)
        for k in range(3)
    ]
    seen = [*places, _case("patient_4"), _case("1.2.3")]
    split = Split((), (_case("c9", "1.2.4"),), (*seen, _case("new")), "")
    assert seen_before(config, split) == [
        "scan 1.2.3 of the test part was in pre-training",
        "case patient_4 of the test part was in pre-training",
        "case 1.2.3 of the test part was in pre-training",
    ]
