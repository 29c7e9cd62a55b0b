"""LUNA16's evaluation: by hand, threshold by threshold, and over drawn scans."""

from fractions import Fraction

import numpy as np
import pytest

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import froc, froc_figure
from models_genesis_tf.evaluation.froc import (
    GRID,
    RATES,
    Candidate,
    Nodule,
    evaluate_froc,
    froc_points,
    match,
)
from models_genesis_tf.evaluation.froc_tables import (
    read_nodules,
    read_series,
    read_submission,
)
from tests.figure_checks import check_png, check_texts, legend


def _at(x, probability, series="a"):
    return Candidate(series, (x, 0.0, 0.0), probability)


def _nodule(x, diameter=10.0, series="a"):
    return Nodule(series, (x, 0.0, 0.0), diameter)


def _marks(nodules, candidates, irrelevant=(), scans=("a",)):
    """Hits and false positives by falling probability, such as [(0.9, True)]."""
    marks = match(scans, nodules, candidates, irrelevant)
    return list(zip(marks.probabilities.tolist(), marks.hits.tolist(), strict=True))


def _evaluate(scans, nodules, candidates, irrelevant=(), seed=0):
    rng = np.random.default_rng(seed)
    return evaluate_froc(scans, nodules, candidates, irrelevant, rng)


# --- What hits what ---


@pytest.mark.parametrize(
    ("distance", "diameter", "hit"),
    [
        *((4.999, 10, True), (5.0, 10, False), (5.001, 10, False)),
        *((0.0, 0.0, False), (4.999, -1, True), (5.0, -1, False)),
    ],
)
def test_a_hit_is_nearer_than_half_the_diameter(distance, diameter, hit):
    """An unmeasured finding, with a negative diameter, has 10 mm."""
    nodule = Nodule("a", (1.0, -2.0, 3.0), diameter)
    for axis in range(3):
        centre = np.array(nodule.centre)
        centre[axis] += distance
        candidate = Candidate("a", tuple(centre), 0.5)
        assert _marks([nodule], [candidate]) == [(0.5, hit)]


def test_distance_is_measured_in_space():
    nodule = Nodule("a", (0, 0, 0), 10.0)
    near, far = (Candidate("a", (x, x, x), 0.5) for x in (2.88, 2.89))
    assert _marks([nodule], [near]) == [(0.5, True)]
    assert _marks([nodule], [far]) == [(0.5, False)]


def test_of_several_candidates_on_a_nodule_the_most_probable_one_counts():
    candidates = [_at(1, 0.3), _at(2, 0.8), _at(-1, 0.5), _at(30, 0.6)]
    assert _marks([_nodule(0)], candidates) == [(0.8, True), (0.6, False)]


def test_a_candidate_in_two_nodules_finds_both():
    nodules = [_nodule(0), _nodule(6)]
    assert _marks(nodules, [_at(3, 0.7)]) == [(0.7, True), (0.7, True)]


def test_what_hits_an_irrelevant_finding_is_ignored_unless_it_hits_a_nodule():
    candidates = [_at(50, 0.9), _at(2, 0.8), _at(100, 0.7)]
    irrelevant = [_nodule(50, -1), _nodule(4, 10)]
    marks = [(0.8, True), (0.7, False)]
    assert _marks([_nodule(0)], candidates, irrelevant) == marks
    assert _marks([_nodule(0)], candidates) == [(0.9, False), *marks]


def test_what_lies_in_another_scan_hits_nothing_and_is_left_out():
    candidates = [_at(0, 0.9, "b"), _at(0, 0.8, "c")]
    nodules = [_nodule(0), _nodule(0, series="c")]
    assert _marks(nodules, candidates, scans=("a", "b")) == [(0.9, False)]
    result = _evaluate(("a", "b"), nodules, candidates)
    assert (result.scans, result.nodules, result.found) == (2, 1, 0)
    assert result.candidates == 1


def test_of_more_than_a_hundred_candidates_those_above_the_next_one_count():
    probabilities = np.arange(1, 103) / 200
    candidates = [_at(k, p) for k, p in enumerate(probabilities)]
    assert len(_marks([], candidates[:100])) == 100
    kept = _marks([], candidates)
    assert [p for p, _ in kept] == sorted(probabilities[2:], reverse=True)
    # The 101st is as probable as those before it: neither it nor they count.
    tied = [*(_at(k, 0.25) for k in range(62)), *candidates[62:]]
    assert [p for p, _ in _marks([], tied)] == sorted(probabilities[62:], reverse=True)
    # Scan by scan.
    other = [_at(0, 0.001, "b")]
    assert len(_marks([], candidates + other, scans=("a", "b"))) == 101


# --- The curve ---


