"""Which runs meet, what is kept out, and that the numbers are SciPy's."""

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
    find_contests,
)
from models_genesis_tf.experiments.run_results import read_runs
from tests.run_folders import make_run, segmentation_cases

SCRATCH = [0.70, 0.74, 0.69, 0.71]
RULES = Rules()
UNIFIED = [0.75, 0.78, 0.74, 0.79]


def _contests(folder: Path):
    runs, left_out = read_runs([folder])
    contests, differing = find_contests(runs)
    return contests, left_out + differing


def _pair(folder: Path, **settings):
    make_run(folder / "scratch", SCRATCH, **settings)
    make_run(folder / "unified", UNIFIED, "unified", **settings)


def _compare(folder: Path, rules: Rules = RULES):
    (contest,), _ = _contests(folder)
    return compare(contest, contest.arm("scratch"), contest.arm("unified"), rules)


def test_two_arms_are_compared_by_the_tests_of_scipy(tmp_path):
    _pair(tmp_path)
    one = _compare(tmp_path)
    assert one.difference == pytest.approx(np.mean(UNIFIED) - np.mean(SCRATCH))
    welch = stats.ttest_ind(UNIFIED, SCRATCH, equal_var=False)
    assert one.test.p_value == pytest.approx(welch.pvalue, rel=1e-9)
    interval = welch.confidence_interval(0.95)
    assert (one.interval.low, one.interval.high) == pytest.approx(tuple(interval))
    paired = stats.ttest_rel(UNIFIED, SCRATCH)
    assert one.paired.p_value == pytest.approx(paired.pvalue, rel=1e-9)
    assert one.patients is None
    assert "scores.csv" in one.patients_note


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules("pooled"), stats.ttest_ind(UNIFIED, SCRATCH).pvalue),
        (Rules("paired"), stats.ttest_rel(UNIFIED, SCRATCH).pvalue),
        (Rules("wilcoxon"), stats.wilcoxon(UNIFIED, SCRATCH).pvalue),
        (
            Rules("welch", "one-sided"),
            stats.ttest_ind(
                UNIFIED, SCRATCH, equal_var=False, alternative="greater"
            ).pvalue,
        ),
    ],
)
def test_the_rules_choose_the_test(tmp_path, rules, expected):
    _pair(tmp_path)
    assert _compare(tmp_path, rules).test.p_value == pytest.approx(expected, rel=1e-9)


def test_a_smaller_distance_is_the_better_one(tmp_path):
    make_run(tmp_path / "scratch", [3.0, 3.2, 3.1], metric="hd95_mm_mean")
    make_run(tmp_path / "unified", [2.0, 2.1, 2.3], "unified", metric="hd95_mm_mean")
    one = _compare(tmp_path, Rules(sides="one-sided"))
    assert one.difference < 0
    assert one.test.p_value < 0.01


def test_trials_of_other_seeds_do_not_pair_up(tmp_path):
    make_run(tmp_path / "scratch", SCRATCH, seed=0)
    make_run(tmp_path / "unified", UNIFIED, "unified", seed=1)
    one = _compare(tmp_path)
    assert one.paired is None
    assert one.test is not None
    assert _compare(tmp_path, Rules("paired")).test is None


def test_trials_that_have_a_partner_pair_up(tmp_path):
    make_run(tmp_path / "scratch", SCRATCH)
    make_run(tmp_path / "unified", UNIFIED[:3], "unified")
    one = _compare(tmp_path)
    paired = stats.ttest_rel(UNIFIED[:3], SCRATCH[:3])
    assert one.paired.p_value == pytest.approx(paired.pvalue, rel=1e-9)
    assert one.paired.n_first == 3


def test_means_that_differ_without_spread_have_no_test_and_no_interval(tmp_path):
    make_run(tmp_path / "scratch", [0.5, 0.5])
    make_run(tmp_path / "unified", [0.6, 0.6], "unified")
    one = _compare(tmp_path)
    assert one.test is one.paired is one.interval is None
    assert one.test_note == "scores that differ without any spread between trials"


def test_runs_that_can_be_compared_with_scratch_are_kept_before_a_majority(tmp_path):
    _pair(tmp_path, epochs=50)
    for scheme in ("painting", "distortion", "nonlinear"):
        make_run(tmp_path / scheme, UNIFIED, scheme, epochs=200)
    (contest,), left_out = _contests(tmp_path)
    assert [arm.label for arm in contest.arms] == ["scratch", "unified"]
    assert len(left_out) == 3


def test_one_trial_gives_no_test_and_no_interval(tmp_path):
    make_run(tmp_path / "scratch", SCRATCH[:1])
    make_run(tmp_path / "unified", UNIFIED[:1], "unified")
    one = _compare(tmp_path)
    assert (one.test, one.paired, one.interval) == (None, None, None)
    assert math.isnan(one.effect_size)
    assert one.difference == pytest.approx(UNIFIED[0] - SCRATCH[0])


