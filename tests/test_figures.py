"""What the figures show is what they were given, and their texts can be read."""

import itertools
import math

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import curves, figures
from models_genesis_tf.evaluation.curves import (
    FractionCurve,
    FractionPanel,
    LearningCurve,
    LearningPanel,
)
from models_genesis_tf.evaluation.figure_parts import arm_styles
from models_genesis_tf.evaluation.figures import ArmScores, BarPanel, ForestRow, Mark
from tests.figure_checks import AXIS, NINE, TITLE, check_png, check_texts, legend


def _panel(*arms, marks=(), title="NCC", axis_label="AUC (%)"):
    return BarPanel(title, axis_label, arms, marks)


def _two_arms(marks=()):
    arms = ArmScores("scratch", (94.0, 91.0, 97.0)), ArmScores("unified", (98.0, 99.0))
    return _panel(*arms, marks=marks)


def _points(axes, marker):
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [np.asarray(line.get_ydata()).tolist() for line in lines]


# --- Bars ---


def test_bars_are_means_and_every_trial_is_a_dot():
    axes = figures._bar_figure([_two_arms()]).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [94.0, 98.5]
    assert _points(axes, "o") == [[94, 91, 97], [98, 99]]
    spans = [
        error.lines[2][0].get_segments()[0][:, 1].tolist()
        for error in axes.containers
        if not hasattr(error, "patches")
    ]
    half = math.sqrt(0.5)
    assert spans == [pytest.approx([91, 97]), pytest.approx([98.5 - half, 98.5 + half])]


def test_published_scores_are_diamonds_beside_their_bar_and_in_the_legend():
    arms = ArmScores("scratch", (94.0,)), ArmScores("unified", (98.0,), (97.9, 0.57))
    figure = figures._bar_figure([_panel(*arms)])
    (diamond,) = [x for x in figure.axes[0].lines if x.get_marker() == "D"]
    assert diamond.get_ydata() == [97.9]
    bar = figure.axes[0].patches[1]
    assert bar.get_x() + bar.get_width() < diamond.get_xdata()[0] < 2 - bar.get_width()
    assert any("published" in text for text in legend(figure))
    assert not any("published" in x for x in legend(figures._bar_figure([_two_arms()])))


def test_an_axis_that_is_cut_says_where_it_starts():
    axes = figures._bar_figure([_two_arms()]).axes[0]
    bottom = axes.get_ylim()[0]
    assert 80 < bottom < 91
    assert axes.get_yticks()[0] == bottom
    assert axes.get_ylabel() == f"AUC (%)\n(axis starts at {bottom:g})"


@pytest.mark.parametrize("scores", [(20, 60), (85,), (85, 85), (0, 0), (None,), ()])
def test_bars_start_at_0_where_differences_are_large_or_none(scores):
    axes = figures._bar_figure([_panel(ArmScores("scratch", scores))]).axes[0]
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] > max(85 if 85 in scores else 0, 0)
    assert axes.get_ylabel() == "AUC (%)"


def test_scores_that_are_all_but_the_same_are_not_blown_up():
    arms = ArmScores("scratch", (85.00,)), ArmScores("unified", (85.01,))
    low, high = figures._bar_figure([_panel(*arms)]).axes[0].get_ylim()
    assert (85.01 - 85.00) / (high - low) < 0.01


def test_missing_scores_leave_a_gap_that_says_so():
    arms = (
        ArmScores("a", (90.0, None, math.nan, 92.0)),
        ArmScores("b", (None, math.nan)),
    )
    axes = figures._bar_figure([_panel(*arms)]).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [91.0]
    assert [text.get_text() for text in axes.texts] == ["no\nscore"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]


