"""Curves show what they were given, and their texts can be read."""

import math

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import curves
from models_genesis_tf.evaluation.curves import (
    FractionCurve,
    FractionPanel,
    LearningCurve,
    LearningPanel,
)
from tests.figure_checks import AXIS, NINE, TITLE, check_png, check_texts, legend

BAND = "95 % interval over trials"


def _curve(label, fractions=(1.0, 0.1, 0.5)):
    means = tuple(80 + 10 * fraction for fraction in fractions)
    lows, highs = (tuple(mean + shift for mean in means) for shift in (-2, 3))
    return FractionCurve(label, fractions, means, lows, highs)


def _trial(count, scale=1.0):
    steps = 10 * np.arange(1, count + 1)
    return steps, scale / steps


# --- Curves over the share of the labels ---


def test_shares_are_drawn_in_rising_order_in_per_cent():
    figure = curves._fraction_figure(
        [FractionPanel("NCC", "AUC (%)", (_curve("scratch"),))], BAND
    )
    (line,) = figure.axes[0].lines
    assert line.get_xydata().tolist() == [[10, 81], [50, 85], [100, 90]]
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert {tuple(x) for x in band.tolist()} == {
        *((10, 79), (50, 83), (100, 88)),
        *((10, 84), (50, 88), (100, 93)),
    }
    assert legend(figure) == ["scratch", BAND]


def test_means_that_are_missing_are_left_out():
    curve = FractionCurve(
        "a", (1, 0.5, 0.1), (9, None, 7), (8, None, math.nan), (10,) * 3
    )
    axes = curves._fraction_figure([FractionPanel("", "", (curve,))], BAND).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[10, 7], [100, 9]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "50", "100"]


@pytest.mark.parametrize(
    ("fractions", "scale", "named"),
    [
        ((0.1, 0.2, 0.5, 1.0), "log", "10 20 50 100"),
        ((0.25, 0.5, 0.75, 1.0), "linear", "25 50 75 100"),
        (tuple(np.arange(1, 11) / 10), "linear", "10 20 30 40 50 60 70 80 90 100"),
        ((0.1, 1.0), "linear", "10 100"),
        ((0.5,), "linear", "50"),
        ((0.1, 0.95, 1.0), "linear", "10 100"),
    ],
)
def test_shares_are_named_on_the_scale_that_sets_them_apart(fractions, scale, named):
    panel = FractionPanel("NCC", "AUC (%)", (_curve("scratch", fractions),))
    axes = curves._fraction_figure([panel], BAND).axes[0]
    assert axes.get_xscale() == scale
    np.testing.assert_allclose(axes.get_xticks(), np.multiply(100, fractions))
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert [label for label in labels if label] == named.split()


def test_a_curve_without_a_value_for_each_share_is_refused():
    curve = FractionCurve("scratch", (0.5, 1), (1.0, 2.0), (0.0,), (3.0, 3.0))
    with pytest.raises(InputError, match=r"Received: \(2, 2, 1, 2\) values of scratch"):
        curves._fraction_figure([FractionPanel("", "", (curve,))], BAND)


# --- Losses over steps ---


def test_the_thick_line_is_the_median_while_all_trials_run():
    trials = (_trial(5, 1.0), _trial(3, 4.0), _trial(7, 2.0))
    panel = LearningPanel("NCC", "validation loss", (LearningCurve("scratch", trials),))
    *thin, thick = curves._learning_figure([panel]).axes[0].lines
    for line, (steps, losses) in zip(thin, trials, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([steps, losses], 1))
        assert line.get_linewidth() < thick.get_linewidth()
    np.testing.assert_allclose(thick.get_xydata(), [[10, 0.2], [20, 0.1], [30, 2 / 30]])


def test_trials_on_other_steps_meet_between_them():
    trials = ((np.array([0, 10]), np.array([1, 0])), (np.array([5]), np.array([0.7])))
    steps, median = curves._median_curve(trials)
    np.testing.assert_allclose((steps, median), ([5], [0.6]))


def test_losses_that_are_no_numbers_and_trials_without_any_are_left_out():
    trials = (
        (np.array([1, 2, 3]), np.array([0.5, math.nan, 0.3])),
        (np.array([1, 2]), np.array([math.inf, math.nan])),
        (np.array([]), np.array([])),
    )
    panel = LearningPanel("NCC", "validation loss", (LearningCurve("scratch", trials),))
    lines = curves._learning_figure([panel]).axes[0].lines
    expected = [[[1, 0.5], [3, 0.3]]] * 2
    assert [line.get_xydata().tolist() for line in lines] == expected


def test_a_trial_without_a_loss_for_each_step_is_refused():
    curve = LearningCurve("scratch", ((np.arange(3), np.arange(2)),))
    with pytest.raises(InputError, match="Received: 3 steps, 2 losses of scratch"):
        curves._learning_figure([LearningPanel("", "", (curve,))])


# --- Both figures ---


def _crowded_fractions():
    shares = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0)
    nine = tuple(_curve(label, shares) for label in NINE)
    panel = FractionPanel(TITLE, AXIS, nine)
    return [panel] * 4 + [FractionPanel("One", AXIS, (_curve("scratch", (0.5,)),))]


def _crowded_learning():
    trials = tuple((300_000 * steps, loss) for steps, loss in (_trial(9), _trial(5)))
    nine = tuple(LearningCurve(label, trials) for label in NINE)
    return [LearningPanel(TITLE, "validation loss", nine)] * 4


FIGURES = {
    "fractions": lambda: curves._fraction_figure(_crowded_fractions(), BAND),
    "learning": lambda: curves._learning_figure(_crowded_learning()),
}


@pytest.mark.parametrize("name", FIGURES)
def test_texts_are_large_enough_and_none_lies_on_another(name):
    check_texts(FIGURES[name]())


DRAW = {
    "fractions": lambda path: curves.fraction_curves(
        [FractionPanel("NCC", "AUC (%)", (_curve("scratch"),))], path, BAND
    ),
    "learning": lambda path: curves.learning_curves(
        [LearningPanel("NCC", "loss", (LearningCurve("scratch", (_trial(4),)),))], path
    ),
}


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_is_a_png_on_white_and_leaves_no_partial_file(name, tmp_path):
    path = tmp_path / "report" / "figure.png"
    DRAW[name](path)
    check_png(path)


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: curves.fraction_curves([], path, BAND),
        lambda path: curves.fraction_curves([FractionPanel("", "", ())], path, BAND),
        lambda path: curves.learning_curves([], path),
        lambda path: curves.learning_curves([LearningPanel("", "", ())], path),
    ],
)
def test_figures_of_nothing_are_refused(draw, tmp_path):
    with pytest.raises(InputError, match="or more.*Received: "):
        draw(tmp_path / "figure.png")
    assert not list(tmp_path.iterdir())
