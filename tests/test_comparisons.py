"""What is said of arms that meet is what SciPy says of their scores."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from models_genesis_tf.experiments import comparisons
from models_genesis_tf.experiments.comparisons import (
    Rules,
    adjust,
    adjust_tests,
    compare,
    compare_trials,
)
from models_genesis_tf.experiments.report_text import how_to_read
from tests.run_folders import (
    SCRATCH_DICE,
    UNIFIED_DICE,
    make_pair,
    make_run,
    read_contests,
    segmentation_cases,
)

RULES = Rules()


def _compare(folder: Path, rules: Rules = RULES):
    (contest,), _ = read_contests(folder)
    return compare(contest, contest.arm("scratch"), contest.arm("unified"), rules)


def test_two_arms_are_compared_by_the_tests_of_scipy(tmp_path):
    make_pair(tmp_path)
    one = _compare(tmp_path)
    assert one.difference == pytest.approx(
        np.mean(UNIFIED_DICE) - np.mean(SCRATCH_DICE)
    )
    welch = stats.ttest_ind(UNIFIED_DICE, SCRATCH_DICE, equal_var=False)
    assert one.test.p_value == pytest.approx(welch.pvalue, rel=1e-9)
    interval = welch.confidence_interval(0.95)
    assert (one.interval.low, one.interval.high) == pytest.approx(tuple(interval))
    paired = stats.ttest_rel(UNIFIED_DICE, SCRATCH_DICE)
    assert one.paired.p_value == pytest.approx(paired.pvalue, rel=1e-9)
    assert one.patients is None
    assert "scores.csv" in one.patients_note


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules("pooled"), stats.ttest_ind(UNIFIED_DICE, SCRATCH_DICE).pvalue),
        (Rules("paired"), stats.ttest_rel(UNIFIED_DICE, SCRATCH_DICE).pvalue),
        (Rules("wilcoxon"), stats.wilcoxon(UNIFIED_DICE, SCRATCH_DICE).pvalue),
        (
            Rules("welch", "one-sided"),
            stats.ttest_ind(
                UNIFIED_DICE, SCRATCH_DICE, equal_var=False, alternative="greater"
            ).pvalue,
        ),
    ],
)
def test_the_rules_choose_the_test(tmp_path, rules, expected):
    make_pair(tmp_path)
    assert _compare(tmp_path, rules).test.p_value == pytest.approx(expected, rel=1e-9)


def test_the_interval_belongs_to_the_test_of_pairs(tmp_path):
    make_pair(tmp_path)
    one = _compare(tmp_path, Rules("paired"))
    expected = stats.ttest_rel(UNIFIED_DICE, SCRATCH_DICE).confidence_interval(0.95)
    assert (one.interval.low, one.interval.high) == pytest.approx(tuple(expected))
    assert one.interval.method == "t interval"
    welch = stats.ttest_ind(UNIFIED_DICE, SCRATCH_DICE, equal_var=False)
    assert one.welch.p_value == pytest.approx(welch.pvalue, rel=1e-9)
    assert (one.interval.low > 0) == (one.test.p_value < 0.05)


def test_the_interval_is_welchs_if_a_trial_has_no_partner(tmp_path):
    make_run(tmp_path / "scratch", [0.5, 0.6, 0.8])
    make_run(tmp_path / "unified", [0.7, 0.9, 0.8, 0.6], "unified")
    one = _compare(tmp_path, Rules("paired"))
    assert one.test.n_first == 3
    assert one.interval == _compare(tmp_path).interval


def test_pairs_that_all_differ_by_the_same_have_no_interval(tmp_path):
    make_run(tmp_path / "scratch", [0.5, 0.6, 0.8])
    make_run(tmp_path / "unified", [0.6, 0.7, 0.9], "unified")
    one = _compare(tmp_path, Rules("paired"))
    assert (one.test, one.interval) == (None, None)


def test_a_smaller_distance_is_the_better_one(tmp_path):
    make_run(tmp_path / "scratch", [3.0, 3.2, 3.1], metric="hd95_mm_mean")
    make_run(tmp_path / "unified", [2.0, 2.1, 2.3], "unified", metric="hd95_mm_mean")
    one = _compare(tmp_path, Rules(sides="one-sided"))
    assert one.difference < 0
    assert one.test.p_value < 0.01


def test_trials_of_other_seeds_do_not_pair_up(tmp_path):
    make_run(tmp_path / "scratch", SCRATCH_DICE, seed=0)
    make_run(tmp_path / "unified", UNIFIED_DICE, "unified", seed=1)
    one = _compare(tmp_path)
    assert one.paired is None
    assert one.test is not None
    assert _compare(tmp_path, Rules("paired")).test is None


def test_trials_that_have_a_partner_pair_up(tmp_path):
    make_run(tmp_path / "scratch", SCRATCH_DICE)
    make_run(tmp_path / "unified", UNIFIED_DICE[:3], "unified")
    one = _compare(tmp_path)
    paired = stats.ttest_rel(UNIFIED_DICE[:3], SCRATCH_DICE[:3])
    assert one.paired.p_value == pytest.approx(paired.pvalue, rel=1e-9)
    assert one.paired.n_first == 3


def test_means_that_differ_without_spread_have_no_test_and_no_interval(tmp_path):
    make_run(tmp_path / "scratch", [0.5, 0.5])
    make_run(tmp_path / "unified", [0.6, 0.6], "unified")
    one = _compare(tmp_path)
    assert one.test is one.paired is one.interval is None
    assert one.test_note == "scores that differ without any spread between trials"


def test_one_trial_gives_no_test_and_no_interval(tmp_path):
    make_run(tmp_path / "scratch", SCRATCH_DICE[:1])
    make_run(tmp_path / "unified", UNIFIED_DICE[:1], "unified")
    one = _compare(tmp_path)
    assert (one.test, one.paired, one.interval) == (None, None, None)
    assert math.isnan(one.effect_size)
    assert one.difference == pytest.approx(UNIFIED_DICE[0] - SCRATCH_DICE[0])


def test_pre_trainings_that_differ_in_their_seed_are_one_arm(tmp_path):
    make_run(tmp_path / "scratch", SCRATCH_DICE)
    for seed in range(2):
        folder = make_run(tmp_path / f"unified_{seed}", UNIFIED_DICE, "unified")
        text = (folder / "results.json").read_text()
        text = text.replace("weights unified", f"weights {seed}")
        (folder / "results.json").write_text(text)
    one = _compare(tmp_path)
    assert one.arm.pretrainings == 2
    assert len(one.arm.trials) == 8
    # Trials of one pre-training are no independent draws: each counts by their mean.
    assert one.arm.scores == pytest.approx([np.mean(UNIFIED_DICE)] * 2)
    assert (one.test.n_first, one.test.n_second) == (2, 4)
    assert one.paired is None  # two trials share each seed and number
    assert "n is their number" in how_to_read([one])
    assert "spread over" not in how_to_read([one])


def test_trials_spread_over_pre_trainings_count_one_by_one_and_pair_up(tmp_path):
    for seed in range(2):
        own = slice(2 * seed, 2 * seed + 2)
        make_run(tmp_path / f"scratch_{seed}", SCRATCH_DICE[own], seed=seed)
        folder = tmp_path / f"unified_{seed}"
        make_run(folder, UNIFIED_DICE[own], "unified", seed=seed)
        text = (folder / "results.json").read_text()
        text = text.replace("weights unified", f"weights {seed}")
        (folder / "results.json").write_text(text)
    one = _compare(tmp_path)
    assert one.arm.pretrainings == 2 and one.arm.is_spread
    assert one.arm.scores == tuple(UNIFIED_DICE)
    paired = stats.ttest_rel(UNIFIED_DICE, SCRATCH_DICE)
    assert one.paired.p_value == pytest.approx(paired.pvalue, rel=1e-9)
    gains = np.subtract(UNIFIED_DICE, SCRATCH_DICE).reshape(2, 2).mean(axis=1)
    (line,) = [
        line for line in how_to_read([one]).splitlines() if "spread over" in line
    ]
    assert line.endswith(f"unified: {gains[0]:+.3f}, {gains[1]:+.3f}")


def test_p_values_are_corrected_over_the_tasks_of_an_arm(tmp_path):
    for task, gain in (("a", 0.06), ("b", 0.02), ("c", 0.01)):
        manifest = f"{task}/cases.csv"
        make_run(tmp_path / task / "scratch", SCRATCH_DICE, manifest=manifest)
        scores = [score + gain for score in SCRATCH_DICE]
        make_run(tmp_path / task / "unified", scores, "unified", manifest=manifest)
    scores = [score + 0.05 for score in SCRATCH_DICE]
    make_run(tmp_path / "d", scores, "painting", manifest="a/cases.csv")
    contests, _ = read_contests(tmp_path)
    found = adjust(
        [
            compare(contest, contest.arm("scratch"), arm, Rules())
            for contest in contests
            for arm in contest.arms[1:]
        ],
        RULES,
    )
    found = {(c.contest.title[0], c.arm.label): c for c in found}
    p = {key: one.test.p_value for key, one in found.items()}
    adjusted = {key: one.adjusted_p for key, one in found.items()}
    assert adjusted["a", "painting"] == p["a", "painting"]  # tested on one task
    assert adjusted["a", "unified"] == pytest.approx(3 * p["a", "unified"])
    second = min(1, 2 * p["b", "unified"])
    assert adjusted["b", "unified"] == pytest.approx(second)
    assert adjusted["c", "unified"] == pytest.approx(max(second, p["c", "unified"]))


@pytest.mark.parametrize(("family", "tests"), [("share", 1), ("all", 2)])
def test_a_family_may_span_shares_of_the_labels(tmp_path, family, tests):
    for task, share in (("a", 0.05), ("b", 0.1)):
        settings = {"manifest": f"{task}/cases.csv", "train_fraction": share}
        make_run(tmp_path / task / "scratch", SCRATCH_DICE, **settings)
        make_run(tmp_path / task / "unified", UNIFIED_DICE, "unified", **settings)
    contests, _ = read_contests(tmp_path)
    rules = Rules(family=family)
    found = adjust([compare(c, *c.arms, rules) for c in contests], rules)
    assert len(found) == 2 and found[0].test.p_value < 0.5
    for one in found:
        assert one.adjusted_p == pytest.approx(tests * one.test.p_value)


def test_pairs_of_arms_are_corrected_apart_by_their_reference(tmp_path):
    for task, gain in (("a", 0.06), ("b", 0.02)):
        manifest = f"{task}/cases.csv"
        make_run(tmp_path / task / "scratch", SCRATCH_DICE, manifest=manifest)
        make_run(
            tmp_path / task / "painting", UNIFIED_DICE, "painting", manifest=manifest
        )
        scores = [score + gain for score in SCRATCH_DICE]
        make_run(tmp_path / task / "unified", scores, "unified", manifest=manifest)
    contests, _ = read_contests(tmp_path)
    pairs = [
        compare_trials(contest, contest.arm(reference), contest.arm("unified"), RULES)
        for contest in contests
        for reference in ("scratch", "painting")
    ]
    for reference in ("scratch", "painting"):
        own = [one for one in adjust(pairs, RULES) if one.reference.label == reference]
        raw = sorted(one.test.p_value for one in own)
        expected = [min(1, 2 * raw[0]), max(min(1, 2 * raw[0]), raw[1])]
        assert sorted(one.adjusted_p for one in own) == pytest.approx(expected)


def test_tests_that_cannot_be_done_have_no_adjusted_p(tmp_path):
    make_pair(tmp_path)
    test = _compare(tmp_path).test
    families = [("x",), ("x",), ("x",), ("y",)]
    p = test.p_value
    adjusted = adjust_tests([test, None, test, test], families)
    assert adjusted == [pytest.approx(2 * p), None, pytest.approx(2 * p), p]
    assert adjust_tests([None], [("x",)]) == [None]


def test_trials_alone_give_the_same_but_for_the_patients(tmp_path):
    make_pair(tmp_path)
    whole = _compare(tmp_path)
    arms = whole.reference, whole.arm
    alone = compare_trials(whole.contest, *arms, RULES)
    assert alone == dataclasses.replace(whole, patients_note="")
    assert whole.patients_note != ""


def test_patients_are_drawn_for_both_arms_alike(tmp_path):
    rng = np.random.default_rng(0)
    base = [segmentation_cases(rng, 0.7) for _ in range(3)]
    better = [
        [row | {"dice_lesion": row["dice_lesion"] + 0.05} for row in rows]
        for rows in base
    ]
    means = [np.mean([row["dice_lesion"] for row in rows]) for rows in base]
    make_run(tmp_path / "scratch", means, cases=base)
    make_run(tmp_path / "unified", [m + 0.05 for m in means], "unified", cases=better)
    one = _compare(tmp_path, Rules(resamples=200))
    assert one.patients_note == ""
    # Every case gains the same, so that no draw of patients changes the gain.
    assert (one.patients.low, one.patients.high) == pytest.approx((0.05, 0.05))
    assert one.patients.n == 50


def test_a_test_without_comparison_is_the_same(tmp_path):
    make_pair(tmp_path)
    (contest,), _ = read_contests(tmp_path)
    arms = contest.arm("scratch"), contest.arm("unified")
    assert comparisons.test_arms(contest, *arms, Rules()) == _compare(tmp_path).test
