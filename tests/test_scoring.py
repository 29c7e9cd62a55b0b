"""Scores are those of the metrics on whole images, and labels decide nothing else."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import ndimage

from models_genesis_tf.evaluation.segmentation_metrics import paper_iou
from models_genesis_tf.evaluation.surface_metrics import hausdorff95, surface_dice
from models_genesis_tf.experiments import scoring
from models_genesis_tf.experiments.scoring import score_model
from models_genesis_tf.imaging.mapped_arrays import MappedArray
from tests.manifests import (
    PATCH,
    SPACING,
    draw_case,
    load_cases,
    segmentation_rows,
    write_array,
    write_classification,
    write_rows,
    write_segmentation,
)

# Logits of background, bright and dark as linear functions of the intensity; the
# noise passes for a ball now and then.
SLOPES, OFFSETS = (0.0, 20.0, -20.0), (0.0, -11.6, 8.4)


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmentation")
    return load_cases(write_segmentation(folder / "data"), folder / "cache")


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    manifest = write_classification(folder / "data")
    return load_cases(manifest, folder / "cache", kind="classification")


@pytest.fixture(scope="module")
def three_classes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    manifest = write_classification(folder / "data", ("none", "bright", "dark"))
    data = load_cases(manifest, folder / "cache", kind="classification")
    assert data.classes == ("bright", "dark", "none")
    return data


def _all_cases(data):
    return (*data.split.train, *data.split.valid, *data.split.test)


def _save(path: Path, layers: list, weights: list) -> Path:
    model = keras.Sequential([keras.Input((*PATCH, 1)), *layers])
    model.layers[-1].set_weights(weights)
    model.save(path)
    return path


@pytest.fixture
def voxelwise(tmp_path):
    """A network that judges each voxel by its own intensity."""
    slopes, offsets = (np.array(values, np.float32) for values in (SLOPES, OFFSETS))
    layer = keras.layers.Conv3D(3, 1, activation="softmax")
    weights = [slopes.reshape(1, 1, 1, 1, 3), offsets]
    return _save(tmp_path / "voxelwise.keras", [layer], weights)


def _pooling_model(path: Path, slopes: list[float], offsets: list[float]) -> Path:
    """A network that judges an image by the mean of its patch."""
    activation = "sigmoid" if len(slopes) == 1 else "softmax"
    layers = [
        keras.layers.GlobalAveragePooling3D(),
        keras.layers.Dense(len(slopes), activation=activation),
    ]
    return _save(path, layers, [np.array([slopes], np.float32), np.array(offsets)])


def _probabilities(image: np.ndarray) -> np.ndarray:
    logits = image[..., np.newaxis].astype(np.float64) * SLOPES + OFFSETS
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def _overlap(truth: np.ndarray, prediction: np.ndarray) -> tuple[float, float]:
    """Dice and intersection over union of two masks that are not both empty."""
    common, total = np.sum(truth & prediction), truth.sum() + prediction.sum()
    return 2 * common / total, common / (total - common)


def test_a_segmentation_is_scored_on_whole_images(segmentation, voxelwise):
    cases = segmentation.split.train[2:6]  # with patient 3's, narrower than a patch
    rows, scores, notes = score_model(voxelwise, segmentation, cases)
    probabilities = [
        _probabilities(segmentation.prepared[case.name].image()[..., 0])
        for case in cases
    ]
    truths = [draw_case(patient)[1] for patient in range(2, 6)]
    expected = []
    for case, truth, chances in zip(cases, truths, probabilities, strict=True):
        row, labels = {"case": case.name, "patient": case.patient}, chances.argmax(-1)
        for k in (1, 2):
            masks = truth == k, labels == k
            assert masks[1].any()
            row[f"dice_{k}"], row[f"iou_{k}"] = _overlap(*masks)
            row[f"hd95_mm_{k}"] = hausdorff95(*masks, SPACING)
            row[f"surface_dice_2mm_{k}"] = surface_dice(*masks, SPACING, 2.0)
        expected.append(row)
    assert rows == [pytest.approx(row) for row in expected]
    assert list(rows[0])[:4] == ["case", "patient", "dice_1", "dice_2"]
    assert all(0.3 < row["dice_1"] < 0.9 for row in rows)
    for name in ("dice", "iou", "hd95_mm", "surface_dice_2mm"):
        means = [np.mean([row[f"{name}_{k}"] for row in expected]) for k in (1, 2)]
        assert scores[f"{name}_1"] == pytest.approx(means[0])
        assert scores[f"{name}_2"] == pytest.approx(means[1])
        assert scores[f"{name}_mean"] == pytest.approx(np.mean(means))
    masks = [
        np.concatenate([mask.ravel() for mask in part])
        for part in (
            [truth > 0 for truth in truths],
            [chances.argmax(-1) > 0 for chances in probabilities],
        )
    ]
    pooled = scores["dice_pooled"], scores["iou_pooled"]
    assert pooled == pytest.approx(_overlap(*masks))
    foreground = [1 - chances[..., 0] for chances in probabilities]
    paper = paper_iou([truth > 0 for truth in truths], foreground)
    assert scores["paper_iou"] == pytest.approx(paper, rel=1e-4)
    assert notes == []


def test_one_output_is_foreground_above_one_half(tmp_path):
    rows = segmentation_rows(tmp_path)
    for patient, row in enumerate(rows):
        labels = draw_case(patient)[1]
        write_array(tmp_path / row["label"], (labels == 1).astype(np.uint8))
    data = load_cases(write_rows(tmp_path / "cases.csv", rows), tmp_path / "cache")
    layer = keras.layers.Conv3D(1, 1, activation="sigmoid")
    weights = [np.full((1, 1, 1, 1, 1), 5.0), np.array([-2.75])]
    path = _save(tmp_path / "model.keras", [layer], weights)
    _, scores, _ = score_model(path, data, data.split.test)
    truths = [draw_case(patient)[1] == 1 for patient in (10, 11)]
    images = [data.prepared[case.name].image()[..., 0] for case in data.split.test]
    found = [image > 0.55 for image in images]
    dice = [_overlap(*pair)[0] for pair in zip(truths, found, strict=True)]
    assert scores["dice_1"] == scores["dice_mean"] == pytest.approx(np.mean(dice))
    foreground = [1 / (1 + np.exp(2.75 - 5 * image)) for image in images]
    paper = paper_iou(truths, foreground)
    assert scores["paper_iou"] == pytest.approx(paper, rel=1e-4)


def test_resampled_images_are_scored_on_the_grid_of_their_label_maps(
    tmp_path, voxelwise
):
    manifest = write_segmentation(tmp_path / "data")
    data = load_cases(manifest, tmp_path / "cache", spacing=(1.6, 1.3, 1.5))
    assert data.prepared["scan_10"].shape == (12, 14, 16)
    rows, scores, _ = score_model(voxelwise, data, data.split.test)
    for patient, row in zip((10, 11), rows, strict=True):
        truth = draw_case(patient)[1]
        coarse = _probabilities(data.prepared[f"scan_{patient}"].image()[..., 0])
        steps = np.divide(SPACING, (1.6, 1.3, 1.5)).reshape(3, 1, 1, 1)
        places = (np.indices(truth.shape) + 0.5) * steps - 0.5
        fine = [
            ndimage.map_coordinates(coarse[..., k], places, order=1, mode="nearest")
            for k in range(3)
        ]
        labels = np.argmax(fine, axis=0)
        for k in (1, 2):
            masks = truth == k, labels == k
            assert row[f"dice_{k}"] == pytest.approx(_overlap(*masks)[0])
            distance = hausdorff95(*masks, SPACING)
            assert row[f"hd95_mm_{k}"] == pytest.approx(distance)
    assert scores["dice_1"] == pytest.approx(np.mean([row["dice_1"] for row in rows]))


def _with_labels(data, folder: Path, change) -> object:
    """The same data with other label maps."""
    prepared = {}
    for name, case in data.prepared.items():
        path = folder / f"{name}.npy"
        np.save(path, change(case.label_map()))
        prepared[name] = dataclasses.replace(case, label_file=MappedArray.of(path))
    return dataclasses.replace(data, prepared=prepared)


def test_labels_have_no_say_in_what_the_network_sees(
    segmentation, voxelwise, monkeypatch, tmp_path
):
    make_predict, seen = scoring.make_predict, []

    def spying(*how):
        predict = make_predict(*how)

        def spy(windows):
            seen[-1].append(np.array(windows))
            return predict(windows)

        return spy

    monkeypatch.setattr(scoring, "make_predict", spying)
    changes = {
        "own": lambda labels: labels,
        "empty": np.zeros_like,
        "turned": lambda labels: labels[::-1, :, ::-1],
    }
    scores = []
    for name, change in changes.items():
        (tmp_path / name).mkdir()
        data = _with_labels(segmentation, tmp_path / name, change)
        seen.append([])
        scores.append(score_model(voxelwise, data, data.split.test)[1])
    assert scores[0]["dice_pooled"] > scores[2]["dice_pooled"]
    assert len(seen[0]) == len(seen[1]) == len(seen[2]) > 2
    for one, two, three in zip(*seen, strict=True):
        assert one.tobytes() == two.tobytes() == three.tobytes()


def test_a_class_in_no_scored_case_is_named_and_left_out(
    segmentation, voxelwise, tmp_path
):
    data = _with_labels(segmentation, tmp_path, lambda x: np.where(x == 2, 0, x))
    rows, scores, notes = score_model(voxelwise, data, data.split.test)
    assert notes == ["class 2 is in no case: left out of the means"]
    for name in ("dice", "iou", "surface_dice_2mm"):
        assert scores[f"{name}_mean"] == scores[f"{name}_1"] > 0
        assert f"{name}_2" not in scores
    assert [row["dice_2"] for row in rows] == [0, 0]  # it was predicted all the same


def test_a_prediction_of_background_alone_has_scores_that_are_numbers(
    segmentation, tmp_path
):
    layer = keras.layers.Conv3D(3, 1, activation="softmax")
    weights = [np.zeros((1, 1, 1, 1, 3)), np.array([9.0, 0.0, 0.0])]
    path = _save(tmp_path / "blind.keras", [layer], weights)
    rows, scores, notes = score_model(path, segmentation, segmentation.split.test)
    json.dumps(scores, allow_nan=False)
    undefined = {name for name, score in scores.items() if score is None}
    assert undefined == {"hd95_mm_mean", "hd95_mm_1", "hd95_mm_2"}
    assert notes == ["hd95_mm: 4 values of empty masks left out"]
    for name in ("dice_mean", "iou_mean", "surface_dice_2mm_mean", "dice_pooled"):
        assert scores[name] == 0
    assert all(np.isnan(row["hd95_mm_1"]) for row in rows)


def _centre_means(data, cases) -> np.ndarray:
    """Means of the patches in the images' middle, which fit but for patient 3's."""
    means = []
    for case in cases:
        image = data.prepared[case.name].image()[..., 0]
        x = slice(2, 18) if image.shape[0] == 20 else slice(None)
        means.append(image[x, 1:17, 2:10].sum() / np.prod(PATCH))
    return np.array(means)


def _auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The share of pairs in the right order."""
    difference = positive[:, None] - negative
    return np.mean((difference > 0) + 0.5 * (difference == 0))


