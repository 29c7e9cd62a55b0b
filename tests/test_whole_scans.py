"""Whole scans are scored by what `predict` says of them, beside patches."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from models_genesis_tf import evaluate, predict
from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.segmentation_metrics import dice
from models_genesis_tf.evaluation.surface_metrics import hausdorff95
from models_genesis_tf.experiments.finetuning import finetune
from models_genesis_tf.imaging.volumes import read_volume
from models_genesis_tf.tasks import bms, lcs, ncs
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.whole_scans import group_by_scan, read_truth
from tests.manifests import (
    CONFIG,
    PART_OF_PATIENT,
    PATCH,
    SHAPE,
    SPACING,
    write_array,
    write_classification,
    write_rows,
)
from tests.prediction_models import stored, thresholding_model
from tests.test_ncs import BLOCK, around, write_ct, write_xml
from tests.written_files import read_rows

LIMIT = 150.5  # of the thresholding model, HU
TEST_PATIENTS = (10, 11)


def _draw(patient: int) -> tuple[np.ndarray, np.ndarray]:
    """A scan with a bright block, its label, and bright spots that are not labelled."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:9, 5:11, 3:6] = 1
    image = np.where(labels, 300, -300).astype(np.int16)
    image[patient, 15, 9] = image[15, 2:4, 1] = 300
    return image, labels


