"""Scores of a trained model on whole cases, which it never sees the labels of."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from models_genesis_tf.evaluation.classification_metrics import (
    accuracy,
    auc,
    average_precision,
    mean_auc,
    sensitivity_specificity,
)
from models_genesis_tf.evaluation.segmentation_scores import SegmentationScores
from models_genesis_tf.experiments.examples import Examples
from models_genesis_tf.experiments.labelled_data import LabelledData
from models_genesis_tf.imaging.interpolation import interpolate
from models_genesis_tf.imaging.tiling import Tiling, predict_tiled
from models_genesis_tf.models.fast_upsampling import fast_twin
from models_genesis_tf.models.pretrained import load_keras
from models_genesis_tf.pipelines.example_stream import fixed_examples
from models_genesis_tf.tasks.base import Case
from models_genesis_tf.training.strategy import has_tuned_convolutions

THRESHOLD = 0.5
_BATCH_SIZE = 4
_PATCHES_AT_ONCE = 16  # of a classification
_ONE_CLASS = "all scored cases are of one class: no auc"


def score_model(
    path: Path,
    data: LabelledData,
    cases: Sequence[Case],
    fast_upsampling: bool | None = None,
) -> tuple[list[dict], dict[str, float | None], list[str]]:
    """Predicts cases and compares with their labels.

    Args:
      path: A saved model of the task.
      data: The task's data.
      cases: Prepared ones.
      fast_upsampling: See `make_predict`.

    Returns:
      One row of scores.csv for each case; the scores of all of them by metric, None
      where one is not defined; and what was left out, for people.
    """
    predict = make_predict(load_keras(path), fast_upsampling)
    score = _score_segmentation
    if data.task.kind == "classification":
        score = _score_classification
    rows, scores, notes = score(predict, data, cases)
    # JSON has no word for what is no number.
    known = {k: v if math.isfinite(v) else None for k, v in scores.items()}
    return rows, known, notes


def make_predict(
    model: keras.Model, fast_upsampling: bool | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """Makes a function of windows of a model.

    Args:
      model: Takes (batch, x, y, z, channel), or (batch, x, y, channel).
      fast_upsampling: Whether the model's `fast_twin` is run in its place; None leaves
        it to `has_tuned_convolutions`.

    Returns:
      From float32 windows to the model's outputs in NumPy; compiled once for batches of
      any size. The windows of a model in two dimensions may have an axis z of length 1,
      which a segmentation then has too.
    """
    shape = model.input_shape[1:]
    signature = [tf.TensorSpec((None, *shape), tf.float32)]
    if fast_upsampling is None:
        fast_upsampling = has_tuned_convolutions()
    network = fast_twin(model) if fast_upsampling else model
    forward = tf.function(lambda x: network(x, training=False), signature)

    def predict(windows: np.ndarray) -> np.ndarray:
        outputs = forward(np.reshape(windows, (-1, *shape))).numpy()
        if outputs.ndim == 2:
            return outputs
        return outputs.reshape(*windows.shape[:-1], -1)

    return predict


def _score_classification(predict, data: LabelledData, cases: Sequence[Case]) -> tuple:
    rows, labels, probabilities = _predict_candidates(predict, data, cases)
    if data.task.multi_label:
        return rows, *_label_scores(data.classes, labels, probabilities)
    if data.num_outputs == 1:
        return rows, *_binary_scores(labels, probabilities[:, 0])
    predicted = probabilities.argmax(axis=-1)
    scores = {"accuracy": accuracy(labels, predicted, data.num_outputs)}
    if len(set(labels.tolist())) < 2:
        return rows, scores, [_ONE_CLASS]
    mean, left_out = mean_auc(labels, probabilities, data.num_outputs)
    notes = [
        f"class {data.classes[k]} is in no case: left out of auc_mean" for k in left_out
    ]
    return rows, {"auc_mean": mean} | scores, notes


def _predict_candidates(
    predict, data: LabelledData, cases: Sequence[Case]
) -> tuple[list[dict], np.ndarray, np.ndarray]:
    """Rows of scores.csv, labels and probabilities.

    Slices of a case, and cases of one candidate, become one row.
    """
    examples = Examples.of(data, cases)
    places = examples.places_of_classification(range(len(cases)))
    batches = fixed_examples(
        lambda number: examples.example_at(places[number]),
        len(places),
        data.parts,
        _PATCHES_AT_ONCE,
    )
    predicted = np.concatenate(
        [
            predict(patches)
            for patches, _ in tqdm(batches, "scoring", leave=False, disable=None)
        ]
    )
    outputs_of: dict[str, list[np.ndarray]] = {}
    case_of: dict[str, Case] = {}
    for (index, _), outputs in zip(places, predicted, strict=True):
        case = cases[index]
        name = case.candidate or case.name
        outputs_of.setdefault(name, []).append(outputs)
        case_of[name] = case
    means = np.stack([np.mean(outputs, axis=0) for outputs in outputs_of.values()])
    rows = []
    for (name, case), outputs in zip(case_of.items(), means.tolist(), strict=True):
        row = {"case": name, "patient": case.patient}
        place = dict(zip("xyz", case.centre or (), strict=False))
        rows.append(row | _named(data, case.label, outputs) | place)
    return rows, np.array([case.label for case in case_of.values()]), means


def _named(
    data: LabelledData, label: int | tuple[int, ...], outputs: list[float]
) -> dict[str, float]:
    """The columns of a case's label and probabilities."""
    if isinstance(label, tuple):
        named = zip(data.classes, label, outputs, strict=True)
        return {
            f"{what}_{name}": value
            for name, *values in named
            for what, value in zip(("label", "probability"), values, strict=True)
        }
    if len(outputs) == 1:
        return {"label": label, "probability": outputs[0]}
    return {"label": label} | {f"probability_{k}": p for k, p in enumerate(outputs)}


