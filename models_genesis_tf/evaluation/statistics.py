"""What can be said about a difference between two arms: tests, intervals, effect size.

A trial is one training of a network; its score is one number. The arms of a comparison
are two ways to train, each with several trials that are scored on the same cases. A p
value over trials speaks of training noise on one test set, not of new patients; the
bootstrap over patients speaks of those.
"""

import dataclasses
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.metrics import checked_scores

SCOPE_NOTE = (
    "A p value over trials speaks of training noise on one test set, not of new "
    "patients; the bootstrap over patients speaks of those."
)
MIN_PATIENTS = 40

_ALTERNATIVES = ("two-sided", "greater", "less")
_WELCH = "Welch t-test"
_POOLED = "pooled t-test"
_PAIRED = "paired t-test"
_WILCOXON = "Wilcoxon signed-rank test"
_T_INTERVAL = "t interval"
_WELCH_INTERVAL = "Welch interval of a difference"
_BOOTSTRAP = "patient bootstrap interval"
_MIN_RESAMPLES = 100
_MAX_UNDEFINED_SHARE = 0.05
# The differences 0.9 - 0.8 and 0.8 - 0.7 are one, and differ in their last bits.
_ROUNDING_DIGITS = 12
_ROUNDING = 10**-_ROUNDING_DIGITS
_MARKS = ((1e-4, "****"), (1e-3, "***"), (0.01, "**"), (0.05, "*"))


@dataclass(frozen=True)
class Summary:
    """The scores of an arm in short.

    Attributes:
      mean: Of the trials, in the metric's unit.
      sd: Standard deviation over n - 1, in the same unit; nan for a single trial.
      n: Number of trials.
    """

    mean: float
    sd: float
    n: int


Scores = Sequence[float] | np.ndarray | Summary


