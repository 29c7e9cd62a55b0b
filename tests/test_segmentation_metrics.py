"""Overlaps follow their definitions, scikit-learn, SciPy, and a loop over voxels."""

import numpy as np
import pytest
from scipy.spatial import distance
from sklearn.metrics import jaccard_score

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import segmentation_metrics as segmentation

PAIR_METRICS = (segmentation.dice, segmentation.iou)


@pytest.fixture(params=[0.05, 0.3, 0.8])
def masks(request, rng):
    """Truth and prediction of one case."""
    return rng.random((2, 7, 6, 5)) < request.param


def test_dice_and_iou_are_those_of_scipy_and_scikit_learn(masks):
    flat = [mask.ravel() for mask in masks]
    dice = segmentation.dice(*masks)
    assert dice == pytest.approx(1 - distance.dice(*flat), abs=1e-12)
    assert segmentation.iou(*masks) == pytest.approx(jaccard_score(*flat), abs=1e-12)


def test_scores_are_plain_numbers_in_reports(masks):
    paper_iou = segmentation.paper_iou(*masks[:, None])
    for value in (segmentation.dice(*masks), segmentation.iou(*masks), paper_iou):
        assert type(value) is float


def test_dice_follows_from_iou(masks):
    iou = segmentation.iou(*masks)
    assert segmentation.dice(*masks) == pytest.approx(2 * iou / (1 + iou), abs=1e-12)


@pytest.mark.parametrize("metric", PAIR_METRICS)
def test_two_empty_masks_agree_and_one_does_not(metric):
    empty, full = np.zeros((3, 3, 3), bool), np.ones((3, 3, 3), bool)
    assert metric(empty, empty) == metric(full, full) == 1.0
    assert metric(empty, full) == metric(full, empty) == 0.0


def test_pooled_scores_weigh_voxels_and_means_weigh_cases():
    truths = [np.ones(90), np.ones(10)]
    predictions = [np.ones(90), np.zeros(10)]
    # 90 of 100 voxels are found: 2 * 90 / (100 + 90); one case is whole, one missed.
    assert segmentation.pooled_dice(truths, predictions) == pytest.approx(180 / 190)
    assert segmentation.pooled_iou(truths, predictions) == pytest.approx(0.9)
    each = [segmentation.dice(*p) for p in zip(truths, predictions, strict=True)]
    assert np.mean(each) == 0.5


def test_pooled_scores_are_those_of_the_masks_laid_end_to_end(rng):
    truths = [rng.random((4, 5, size)) < 0.3 for size in (2, 3, 9)]
    predictions = [rng.random(truth.shape) < 0.5 for truth in truths]
    joined = [
        np.concatenate([m.ravel() for m in part]) for part in (truths, predictions)
    ]
    pooled = segmentation.pooled_dice(truths, predictions)
    assert pooled == segmentation.dice(*joined)
    assert segmentation.pooled_iou(truths, predictions) == segmentation.iou(*joined)


def _slow_paper_iou(truths, probabilities):
    """The definition, voxel by voxel."""
    values = []
    for percent in range(50, 100, 5):
        threshold = np.float32(percent / 100)
        table = np.zeros((2, 2), int)
        for truth, probability in zip(truths, probabilities, strict=True):
            for t, p in zip(truth.flat, probability.flat, strict=True):
                table[int(t), int(np.float32(p) > threshold)] += 1
        ious = []
        for k in (0, 1):
            union = table[k].sum() + table[:, k].sum() - table[k, k]
            if union:
                ious.append(table[k, k] / union)
        values.append(sum(ious) / len(ious))
    return sum(values) / len(values)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_paper_iou_is_that_of_a_loop_over_thresholds_and_voxels(rng, kind):
    truths = [rng.random((3, 4, size)) < 0.3 for size in (2, 5)]
    # Multiples of 0.05: a third of the voxels lie exactly at a threshold.
    probabilities = [
        (rng.integers(0, 21, truth.shape) / 20).astype(kind) for truth in truths
    ]
    expected = _slow_paper_iou(truths, probabilities)
    value = segmentation.paper_iou(truths, probabilities)
    assert value == pytest.approx(expected, abs=1e-12)


