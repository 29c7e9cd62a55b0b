"""Networks that see slices: what they see, and how slices become cases again."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import SimpleITK as sitk
from absl import flags
from absl.testing import flagsaver
from keras import layers
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from models_genesis_tf import evaluate, predict
from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.segmentation_metrics import dice
from models_genesis_tf.experiments.examples import Examples
from models_genesis_tf.experiments.finetuning import finetune
from models_genesis_tf.experiments.labelled_data import (
    LabelledData,
    load_labelled_data,
)
from models_genesis_tf.experiments.prediction import Predictor, over_flips
from models_genesis_tf.experiments.scoring import make_predict, score_model
from models_genesis_tf.imaging.patches import slices_around
from models_genesis_tf.imaging.volumes import read_volume
from models_genesis_tf.models.losses import label_cross_entropy
from models_genesis_tf.models.saving import read_metadata, save_model
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.tasks.case_arrays import Preparation
from models_genesis_tf.tasks.custom import custom_task
from models_genesis_tf.tasks.preparation import prepare_cases
from tests.manifests import (
    CONFIG,
    PART_OF_PATIENT,
    SHAPE,
    draw_case,
    load_cases,
    write_array,
    write_classification,
    write_rows,
    write_segmentation,
)
from tests.prediction_models import FACTS, random_scan, write_scan
from tests.torchvision_files import resnet18_tensors, write_torch_file

SIDES = (32, 32)
PATCH = (*SIDES, 1)
SLICES = 5
WINDOW = "-1000,1000"


def _load(manifest: Path, cache: Path, **settings):
    settings = {"patch_size": PATCH, "window": WINDOW, "dimension": 2} | settings
    return load_cases(manifest, cache, slices_per_case=SLICES, **settings)


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmentation")
    return _load(write_segmentation(folder / "data"), folder / "cache")


@pytest.fixture(scope="module")
def classification(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classification")
    manifest = write_classification(folder / "data")
    return _load(manifest, folder / "cache", kind="classification")


def _slice_of(volume: np.ndarray, k: int) -> np.ndarray:
    """A slice of an image (20, 18, 12) in the middle of a patch, 0 around it."""
    patch = np.zeros(SIDES, np.float32)
    patch[6:26, 7:25] = volume[:, :, k]
    return patch


def _unit(image: np.ndarray) -> np.ndarray:
    return np.clip((image + 1000) / 2000, 0, 1)


def test_a_segmentation_sees_slices_and_their_labels(segmentation):
    assert segmentation.task.dimension == 2
    assert segmentation.input_shape == (*SIDES, 1)
    assert segmentation.parts == (((*SIDES, 1), "float32"), (SIDES, "uint8"))
    examples = Examples.of(segmentation, segmentation.split.test)
    image, labels = draw_case(10)
    for k in (0, 5, 11):
        patch, target = examples.example_at((0, (-6, -7, k)))
        np.testing.assert_allclose(patch[..., 0], _slice_of(_unit(image), k), atol=1e-6)
        np.testing.assert_array_equal(target, _slice_of(labels, k))
    seen = {start[2] for _, start in examples.fixed_places(seed=1)}
    assert len(seen) > 1 and seen <= set(range(SHAPE[2]))


def test_training_slices_hold_foreground_when_asked(segmentation, rng):
    examples = Examples.of(segmentation, segmentation.split.train)
    for index in range(8):
        patch, target = examples.training_example(index, rng, foreground=True)
        assert patch.shape == (*SIDES, 1) and target.shape == SIDES
        assert target.any()


def test_a_classification_sees_the_slices_around_the_middle(classification):
    examples = Examples.of(classification, classification.split.test)
    volume = classification.prepared[classification.split.test[0].name].image()
    places = examples.places_of_classification([0])
    assert places == [(0, (up,)) for up in (-2, -1, 0, 1, 2)]
    middle = (SHAPE[2] - 1) // 2
    for place in places:
        patch, label = examples.example_at(place)
        expected = _slice_of(volume[..., 0], middle + place[1][0])
        np.testing.assert_array_equal(patch[..., 0], expected)
        assert label == classification.split.test[0].label
    drawn = {
        examples.training_example(0, np.random.default_rng(k), False)[0].tobytes()
        for k in range(200)
    }
    # Each slice, flipped along x, y, both or neither (z has nothing to flip).
    assert len(drawn) == SLICES * 4


def _mean_model(path: Path, **facts) -> Path:
    inputs = keras.Input((*SIDES, 1))
    dense = layers.Dense(1, activation="sigmoid")
    outputs = dense(layers.GlobalAveragePooling2D()(inputs))
    model = keras.Model(inputs, outputs)
    dense.set_weights([np.array([[9.0]]), np.array([-1.0])])
    facts = {"patch_size": list(PATCH), "window": WINDOW} | facts
    save_model(model, path, FACTS | facts)
    return path


def test_a_cases_probability_is_the_mean_over_its_slices(classification, tmp_path):
    model = _mean_model(
        tmp_path / "m.keras", kind="classification", slices_per_case=SLICES
    )
    rows, scores, _ = score_model(model, classification, classification.split.valid)
    assert [row["case"] for row in rows] == ["scan_8", "scan_9"]
    predictor = Predictor(model)
    for row, case in zip(rows, classification.split.valid, strict=True):
        volume = classification.prepared[case.name].image()[..., 0]
        means = [_slice_of(volume, 5 + up).mean() for up in range(-2, 3)]
        expected = np.mean(1 / (1 + np.exp(1 - 9 * np.array(means))))
        assert row["probability"] == pytest.approx(expected, rel=1e-5)
        assert predictor.classify(case.images) == [
            pytest.approx(row["probability"], rel=1e-5)
        ]
    assert 0 <= scores["auc"] <= 1


def test_places_in_a_scan_are_the_mean_over_slices_too(tmp_path):
    """Of 2 mm, in a scan of 1 mm whose slices are each of one intensity."""
    array = np.zeros((40, 40, 20), np.int16) + 40 * np.arange(20, dtype=np.int16)
    scan = write_scan(tmp_path / "scan.nii.gz", array, (1, 1, 1), (0, 0, 0))
    facts = {"kind": "classification", "spacing": [1.0, 1.0, 2.0]}
    model = _mean_model(tmp_path / "m.keras", slices_per_case=3, **facts)
    ((probability,),) = Predictor(model).classify_places([scan], [(20.0, 20.0, 9.0)])
    means = (40 * np.array([7, 9, 11]) + 1000) / 2000
    assert probability == pytest.approx(
        np.mean(1 / (1 + np.exp(1 - 9 * means))), rel=1e-5
    )


def _threshold_model(path: Path, limit: float, **facts) -> Path:
    inputs = keras.Input((*SIDES, 1))
    convolution = layers.Conv2D(1, 1, activation="sigmoid")
    model = keras.Model(inputs, convolution(inputs))
    slope = 2000.0
    kernel = np.full((1, 1, 1, 1), slope, np.float32)
    bias = np.array([-slope * (limit + 1000) / 2000], np.float32)
    convolution.set_weights([kernel, bias])
    facts = {"patch_size": list(PATCH), "window": WINDOW} | facts
    save_model(model, path, FACTS | facts)
    return path


def test_slices_are_stitched_to_a_volume(tmp_path):
    array = random_scan(shape=(50, 37, 11))
    scan = write_scan(tmp_path / "scan.nii.gz", array)
    for augmented in (False, True):
        predictor = Predictor(_threshold_model(tmp_path / "m.keras", 100.5), augmented)
        labels, _ = predictor.segment(predictor.read([scan]))
        expected = read_volume(scan).array > 100.5
        np.testing.assert_array_equal(labels, expected)


def test_a_segmentation_of_slices_is_scored_on_volumes(tmp_path):
    manifest = write_segmentation(tmp_path / "data")
    for patient in range(12):  # labels of the bright ball alone
        path = tmp_path / f"data/mask_{patient}.nii.gz"
        _, labels = draw_case(patient)
        write_array(path, (labels == 1).astype(np.uint8))
    data = _load(manifest, tmp_path / "cache")
    model = _threshold_model(tmp_path / "m.keras", 150.5)
    rows, _, _ = score_model(model, data, data.split.test)
    for row, patient in zip(rows, (10, 11), strict=True):
        image, labels = draw_case(patient)
        assert row["dice_1"] == dice(labels == 1, image > 150.5)


def test_a_slice_has_four_flips():
    seen = []

    def predict(windows):
        seen.append(windows.tobytes())
        return windows

    windows = np.arange(12, dtype=np.float32).reshape(1, 4, 3, 1, 1)
    np.testing.assert_allclose(over_flips(predict, "segmentation")(windows), windows)
    assert len(seen) == len(set(seen)) == 4


def test_windows_with_and_without_depth_are_predicted_alike(tmp_path):
    inputs = keras.Input((*SIDES, 2))
    model = keras.Model(inputs, layers.Conv2D(3, 3, padding="same")(inputs))
    predict = make_predict(model)
    windows = np.random.default_rng(0).random((2, *SIDES, 2), np.float32)
    flat, deep = predict(windows), predict(windows[:, :, :, None])
    assert deep.shape == (2, *SIDES, 1, 3)
    np.testing.assert_array_equal(flat, deep[:, :, :, 0])
    kernel, bias = model.layers[-1].get_weights()
    expected = bias[0] + sum(
        ndimage.correlate(windows[0, ..., c], kernel[..., c, 0], mode="constant")
        for c in (0, 1)
    )
    np.testing.assert_allclose(flat[0, ..., 0], expected, atol=1e-5)


def test_slices_around_a_middle_are_odd_in_number_and_inside():
    assert list(slices_around(1)) == [0]
    assert list(slices_around(5, depth=20)) == [-2, -1, 0, 1, 2]
    assert list(slices_around(5, depth=1)) == [0]
    assert list(slices_around(5, depth=2)) == [0, 1]
    assert list(slices_around(5, depth=4)) == [-1, 0, 1, 2]
    assert list(slices_around(5)) == [-2, -1, 0, 1, 2]
    for count in (0, 2, -3):
        with pytest.raises(InputError, match=f"slices_per_case={count}"):
            slices_around(count)


def test_label_cross_entropy_is_the_mean_over_labels():
    truth = np.array([[1, 0, 1], [0, 0, 0]])
    probability = np.array([[0.9, 0.2, 0.5], [0.5, 0.25, 1.0]], np.float32)
    expected = [
        -np.mean(np.log([0.9, 0.8, 0.5])),
        -np.mean([np.log(0.5), np.log(0.75), np.log(1e-7)]),
    ]
    losses = keras.ops.convert_to_numpy(label_cross_entropy(truth, probability))
    np.testing.assert_allclose(losses, expected, rtol=1e-2)
    np.testing.assert_allclose(losses[0], expected[0], rtol=1e-6)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict:
    """Short runs in two dimensions, by what they learn and where they start."""
    folder = tmp_path_factory.mktemp("runs")
    manifests = {
        "segmentation": write_segmentation(folder / "segmentation"),
        "classification": write_classification(folder / "classification"),
    }
    imagenet = folder / "resnet18.pth"
    write_torch_file(
        imagenet, resnet18_tensors(np.random.default_rng(5), base_filters=4)
    )
    starts = {
        ("segmentation", "scratch"): "scratch",
        ("segmentation", "imagenet"): f"imagenet:{imagenet}",
        ("classification", "segmenter"): None,
    }
    results = {}
    for (kind, name), weights in starts.items():
        place = folder / f"{kind}_{name}"
        place.mkdir()
        weights = weights or str(folder / "segmentation_scratch/trial_0/model.keras")
        config = dataclasses.replace(
            CONFIG,
            manifest=str(manifests[kind]),
            kind=kind,
            weights=weights,
            base_filters=4 if weights == "scratch" else None,
            dimension=2,
            patch_size=PATCH,
            slices_per_case=3,
            epochs=1,
        )
        path = finetune(place, config, folder / "cache")
        results[kind, name] = json.loads(path.read_text(encoding="utf-8"))
    results["folder"] = folder
    return results


def test_runs_in_two_dimensions_say_so(runs):
    for key in (("segmentation", "scratch"), ("classification", "segmenter")):
        results = runs[key]
        assert results["dimension"] == 2 and results["base_filters"] == 4
        folder = runs["folder"] / "_".join(key)
        model = keras.saving.load_model(folder / "trial_0/model.keras")
        assert model.input_shape == (None, *SIDES, 1)
        facts = read_metadata(folder / "trial_0/model.keras")
        assert facts["patch_size"] == list(PATCH) and facts["slices_per_case"] == 3
    assert runs["segmentation", "scratch"]["pretraining"] is None
    assert runs["classification", "segmenter"]["pretraining"]["dimension"] == 2


def test_whole_scans_of_a_network_on_slices_are_scored_too(runs, tmp_path):
    """They are the scores of the run, which tiles volumes by slices as well."""
    run = runs["folder"] / "segmentation_scratch"
    where = (f"--cache_dir={runs['folder'] / 'cache'}", f"--output_dir={tmp_path}")
    _call(evaluate, f"--run={run}", "--whole_scans", *where)
    written = json.loads((tmp_path / "whole_scans.json").read_text(encoding="utf-8"))
    (trial,) = written["trials"]
    scores = runs["segmentation", "scratch"]["trials"][0]["scores"]
    whole = trial["whole scans"]
    assert {name: scores[name] for name in whole} == pytest.approx(whole)
    assert 0 <= trial["patches"]["paper_iou"] <= 1


def test_imagenet_is_a_start_of_its_own(runs, tmp_path):
    results = runs["segmentation", "imagenet"]
    assert results["weights"].startswith("imagenet:")
    assert results["pretraining"]["name"] == "resnet18"
    assert results["pretraining"]["scheme"] is None
    record = json.loads(
        (runs["folder"] / "segmentation_imagenet/run.json").read_text(encoding="utf-8")
    )
    assert record["seen_before"] == []  # photographs are no scans
    unnamed = results["weights"].removeprefix("imagenet:")
    config = dataclasses.replace(CONFIG, weights=unnamed, base_filters=None)
    with pytest.raises(InputError, match=r"named imagenet:FILE\. Received: --weights="):
        finetune(tmp_path, config, tmp_path / "cache")


def test_weights_of_the_other_dimension_are_refused_before_data_are_read(
    runs, tmp_path
):
    weights = str(runs["folder"] / "segmentation_scratch/trial_0/model.keras")
    config = dataclasses.replace(
        CONFIG, manifest="absent.csv", weights=weights, dimension=3, base_filters=None
    )
    with pytest.raises(InputError, match=r"in --dimension=3\. .* of one in 2$"):
        finetune(tmp_path, config, tmp_path / "cache")


def test_pictures_are_learned_in_two_dimensions_without_being_asked(tmp_path, rng):
    rows = []
    for patient, part in enumerate(PART_OF_PATIENT):
        picture = rng.integers(0, 255, (40, 50)).astype(np.uint8)
        name = f"{patient}.png"
        sitk.WriteImage(sitk.GetImageFromArray(picture), str(tmp_path / name))
        label = ("no", "yes")[patient % 2]
        rows.append(
            {"image": name, "label": label, "patient": str(patient), "split": part}
        )
    config = dataclasses.replace(
        CONFIG,
        manifest=str(write_rows(tmp_path / "cases.csv", rows)),
        kind="classification",
        patch_size=None,
    )
    data = load_labelled_data(config, tmp_path / "cache", ("train", "valid"))
    assert data.task.dimension == 2
    assert data.input_shape == (64, 64, 1)  # the least that holds 50 x 40
    examples = Examples.of(data, data.split.train)
    assert examples.places_of_classification([0, 1]) == [(0, (0,)), (1, (0,))]
    config = dataclasses.replace(config, dimension=3)
    with pytest.raises(InputError, match="takes volumes. Received: images of one sl"):
        load_labelled_data(config, tmp_path / "cache", ("train", "valid"))


def test_each_label_has_its_own_curve(tmp_path):
    """Two of three findings; the third is in no case."""
    rng = np.random.default_rng(3)
    names = ("Mass", "Nodule", "Hernia")
    (tmp_path / "images").mkdir()
    cases = []
    for number in range(20):
        level = int(rng.integers(0, 200))
        picture = np.full(SIDES, level, np.uint8)
        path = tmp_path / "images" / f"{number:02d}.png"
        sitk.WriteImage(sitk.GetImageFromArray(picture), str(path))
        label = (int(level + rng.normal(0, 60) > 100), int(rng.random() > 0.5), 0)
        cases.append(Case(path.stem, (path,), label, path.stem, "test"))
    preparation = Preparation("0,255")
    task = dataclasses.replace(
        custom_task("classification", "0,255", patch_size=PATCH),
        multi_label=True,
        dimension=2,
        metric="auc_mean",
    )
    prepared = prepare_cases(cases, preparation, tmp_path / "cache")
    data = LabelledData(
        task, names, PATCH, 1, ("image",), (), preparation, None, prepared, ()
    )
    assert data.num_outputs == 3 and data.parts[1] == ((3,), "int32")
    assert data.metric == "auc_mean"
    inputs = keras.Input((*SIDES, 1))
    dense = layers.Dense(3, activation="sigmoid")
    model = keras.Model(inputs, dense(layers.GlobalAveragePooling2D()(inputs)))
    dense.set_weights([np.array([[3.0, -2.0, 1.0]]), np.zeros(3)])
    model.save(tmp_path / "model.keras")
    rows, scores, notes = score_model(tmp_path / "model.keras", data, cases)
    truth = np.array([case.label for case in cases])
    for k, name in enumerate(names[:2]):
        probability = np.array([row[f"probability_{name}"] for row in rows])
        assert [row[f"label_{name}"] for row in rows] == truth[:, k].tolist()
        assert scores[f"auc_{name}"] == roc_auc_score(truth[:, k], probability)
    assert scores["auc_mean"] == np.mean([scores["auc_Mass"], scores["auc_Nodule"]])
    assert "auc_Hernia" not in scores
    assert notes == ["Hernia is in all cases or in none: left out of auc_mean"]


def test_pictures_are_predicted_to_pictures(tmp_path, rng, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arrays = {}
    for name in ("in/a.png", "in/sub/b.png"):
        arrays[name] = rng.integers(0, 255, (70, 45)).astype(np.uint8)
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(arrays[name]), name)
    _threshold_model(tmp_path / "m.keras", 99.5)
    call = (predict, "--model=m.keras")
    _call(*call, "--input=in", "--output=out", "--preview")
    assert capsys.readouterr().out.split() == [
        "out/a_mask.png",
        "out/a_mask_preview.png",
        "out/sub/b_mask.png",
        "out/sub/b_mask_preview.png",
    ]
    for name, array in arrays.items():
        path = Path("out", name.removeprefix("in/").replace(".png", "_mask.png"))
        mask = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        np.testing.assert_array_equal(mask, array > 99.5)
    _call(*call, "--input=in/a.png", "--output=here.png")
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage("here.png")), arrays["in/a.png"] > 99.5
    )
    _call(*call, "--input=in/a.png", "--probabilities")
    assert sitk.ReadImage("a_probability.nii.gz").GetSize() == (45, 70, 1)


def _call(module, *arguments: str) -> None:
    """Runs a command in this process, from parsing on."""
    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()
        flags.FLAGS([module.__name__, *arguments])
        module.main()
