"""What the figures show is what they were given, and their texts can be read."""

import itertools
import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from matplotlib.text import Text

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import figures
from models_genesis_tf.evaluation.figures import (
    ArmScores,
    BarPanel,
    ForestRow,
    FractionCurve,
    FractionPanel,
    LearningCurve,
    LearningPanel,
    Mark,
)

LONG = "unified (Genesis_Chest_CT_v2.keras a1b2c3)"
NINE = (
    *("scratch", "imagenet", "nonlinear", "local_shuffling", "outpainting"),
    *("inpainting", "autoencoder", "distortion", LONG),
)
TITLE = "folder/manifest.csv (lung, label_map=1:2, where=sex=f)"
AXIS = "Surface Dice at 2 mm of the_upper_lobe_of_the_left_lung (%)"
BAND = "95 % interval over trials"


def _panel(*arms, marks=(), title="NCC", axis_label="AUC (%)"):
    return BarPanel(title, axis_label, arms, marks)


def _two_arms(marks=()):
    arms = ArmScores("scratch", (94.0, 91.0, 97.0)), ArmScores("unified", (98.0, 99.0))
    return _panel(*arms, marks=marks)


def _curve(label, fractions=(1.0, 0.1, 0.5)):
    means = tuple(80 + 10 * fraction for fraction in fractions)
    lows, highs = (tuple(mean + shift for mean in means) for shift in (-2, 3))
    return FractionCurve(label, fractions, means, lows, highs)


def _trial(count, scale=1.0):
    steps = 10 * np.arange(1, count + 1)
    return steps, scale / steps


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
    assert any("published" in text for text in _legend(figure))
    assert not any(
        "published" in x for x in _legend(figures._bar_figure([_two_arms()]))
    )


def _legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


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
    curves = figures._fraction_figure(
        [FractionPanel("NCC", "AUC (%)", (_curve("unified"), _curve("x")))], BAND, arms
    )
    losses = figures._learning_figure(
        [LearningPanel("NCC", "loss", (LearningCurve("unified", (_trial(3),)),))], arms
    )
    hexadecimal = {line.get_color() for line in losses.axes[0].lines}
    assert hexadecimal == {curves.axes[0].lines[0].get_color()}
    assert figures._styles(arms, ["unified"])["unified"][0] in hexadecimal
    assert figures.to_rgba(*hexadecimal) == colour


def test_ten_arms_differ_in_colour_and_thirty_in_colour_or_marker():
    styles = figures._styles((), map(str, range(30))).values()
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
    assert _legend(figure) == ["difference, 95 % interval", "published"]


# --- Curves ---


def test_shares_are_drawn_in_rising_order_in_per_cent():
    figure = figures._fraction_figure(
        [FractionPanel("NCC", "AUC (%)", (_curve("scratch"),))], BAND
    )
    (line,) = figure.axes[0].lines
    assert line.get_xydata().tolist() == [[10, 81], [50, 85], [100, 90]]
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert {tuple(x) for x in band.tolist()} == {
        *((10, 79), (50, 83), (100, 88)),
        *((10, 84), (50, 88), (100, 93)),
    }
    assert _legend(figure) == ["scratch", BAND]


def test_means_that_are_missing_are_left_out():
    curve = FractionCurve(
        "a", (1, 0.5, 0.1), (9, None, 7), (8, None, math.nan), (10,) * 3
    )
    axes = figures._fraction_figure([FractionPanel("", "", (curve,))], BAND).axes[0]
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
    axes = figures._fraction_figure([panel], BAND).axes[0]
    assert axes.get_xscale() == scale
    np.testing.assert_allclose(axes.get_xticks(), np.multiply(100, fractions))
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert [label for label in labels if label] == named.split()


def test_a_curve_without_a_value_for_each_share_is_refused():
    curve = FractionCurve("scratch", (0.5, 1), (1.0, 2.0), (0.0,), (3.0, 3.0))
    with pytest.raises(InputError, match=r"Received: \(2, 2, 1, 2\) values of scratch"):
        figures._fraction_figure([FractionPanel("", "", (curve,))], BAND)


def test_the_thick_line_is_the_median_while_all_trials_run():
    trials = (_trial(5, 1.0), _trial(3, 4.0), _trial(7, 2.0))
    panel = LearningPanel("NCC", "validation loss", (LearningCurve("scratch", trials),))
    *thin, thick = figures._learning_figure([panel]).axes[0].lines
    for line, (steps, losses) in zip(thin, trials, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([steps, losses], 1))
        assert line.get_linewidth() < thick.get_linewidth()
    np.testing.assert_allclose(thick.get_xydata(), [[10, 0.2], [20, 0.1], [30, 2 / 30]])


def test_trials_on_other_steps_meet_between_them():
    trials = ((np.array([0, 10]), np.array([1, 0])), (np.array([5]), np.array([0.7])))
    steps, median = figures._median_curve(trials)
    np.testing.assert_allclose((steps, median), ([5], [0.6]))


