"""A fine-tuning run: its trials, their subsets and files, where its weights start."""

import contextlib
import dataclasses
import hashlib
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from models_genesis_tf.config import FinetuneConfig
from models_genesis_tf.errors import InputError
from models_genesis_tf.experiments.examples import Examples
from models_genesis_tf.experiments.finetuning import finetune
from models_genesis_tf.experiments.labelled_data import load_labelled_data
from models_genesis_tf.experiments.scoring import score_model
from models_genesis_tf.models.losses import segmentation_loss
from models_genesis_tf.models.saving import read_metadata, save_model
from models_genesis_tf.models.unet3d import build_unet3d
from models_genesis_tf.pipelines.example_stream import training_examples
from models_genesis_tf.tasks.splits import draw_subset, split_sha256, subset_sha256
from models_genesis_tf.training.batch_statistics import recalibrate
from models_genesis_tf.training.loop import Trainer
from tests.manifests import (
    CONFIG,
    PART_OF_PATIENT,
    draw_case,
    write_array,
    write_classification,
    write_segmentation,
)
from tests.written_files import read_rows

PARTS = ("train", "valid", "test")
WIDTH = 3  # of the pre-trained weights


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a manifest, images and the weights of a pre-training run."""
    folder = tmp_path_factory.mktemp("finetuning")
    write_segmentation(folder / "data")
    keras.utils.set_random_seed(1)
    model = build_unet3d((16, 16, 16, 1), base_filters=WIDTH)
    metadata = {"task": "restoration", "scheme": "painting", "base_filters": WIDTH}
    save_model(model, folder / "pretrained" / "model.keras", metadata)
    patients = {"train": ["patient_0", "patient_11", "other"], "valid": ["patient_8"]}
    series = {"train": ["sub/scan_9", "other"], "valid": []}
    record = json.dumps({"patients": patients, "series": series})
    (folder / "pretrained" / "run.json").write_text(record)
    return folder


def _config(place: Path, **settings) -> FinetuneConfig:
    manifest = str(place / "data" / "cases.csv")
    return dataclasses.replace(CONFIG, manifest=manifest, **settings)


def _run(place: Path, folder: Path, config: FinetuneConfig) -> SimpleNamespace:
    """Runs and gives the folder, what it printed and what results.json holds."""
    folder.mkdir(exist_ok=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        path = finetune(folder, config, place / "cache")
    assert path == folder / "results.json"
    results = json.loads(path.read_text(), parse_constant=_no_json)
    return SimpleNamespace(
        folder=folder, printed=printed.getvalue(), results=results, config=config
    )


def _no_json(word: str):
    raise AssertionError(f"{word} is no JSON")


@pytest.fixture(scope="module")
def scratch(place):
    """Two trials with half of the patients."""
    config = _config(place, trials=2, train_fraction=0.5)
    return _run(place, place / "scratch", config)


@pytest.fixture(scope="module")
def pretrained(place):
    """The same from weights, with a learning rate that leaves them as they are."""
    config = _config(
        place,
        trials=2,
        train_fraction=0.5,
        epochs=1,
        base_filters=None,
        learning_rate=0.0,
        weights=str(place / "pretrained" / "model.keras"),
    )
    return _run(place, place / "from_weights", config)


def test_results_say_what_ran_and_how_it_scored(scratch, place):
    results = scratch.results
    data = load_labelled_data(scratch.config, place / "cache", PARTS)
    assert {name: results[name] for name in results if name != "trials"} == {
        "task": "custom",
        "kind": "segmentation",
        "dimension": 3,
        "metric": "dice_mean",
        "weights": "scratch",
        "pretraining": None,
        "train_fraction": 0.5,
        "base_filters": 2,
        "steps": 8,  # two epochs of four cases, one a step
        "score_split": "test",
        "split_sha256": split_sha256(data.split),
        "synthetic": False,
    }
    for number, trial in enumerate(results["trials"]):
        assert (trial["trial"], trial["seed"], trial["steps"]) == (number, 3, 8)
        cases = trial["train_cases"], trial["valid_cases"], trial["scored_cases"]
        assert cases == (4, 1, 2)
        subset = draw_subset(data.split.train, 0.5, 3, number)
        assert trial["subset_sha256"] == subset_sha256(subset)
        model = scratch.folder / f"trial_{number}" / "model.keras"
        rows, scores, notes = score_model(model, data, data.split.test)
        assert trial["scores"] == scores and trial["notes"] == notes
        assert {"dice_mean", "iou_mean", "dice_1", "hd95_mm_2"} <= set(scores)
        written = read_rows(model.with_name("scores.csv"))
        assert written == [{k: str(v) for k, v in row.items()} for row in rows]
        assert [row["case"] for row in written] == ["scan_10", "scan_11"]


def test_the_record_says_which_patients_took_part(scratch):
    record = json.loads((scratch.folder / "run.json").read_text())
    assert record["finished"] is True and record["synthetic"] is False
    assert record["settings"]["train_fraction"] == 0.5
    assert record["patients"]["test"] == ["patient_10", "patient_11"]
    assert len(record["patients"]["train"]) == 8
    assert record["classes"] == ["0", "1", "2"] and record["patch_size"] == [16, 16, 8]
    assert len(record["data_fingerprint"]) == 64 and len(record["sessions"]) == 1
    assert {"python", "packages", "git_commit", "started"} <= set(record)
    assert read_rows(scratch.folder / "split.csv") == [
        {"case": f"scan_{k}", "patient": f"patient_{k}", "split": part}
        for k, part in enumerate(PART_OF_PATIENT)
    ]


def test_each_trial_has_its_own_folder_and_no_partial_file_stays(scratch):
    for number in range(2):
        folder = scratch.folder / f"trial_{number}"
        names = {path.name for path in folder.iterdir()}
        assert names == {
            "model.keras",
            "history.csv",
            "timing.csv",
            "scores.csv",
            "result.json",
            "checkpoint",
            "tensorboard",
        }
        rows = read_rows(folder / "history.csv")
        assert list(rows[0]) == ["epoch", "step", "loss", "val_loss", "learning_rate"]
        assert [(row["epoch"], row["step"]) for row in rows] == [("1", "4"), ("2", "8")]
    assert not list(scratch.folder.rglob("*.part*"))
    models = [
        keras.saving.load_model(scratch.folder / f"trial_{number}" / "model.keras")
        for number in range(2)
    ]
    assert models[0].get_weights()[0].tobytes() != models[1].get_weights()[0].tobytes()


def test_the_model_opens_in_keras_and_says_what_prediction_needs(scratch):
    path = scratch.folder / "trial_0" / "model.keras"
    model = keras.saving.load_model(path)
    assert model.input_shape == (None, 16, 16, 8, 1)
    assert model.output_shape == (None, 16, 16, 8, 3)
    chances = model(np.random.default_rng(0).random((1, 16, 16, 8, 1), np.float32))
    np.testing.assert_allclose(np.sum(chances, axis=-1), 1, rtol=1e-5)
    assert read_metadata(path) == {
        "task": "custom",
        "kind": "segmentation",
        "multi_label": False,
        "classes": ["0", "1", "2"],
        "threshold": 0.5,
        "window": "percentile",
        "spacing": None,
        "in_plane_size": None,
        "patch_size": [16, 16, 8],
        "slices_per_case": 1,
        "channels": 1,
        "modalities": ["any"],
        "base_filters": 2,
    }


def test_the_model_kept_has_the_lowest_validation_loss(scratch, place):
    data = load_labelled_data(scratch.config, place / "cache", PARTS)
    valid = Examples.of(data, draw_subset(data.split.valid, 0.5, 3, 1))
    model = keras.saving.load_model(scratch.folder / "trial_1" / "model.keras")
    lowest = min(
        float(row["val_loss"])
        for row in read_rows(scratch.folder / "trial_1/history.csv")
    )
    assert _loss(model, valid) == pytest.approx(lowest, rel=1e-5)
    best = scratch.results["trials"][1]["training"]["best_val_loss"]
    assert best == pytest.approx(lowest, rel=1e-5)


def _loss(model: keras.Model, examples: Examples) -> float:
    pairs = [examples.example_at(spot) for spot in examples.fixed_places(CONFIG.seed)]
    images, targets = (np.stack(part) for part in zip(*pairs, strict=True))
    outputs = model(images, training=False)
    return float(np.mean(segmentation_loss(targets, outputs)))


def test_trials_differ_in_their_subsets_and_arms_pair_up(scratch, pretrained):
    subsets = [
        [trial["subset_sha256"] for trial in run.results["trials"]]
        for run in (scratch, pretrained)
    ]
    assert subsets[0] == subsets[1]
    assert subsets[0][0] != subsets[0][1]
    assert scratch.results["split_sha256"] == pretrained.results["split_sha256"]


def test_weights_give_the_trunk_and_its_width_and_a_table_says_so(pretrained, place):
    path = place / "pretrained" / "model.keras"
    results = pretrained.results
    assert results["base_filters"] == WIDTH
    assert results["pretraining"] == {
        "name": "model",  # its folder is that of no whole record
        "dimension": 3,
        "scheme": "painting",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "seed": None,
        "recipe_sha256": None,
    }
    table = [line.split() for line in pretrained.printed.splitlines()]
    assert [line[0] for line in table if line and line[0] in ("copied", "new")] == [
        "copied",
        "new",
    ]
    source, heads = keras.saving.load_model(path), set()
    for number in range(2):
        model = keras.saving.load_model(
            pretrained.folder / f"trial_{number}" / "model.keras"
        )
        names = [layer.name for layer in model.layers if layer.name.startswith("depth")]
        assert {f"depth_{k}_conv" for k in range(14)} <= set(names)
        for name in names:
            pairs = zip(
                source.get_layer(name).trainable_variables,
                model.get_layer(name).trainable_variables,
                strict=True,
            )
            for one, other in pairs:
                assert np.array(one).tobytes() == np.array(other).tobytes()
        heads.add(np.array(model.get_layer("segmenter_conv").kernel).tobytes())
    assert len(heads) == 2  # each trial draws its own


def test_validation_and_test_cases_seen_in_pretraining_are_named(scratch, pretrained):
    warnings = [
        line for line in pretrained.printed.splitlines() if "pre-training" in line
    ]
    assert warnings == [
        "case scan_8 of the valid part was in pre-training",
        "case scan_9 of the valid part was in pre-training",
        "case scan_11 of the test part was in pre-training",
    ]
    assert "pre-training" not in scratch.printed


@pytest.fixture
def copy(scratch, tmp_path) -> Path:
    """The run in a folder of its own, to be changed."""
    return Path(shutil.copytree(scratch.folder, tmp_path / "copy"))


def test_a_run_that_goes_on_keeps_the_trials_it_has(scratch, copy, place):
    """As after a kill between the last trial and the end of the run."""
    trials = [copy / f"trial_{number}" for number in range(2)]
    files = [path for folder in trials for path in folder.rglob("*")]
    before = {path: path.stat().st_mtime_ns for path in files}
    (copy / "results.json").unlink()
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(record | {"finished": False}))
    again = _run(place, copy, scratch.config)
    assert again.results == scratch.results
    assert before == {path: path.stat().st_mtime_ns for path in files}
    record = json.loads((copy / "run.json").read_text())
    assert record["finished"] is True and len(record["sessions"]) == 2


@pytest.mark.parametrize("change", ["image", "label", "split"])
def test_other_cases_in_the_same_place_are_refused(
    scratch, copy, place, tmp_path, change
):
    path = write_segmentation(tmp_path / "data")
    moved = dataclasses.replace(scratch.config, manifest=str(path))
    assert finetune(copy, moved, place / "cache")  # only elsewhere, not changed
    if change == "image":
        write_array(tmp_path / "data" / "scan_2.nii.gz", draw_case(2)[0][::-1])
    elif change == "label":
        labels = draw_case(2)[1]
        labels[0, 0, 0] = 1
        write_array(tmp_path / "data" / "mask_2.nii.gz", labels)
    else:
        rows = path.read_text()
        path.write_text(rows.replace("patient_9,valid", "patient_9,train"))
    before = (copy / "run.json").read_bytes()
    with pytest.raises(InputError, match="cases it began with.*--restart.*cases.csv"):
        finetune(copy, moved, place / "cache")
    assert (copy / "run.json").read_bytes() == before


def test_weights_that_changed_are_refused_even_under_their_name(
    place, tmp_path, monkeypatch
):
    shutil.copytree(place / "pretrained", tmp_path / "pretrained")
    weights = tmp_path / "pretrained" / "model.keras"
    config = _config(place, base_filters=None, weights=str(weights))
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.setattr(Trainer, "step", lambda *_: tf.constant(np.nan))
    with pytest.raises(InputError, match="loss=nan"):
        finetune(run, config, place / "cache")
    model = build_unet3d((16, 16, 16, 1), base_filters=WIDTH)
    save_model(model, weights, {})
    with pytest.raises(InputError, match="same weights.*model.keras, which has chang"):
        finetune(run, config, place / "cache")


def test_weights_without_a_record_of_their_scans_are_said_to_be(
    place, tmp_path, monkeypatch, capsys
):
    weights = shutil.copy(place / "pretrained" / "model.keras", tmp_path)
    config = _config(place, base_filters=None, weights=str(weights))
    monkeypatch.setattr(Trainer, "step", lambda *_: tf.constant(np.nan))
    with pytest.raises(InputError, match="loss=nan"):
        finetune(tmp_path, config, place / "cache")
    assert "weights come without a record of the scans" in capsys.readouterr().out


def test_a_classification_is_trained_and_scored(tmp_path):
    manifest = write_classification(tmp_path / "data")
    config = dataclasses.replace(
        CONFIG, kind="classification", manifest=str(manifest), score_split="valid"
    )
    for name in ("scan_10", "scan_11"):
        (tmp_path / "data" / f"{name}.nii.gz").write_bytes(b"never read")
    run = _run(tmp_path, tmp_path / "run", config)
    assert run.results["kind"] == "classification"
    assert run.results["score_split"] == "valid"
    (trial,) = run.results["trials"]
    assert trial["scored_cases"] == 2 and set(trial["scores"]) == {
        "auc",
        "average_precision",
        "sensitivity",
        "specificity",
        "accuracy",
    }
    rows = read_rows(tmp_path / "run" / "trial_0" / "scores.csv")
    assert [(row["case"], row["label"]) for row in rows] == [
        ("scan_8", "0"),
        ("scan_9", "1"),
    ]
    facts = read_metadata(tmp_path / "run" / "trial_0" / "model.keras")
    assert facts["classes"] == ["no", "yes"] and facts["kind"] == "classification"


@pytest.mark.parametrize(
    "method", ["step", pytest.param("validate", marks=pytest.mark.slow)]
)
def test_a_loss_that_is_no_number_is_one_line_and_leaves_no_scores(
    place, tmp_path, monkeypatch, method
):
    own = Trainer._replica_valid_step
    if method == "step":
        monkeypatch.setattr(Trainer, "step", lambda *_: tf.constant(np.nan))
    else:

        def broken(trainer, inputs, targets):
            total, count = own(trainer, inputs, targets)
            return total * np.nan, count

        monkeypatch.setattr(Trainer, "_replica_valid_step", broken)
    with pytest.raises(InputError, match="no finite number.*--learning_rate.*loss=nan"):
        finetune(tmp_path, _config(place), place / "cache")
    assert json.loads((tmp_path / "run.json").read_text())["finished"] is False
    assert not (tmp_path / "results.json").exists()
    assert not list(tmp_path.rglob("scores.csv"))


@pytest.mark.slow
def test_sixty_steps_store_statistics_as_good_as_recalibrated_ones(place, tmp_path):
    config = _config(place, max_steps=60, epochs=1000, learning_rate=0.01)
    config = dataclasses.replace(config, bn_momentum=0.99)
    run = _run(place, tmp_path / "run", config)
    assert run.results["steps"] == 60
    assert run.results["trials"][0]["scores"]["dice_mean"] > 0.5
    data = load_labelled_data(config, place / "cache", PARTS)
    path = tmp_path / "run" / "trial_0" / "model.keras"
    model = keras.saving.load_model(path)
    train = Examples.of(data, data.split.train)
    fresh = training_examples(
        train.training_example, len(train), data.parts, 3, 0, 2, start_step=500
    )
    stored, other = tmp_path / "stored.keras", tmp_path / "recalibrated.keras"
    model.save(stored)
    recalibrate(model, [images for images, _ in fresh.take(40)])
    model.save(other)
    results = []
    for file in (stored, other):
        scores = score_model(file, data, data.split.valid)[1]
        valid = Examples.of(data, data.split.valid)
        loss = _loss(keras.saving.load_model(file), valid)
        results.append((scores["dice_mean"], loss))
    assert results[0][0] == pytest.approx(results[1][0], rel=0.01)
    assert results[0][1] == pytest.approx(results[1][1], rel=0.01)