def test_two_classes_are_scored_by_one_probability(two_classes, tmp_path):
    cases = _all_cases(two_classes)
    labels = np.array([0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1])  # hard to tell
    cases = [
        dataclasses.replace(case, label=label)
        for case, label in zip(cases, labels.tolist(), strict=True)
    ]
    data = two_classes
    means = _centre_means(data, cases)
    middle = float(np.sort(means)[6:8].mean())
    path = _pooling_model(tmp_path / "model.keras", [50.0], [-50 * middle])
    rows, scores, notes = score_model(path, data, cases)
    probability = 1 / (1 + np.exp(-50 * (means - middle)))
    for row, case, label, chance in zip(rows, cases, labels, probability, strict=True):
        assert row == {
            "case": case.name,
            "patient": case.patient,
            "label": label,
            "probability": pytest.approx(chance, rel=1e-4),
        }
    positive, negative = probability[labels == 1], probability[labels == 0]
    order = labels[np.argsort(-probability)]
    precision = np.cumsum(order) / np.arange(1, 13)
    assert scores == {
        "auc": pytest.approx(_auc(positive, negative)),
        "average_precision": pytest.approx(precision[order == 1].mean()),
        "sensitivity": pytest.approx(np.mean(positive > 0.5)),
        "specificity": pytest.approx(np.mean(negative <= 0.5)),
        "accuracy": pytest.approx(np.mean((probability > 0.5) == labels)),
    }
    assert notes == [] and len(set(scores.values())) == 5