def test_runs_of_one_arm_and_several_seeds_are_one_arm(tmp_path):
    make_run(tmp_path / "a", SCRATCH[:2], seed=0)
    make_run(tmp_path / "b", SCRATCH[2:], seed=1)
    (contest,), left_out = _contests(tmp_path)
    assert left_out == []
    (arm,) = contest.arms
    assert arm.scores == tuple(SCRATCH)
    assert len(arm.by_key()) == 4


def test_a_trial_that_was_done_twice_counts_once(tmp_path):
    make_run(tmp_path / "a", SCRATCH)
    make_run(tmp_path / "b", [0.1])
    (contest,), left_out = _contests(tmp_path)
    assert contest.arms[0].scores == tuple(SCRATCH)
    ((what, reason),) = [(one.what, one.reason) for one in left_out]
    assert what == str(tmp_path / "b" / "trial_0")
    assert reason == f"is the same trial as {tmp_path / 'a' / 'trial_0'}"


def test_pre_trainings_that_differ_in_their_seed_are_one_arm(tmp_path):
    make_run(tmp_path / "scratch", SCRATCH)
    for seed in range(2):
        folder = make_run(tmp_path / f"unified_{seed}", UNIFIED, "unified")
        text = (folder / "results.json").read_text()
        text = text.replace("weights unified", f"weights {seed}")
        (folder / "results.json").write_text(text)
    one = _compare(tmp_path)
    assert one.arm.pretrainings == 2
    assert len(one.arm.trials) == 8
    # Trials of one pre-training are no independent draws: each counts by their mean.
    assert one.arm.scores == pytest.approx([np.mean(UNIFIED)] * 2)
    assert (one.test.n_first, one.test.n_second) == (2, 4)
    assert one.paired is None  # two trials share each seed and number


def test_pre_trainings_on_other_data_are_other_arms_and_told_apart(tmp_path):
    for name in ("ct", "mr"):
        run = make_run(tmp_path / name, UNIFIED, "unified", recipe=name)
        text = (run / "results.json").read_text()
        text = text.replace("pretrain_unified", f"pretrain_{name}")
        (run / "results.json").write_text(text)
    (contest,), _ = _contests(tmp_path)
    labels = [arm.label for arm in contest.arms]
    assert labels == ["unified (pretrain_ct)", "unified (pretrain_mr)"]


def test_arms_stand_in_the_order_of_the_paper(tmp_path):
    for scheme in ("unified", "mine", "painting", "scratch", "distortion", "nonlinear"):
        make_run(tmp_path / scheme, SCRATCH, scheme)
    (contest,), _ = _contests(tmp_path)
    assert [arm.label for arm in contest.arms] == [
        *("scratch", "nonlinear", "distortion", "painting", "unified", "mine")
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"learning_rate": 0.01}, "learning_rate (0.01, not 0.001)"),
        ({"epochs": 9}, "epochs (9, not 200)"),
        ({"results": {"split_sha256": "other"}}, "the split of the cases"),
        ({"results": {"base_filters": 16}}, "base_filters (16, not 8)"),
        ({"record": {"data_fingerprint": "x"}}, "the cases or their labels"),
        (
            {"record": {"precision": "mixed_bfloat16"}},
            "precision (mixed_bfloat16, not float32)",
        ),
    ],
)
def test_a_run_that_differs_in_more_than_its_start_is_kept_out(
    tmp_path, change, reason
):
    _pair(tmp_path)
    make_run(tmp_path / "painting", [0.9, 0.9], "painting", **change)
    (contest,), left_out = _contests(tmp_path)
    assert [arm.label for arm in contest.arms] == ["scratch", "unified"]
    assert [(one.what, one.reason) for one in left_out] == [
        (
            str(tmp_path / "painting"),
            f"differs from the runs it belongs with in {reason}",
        )
    ]


def test_a_rate_that_is_given_is_the_optimizers_own(tmp_path):
    make_run(tmp_path / "scratch", SCRATCH)
    make_run(tmp_path / "unified", UNIFIED, "unified", learning_rate=1e-3)
    assert len(_contests(tmp_path)[0][0].arms) == 2


@pytest.mark.parametrize(
    "settings", [{"strategy": "mirrored"}, {"checkpoint_every": 5}, {"trials": 9}]
)
def test_how_a_run_was_computed_is_no_difference(tmp_path, settings):
    make_run(tmp_path / "scratch", SCRATCH)
    make_run(tmp_path / "unified", UNIFIED, "unified", **settings)
    assert len(_contests(tmp_path)[0][0].arms) == 2