def _call(module, *arguments: str) -> None:
    """Runs a command in this process, from parsing on."""
    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()
        flags.FLAGS([module.__name__, *arguments])
        module.main()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run whose network was exchanged for one known in closed form."""
    folder = tmp_path_factory.mktemp("whole")
    rows = []
    for patient, part in enumerate(PART_OF_PATIENT):
        arrays = dict(zip(("image", "label"), _draw(patient), strict=True))
        names = {kind: f"{kind}_{patient}.nii.gz" for kind in arrays}
        for kind, array in arrays.items():
            write_array(folder / names[kind], array)
        rows.append(names | {"patient": f"patient_{patient}", "split": part})
    manifest = write_rows(folder / "cases.csv", rows)
    config = dataclasses.replace(
        CONFIG, manifest=str(manifest), window="ct", epochs=1, max_steps=1
    )
    (folder / "run").mkdir()
    finetune(folder / "run", config, folder / "cache")
    model = folder / "run/trial_0/model.keras"
    thresholding_model(model, LIMIT, classes=["background", "1"])
    _call(evaluate, f"--run={folder / 'run'}", f"--cache_dir={folder / 'cache'}")
    return folder / "run"


def _evaluate(run: Path, folder: Path, *arguments: str) -> dict:
    where = (f"--cache_dir={run.parent / 'cache'}", f"--output_dir={folder}")
    _call(evaluate, f"--run={run}", "--whole_scans", *where, *arguments)
    return json.loads((folder / "whole_scans.json").read_text(encoding="utf-8"))


def test_scans_are_scored_as_predicted_and_as_cleaned(run, tmp_path, capsys):
    written = _evaluate(run, tmp_path, "--largest_component")
    (trial,) = written["trials"]
    block = 5 * 6 * 3
    expected = 2 * block / (2 * block + 3)  # one spot and one of two voxels beside it
    assert trial["whole scans"]["dice_mean"] == pytest.approx(expected)
    assert trial["whole scans"]["dice_pooled"] == pytest.approx(expected)
    assert trial["whole scans, cleaned"]["dice_mean"] == 1
    assert trial["whole scans, cleaned"]["hd95_mm_mean"] == 0
    assert written["postprocessing"] == {"largest_component": True, "min_size_mm3": 0}
    rows = read_rows(tmp_path / "trial_0_whole_scans.csv")
    assert [row["patient"] for row in rows] == ["patient_10", "patient_11"]
    for row, patient in zip(rows, TEST_PATIENTS, strict=True):
        image, labels = _draw(patient)
        mask = image > LIMIT
        assert float(row["dice_1"]) == dice(labels, mask)
        assert float(row["hd95_mm_1"]) == pytest.approx(
            hausdorff95(labels, mask, SPACING)
        )
    cleaned = read_rows(tmp_path / "trial_0_whole_scans_cleaned.csv")
    assert {row["dice_1"] for row in cleaned} == {"1.0"}
    lines = capsys.readouterr().out.splitlines()
    header = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert header == ["", "patches", "whole scans", "whole scans, cleaned"]
    assert lines[2].split("|")[1].strip() == "Dice of 1 (%)"
    assert lines[2].split("|")[3].strip() == f"{100 * expected:.2f}"
    assert "cleaned: the largest piece of each class stays; test part" in lines


def test_whole_images_score_as_the_run_scores_them(run, tmp_path):
    """They take two ways: `finetune` through prepared arrays, `predict` from files."""
    written = _evaluate(run, tmp_path, "--min_size_mm3=2")
    evaluated = json.loads((run / "evaluation/results.json").read_text())
    scores = evaluated["trials"][0]["scores"]
    whole = written["trials"][0]["whole scans"]
    assert {name: scores[name] for name in whole} == pytest.approx(whole)
    assert written["score_split"] == "test"


def test_small_pieces_go_and_patches_are_those_of_validation(run, tmp_path):
    # Voxels are of 2 mm^3: the single spot goes, that of two voxels stays.
    written = _evaluate(run, tmp_path, "--min_size_mm3=4", "--split=valid")
    (trial,) = written["trials"]
    block = 5 * 6 * 3
    cleaned = trial["whole scans, cleaned"]["dice_mean"]
    assert cleaned == pytest.approx(2 * block / (2 * block + 2))
    rows = read_rows(tmp_path / "trial_0_whole_scans.csv")
    assert [row["patient"] for row in rows] == ["patient_8", "patient_9"]
    assert trial["patches"]["paper_iou"] > 0.9
    assert "paper_iou" not in trial["whole scans"]


def test_masks_are_cleaned_as_the_task_has_it():
    assert lcs.TASK.postprocessing.largest_component
    for task, diameter in ((ncs.TASK, 3), (bms.TASK, 10)):
        radius = diameter / 2
        volume = 4 / 3 * np.pi * radius**3
        assert task.postprocessing.min_size_mm3 == pytest.approx(volume)
        assert not task.postprocessing.largest_component


def test_nodules_of_one_ct_become_one_scan(tmp_path):
    near = (slice(15, 18), slice(3, 6), slice(6, 8))
    nodules = [around(BLOCK, "1.2.7"), around(near, "1.2.7")]
    write_ct(tmp_path / "a", "1.2.7", "P1")
    write_ct(tmp_path / "b", "1.2.8", "P2")
    write_xml(tmp_path / "a/1.xml", "1.2.7", [nodules])
    write_xml(tmp_path / "b/1.xml", "1.2.8", [[around(BLOCK, "1.2.8")]])
    listing = ncs.list_cases(tmp_path)
    scans = group_by_scan(listing.cases)
    assert {name: len(cases) for name, cases in scans.items()} == {
        "1.2.7": 2,
        "1.2.8": 1,
    }
    volume = read_volume(tmp_path / "a")
    truth = read_truth(scans["1.2.7"], volume, listing.label_values)
    expected = np.zeros(volume.array.shape, np.uint8)
    expected[BLOCK] = expected[near] = 1
    np.testing.assert_array_equal(truth, expected)


def test_a_model_of_finetune_predicts_and_scores_the_same(run, tmp_path):
    """The files that `predict` writes hold the masks that were scored."""
    model = f"--model={run / 'trial_0/model.keras'}"
    for patient in TEST_PATIENTS:
        scan = run.parent / f"image_{patient}.nii.gz"
        _call(predict, model, f"--input={scan}", f"--output={tmp_path}/masks")
        image, _ = _draw(patient)
        mask = stored(tmp_path / f"masks/image_{patient}_mask.nii.gz")
        np.testing.assert_array_equal(mask.T, image > LIMIT)


def test_a_trained_network_goes_straight_into_predict(run, tmp_path):
    """As trained, without another file: mask, grid and type."""
    folder = tmp_path / "run"
    folder.mkdir()
    config = dataclasses.replace(
        CONFIG, manifest=str(run.parent / "cases.csv"), window="ct", epochs=1
    )
    finetune(folder, config, run.parent / "cache")
    scan = run.parent / "image_10.nii.gz"
    model = f"--model={folder / 'trial_0/model.keras'}"
    output = f"--output={tmp_path}/mask.nii.gz"
    _call(predict, model, f"--input={scan}", output)
    mask, volume = read_volume(tmp_path / "mask.nii.gz"), read_volume(scan)
    assert mask.array.shape == SHAPE and set(np.unique(mask.array)) <= {0, 1}
    assert (mask.spacing, mask.origin) == (volume.spacing, volume.origin)
    assert config.patch_size == PATCH


def test_what_has_no_whole_scans_is_refused(run, tmp_path, monkeypatch, capsys):
    rows = [Case("a", (Path("x.npy"),), Path("m.npy"), "a", "test", row=0)]
    with pytest.raises(InputError, match=r"Received: x\.npy, which holds patches"):
        group_by_scan(rows)
    manifest = write_classification(tmp_path / "data")
    config = dataclasses.replace(
        CONFIG, manifest=str(manifest), kind="classification", epochs=1, max_steps=1
    )
    folder = tmp_path / "run"
    folder.mkdir()
    finetune(folder, config, tmp_path / "cache")
    with pytest.raises(InputError, match="--whole_scans is for runs of a segmentation"):
        _evaluate(folder, tmp_path / "out")
    monkeypatch.setattr(
        sys, "argv", ["evaluate", f"--run={run}", "--largest_component"]
    )
    capsys.readouterr()
    with flagsaver.flagsaver(), pytest.raises(SystemExit):
        flags.FLAGS.unparse_flags()
        evaluate.cli()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "error: --run goes with --split, --manifest, --data_dir, --cache_dir and no "
        "other flag but --output_dir. Received: --largest_component"
    )