def test_the_cases_of_one_candidate_get_their_mean(two_classes, tmp_path):
    cases = [case for case in _all_cases(two_classes) if case.label == 1]
    others = [case for case in _all_cases(two_classes) if case.label == 0]
    means = _centre_means(two_classes, [*cases, *others])
    grouped = [
        dataclasses.replace(case, candidate=f"candidate {number % 2}")
        for number, case in enumerate(cases)
    ]
    path = _pooling_model(tmp_path / "model.keras", [50.0], [-25.0])
    rows, scores, _ = score_model(path, two_classes, [*grouped, *others])
    probability = 1 / (1 + np.exp(25 - 50 * means))
    candidates = [probability[:6:2].mean(), probability[1:6:2].mean()]
    assert [row["case"] for row in rows[:2]] == ["candidate 0", "candidate 1"]
    assert [row["probability"] for row in rows[:2]] == pytest.approx(
        candidates, rel=1e-4
    )
    assert len(rows) == 2 + len(others)
    area = _auc(np.array(candidates), probability[6:])
    assert scores["auc"] == pytest.approx(area)


def test_scores_of_places_say_where_they_are(two_classes, tmp_path):
    case = two_classes.split.test[0]
    prepared = two_classes.prepared[case.name]
    placed = dataclasses.replace(case, centre=(1.0, -2.0, 3.5))
    path = _pooling_model(tmp_path / "model.keras", [1.0], [0.0])
    data = dataclasses.replace(
        two_classes,
        prepared={case.name: dataclasses.replace(prepared, centre=(9.5, 8.5, 5.5))},
    )
    rows, _, _ = score_model(path, data, [placed])
    assert list(rows[0]) == ["case", "patient", "label", "probability", "x", "y", "z"]
    assert [rows[0][axis] for axis in "xyz"] == [1.0, -2.0, 3.5]