@dataclass(frozen=True)
class SignificanceTest:
    """A test of "both arms score the same".

    Attributes:
      name: "Welch t-test", "pooled t-test", "paired t-test" or "Wilcoxon signed-rank
        test".
      alternative: "two-sided"; "greater" if the first arm's mean is the greater one, or
        "less".
      statistic: t, or the sum of ranks.
      degrees_of_freedom: Of t; None for ranks, and where all scores are the same.
      p_value: In [0, 1].
      n_first: Trials of the first arm.
      n_second: Trials of the second arm.
      difference: Mean of the first minus mean of the second, in the metric's unit.
    """

    name: str
    alternative: str
    statistic: float
    degrees_of_freedom: float | None
    p_value: float
    n_first: int
    n_second: int
    difference: float

    def describe(self) -> str:
        """Says which test it was.

        Returns:
          For instance "two-sided Welch t-test, 10 against 10 trials".
        """
        sides = "two-sided" if self.alternative == "two-sided" else "one-sided"
        trials = f"{self.n_first} against {self.n_second} trials"
        if self.name in (_PAIRED, _WILCOXON):
            trials = f"{self.n_first} pairs of trials"
        return f"{sides} {self.name}, {trials}"


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
      low: Its lower end, in the metric's unit.
      high: Its upper end.
      confidence: In (0, 1).
      method: "t interval", "Welch interval of a difference" or "patient bootstrap
        interval".
      n: How many trials of all arms together, or patients, it rests on.
    """

    low: float
    high: float
    confidence: float
    method: str
    n: int

    def describe(self) -> str:
        """Says which interval it is.

        Returns:
          For instance "95 % t interval, 10 trials".
        """
        unit = "patients" if self.method == _BOOTSTRAP else "trials"
        return f"{100 * self.confidence:g} % {self.method}, {self.n} {unit}"


def summarise(values: Sequence[float] | np.ndarray) -> Summary:
    """Mean and standard deviation of trial scores.

    Args:
      values: (n,) finite scores, one or more.

    Returns:
      The mean, the standard deviation with n - 1 (exactly 0 for equal scores, nan for a
      single one) and n.

    Raises:
      InputError: If there is no score, or one is not finite.
    """
    scores = _checked_trials(values)
    # From the first score on, so that equal scores have no spread by rounding.
    offsets = scores - scores[0]
    sd = float(np.std(offsets, ddof=1)) if scores.size > 1 else math.nan
    return Summary(float(scores[0] + np.mean(offsets)), sd, scores.size)


def welch_test(
    first: Scores, second: Scores, alternative: str = "two-sided"
) -> SignificanceTest:
    """Student's test of two independent arms whose spreads may differ, after Welch.

    Where no arm has any spread and both means are the same, p is 1 on every side: every
    exchange of scores between the arms gives what was seen. Where the means differ the
    test has nothing to weigh the difference against, and a p of 0 would claim certainty
    from as few as two trials: that is an error.

    Args:
      first: Scores of two trials or more, or their summary.
      second: The same of the other arm.
      alternative: "two-sided", "greater" (the first mean is greater) or "less".

    Returns:
      The test.

    Raises:
      InputError: If an arm has fewer than two trials, a score is not finite, the
        alternative is unknown, or the means differ without any spread.
    """
    first, second = _two_or_more(first), _two_or_more(second)
    degrees = _welch_error(first, second)[1]
    return _independent_test(_WELCH, first, second, alternative, degrees)


def pooled_test(
    first: Scores, second: Scores, alternative: str = "two-sided"
) -> SignificanceTest:
    """Student's test of two independent arms that are taken to spread alike.

    Args:
      first: Scores of two trials or more, or their summary.
      second: The same of the other arm.
      alternative: "two-sided", "greater" (the first mean is greater) or "less".

    Returns:
      The test; without any spread as for `welch_test`.

    Raises:
      InputError: As for `welch_test`.
    """
    first, second = _two_or_more(first), _two_or_more(second)
    degrees = float(first.n + second.n - 2)
    return _independent_test(_POOLED, first, second, alternative, degrees)


def paired_test(
    first: Sequence[float], second: Sequence[float], alternative: str = "two-sided"
) -> SignificanceTest:
    """Student's test of the differences within pairs of trials.

    Trials are a pair if they share seed, number and labelled subset.

    Args:
      first: (n,) scores, two or more.
      second: (n,) scores of the other arm; entries at one place are a pair.
      alternative: "two-sided", "greater" (the first mean is greater) or "less".

    Returns:
      The test. If no pair differs, p is 1 on every side, as for `welch_test`.

    Raises:
      InputError: If there are fewer than two pairs, the numbers of trials differ, a
        score is not finite, the alternative is unknown, or every pair differs by the
        same.
    """
    differences = _pair_differences(first, second)
    _check_alternative(alternative)
    summary = summarise(differences)
    statistic, degrees, p_value = 0.0, None, 1.0
    if _has_spread(summary.mean, summary.sd):
        result = stats.ttest_1samp(differences, 0.0, alternative=alternative)
        statistic, degrees, p_value = result.statistic, float(result.df), result.pvalue
    return SignificanceTest(
        name=_PAIRED,
        alternative=alternative,
        statistic=float(statistic),
        degrees_of_freedom=degrees,
        p_value=float(p_value),
        n_first=summary.n,
        n_second=summary.n,
        difference=summary.mean,
    )


def wilcoxon_test(
    first: Sequence[float], second: Sequence[float], alternative: str = "two-sided"
) -> SignificanceTest:
    """Wilcoxon's test of the ranks of the differences within pairs of trials.

    Pairs without a difference are left out, after Wilcoxon. The p value is exact for up
    to 50 pairs if all differ, and no two by the same, and for up to 13 otherwise.

    Args:
      first: (n,) scores, two or more.
      second: (n,) scores of the other arm; entries at one place are a pair.
      alternative: "two-sided", "greater" (the first tends to be greater) or "less".

    Returns:
      The test. If no pair differs, p is 1 on every side.

    Raises:
      InputError: If there are fewer than two pairs, the numbers of trials differ, a
        score is not finite, or the alternative is unknown.
    """
    differences = _pair_differences(first, second)
    _check_alternative(alternative)
    statistic, p_value = 0.0, 1.0
    if differences.any():
        result = stats.wilcoxon(differences, alternative=alternative)
        statistic, p_value = float(result.statistic), float(result.pvalue)
    return SignificanceTest(
        name=_WILCOXON,
        alternative=alternative,
        statistic=statistic,
        degrees_of_freedom=None,
        p_value=p_value,
        n_first=differences.size,
        n_second=differences.size,
        difference=summarise(differences).mean,
    )


def t_interval(values: Scores, confidence: float = 0.95) -> Interval:
    """Student's interval of the mean over trials.

    Args:
      values: Scores of two trials or more, or their summary; differences within pairs
        give the interval of the mean difference.
      confidence: In (0, 1).

    Returns:
      The interval; of no width if no score differs from another.

    Raises:
      InputError: If there are fewer than two trials, a score is not finite, or the
        confidence is out of range.
    """
    arm = _two_or_more(values)
    error = arm.sd / math.sqrt(arm.n)
    return _interval(arm.mean, error, arm.n - 1, confidence, _T_INTERVAL, arm.n)


def difference_interval(
    first: Scores, second: Scores, confidence: float = 0.95
) -> Interval:
    """Interval of the difference of two independent arms' means, after Welch.

    Args:
      first: Scores of two trials or more, or their summary.
      second: The same of the other arm.
      confidence: In (0, 1).

    Returns:
      The interval of the first mean minus the second, with the degrees of freedom of
      Welch and Satterthwaite; it leaves out 0 where the two-sided `welch_test` has p
      below 1 - confidence. Of no width if no arm has any spread.

    Raises:
      InputError: If an arm has fewer than two trials, a score is not finite, or the
        confidence is out of range.
    """
    first, second = _two_or_more(first), _two_or_more(second)
    error, degrees = _welch_error(first, second)
    difference, trials = first.mean - second.mean, first.n + second.n
    return _interval(difference, error, degrees, confidence, _WELCH_INTERVAL, trials)


def bootstrap_interval(
    patients: Sequence[Hashable],
    statistic: Callable[[np.ndarray], float],
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Percentile interval from resampling whole patients.

    Cases of one patient resemble each other and are drawn together: as many patients as
    there are, with repeats, each with all of its cases.

    Args:
      patients: The patient of each case, of `MIN_PATIENTS` or more.
      statistic: Takes int (k,) indices of cases, with repeats and in any order, and
        gives a number; nan, as for an area under the ROC curve of one class, leaves the
        resample out.
      rng: Source of randomness.
      confidence: In (0, 1).
      resamples: How many times patients are drawn, 100 or more.

    Returns:
      The interval; its n is the number of patients.

    Raises:
      InputError: If there are too few patients or resamples, the confidence is out of
        range, or the statistic is no finite number in more than one resample in twenty.
    """
    _check_confidence(confidence)
    if resamples < _MIN_RESAMPLES:
        raise InputError(
            f"a bootstrap takes {_MIN_RESAMPLES} resamples or more. "
            f"Received: {resamples=}"
        )
    cases_of = _cases_by_patient(patients)
    values = np.empty(resamples)
    for index in range(resamples):
        drawn = rng.integers(len(cases_of), size=len(cases_of))
        values[index] = statistic(np.concatenate([cases_of[k] for k in drawn]))
    values = values[np.isfinite(values)]
    undefined = resamples - values.size
    if undefined > _MAX_UNDEFINED_SHARE * resamples:
        raise InputError(
            "a statistic is defined in all but one resample in twenty. "
            f"Received: no finite number in {undefined} of {resamples}"
        )
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), confidence, _BOOTSTRAP, len(cases_of))