def test_a_curve_worked_by_hand():
    """Four scans, four nodules: three found, one missed; scan d has no candidate."""
    nodules = [_nodule(0), _nodule(100), _nodule(0, series="b")]
    nodules += [_nodule(0, series="d")]
    candidates = [
        *(_at(1, 0.9), _at(101, 0.6), _at(50, 0.8), _at(2, 0.1)),
        *(_at(0, 0.7, "b"), _at(50, 0.6, "b"), _at(50, 0.4, "c"), _at(60, 0.2, "c")),
    ]
    marks = match("abcd", nodules, candidates)
    false_positives, sensitivities = froc_points(marks, np.ones(4, int))
    # Thresholds 0.9, 0.8, 0.7, 0.6 (two at once), 0.4, 0.2.
    assert false_positives.tolist() == [0, 0, 0.25, 0.25, 0.5, 0.75, 1]
    assert sensitivities.tolist() == [0, 0.25, 0.25, 0.5, 0.75, 0.75, 0.75]
    result = _evaluate("abcd", nodules, candidates)
    # At 1/8 half of the way from 0.25 to 0.25; at 1/4 the upper end of the step.
    assert result.sensitivities.tolist() == [0.25, 0.5, 0.75, 0.75, 0.75, 0.75, 0.75]
    assert result.cpm == pytest.approx(4.5 / 7, abs=1e-15)
    assert (result.nodules, result.found, result.candidates) == (4, 3, 8)


def test_the_first_point_is_joined_to_the_origin():
    """The most probable candidates tie: one nodule of two and two false positives."""
    candidates = [_at(0, 0.9), _at(50, 0.9), _at(60, 0.9)]
    result = _evaluate("a", [_nodule(0), _nodule(100)], candidates)
    assert result.sensitivities == pytest.approx(
        [0.5 / 16, 0.5 / 8, 0.5 / 4, 0.5 / 2, 0.5, 0.5, 0.5], abs=1e-15
    )


def test_without_false_positives_the_curve_is_what_is_found():
    result = _evaluate("ab", [_nodule(0), _nodule(0, series="b")], [_at(0, 0.2)])
    assert (result.curve == 0.5).all() and result.cpm == 0.5


def test_without_candidates_nothing_is_found():
    result = _evaluate("ab", [_nodule(0)], [])
    assert (result.curve == 0).all() and result.cpm == 0
    assert (result.nodules, result.found, result.candidates) == (1, 0, 0)


def test_the_grid_holds_the_rates():
    assert GRID[::64].tolist() == list(RATES) == [0.125, 0.25, 0.5, 1, 2, 4, 8]


@pytest.mark.parametrize(
    ("scans", "nodules", "candidates", "said"),
    [
        ("aa", [_nodule(0)], [], "each once. Received: 2 scans of 1 names"),
        ("", [_nodule(0)], [], "each once. Received: 0 scans of 0 names"),
        ("bc", [_nodule(0)], [], "one nodule or more. Received: 2 scans without any"),
        ("a", [_nodule(0)], [_at(0, np.nan)], "finite numbers. Received: others in"),
        ("a", [_nodule(0)], [_at(0, np.inf)], "finite numbers. Received: others in"),
    ],
)
def test_what_cannot_be_evaluated(scans, nodules, candidates, said):
    with pytest.raises(InputError, match=said):
        _evaluate(scans, nodules, candidates)


# --- Against a slow evaluation ---


def _random_set(rng):
    """Few scans, crowded: overlapping nodules, double hits, ties."""
    scans = [f"scan {k}" for k in range(rng.integers(1, 6))]

    def place():
        return str(rng.choice(scans)), tuple(rng.uniform(0, 25, 3).tolist())

    nodules = [
        Nodule(*place(), float(rng.uniform(3, 15))) for _ in range(rng.integers(1, 9))
    ]
    irrelevant = [
        Nodule(*place(), float(rng.choice([-1, 4, 12]))) for _ in range(rng.integers(6))
    ]
    candidates = [
        Candidate(*place(), float(rng.integers(12)) / 10)
        for _ in range(rng.integers(30))
    ]
    for nodule in rng.choice(nodules, rng.integers(12)):
        centre = tuple(nodule.centre + rng.normal(0, 2, 3))
        candidates.append(Candidate(nodule.series, centre, rng.integers(4, 14) / 10))
    return scans, nodules, candidates, irrelevant


def _inside(candidate, nodule):
    diameter = 10 if nodule.diameter < 0 else nodule.diameter
    distance = np.linalg.norm(np.subtract(candidate.centre, nodule.centre))
    return candidate.series == nodule.series and distance < diameter / 2