def test_three_classes_are_scored_each_against_the_rest(three_classes, tmp_path):
    cases = _all_cases(three_classes)
    means = _centre_means(three_classes, cases)
    labels = np.array([2, 0, 1] * 4)  # none, bright, dark in the order of their names
    slopes, offsets = [60.0, -40.0, 0.0], [-30.0, 20.0, 0.2]
    path = _pooling_model(tmp_path / "model.keras", slopes, offsets)
    rows, scores, notes = score_model(path, three_classes, cases)
    logits = means[:, None] * slopes + offsets
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for row, label, chance in zip(rows, labels, chances, strict=True):
        assert row["label"] == label
        given = [row[f"probability_{k}"] for k in range(3)]
        assert given == pytest.approx(chance, rel=1e-3)
    areas = [_auc(chances[labels == k, k], chances[labels != k, k]) for k in range(3)]
    assert scores == {
        "auc_mean": pytest.approx(np.mean(areas)),
        "accuracy": pytest.approx(np.mean(chances.argmax(axis=1) == labels)),
    }
    assert notes == []


def test_a_class_that_no_case_has_is_left_out_of_the_mean_area(three_classes, tmp_path):
    cases = [case for case in _all_cases(three_classes) if case.label != 1]
    means = _centre_means(three_classes, cases)
    labels = np.array([case.label for case in cases])
    path = _pooling_model(tmp_path / "model.keras", [9.0, 0, -9.0], [-4.0, 0, 4.0])
    _, scores, notes = score_model(path, three_classes, cases)
    area = _auc(means[labels == 0], means[labels == 2])  # the softmax keeps the order
    assert scores["auc_mean"] == pytest.approx(area)
    assert notes == ["class dark is in no case: left out of auc_mean"]


@pytest.mark.parametrize("number", [1, 3])
def test_cases_of_one_class_have_an_accuracy_and_no_area(
    two_classes, three_classes, tmp_path, number
):
    data = two_classes if number == 1 else three_classes
    cases = [case for case in _all_cases(data) if case.label == 0]
    path = _pooling_model(tmp_path / "model.keras", [0.0] * number, [-1.0] * number)
    _, scores, notes = score_model(path, data, cases)
    assert scores == {"accuracy": 1.0}
    assert notes == ["all scored cases are of one class: no auc"]
