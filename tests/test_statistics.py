"""Tests, intervals and corrections against SciPy, closed forms and their coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation import statistics
from models_genesis_tf.evaluation.statistics import (
    MIN_PATIENTS,
    SCOPE_NOTE,
    Summary,
    bootstrap_interval,
    difference_interval,
    effect_size,
    holm_correction,
    paired_test,
    pooled_test,
    significance_mark,
    summarise,
    t_interval,
    welch_test,
    wilcoxon_test,
)

SIDES = ("two-sided", "greater", "less")
TESTS = (welch_test, pooled_test, paired_test, wilcoxon_test)
INDEPENDENT = (welch_test, pooled_test)


@pytest.fixture
def arms(rng):
    """Scores of ten trials of two arms, the first better and steadier."""
    return rng.normal(0.85, 0.01, 10), rng.normal(0.83, 0.03, 10)


def test_summary_of_trials():
    assert summarise([1, 2, 4, 5]) == Summary(3.0, pytest.approx(math.sqrt(10 / 3)), 4)
    single = summarise([0.8])
    assert (single.mean, single.n) == (0.8, 1)
    assert math.isnan(single.sd)


def test_equal_scores_have_no_spread_by_rounding():
    assert np.std([0.8] * 3) > 0
    assert summarise([0.8] * 3) == Summary(0.8, 0.0, 3)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("n", [2, 3, 10])
def test_independent_tests_are_those_of_scipy(rng, n, side):
    first, second = rng.random(n), rng.random(10) + 0.1
    for test, equal_var in ((welch_test, False), (pooled_test, True)):
        expected = stats.ttest_ind(first, second, equal_var=equal_var, alternative=side)
        result = test(first, second, side)
        assert result.statistic == pytest.approx(expected.statistic, rel=1e-9)
        assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)
        assert result.degrees_of_freedom == pytest.approx(expected.df, rel=1e-9)
        assert result.difference == pytest.approx(first.mean() - second.mean())
        assert (result.n_first, result.n_second) == (n, 10)


@pytest.mark.parametrize("side", SIDES)
def test_paired_test_is_that_of_scipy(arms, side):
    expected = stats.ttest_rel(*arms, alternative=side)
    result = paired_test(*arms, side)
    assert result.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert result.degrees_of_freedom == expected.df == 9
    assert result.difference == pytest.approx(np.mean(arms[0]) - np.mean(arms[1]))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("n", [5, 10, 60])
def test_wilcoxon_test_is_that_of_scipy(rng, n, side):
    first, second = rng.random(n) + 0.1, rng.random(n)
    expected = stats.wilcoxon(first, second, alternative=side)
    result = wilcoxon_test(first, second, side)
    assert (result.statistic, result.p_value) == tuple(expected)
    assert result.degrees_of_freedom is None


def test_wilcoxon_p_of_pairs_that_all_agree_is_a_share_of_signs():
    # Of the 2**5 ways to sign five differences one has them all positive.
    first, second = [0.6, 0.7, 0.8, 0.85, 0.99], [0.5, 0.5, 0.5, 0.5, 0.5]
    assert wilcoxon_test(first, second, "greater").p_value == 1 / 32
    assert wilcoxon_test(first, second).p_value == 2 / 32
    assert wilcoxon_test(first, second, "less").p_value == 1.0


def test_wilcoxon_test_sees_ties_through_rounding():
    # The first two pairs differ by 0.1 and by 0.1 in decimals, not in binary.
    first, second = [0.9, 0.8, 0.5], [0.8, 0.7, 0.8]
    assert first[0] - second[0] != first[1] - second[1]
    # Ranks 1.5, 1.5 and -3: of the 8 ways to sign them 5 have a sum of 3 or more.
    assert wilcoxon_test(first, second, "greater").statistic == 3.0
    assert wilcoxon_test(first, second, "greater").p_value == 5 / 8


@pytest.mark.parametrize("test", TESTS)
def test_swapping_the_arms_swaps_the_sides(arms, test):
    first, second = arms
    two, back = test(first, second), test(second, first)
    assert two.p_value == pytest.approx(back.p_value, rel=1e-12)
    assert two.difference == pytest.approx(-back.difference, rel=1e-12)
    greater = test(first, second, "greater")
    less = test(second, first, "less")
    assert greater.p_value == pytest.approx(less.p_value, rel=1e-12)
    assert greater.p_value == pytest.approx(two.p_value / 2, rel=1e-12)


@pytest.mark.parametrize("test", (welch_test, pooled_test, paired_test))
def test_the_two_one_sided_p_values_sum_to_one(arms, test):
    both = test(*arms, "greater").p_value + test(*arms, "less").p_value
    assert both == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("test", INDEPENDENT)
def test_a_summary_stands_for_its_scores(arms, test):
    first, second = arms
    assert test(summarise(first), second) == test(first, summarise(second))
    assert test(summarise(first), summarise(second)) == test(list(first), list(second))
    assert effect_size(summarise(first), second) == effect_size(first, second)
    assert t_interval(summarise(first)) == t_interval(first)
    assert difference_interval(first, summarise(second)) == difference_interval(*arms)


def test_welch_and_pooled_agree_where_spreads_and_numbers_do():
    first, second = Summary(0.9, 0.02, 10), Summary(0.88, 0.02, 10)
    welch, pooled = welch_test(first, second), pooled_test(first, second)
    assert welch.p_value == pytest.approx(pooled.p_value, rel=1e-12)
    assert welch.degrees_of_freedom == pytest.approx(18)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("side", SIDES)
def test_the_same_score_in_every_trial_gives_a_p_of_one(test, side):
    result = test([0.8] * 3, [0.8] * 3, side)
    assert (result.p_value, result.statistic, result.difference) == (1.0, 0.0, 0.0)
    assert result.degrees_of_freedom is None


@pytest.mark.parametrize("test", (welch_test, pooled_test, paired_test))
def test_a_difference_without_any_spread_has_no_t_test(test):
    with pytest.raises(InputError, match="Received: difference=0.5, no spread"):
        test([1.0] * 3, [0.5] * 3)


def test_pairs_that_differ_by_the_same_up_to_rounding_have_no_t_test():
    with pytest.raises(InputError, match="Received: difference=0.1, no spread"):
        paired_test([0.9, 0.8, 0.4], [0.8, 0.7, 0.3])


def test_one_arm_without_spread_is_tested_against_the_other():
    result = welch_test([0.8] * 4, [0.7, 0.75, 0.8])
    assert result.degrees_of_freedom == pytest.approx(2)
    expected = stats.ttest_1samp([0.7, 0.75, 0.8], 0.8)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)


def test_tests_say_what_they_are(arms):
    first, second = arms
    assert welch_test(first, second[:7]).describe() == (
        "two-sided Welch t-test, 10 against 7 trials"
    )
    assert pooled_test(first, second, "less").describe() == (
        "one-sided pooled t-test, 10 against 10 trials"
    )
    assert paired_test(first, second).describe() == (
        "two-sided paired t-test, 10 pairs of trials"
    )
    assert wilcoxon_test(first, second, "greater").describe() == (
        "one-sided Wilcoxon signed-rank test, 10 pairs of trials"
    )


@pytest.mark.parametrize("test", TESTS)
def test_malformed_trials_are_refused(test):
    with pytest.raises(InputError, match="Received: 1 (with the mean 0.5|and 1)"):
        test([0.5], [0.6])
    with pytest.raises(InputError, match="finite. Received: scores=nan"):
        test([0.5, math.nan], [0.5, 0.6])
    with pytest.raises(InputError, match=r"Received: scores of .* shape \(0,\)"):
        test([0.5, 0.6], [])
    with pytest.raises(InputError, match=r"Received: scores=\(2, 2\)"):
        test([[0.5, 0.6], [0.5, 0.6]], [0.5, 0.6])
    with pytest.raises(InputError, match="less. Received: alternative='larger'"):
        test([0.5, 0.6], [0.5, 0.7], "larger")


@pytest.mark.parametrize("test", (paired_test, wilcoxon_test))
def test_trials_without_a_partner_are_refused(test):
    with pytest.raises(InputError, match="Received: 3 and 2"):
        test([0.5, 0.6, 0.7], [0.5, 0.6])


@pytest.mark.parametrize("sd", [math.nan, -1.0, math.inf])
def test_malformed_summaries_are_refused(sd):
    with pytest.raises(InputError, match=f"Received: mean=0.5, sd={sd}"):
        welch_test(Summary(0.5, sd, 10), [0.5, 0.6])


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_intervals_over_trials_are_those_of_scipy(arms, confidence):
    first, second = arms
    expected = stats.ttest_1samp(first, 0).confidence_interval(confidence)
    result = t_interval(first, confidence)
    assert (result.low, result.high) == pytest.approx(tuple(expected), rel=1e-9)
    expected = stats.ttest_ind(first, second[:6], equal_var=False)
    result = difference_interval(first, second[:6], confidence)
    ends = tuple(expected.confidence_interval(confidence))
    assert (result.low, result.high) == pytest.approx(ends, rel=1e-9)
    assert (result.confidence, result.n) == (confidence, 16)


def test_an_interval_ends_where_the_test_has_its_level(arms):
    first, second = arms
    interval = difference_interval(first, second, 0.9)
    for end in (interval.low, interval.high):
        assert welch_test(first - end, second).p_value == pytest.approx(0.1, rel=1e-9)


def test_intervals_without_spread_have_no_width():
    assert (t_interval([0.8] * 3).low, t_interval([0.8] * 3).high) == (0.8, 0.8)
    interval = difference_interval([1.0] * 3, [0.5] * 2)
    assert (interval.low, interval.high) == (0.5, 0.5)


def test_intervals_say_what_they_are(arms, rng):
    assert t_interval(arms[0], 0.9).describe() == "90 % t interval, 10 trials"
    assert difference_interval(*arms).describe() == (
        "95 % Welch interval of a difference, 20 trials"
    )
    assert bootstrap_interval(range(50), np.mean, rng, 0.975, 100).describe() == (
        "97.5 % patient bootstrap interval, 50 patients"
    )


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_confidence_is_a_share(arms, rng, confidence):
    for call in (
        lambda: t_interval(arms[0], confidence),
        lambda: difference_interval(*arms, confidence),
        lambda: bootstrap_interval(range(50), np.mean, rng, confidence),
    ):
        with pytest.raises(InputError, match=f"Received: confidence={confidence}"):
            call()


def test_t_interval_of_ten_trials_covers_as_often_as_it_says(rng):
    experiments = rng.normal(0.8, 0.05, (2000, 10))
    intervals = [t_interval(scores) for scores in experiments]
    assert 0.93 < np.mean([one.low < 0.8 < one.high for one in intervals]) < 0.97


def test_difference_interval_covers_arms_of_unlike_spread(rng):
    first = rng.normal(0.85, 0.01, (2000, 10))
    second = rng.normal(0.80, 0.08, (2000, 5))
    pairs = zip(first, second, strict=True)
    intervals = [difference_interval(*pair) for pair in pairs]
    assert 0.93 < np.mean([one.low < 0.05 < one.high for one in intervals]) < 0.97


def _clustered_cases(rng, experiments):
    """Values around 0 of 200 patients with 2, 3 or 4 cases, half of it the patient's.

    Returns:
      The patients (n,) of the cases, and the values (experiments, n).
    """
    patients = np.repeat(np.arange(200), 2 + np.arange(200) % 3)
    shared = rng.normal(size=(experiments, 200))[:, patients]
    return patients, shared + rng.normal(size=shared.shape)


@pytest.mark.slow
def test_only_whole_patients_cover_as_often_as_they_say(rng):
    patients, experiments = _clustered_cases(rng, 2000)
    covered = covered_by_cases = 0
    for values in experiments:
        interval = bootstrap_interval(
            patients, lambda rows, v=values: v[rows].mean(), rng, resamples=400
        )
        covered += interval.low < 0 < interval.high
        rows = rng.integers(values.size, size=(400, values.size))
        low, high = np.quantile(values[rows].mean(axis=1), [0.025, 0.975])
        covered_by_cases += low < 0 < high
    assert 0.93 < covered / 2000 < 0.97
    # Half of the variance is the patient's: single cases give 0.82 or so.
    assert covered_by_cases / 2000 < 0.87


def test_bootstrap_draws_as_many_patients_with_all_of_their_cases(rng):
    patients = np.repeat(np.arange(60), 1 + np.arange(60) % 4)
    rng.shuffle(patients)
    draws = []

    def record(rows):
        draws.append(np.bincount(rows, minlength=patients.size))
        return 0.0

    bootstrap_interval(patients, record, rng, resamples=100)
    for counts in draws:
        times = [set(counts[patients == patient]) for patient in range(60)]
        assert all(len(one) == 1 for one in times)
        assert sum(one.pop() for one in times) == 60
    assert len({tuple(counts) for counts in draws}) == 100


def test_bootstrap_is_that_of_scipy_over_means_of_patients(rng):
    # With as many cases of each patient the mean over cases is that over patients.
    patients = np.repeat(np.arange(80), 3)
    values = rng.normal(size=80)[patients] + rng.normal(size=240)
    result = bootstrap_interval(
        patients, lambda rows: values[rows].mean(), rng, 0.9, resamples=10_000
    )
    means = values.reshape(80, 3).mean(axis=1)
    expected = stats.bootstrap(
        (means,),
        np.mean,
        confidence_level=0.9,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    # Quantiles of 10,000 draws err by 0.02 standard errors; four times both is 0.12.
    tolerance = 0.12 * expected.standard_error
    low, high = expected.confidence_interval
    assert result.low == pytest.approx(low, abs=tolerance)
    assert result.high == pytest.approx(high, abs=tolerance)


def test_resampling_cases_would_give_a_narrower_interval(rng):
    patients, experiments = _clustered_cases(rng, 1)
    values = experiments[0]

    def width(names):
        one = bootstrap_interval(names, lambda rows: values[rows].mean(), rng)
        return one.high - one.low

    assert width(range(values.size)) < 0.85 * width(patients)


def test_bootstrap_depends_on_the_generator_alone():
    patients = [k // 2 for k in range(100)]
    names = [f"patient {k}" for k in patients]
    values = np.random.default_rng(1).random(100)
    results = [
        bootstrap_interval(
            chosen, lambda rows: values[rows].mean(), np.random.default_rng(seed)
        )
        for chosen, seed in ((patients, 3), (names, 3), (patients, 4))
    ]
    assert results[0] == results[1] != results[2]


def test_bootstrap_leaves_out_what_is_undefined_and_refuses_much_of_it(rng):
    def make_statistic(every):
        calls = iter(range(10_000))

        def statistic(rows):
            call = next(calls)
            return math.nan if call % every == 0 else float(call % every)

        return statistic

    interval = bootstrap_interval(range(50), make_statistic(20), rng, resamples=1000)
    expected = np.quantile(np.tile(np.arange(1, 20), 50), [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx(tuple(expected))
    with pytest.raises(InputError, match="Received: no finite number in 53 of 1000"):
        bootstrap_interval(range(50), make_statistic(19), rng, resamples=1000)


def test_bootstrap_refuses_few_patients_and_few_resamples(rng):
    patients = [k % (MIN_PATIENTS - 1) for k in range(100)]
    with pytest.raises(InputError, match="miss .* Received: 39 with 100 cases"):
        bootstrap_interval(patients, np.mean, rng)
    assert bootstrap_interval(range(MIN_PATIENTS), np.mean, rng).n == MIN_PATIENTS
    with pytest.raises(InputError, match="Received: resamples=99"):
        bootstrap_interval(range(50), np.mean, rng, resamples=99)


def test_effect_size_by_hand():
    # Both variances are 2, the means differ by 1; for 2 degrees of freedom the
    # correction is gamma(1) / gamma(1/2).
    assert effect_size([1, 3], [0, 2]) == pytest.approx(1 / math.sqrt(2 * math.pi))
    # For 4 it is gamma(2) / (gamma(3/2) sqrt(2)); the variances are 1.
    expected = 2 * math.sqrt(2 / math.pi)
    assert effect_size([3, 4, 5], [1, 2, 3]) == pytest.approx(expected)
    assert effect_size([1, 2, 3], [3, 4, 5]) == pytest.approx(-expected)


def test_effect_size_pools_by_degrees_of_freedom():
    first, second = Summary(1.0, 1.0, 3), Summary(0.0, 2.0, 9)
    usual_correction = 1 - 3 / (4 * 10 - 1)
    expected = usual_correction / math.sqrt((2 * 1 + 8 * 4) / 10)
    assert effect_size(first, second) == pytest.approx(expected, rel=1e-3)


def test_effect_size_has_no_bias_for_few_trials(rng):
    pairs = rng.normal(size=(4000, 2, 4)) + [[0.8], [0.0]]
    sizes = [effect_size(*pair) for pair in pairs]
    # Without the correction the mean would be 0.92; its standard error is 0.012.
    assert np.mean(sizes) == pytest.approx(0.8, abs=0.04)


def test_effect_size_without_spread_is_nan():
    assert math.isnan(effect_size([1.0] * 3, [0.5] * 3))
    assert math.isnan(effect_size([0.8] * 3, [0.8] * 3))


def test_holm_correction_by_hand():
    # 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 is raised to what precedes it.
    adjusted = holm_correction([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm_correction([0.6, 0.4]) == (0.8, 0.8)
    assert holm_correction([0.9, 0.7, 0.6]) == (1.0, 1.0, 1.0)
    assert holm_correction([0.03]) == (0.03,)
    assert holm_correction([]) == ()


def test_holm_correction_is_its_definition(rng):
    values = rng.random(12) ** 3
    expected = [
        max(
            min(1.0, np.sum(values >= smaller) * smaller)
            for smaller in values[values <= value]
        )
        for value in values
    ]
    assert holm_correction(values) == pytest.approx(tuple(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("p_value", "mark"),
    [
        (0.0, "****"),
        (0.0001, "***"),
        (0.00099, "***"),
        (0.001, "**"),
        (0.01, "*"),
        (0.049, "*"),
        (0.05, "n.s."),
        (1.0, "n.s."),
    ],
)
def test_marks_start_below_their_thresholds(p_value, mark):
    assert significance_mark(p_value) == mark


@pytest.mark.parametrize("p_value", [-0.1, 1.1, math.nan])
def test_what_is_no_p_value_is_refused(p_value):
    with pytest.raises(InputError, match=f"Received: p_value={p_value}"):
        significance_mark(p_value)
    with pytest.raises(InputError, match=f"Received: p_value={p_value}"):
        holm_correction([0.5, p_value])


def test_the_scope_of_a_p_value_is_said_in_the_module_and_for_reports():
    assert SCOPE_NOTE in " ".join(statistics.__doc__.split())