def _slow_points(scans, nodules, candidates, irrelevant, most):
    kept = []
    for scan in scans:
        own = [one for one in candidates if one.series == scan]
        ranked = sorted((one.probability for one in own), reverse=True)
        bar = ranked[most] if len(ranked) > most else -np.inf
        kept += [one for one in own if one.probability > bar]
    points = [(Fraction(0), Fraction(0))]
    for threshold in sorted({one.probability for one in kept}, reverse=True):
        above = [one for one in kept if one.probability >= threshold]
        found = sum(any(_inside(one, nodule) for one in above) for nodule in nodules)
        false = sum(
            not any(_inside(one, other) for other in [*nodules, *irrelevant])
            for one in above
        )
        points.append((Fraction(false, len(scans)), Fraction(found, len(nodules))))
    return points


def _slow_sensitivity(points, rate):
    """The last point up to the rate, and what the next one adds on the way."""
    before = [point for point in points if point[0] <= rate]
    after = [point for point in points if point[0] > rate]
    x, y = before[-1]
    if not after:
        return y
    return y + (after[0][1] - y) * (Fraction(rate) - x) / (after[0][0] - x)


@pytest.mark.parametrize("most", [100, 4])
def test_curve_and_score_equal_those_of_a_slow_evaluation(monkeypatch, most):
    monkeypatch.setattr(froc, "_MOST_CANDIDATES", most)
    scores = []
    for seed in range(100):
        sets = _random_set(np.random.default_rng([77, seed]))
        points = _slow_points(*sets, most)
        expected = [float(_slow_sensitivity(points, rate)) for rate in RATES]
        result = _evaluate(*sets)
        np.testing.assert_allclose(result.sensitivities, expected, rtol=0, atol=1e-12)
        assert result.cpm == pytest.approx(np.mean(expected), abs=1e-12)
        scores.append(result.cpm)
    assert len(set(scores)) > 50 and np.std(scores) > 0.15


# --- The bootstrap ---


def _many(count, rng):
    """Scans with up to two nodules and eight candidates, some without either."""
    scans = [f"scan {k}" for k in range(count)]
    nodules, candidates = [], []
    for scan in scans:
        for k in range(rng.integers(3)):
            nodules.append(_nodule(100.0 * k, series=scan))
            if rng.random() < 0.8:
                candidates.append(_at(100.0 * k, rng.beta(3, 2), scan))
        for k in range(rng.integers(9)):
            candidates.append(_at(50.0 + 100 * k, rng.beta(2, 3), scan))
    return scans, nodules, candidates


def test_a_scan_drawn_twice_counts_as_two_scans(rng):
    scans, nodules, candidates = _many(12, rng)
    weights = np.array([2, 0, 1, 3, 0, 0, 1, 1, 2, 0, 1, 1])
    marks = match(scans, nodules, candidates)
    points = froc_points(marks, weights)
    copies = [
        (scan, k) for scan, n in zip(scans, weights, strict=True) for k in range(n)
    ]
    renamed = [
        [
            type(one)(f"{scan} {k}", one.centre, getattr(one, last))
            for scan, k in copies
            for one in things
            if one.series == scan
        ]
        for things, last in ((nodules, "diameter"), (candidates, "probability"))
    ]
    drawn = match([f"{scan} {k}" for scan, k in copies], *renamed)
    expected = froc_points(drawn, np.ones(12, int))
    for ours, theirs in zip(points, expected, strict=True):
        # A threshold that only a scan without a draw has repeats a point.
        assert sorted(set(ours)) == pytest.approx(sorted(set(theirs)), abs=1e-15)
    curves = [np.interp(GRID, *one) for one in (points, expected)]
    np.testing.assert_allclose(*curves, rtol=0, atol=1e-15)


def test_intervals_hold_the_score_and_follow_the_seed(rng):
    sets = _many(60, rng)
    one, again, other = (_evaluate(*sets, seed=seed) for seed in (1, 1, 2))
    low, high = one.cpm_interval
    assert 0 < low < one.cpm < high < 1
    assert (one.intervals[0] <= one.sensitivities).all()
    assert (one.intervals[1] >= one.sensitivities).all()
    assert one.intervals.shape == (2, 7) and one.band.shape == (2, 385)
    assert again.cpm_interval == one.cpm_interval
    assert (again.band == one.band).all()
    assert other.cpm_interval != one.cpm_interval and other.cpm == one.cpm


def test_intervals_shrink_with_the_square_root_of_the_scans(rng):
    widths = [np.diff(_evaluate(*_many(n, rng)).cpm_interval)[0] for n in (100, 1600)]
    assert 3 < widths[0] / widths[1] < 5.3


def test_intervals_cover_the_score_of_all_scans(rng):
    """Of 40 samples of one population some 38 intervals hold its score."""
    truth = _evaluate(*_many(4000, rng)).cpm
    held = 0
    for _ in range(40):
        low, high = _evaluate(*_many(50, rng)).cpm_interval
        held += low <= truth <= high
    assert held >= 34


