"""Which runs meet, and what is kept out."""

import pytest

from tests.run_folders import (
    SCRATCH_DICE,
    UNIFIED_DICE,
    make_pair,
    make_run,
    read_contests,
)


def test_runs_that_can_be_compared_with_scratch_are_kept_before_a_majority(tmp_path):
    make_pair(tmp_path, epochs=50)
    for scheme in ("painting", "distortion", "nonlinear"):
        make_run(tmp_path / scheme, UNIFIED_DICE, scheme, epochs=200)
    (contest,), left_out = read_contests(tmp_path)
    assert [arm.label for arm in contest.arms] == ["scratch", "unified"]
    assert len(left_out) == 3


def test_runs_of_one_arm_and_several_seeds_are_one_arm(tmp_path):
    make_run(tmp_path / "a", SCRATCH_DICE[:2], seed=0)
    make_run(tmp_path / "b", SCRATCH_DICE[2:], seed=1)
    (contest,), left_out = read_contests(tmp_path)
    assert left_out == []
    (arm,) = contest.arms
    assert arm.scores == tuple(SCRATCH_DICE)
    assert len(arm.by_key()) == 4


def test_a_trial_that_was_done_twice_counts_once(tmp_path):
    make_run(tmp_path / "a", SCRATCH_DICE)
    make_run(tmp_path / "b", [0.1])
    (contest,), left_out = read_contests(tmp_path)
    assert contest.arms[0].scores == tuple(SCRATCH_DICE)
    ((what, reason),) = [(one.what, one.reason) for one in left_out]
    assert what == str(tmp_path / "b" / "trial_0")
    assert reason == f"is the same trial as {tmp_path / 'a' / 'trial_0'}"


def test_pre_trainings_on_other_data_are_other_arms_and_told_apart(tmp_path):
    for name in ("ct", "mr"):
        run = make_run(tmp_path / name, UNIFIED_DICE, "unified", recipe=name)
        text = (run / "results.json").read_text()
        text = text.replace("pretrain_unified", f"pretrain_{name}")
        (run / "results.json").write_text(text)
    (contest,), _ = read_contests(tmp_path)
    labels = [arm.label for arm in contest.arms]
    assert labels == ["unified (pretrain_ct)", "unified (pretrain_mr)"]


def test_an_arm_of_several_seeds_is_called_by_what_their_names_share(tmp_path):
    for kind in ("ct", "mr"):
        for seed in range(2):
            folder = tmp_path / f"{kind}_{seed}"
            name = f"genesis_{kind}_{seed}"
            make_run(folder, [0.7], "unified", recipe=kind, name=name, seed=seed)
    (contest,), _ = read_contests(tmp_path)
    labels = [arm.label for arm in contest.arms]
    assert labels == ["unified (genesis_ct)", "unified (genesis_mr)"]


def test_arms_stand_in_the_order_of_the_paper(tmp_path):
    for scheme in ("unified", "mine", "painting", "scratch", "distortion", "nonlinear"):
        make_run(tmp_path / scheme, SCRATCH_DICE, scheme)
    (contest,), _ = read_contests(tmp_path)
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
    make_pair(tmp_path)
    make_run(tmp_path / "painting", [0.9, 0.9], "painting", **change)
    (contest,), left_out = read_contests(tmp_path)
    assert [arm.label for arm in contest.arms] == ["scratch", "unified"]
    assert [(one.what, one.reason) for one in left_out] == [
        (
            str(tmp_path / "painting"),
            f"differs from the runs it belongs with in {reason}",
        )
    ]


def test_a_rate_that_is_given_is_the_optimizers_own(tmp_path):
    make_run(tmp_path / "scratch", SCRATCH_DICE)
    make_run(tmp_path / "unified", UNIFIED_DICE, "unified", learning_rate=1e-3)
    assert len(read_contests(tmp_path)[0][0].arms) == 2


@pytest.mark.parametrize(
    "settings", [{"strategy": "mirrored"}, {"checkpoint_every": 5}, {"trials": 9}]
)
def test_how_a_run_was_computed_is_no_difference(tmp_path, settings):
    make_run(tmp_path / "scratch", SCRATCH_DICE)
    make_run(tmp_path / "unified", UNIFIED_DICE, "unified", **settings)
    assert len(read_contests(tmp_path)[0][0].arms) == 2


def test_a_trial_on_other_cases_is_kept_out(tmp_path):
    make_pair(tmp_path)
    path = tmp_path / "unified" / "results.json"
    path.write_text(path.read_text().replace('"1.0 2"', '"other"'))
    (contest,), left_out = read_contests(tmp_path)
    assert contest.arm("unified").scores == (
        UNIFIED_DICE[0],
        UNIFIED_DICE[1],
        UNIFIED_DICE[3],
    )
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
    contests, left_out = read_contests(tmp_path)
    assert left_out == []
    assert sorted(len(contest.arms[0].trials) for contest in contests) == [1] * 7
    assert [contest.run.synthetic for contest in contests] == [False] * 6 + [True]
    alike = [c for c in contests if c.run.data == "lesions/cases.csv"]
    shares = [c.run.train_fraction for c in alike if c.run.metric == "dice_mean"]
    assert shares[:2] == [1.0, 1.0]
    assert 0.3 in shares