def test_losses_that_are_no_numbers_and_trials_without_any_are_left_out():
    trials = (
        (np.array([1, 2, 3]), np.array([0.5, math.nan, 0.3])),
        (np.array([1, 2]), np.array([math.inf, math.nan])),
        (np.array([]), np.array([])),
    )
    panel = LearningPanel("NCC", "validation loss", (LearningCurve("scratch", trials),))
    lines = figures._learning_figure([panel]).axes[0].lines
    expected = [[[1, 0.5], [3, 0.3]]] * 2
    assert [line.get_xydata().tolist() for line in lines] == expected


def test_a_trial_without_a_loss_for_each_step_is_refused():
    curve = LearningCurve("scratch", ((np.arange(3), np.arange(2)),))
    with pytest.raises(InputError, match="Received: 3 steps, 2 losses of scratch"):
        figures._learning_figure([LearningPanel("", "", (curve,))])


# --- All figures ---


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


def _crowded_fractions():
    shares = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0)
    curves = tuple(_curve(label, shares) for label in NINE)
    panel = FractionPanel(TITLE, AXIS, curves)
    return [panel] * 4 + [FractionPanel("One", AXIS, (_curve("scratch", (0.5,)),))]


def _crowded_learning():
    trials = tuple((300_000 * steps, loss) for steps, loss in (_trial(9), _trial(5)))
    curves = tuple(LearningCurve(label, trials) for label in NINE)
    return [LearningPanel(TITLE, "validation loss", curves)] * 4


FIGURES = {
    "bars": lambda: figures._bar_figure(_crowded_bars()),
    "upright bars": lambda: figures._bar_figure([_two_arms((Mark(0, 1, "****"),))] * 4),
    "forest": lambda: figures._forest_figure(
        _crowded_forest(),
        "pre-trained minus scratch (percentage points)",
        ("favours scratch", "favours pre-trained"),
    ),
    "fractions": lambda: figures._fraction_figure(_crowded_fractions(), BAND),
    "learning": lambda: figures._learning_figure(_crowded_learning()),
}


def _texts(figure) -> list[Text]:
    """The texts of a figure that are in sight."""
    texts = list(figure.legends[0].get_texts())
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [
                label
                for place, label in zip(
                    axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True
                )
                if low <= place <= high
            ]
    return [text for text in texts if text.get_text()]


@pytest.mark.parametrize("name", FIGURES)
def test_texts_are_large_enough_and_none_lies_on_another(name):
    figure = FIGURES[name]()
    FigureCanvasAgg(figure).draw()
    texts = _texts(figure)
    assert len(texts) > 10
    assert min(text.get_fontsize() for text in texts) >= 9
    slanted = [text for text in texts if text.get_rotation() == 45]
    boxes = [(x, x.get_window_extent()) for x in texts if x not in slanted]
    for (one, box), (other, other_box) in itertools.combinations(boxes, 2):
        apart = not box.padded(-0.5).overlaps(other_box)
        assert apart, f"{one.get_text()!r} lies on {other.get_text()!r}"
    for axes in figure.axes:
        _check_slanted(axes)


def _check_slanted(axes):
    """Slanted names run in lanes that are apart by their distance times sin 45°."""
    names = [name for name in axes.get_xticklabels() if name.get_rotation() == 45]
    starts = [name.get_transform().transform(name.get_position())[0] for name in names]
    for name in names:
        name.set_rotation(0)
    heights = [name.get_window_extent().height for name in names]
    for gap, neighbours in zip(
        np.diff(starts), itertools.pairwise(heights), strict=True
    ):
        assert gap * math.sin(math.pi / 4) > max(neighbours)


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
    "fractions": lambda path: figures.fraction_curves(
        [FractionPanel("NCC", "AUC (%)", (_curve("scratch"),))], path, BAND
    ),
    "learning": lambda path: figures.learning_curves(
        [LearningPanel("NCC", "loss", (LearningCurve("scratch", (_trial(4),)),))], path
    ),
}


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_is_a_png_on_white_and_leaves_no_partial_file(name, tmp_path):
    path = tmp_path / "report" / "figure.png"
    DRAW[name](path)
    assert [entry.name for entry in path.parent.iterdir()] == ["figure.png"]
    image = imread(path)
    assert (image[[0, 0, -1, -1], [0, -1, 0, -1], :3] == 1).all()
    assert 0.5 < (image[..., :3] == 1).all(axis=-1).mean() < 0.99


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: figures.bar_chart([], path),
        lambda path: figures.bar_chart([_two_arms(), _panel()], path),
        lambda path: figures.forest_plot([], "", path),
        lambda path: figures.fraction_curves([], path, BAND),
        lambda path: figures.fraction_curves([FractionPanel("", "", ())], path, BAND),
        lambda path: figures.learning_curves([], path),
        lambda path: figures.learning_curves([LearningPanel("", "", ())], path),
    ],
)
def test_figures_of_nothing_are_refused(draw, tmp_path):
    with pytest.raises(InputError, match="or more.*Received: "):
        draw(tmp_path / "figure.png")
    assert not list(tmp_path.iterdir())