def effect_size(first: Scores, second: Scores) -> float:
    """Hedges' g: the difference of means in standard deviations, without small bias.

    Args:
      first: Scores of two trials or more, or their summary.
      second: The same of the other arm.

    Returns:
      The first mean minus the second over the pooled standard deviation, times the
      exact correction for few trials; nan if no arm has any spread.

    Raises:
      InputError: If an arm has fewer than two trials or a score is not finite.
    """
    first, second = _two_or_more(first), _two_or_more(second)
    half = (first.n + second.n - 2) / 2
    squares = (first.n - 1) * first.sd**2 + (second.n - 1) * second.sd**2
    pooled_sd = math.sqrt(squares / (2 * half))
    if pooled_sd <= _ROUNDING:
        return math.nan
    log_ratio = special.gammaln(half) - special.gammaln(half - 0.5)
    correction = math.exp(log_ratio) / math.sqrt(half)
    return correction * (first.mean - second.mean) / pooled_sd


def holm_correction(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusts p values for the number of tests, after Holm.

    Whatever the tests have to do with each other, the chance that any true "both are
    the same" has an adjusted value below 0.05 is at most 0.05.

    Args:
      p_values: One for each test of a family; may be empty.

    Returns:
      The adjusted values in the given order, none above 1 or below its own p value.

    Raises:
      InputError: If one is not in [0, 1].
    """
    for p_value in p_values:
        _check_p_value(p_value)
    values = np.array(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(np.minimum(factors * values[order], 1.0))
    return tuple(adjusted.tolist())


def significance_mark(p_value: float) -> str:
    """The mark of a p value in the paper's plots.

    Args:
      p_value: In [0, 1].

    Returns:
      "****" below 0.0001, "***" below 0.001, "**" below 0.01, "*" below 0.05, else
      "n.s.".

    Raises:
      InputError: If it is not in [0, 1].
    """
    _check_p_value(p_value)
    return next((mark for limit, mark in _MARKS if p_value < limit), "n.s.")


def _checked_trials(values: Sequence[float] | np.ndarray) -> np.ndarray:
    scores = checked_scores(values, "scores").astype(np.float64)
    if scores.ndim != 1:
        raise InputError(
            f"there is one score for each trial, (n,). Received: scores={scores.shape}"
        )
    return scores


def _two_or_more(scores: Scores) -> Summary:
    summary = scores if isinstance(scores, Summary) else summarise(scores)
    if summary.n < 2:
        raise InputError(
            f"an arm has two trials or more. Received: {summary.n} with the mean "
            f"{summary.mean:g}"
        )
    if not (math.isfinite(summary.mean) and 0 <= summary.sd < math.inf):
        raise InputError(
            "a mean is finite and a standard deviation 0 or more. "
            f"Received: mean={summary.mean}, sd={summary.sd}"
        )
    return summary


def _independent_test(
    name: str, first: Summary, second: Summary, alternative: str, degrees: float
) -> SignificanceTest:
    _check_alternative(alternative)
    difference = first.mean - second.mean
    statistic, p_value = 0.0, 1.0
    if _has_spread(difference, max(first.sd, second.sd)):
        statistic, p_value = stats.ttest_ind_from_stats(
            *dataclasses.astuple(first),
            *dataclasses.astuple(second),
            equal_var=name == _POOLED,
            alternative=alternative,
        )
    else:
        degrees = None
    return SignificanceTest(
        name=name,
        alternative=alternative,
        statistic=float(statistic),
        degrees_of_freedom=degrees,
        p_value=float(p_value),
        n_first=first.n,
        n_second=second.n,
        difference=difference,
    )


def _welch_error(first: Summary, second: Summary) -> tuple[float, float]:
    """Standard error of the difference of means, and its degrees of freedom."""
    parts = np.array([first.sd**2 / first.n, second.sd**2 / second.n])
    total = float(parts.sum())
    if total == 0:
        return 0.0, math.inf
    shares = parts / total
    degrees = 1 / float(np.sum(shares**2 / [first.n - 1, second.n - 1]))
    return math.sqrt(total), degrees


def _pair_differences(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    first, second = _checked_trials(first), _checked_trials(second)
    if first.size != second.size or first.size < 2:
        raise InputError(
            "a test of pairs takes two trials or more, as many of each arm. "
            f"Received: {first.size} and {second.size}"
        )
    return np.round(first - second, _ROUNDING_DIGITS)


def _has_spread(difference: float, sd: float) -> bool:
    """Whether a t-test can be computed; False if there is no difference either."""
    if sd > _ROUNDING:
        return True
    if abs(difference) > _ROUNDING:
        raise InputError(
            "a t-test weighs a difference against a spread between trials. "
            f"Received: {difference=:g}, no spread"
        )
    return False


def _interval(
    centre: float, error: float, degrees: float, confidence: float, method: str, n: int
) -> Interval:
    _check_confidence(confidence)
    half_width = float(stats.t.ppf((1 + confidence) / 2, degrees)) * error
    return Interval(centre - half_width, centre + half_width, confidence, method, n)


def _cases_by_patient(patients: Sequence[Hashable]) -> list[np.ndarray]:
    """The indices of the cases of each patient."""
    cases: dict[Hashable, list[int]] = {}
    for case, patient in enumerate(patients):
        cases.setdefault(patient, []).append(case)
    if len(cases) < MIN_PATIENTS:
        raise InputError(
            f"a bootstrap takes {MIN_PATIENTS} patients or more, since with fewer its "
            "intervals miss the truth more often than they say. "
            f"Received: {len(cases)} with {len(patients)} cases"
        )
    return [np.array(indices) for indices in cases.values()]


def _check_alternative(alternative: str) -> None:
    if alternative not in _ALTERNATIVES:
        raise InputError(
            f"an alternative is one of {', '.join(_ALTERNATIVES)}. "
            f"Received: {alternative=}"
        )


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"a confidence is between 0 and 1. Received: {confidence=}")


def _check_p_value(p_value: float) -> None:
    if not 0 <= p_value <= 1:
        raise InputError(f"a p value is in [0, 1]. Received: {p_value=}")