def test_few_scans_have_no_interval(rng):
    few, enough = (_evaluate(*_many(n, rng)) for n in (39, 40))
    assert few.cpm_interval is None and few.band is None and few.intervals is None
    assert enough.cpm_interval is not None


def test_draws_without_a_nodule_are_left_out():
    """One scan of 40 has the nodule: it is in 64 % of the draws."""
    scans = [f"scan {k}" for k in range(40)]
    result = _evaluate(scans, [_nodule(0, series=scans[7])], [_at(0, 1, scans[7])])
    assert result.cpm_interval == (1, 1) and (result.band == 1).all()


# --- Tables ---

_HEADER = "seriesuid,coordX,coordY,coordZ,"


def test_tables_are_read_as_the_owner_writes_them(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(_HEADER + "diameter_mm\n1.2.3,-128.69,-175.3,-298.38,5.65\n")
    assert read_nodules(path, "") == [Nodule("1.2.3", (-128.69, -175.3, -298.38), 5.65)]
    path.write_text(_HEADER + "diameter_mm\n1.2.3,1,2,3,-1\n1.2.4,1,2,3,-1.0\n")
    assert [one.diameter for one in read_nodules(path, "")] == [-1, -1]
    path.write_text("probability," + _HEADER + "x\n0.25,1.2.3,1,2,3e1,\n")
    assert read_submission(path, "") == [Candidate("1.2.3", (1, 2, 30), 0.25)]


def test_scans_are_a_list_without_a_header(tmp_path):
    path = tmp_path / "seriesuids.csv"
    path.write_text("1.2.3\n1.2.4\n\n1.2.3\n")
    assert read_series(path, "seriesuids") == ["1.2.3", "1.2.4"]
    path.write_text("seriesuid,x\n1.2.5,1\n")
    assert read_series(path, "seriesuids") == ["1.2.5"]
    for text in ("", "\n", "seriesuid\n"):
        path.write_text(text)
        with pytest.raises(InputError, match="one or more. Received: --seriesuids="):
            read_series(path, "seriesuids")
    with pytest.raises(InputError, match="csv file in UTF-8. Received: --seriesuids="):
        read_series(tmp_path / "none.csv", "seriesuids")


@pytest.mark.parametrize("cell", ["", "five", "nan", "inf"])
def test_a_cell_that_is_no_number_is_named_with_its_row(tmp_path, cell):
    path = tmp_path / "submission.csv"
    path.write_text(_HEADER + f"probability\n1.2,1,2,3,0.5\n1.2,1,2,3,{cell}\n")
    with pytest.raises(InputError) as caught:
        read_submission(path, "submission")
    rule, received = str(caught.value).split(" Received: ")
    assert rule == "coordX, coordY, coordZ, probability are numbers."
    assert received == f"{path} row 3: 1,2,3,{cell}"


def test_a_table_without_its_columns_is_refused(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text(_HEADER + "class\n1.2,1,2,3,1\n")
    with pytest.raises(InputError, match="one column diameter_mm. Received: --annota"):
        read_nodules(path, "annotations")


# --- The figure ---


def test_one_curve_is_drawn_with_its_band(rng):
    result = _evaluate(*_many(50, rng))
    figure = froc_figure._figure([result], "run: CPM 0.7")
    line, dots = figure.axes[0].lines
    assert (line.get_xydata() == np.stack([GRID, result.curve], 1)).all()
    assert (dots.get_xydata() == np.stack([RATES, result.sensitivities], 1)).all()
    assert legend(figure) == ["FROC", "95 % interval, bootstrap of 50 scans"]
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["1/8", "1/4", "1/2", "1", "2", "4", "8"]
    check_texts(figure)


def test_several_curves_are_drawn_with_their_mean(rng):
    results = [_evaluate(*_many(20, rng)) for _ in range(3)]
    figure = froc_figure._figure(results, "run: CPM 0.7")
    *trials, mean, _ = figure.axes[0].lines
    assert len(trials) == 3
    curves = [trial.get_ydata() for trial in trials]
    np.testing.assert_allclose(mean.get_ydata(), np.mean(curves, axis=0), rtol=1e-12)
    assert legend(figure) == ["mean of 3 trials", "one trial"]
    check_texts(figure)


def test_a_curve_of_few_scans_has_no_band(rng, tmp_path):
    results = [_evaluate(*_many(20, rng))]
    figure = froc_figure._figure(results, "")
    assert legend(figure) == ["FROC"] and not figure.axes[0].collections
    froc_figure.froc_figure(results, "run: CPM 0.7", tmp_path / "froc.png")
    check_png(tmp_path / "froc.png")
    with pytest.raises(InputError, match="one panel or more"):
        froc_figure.froc_figure([], "", tmp_path / "none.png")