def test_brackets_join_their_bars_and_carry_their_text():
    marks = Mark(0, 1, "*"), Mark(2, 0, "n.s."), Mark(1, 2, "****")
    arms = [ArmScores(label, (90.0, 91.0)) for label in ("a", "b", "c")]
    axes = figures._bar_figure([_panel(*arms, marks=marks)]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["*", "n.s.", "****"]
    brackets = [line for line in axes.lines if len(line.get_xdata()) == 4]
    ends = [tuple(np.round(line.get_xdata()[[0, -1]])) for line in brackets]
    assert ends == [(0, 1), (0, 2), (1, 2)]
    heights = [max(line.get_ydata()) for line in brackets]
    assert heights[0] == heights[2] < heights[1]


def test_no_two_brackets_of_a_level_share_more_than_an_end(rng):
    for _ in range(50):
        pairs = [rng.choice(9, 2, replace=False) for _ in range(12)]
        marks = [Mark(int(a), int(b), "*") for a, b in pairs]
        placed = zip(marks, figures._levels(marks), strict=True)
        for (one, level), (other, other_level) in itertools.combinations(placed, 2):
            common = min(max(one.first, one.second), max(other.first, other.second))
            common -= max(min(one.first, one.second), min(other.first, other.second))
            assert level != other_level or common <= 0


@pytest.mark.parametrize("mark", [Mark(0, 0, "*"), Mark(0, 2, "*"), Mark(-1, 1, "*")])
def test_a_mark_that_joins_no_two_bars_is_refused(mark):
    received = f"2 bars.*Received: {mark.first} and {mark.second}"
    with pytest.raises(InputError, match=received):
        figures._bar_figure([_two_arms((mark,))])


# --- Colours ---


def test_an_arm_has_one_colour_in_all_panels_and_figures():
    arms = ("scratch", "imagenet", "unified")
    first = _panel(ArmScores("unified", (90.0, 91.0)), ArmScores("scratch", (80.0,)))
    bars = figures._bar_figure([first, _panel(ArmScores("unified", (3.0,)))], arms)
    colour = bars.axes[0].patches[0].get_edgecolor()
    assert bars.axes[1].patches[0].get_edgecolor() == colour
    assert bars.axes[0].patches[1].get_edgecolor() != colour
    unified, other = (
        FractionCurve(label, (0.5, 1.0), (85, 90), (83, 88), (88, 93))
        for label in ("unified", "x")
    )
    shares = curves._fraction_figure(
        [FractionPanel("NCC", "AUC (%)", (unified, other))], "interval", arms
    )
    trial = np.array([10, 20, 30]), np.array([0.3, 0.2, 0.1])
    losses = curves._learning_figure(
        [LearningPanel("NCC", "loss", (LearningCurve("unified", (trial,)),))], arms
    )
    hexadecimal = {line.get_color() for line in losses.axes[0].lines}
    assert hexadecimal == {shares.axes[0].lines[0].get_color()}
    assert arm_styles(arms, ["unified"])["unified"][0] in hexadecimal
    assert to_rgba(*hexadecimal) == colour


def test_ten_arms_differ_in_colour_and_thirty_in_colour_or_marker():
    styles = arm_styles((), map(str, range(30))).values()
    assert len({colour for colour, _ in list(styles)[:10]}) == 10
    assert len(set(styles)) == 30


# --- Differences ---


def test_rows_of_a_forest_run_from_top_to_bottom_with_zero_in_sight():
    rows = [
        ForestRow("NCC", 3.6, 1.1, 6.2, "n = 3 and 3, p = 0.0362", (3.65, 0.2, 7.3)),
        ForestRow("NCS", 5.0, 4.0, 6.0, "n = 2 and 2"),
        ForestRow("ECC", None, None, None),
        ForestRow("LCS", 2.0, math.nan, math.nan),
    ]
    figure = figures._forest_figure(rows, "difference (points)", ("worse", "better"))
    axes = figure.axes[0]
    squares = [line for line in axes.lines if line.get_marker() == "s"]
    drawn = [(*x.get_xdata(), x.get_markerfacecolor() == "white") for x in squares]
    expected = [(3.6, False), (3.65, True), (5, False), (math.nan, False), (2, False)]
    np.testing.assert_equal(drawn, expected)
    spans = [line.get_xdata() for line in axes.lines if line.get_marker() == "None"]
    shown = [list(span) for span in spans if np.isfinite(span).all()]
    assert shown == [[1.1, 6.2], [0.2, 7.3], [4, 6], [0, 0]]
    places = [line.get_ydata()[0] for line in squares]
    assert places == sorted(places) and axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.get_xlim()[0] < 0 and axes.get_xlim()[1] > 7.3
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        row.label for row in rows
    ]
    texts = [text.get_text() for text in axes.texts]
    assert {rows[0].note, rows[1].note, "← worse", "better →"} <= set(texts)
    assert legend(figure) == ["difference, 95 % interval", "published"]


# --- Both figures ---


def _crowded_bars():
    arms = [ArmScores(x, (80 + i, 82 + i), (81, 2)) for i, x in enumerate(NINE)]
    marks = tuple(Mark(0, i, "****") for i in range(1, 9))
    few = (
        *arms[-2:],
        ArmScores("a_label_without_any_space_of_43_letters_xxx", (None,)),
    )
    return [
        _panel(*arms, marks=(*marks, Mark(4, 5, "n.s.")), title=TITLE, axis_label=AXIS),
        _panel(*few, marks=(Mark(0, 1, "n.s."), Mark(1, 2, "****")), axis_label=AXIS),
        _two_arms((Mark(0, 1, "n.s."),)),
    ]


def _crowded_forest():
    note = "n = 10 and 10, p = 1.0e-4"
    return [
        ForestRow(f"{TITLE}: {label}", 1.0, -9.0, 9.0, note, (8.0, 7.0, 9.0))
        for label in NINE
    ]


FIGURES = {
    "bars": lambda: figures._bar_figure(_crowded_bars()),
    "upright bars": lambda: figures._bar_figure([_two_arms((Mark(0, 1, "****"),))] * 4),
    "forest": lambda: figures._forest_figure(
        _crowded_forest(),
        "pre-trained minus scratch (percentage points)",
        ("favours scratch", "favours pre-trained"),
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_texts_are_large_enough_and_none_lies_on_another(name):
    check_texts(FIGURES[name]())


@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_panels_wrap_into_rows(count):
    figure = figures._bar_figure([_two_arms()] * count)
    assert len(figure.axes) == count
    grid = figure.axes[0].get_gridspec()
    assert grid.ncols <= 4
    assert (grid.nrows - 1) * grid.ncols < count <= grid.nrows * grid.ncols


DRAW = {
    "bars": lambda path: figures.bar_chart([_two_arms()], path),
    "forest": lambda path: figures.forest_plot(
        [ForestRow("NCC", 1.0, -1.0, 3.0)], "difference (points)", path
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
        lambda path: figures.bar_chart([], path),
        lambda path: figures.bar_chart([_two_arms(), _panel()], path),
        lambda path: figures.forest_plot([], "", path),
    ],
)
def test_figures_of_nothing_are_refused(draw, tmp_path):
    with pytest.raises(InputError, match="or more.*Received: "):
        draw(tmp_path / "figure.png")
    assert not list(tmp_path.iterdir())