def _label_scores(
    classes: Sequence[str], labels: np.ndarray, probabilities: np.ndarray
) -> tuple[dict[str, float], list[str]]:
    """The area under the curve of each label, and their mean."""
    scores, left_out = {}, []
    columns = zip(classes, labels.T, probabilities.T, strict=True)
    for name, truth, probability in columns:
        if len(set(truth.tolist())) == 2:
            scores[f"auc_{name}"] = auc(truth, probability)
        else:
            left_out.append(f"{name} is in all cases or in none: left out of auc_mean")
    if not scores:
        return {}, left_out
    return {"auc_mean": float(np.mean(list(scores.values())))} | scores, left_out


def _binary_scores(labels: np.ndarray, probability: np.ndarray) -> tuple:
    called = probability > THRESHOLD
    scores = {"accuracy": accuracy(labels, called.astype(int))}
    if len(set(labels.tolist())) < 2:
        return scores, [_ONE_CLASS]
    sensitivity, specificity = sensitivity_specificity(labels, probability, THRESHOLD)
    scores = {
        "auc": auc(labels, probability),
        "average_precision": average_precision(labels, probability),
        "sensitivity": sensitivity,
        "specificity": specificity,
    } | scores
    return scores, []


def _score_segmentation(predict, data: LabelledData, cases: Sequence[Case]) -> tuple:
    tiling = Tiling(data.patch_size, batch_size=_BATCH_SIZE)
    scores = SegmentationScores(data.classes)
    for case in tqdm(cases, "scoring", leave=False, disable=None):
        prepared = data.prepared[case.name]
        outputs = predict_tiled(prepared.image(), predict, tiling, data.num_outputs)
        spacing = prepared.original_spacing_mm
        if spacing != prepared.spacing_mm:
            scale = np.divide(spacing, prepared.spacing_mm)
            outputs = interpolate(outputs, prepared.original_shape, scale)
        scores.add(
            case.name,
            case.patient,
            prepared.original_label_map(),
            to_labels(outputs),
            spacing,
            foreground_probability(outputs),
        )
    return scores.rows, *scores.summary()


def to_labels(outputs: np.ndarray, threshold: float = THRESHOLD) -> np.ndarray:
    """Turns probabilities into classes.

    Args:
      outputs: (x, y, z, 1) of foreground, or (x, y, z, classes).
      threshold: Probability above which a voxel is foreground.

    Returns:
      uint8 (x, y, z).
    """
    if outputs.shape[-1] == 1:
        return (outputs[..., 0] > threshold).astype(np.uint8)
    return outputs.argmax(axis=-1).astype(np.uint8)


def foreground_probability(outputs: np.ndarray) -> np.ndarray:
    """The probability of any foreground class.

    Args:
      outputs: As for `to_labels`.

    Returns:
      float32 (x, y, z) in [0, 1].
    """
    if outputs.shape[-1] == 1:
        return outputs[..., 0]
    return np.clip(1 - outputs[..., 0], 0, 1)