def test_a_trial_on_other_cases_is_kept_out(tmp_path):
    _pair(tmp_path)
    path = tmp_path / "unified" / "results.json"
    path.write_text(path.read_text().replace('"1.0 2"', '"other"'))
    (contest,), left_out = _contests(tmp_path)
    assert contest.arm("unified").scores == (UNIFIED[0], UNIFIED[1], UNIFIED[3])
    assert [(one.what, one.reason) for one in left_out] == [
        (
            str(tmp_path / "unified" / "trial_2"),
            "trained on other cases than the same trial of other arms",
        )
    ]


def test_tasks_metrics_shares_and_synthetic_runs_never_meet(tmp_path):
    make_run(tmp_path / "a", [0.5])
    make_run(tmp_path / "b", [0.5], train_fraction=0.3)
    make_run(tmp_path / "c", [0.5], results={"synthetic": True})
    make_run(tmp_path / "d", [0.5], metric="auc")
    make_run(tmp_path / "e", [0.5], manifest="other/cases.csv")
    make_run(tmp_path / "f", [0.5], score_split="valid")
    make_run(tmp_path / "g", [0.5], results={"dimension": 2})
    contests, left_out = _contests(tmp_path)
    assert left_out == []
    assert sorted(len(contest.arms[0].trials) for contest in contests) == [1] * 7
    assert [contest.run.synthetic for contest in contests] == [False] * 6 + [True]
    alike = [c for c in contests if c.run.data == "lesions/cases.csv"]
    shares = [c.run.train_fraction for c in alike if c.run.metric == "dice_mean"]
    assert shares[:2] == [1.0, 1.0]
    assert 0.3 in shares


def test_p_values_are_corrected_over_the_tasks_of_an_arm(tmp_path):
    for task, gain in (("a", 0.06), ("b", 0.02), ("c", 0.01)):
        manifest = f"{task}/cases.csv"
        make_run(tmp_path / task / "scratch", SCRATCH, manifest=manifest)
        scores = [score + gain for score in SCRATCH]
        make_run(tmp_path / task / "unified", scores, "unified", manifest=manifest)
    scores = [score + 0.05 for score in SCRATCH]
    make_run(tmp_path / "d", scores, "painting", manifest="a/cases.csv")
    contests, _ = _contests(tmp_path)
    found = adjust(
        [
            compare(contest, contest.arm("scratch"), arm, Rules())
            for contest in contests
            for arm in contest.arms[1:]
        ]
    )
    found = {(c.contest.title[0], c.arm.label): c for c in found}
    p = {key: one.test.p_value for key, one in found.items()}
    adjusted = {key: one.adjusted_p for key, one in found.items()}
    assert adjusted["a", "painting"] == p["a", "painting"]  # tested on one task
    assert adjusted["a", "unified"] == pytest.approx(3 * p["a", "unified"])
    second = min(1, 2 * p["b", "unified"])
    assert adjusted["b", "unified"] == pytest.approx(second)
    assert adjusted["c", "unified"] == pytest.approx(max(second, p["c", "unified"]))


def test_pairs_of_arms_are_corrected_apart_by_their_reference(tmp_path):
    for task, gain in (("a", 0.06), ("b", 0.02)):
        manifest = f"{task}/cases.csv"
        make_run(tmp_path / task / "scratch", SCRATCH, manifest=manifest)
        make_run(tmp_path / task / "painting", UNIFIED, "painting", manifest=manifest)
        scores = [score + gain for score in SCRATCH]
        make_run(tmp_path / task / "unified", scores, "unified", manifest=manifest)
    contests, _ = _contests(tmp_path)
    pairs = [
        compare_trials(contest, contest.arm(reference), contest.arm("unified"), RULES)
        for contest in contests
        for reference in ("scratch", "painting")
    ]
    for reference in ("scratch", "painting"):
        own = [one for one in adjust(pairs) if one.reference.label == reference]
        raw = sorted(one.test.p_value for one in own)
        expected = [min(1, 2 * raw[0]), max(min(1, 2 * raw[0]), raw[1])]
        assert sorted(one.adjusted_p for one in own) == pytest.approx(expected)


def test_tests_that_cannot_be_done_have_no_adjusted_p(tmp_path):
    _pair(tmp_path)
    test = _compare(tmp_path).test
    families = [("x",), ("x",), ("x",), ("y",)]
    p = test.p_value
    adjusted = adjust_tests([test, None, test, test], families)
    assert adjusted == [pytest.approx(2 * p), None, pytest.approx(2 * p), p]
    assert adjust_tests([None], [("x",)]) == [None]


def test_trials_alone_give_the_same_but_for_the_patients(tmp_path):
    _pair(tmp_path)
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
    _pair(tmp_path)
    (contest,), _ = _contests(tmp_path)
    arms = contest.arm("scratch"), contest.arm("unified")
    assert comparisons.test_arms(contest, *arms, Rules()) == _compare(tmp_path).test
