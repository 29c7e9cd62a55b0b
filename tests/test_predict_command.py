"""`predict` as it is typed: names, folders, overwriting, refusals."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from matplotlib.image import imread

from models_genesis_tf import predict
from models_genesis_tf.experiments import prediction
from models_genesis_tf.models.saving import save_model
from tests.prediction_models import (
    LIMIT,
    mean_model,
    random_scan,
    stored,
    three_class_model,
    thresholding_model,
    write_scan,
)


def _call(*arguments: str) -> None:
    """Runs the command in this process, from parsing on."""
    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()
        flags.FLAGS([predict.__name__, *arguments])
        predict.main()


@pytest.fixture
def refused(monkeypatch, capsys):
    """Runs the command, which has to end with exit code 1; gives its lines."""

    def run(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", [predict.__name__, *arguments])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as caught:
            flags.FLAGS.unparse_flags()
            predict.cli()
        assert caught.value.code == 1
        *others, last = capsys.readouterr().err.splitlines()
        assert last.startswith("error: ")
        return [*others, last.removeprefix("error: ")]

    return run


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """A segmenter of voxels above a limit."""
    path = thresholding_model(tmp_path_factory.mktemp("models") / "segmenter.keras")
    return f"--model={path}"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> str:
    """A classifier by the mean of the patch."""
    path = mean_model(tmp_path_factory.mktemp("models") / "classifier.keras")
    return f"--model={path}"


def _make_scans(folder: Path, *names: str) -> dict[str, np.ndarray]:
    """Writes a scan for each name, relative to a folder; gives what is in them."""
    arrays = {name: random_scan(seed) for seed, name in enumerate(names)}
    for name, array in arrays.items():
        write_scan(folder / name, array)
    return arrays


def _files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    )


def test_model_and_input_are_enough(tmp_path, model, capsys):
    (array,) = _make_scans(tmp_path / "scans", "case.nii.gz").values()
    _call(model, "--input=scans/case.nii.gz")
    assert capsys.readouterr().out == "case_mask.nii.gz\n"
    mask = stored(tmp_path / "case_mask.nii.gz")
    np.testing.assert_array_equal(mask.T, array > LIMIT)
    assert _files(tmp_path) == ["case_mask.nii.gz", "scans/case.nii.gz"]


def test_output_of_one_scan_is_a_file_or_a_folder(tmp_path, model):
    _make_scans(tmp_path, "case.nii.gz")
    _call(model, "--input=case.nii.gz", "--output=a/mask.nrrd")
    _call(model, "--input=case.nii.gz", "--output=b")
    (tmp_path / "c.d").mkdir()
    _call(model, "--input=case.nii.gz", "--output=c.d")
    _call(model, "--input=case.nii.gz", "--output=e.f/")
    masks = [f"{name}/case_mask.nii.gz" for name in ("b", "c.d", "e.f")]
    assert _files(tmp_path) == sorted(["a/mask.nrrd", "case.nii.gz", *masks])


def test_scans_of_a_folder_keep_their_places_and_broken_ones_are_named(
    tmp_path, model, capsys
):
    arrays = _make_scans(tmp_path / "in", "a/ct.nii.gz", "b/ct.nii.gz", "c.mha")
    broken = tmp_path / "in/b/cut.nii.gz"
    broken.write_bytes((tmp_path / "in/b/ct.nii.gz").read_bytes()[:2000])
    _call(model, "--input=in", "--output=out")
    names = ["a/ct_mask.nii.gz", "b/ct_mask.nii.gz", "c_mask.nii.gz"]
    assert _files(tmp_path / "out") == names
    for name, array in zip(names, arrays.values(), strict=True):
        np.testing.assert_array_equal(stored(tmp_path / "out" / name).T, array > LIMIT)
    told = capsys.readouterr()
    assert told.out.splitlines() == [f"out/{name}" for name in names]
    (line,) = told.err.splitlines()
    assert line.startswith("skipped in/b/cut.nii.gz: ")


def test_what_is_there_is_written_again_only_with_overwrite(
    tmp_path, model, refused, capsys
):
    arrays = _make_scans(tmp_path / "in", "a.nii.gz", "b.nii.gz")
    (tmp_path / "out").mkdir()
    there = tmp_path / "out/a_mask.nii.gz"
    there.write_text("mine", encoding="utf-8")
    single = (model, "--input=in/a.nii.gz", "--output=out")
    (line,) = refused(*single)
    assert line == (
        "results that are there are written again with --overwrite. "
        "Received: out/a_mask.nii.gz"
    )
    _call(model, "--input=in", "--output=out")
    told = capsys.readouterr()
    assert told.out == "out/b_mask.nii.gz\n"
    assert told.err.startswith("skipped in/a.nii.gz: results that are there")
    _call(model, "--input=in", "--output=out")  # nothing is left to do, no error
    assert there.read_text(encoding="utf-8") == "mine"
    _call(*single, "--overwrite")
    np.testing.assert_array_equal(stored(there).T, arrays["a.nii.gz"] > LIMIT)


def test_a_preview_lies_beside_the_mask_and_is_not_written_over_either(
    tmp_path, model, refused
):
    _make_scans(tmp_path, "a.nii.gz")
    (tmp_path / "a_mask_preview.png").write_text("mine", encoding="utf-8")
    (line,) = refused(model, "--input=a.nii.gz", "--preview")
    assert line.endswith("Received: a_mask_preview.png")
    assert _files(tmp_path) == ["a.nii.gz", "a_mask_preview.png"]
    _call(model, "--input=a.nii.gz", "--preview", "--overwrite")
    assert _files(tmp_path) == ["a.nii.gz", "a_mask.nii.gz", "a_mask_preview.png"]
    picture = imread(tmp_path / "a_mask_preview.png")
    assert picture.shape[1] > picture.shape[0] > 300


def test_a_folder_of_which_nothing_can_be_read_is_an_error(tmp_path, model, refused):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.nii.gz").write_bytes(b"none")
    skipped, line = refused(model, "--input=in", "--output=out")
    assert skipped.startswith("skipped in/a.nii.gz: ")
    assert line == (
        "at least one scan of --input can be read. Received: in with 1 that cannot"
    )


def test_a_single_scan_that_cannot_be_read_is_an_error(tmp_path, model, refused):
    (line,) = refused(model, "--input=absent.nii.gz")
    assert line == "a scan has to exist. Received: absent.nii.gz"
    assert not _files(tmp_path)


def test_outputs_that_cannot_be_are_refused_before_anything_is_predicted(
    tmp_path, model, classifier, refused
):
    _make_scans(tmp_path / "in", "a.nii.gz", "a.mha")
    (tmp_path / "empty").mkdir()
    for arguments, rule in (
        (["--input=in", "--output=in/m"], "--output is a folder outside of the scans"),
        (["--input=.", "--output=out"], "a folder outside"),
        (["--input=in", "--output=m.nii"], "of a folder of scans is a folder"),
        (["--input=in", "--output=out"], "each result has a name of its own"),
        (["--input=in/a.mha", "--output=m.tif"], "--output is a folder or a file in"),
        (["--input=in/a.mha", "--output=m.NRRD"], "--output is a folder or a file in"),
        (["--input=empty", "--output=out"], "a folder that holds scans"),
        (["--input=in/a.mha,in/a.nii.gz"], "one scan for each channel"),
        ([], "predict takes --input"),
        (["--input=in/a.mha", "--candidates=c.csv"], "do not go with a segmentation"),
        (
            ["--input=in/a.mha", "--probabilities", "--largest_component"],
            "do not go with --probabilities. Received: --largest_component",
        ),
    ):
        (line,) = refused(model, *arguments)
        assert rule in line
    (line,) = refused(classifier, "--input=in/a.mha", "--preview")
    assert line.endswith("do not go with a classification. Received: --preview")
    (line,) = refused(classifier, "--input=in/a.mha", "--output=p.txt")
    assert line.startswith("--output of a classification is a .csv file")
    assert _files(tmp_path) == ["in/a.mha", "in/a.nii.gz"]


def test_models_without_the_facts_of_a_task_are_refused_by_what_they_lack(
    tmp_path, refused
):
    _make_scans(tmp_path, "a.nii.gz")
    inputs = keras.Input((16, 16, 8, 1))
    network = keras.Model(inputs, keras.layers.Conv3D(1, 1)(inputs))
    network.save("plain.keras")
    save_model(network, "pretrained.keras", {"window": "ct", "spacing": None})
    (line,) = refused("--model=plain.keras", "--input=a.nii.gz")
    assert line.startswith("--model is a file that finetune wrote")
    assert line.endswith("--model=plain.keras without models_genesis_tf.json")
    (line,) = refused("--model=pretrained.keras", "--input=a.nii.gz")
    assert line.endswith(
        "without kind, classes, threshold, in_plane_size, patch_size, modalities"
    )
    (line,) = refused("--model=a.nii.gz", "--input=a.nii.gz")
    assert line == "--model is a .keras file. Received: --model=a.nii.gz"
    (line,) = refused("--model=absent.keras", "--input=a.nii.gz")
    assert line == "--model is a .keras file. Received: --model=absent.keras"


def test_probabilities_of_several_classes_are_named_after_them(tmp_path):
    _make_scans(tmp_path, "a.nii.gz")
    path = three_class_model(tmp_path / "m.keras")
    _call(f"--model={path}", "--input=a.nii.gz", "--output=p", "--probabilities")
    names = ["a_bone.nii.gz", "a_none.nii.gz", "a_soft_tissue.nii.gz"]
    assert _files(tmp_path / "p") == names


def test_a_classification_writes_one_table_of_a_folder(
    tmp_path, classifier, refused, capsys
):
    _make_scans(tmp_path / "in", "a.nii.gz", "b.nii.gz")
    (tmp_path / "in/c.nii.gz").write_bytes(b"none")
    _call(classifier, "--input=in")
    told = capsys.readouterr()
    assert told.out == "predictions.csv\n"
    assert told.err.startswith("skipped in/c.nii.gz: ")
    text = (tmp_path / "predictions.csv").read_text(encoding="utf-8")
    names = [line.split(",")[0] for line in text.splitlines()]
    assert names == ["scan", "a", "b"]
    (line,) = refused(classifier, "--input=in")
    assert line.endswith("with --overwrite. Received: predictions.csv")
    _call(classifier, "--input=in", "--overwrite", "--test_time_augmentation")
    again = (tmp_path / "predictions.csv").read_text(encoding="utf-8")
    for one, other in zip(text.splitlines()[1:], again.splitlines()[1:], strict=True):
        # The mean of a patch is that of its flips.
        assert float(one.split(",")[1]) == pytest.approx(float(other.split(",")[1]))


@pytest.mark.parametrize(
    ("asked", "told"),
    [([], None), (["--nofast_upsampling"], False), (["--fast_upsampling"], True)],
)
def test_the_decoder_that_is_asked_for_predicts(model, asked, told, monkeypatch):
    own, how = prediction.make_predict, []
    monkeypatch.setattr(
        prediction, "make_predict", lambda *given: how.append(given[1]) or own(*given)
    )
    write_scan(Path("scan.nii.gz"), random_scan())
    _call(model, "--input=scan.nii.gz", *asked)
    assert how == [told]
    assert Path("scan_mask.nii.gz").is_file()