def test_paper_iou_of_one_sure_prediction_is_the_mean_of_both_classes():
    truth, prediction = np.zeros(100), np.zeros(100)
    truth[:20], prediction[10:30] = 1, 1
    assert segmentation.paper_iou([truth], [prediction]) == pytest.approx(
        (10 / 30 + 70 / 90) / 2
    )
    assert segmentation.iou(truth, prediction) == pytest.approx(10 / 30)


def test_paper_iou_falls_by_a_tenth_for_each_threshold_that_is_not_passed():
    truth = np.array([1, 1, 0, 0])
    for passed, highest in enumerate(segmentation.PAPER_THRESHOLDS):
        # Above `passed` thresholds, at the next; then nothing is found and the
        # background's IoU is 1/2.
        probability = np.array([highest, highest, 0.0, 0.0])
        expected = passed / 10 * 1.0 + (1 - passed / 10) * (0 + 0.5) / 2
        value = segmentation.paper_iou([truth], [probability])
        assert value == pytest.approx(expected, abs=1e-12)


def test_paper_iou_leaves_out_a_class_that_is_nowhere():
    ones, zeros = np.ones(10), np.zeros(10)
    assert segmentation.paper_iou([zeros], [zeros]) == 1.0
    assert segmentation.paper_iou([ones], [ones]) == 1.0
    # The foreground is predicted in part and never there: its IoU is 0 and counts.
    some = np.repeat([1.0, 0.0], 5)
    assert segmentation.paper_iou([zeros], [some]) == pytest.approx((0 + 0.5) / 2)
    # Background in neither would be 0/0 at every threshold; here it is 0/5.
    assert segmentation.paper_iou([ones], [some]) == pytest.approx((0.5 + 0) / 2)


def test_accumulators_do_not_depend_on_order_or_on_cuts(rng):
    truth, probability = rng.random((12, 6, 5)) < 0.3, rng.random((12, 6, 5))
    whole = segmentation.paper_iou([truth], [probability])
    counts, overlap = segmentation.PaperIou(), segmentation.OverlapCounts()
    for start in (6, 0, 9, 3):
        part = slice(start, start + 3)
        counts.add(truth[part], probability[part])
        overlap.add(truth[part], probability[part] > 0.5)
    assert counts.result() == whole
    assert overlap.dice() == segmentation.dice(truth, probability > 0.5)
    assert overlap.cases == 4


def test_pooled_scores_of_no_case_are_refused():
    for pooled in (
        segmentation.pooled_dice,
        segmentation.pooled_iou,
        segmentation.paper_iou,
    ):
        with pytest.raises(InputError, match="Received: cases=0"):
            pooled([], [])
        with pytest.raises(InputError, match="Received: 1 truths, 0 predictions"):
            pooled([np.ones(3)], [])


@pytest.mark.parametrize("metric", PAIR_METRICS)
def test_malformed_masks_are_refused(metric):
    with pytest.raises(InputError, match=r"prediction=\(3, 2\)"):
        metric(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(InputError, match="Received: prediction=0.2 to 1.0"):
        metric(np.ones(2), np.array([0.2, 1.0]))
    with pytest.raises(InputError, match="Received: truth=0 to 2"):
        metric(np.array([0, 2]), np.ones(2))
    with pytest.raises(InputError, match=r"Received: truth of type .* shape \(0,\)"):
        metric(np.ones(0), np.ones(0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, np.nan], "finite"),
        ([0.5, 3.0], "probabilities are in .* to 3.0"),
        ([-2.0, 0.5], "probabilities are in .*=-2.0"),
        ([0.5], r"prediction=\(1,\)"),
    ],
)
def test_malformed_probabilities_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        segmentation.paper_iou([np.ones(2)], [np.array(values)])


def test_a_probability_may_pass_one_by_rounding():
    probability = np.nextafter(np.float32([1, 1]), np.float32(2))
    assert segmentation.paper_iou([np.ones(2)], [probability]) == 1.0


def test_a_refused_case_leaves_the_counts_as_they_were():
    counts = segmentation.PaperIou()
    counts.add(np.array([1, 0]), np.array([1.0, 1.0]))
    before = counts.result()
    with pytest.raises(InputError):
        counts.add(np.array([1, 0]), np.array([1.0, np.nan]))
    assert counts.result() == before
