"""The evaluation of LUNA16: nodules found against false positives per scan.

A candidate hits a nodule if its distance from the nodule's centre is less than half the
diameter. Of several candidates that hit one nodule the most probable one counts; the
others are no false positives. What hits an irrelevant finding and no nodule is ignored.
A nodule that nothing hits is missed at every threshold, and scans without candidates
count as scans. All thresholds that give another point make up the curve (FROC); the
first point is joined to (0, 0). Its sensitivities at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false
positives per scan have the score (CPM) as their mean, and 1,000 bootstraps over scans
give 95 % intervals. [luna16.grand-challenge.org/Evaluation]

The owner's script (noduleCADEvaluationLUNA16.py) adds: a finding whose diameter is
negative, which is how unmeasured ones are marked, has 10 mm; a candidate may hit two
nodules; of a scan with more than 100 candidates those count that are more probable than
the 101st; between points and beyond the last one the curve is interpolated as
`np.interp` does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models_genesis_tf.errors import InputError
from models_genesis_tf.evaluation.statistics import MIN_PATIENTS

RATES = tuple(2.0**power for power in range(-3, 4))
# Where the curve is drawn, evenly in the logarithm; every 64th is one of `RATES`.
GRID = 2 ** np.linspace(-3, 3, 385)
RESAMPLES = 1000
_AT_RATES = slice(None, None, 64)
_MOST_CANDIDATES = 100  # of a scan
_UNMEASURED_MM = 10.0
_QUANTILES = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Nodule:
    """A nodule, or an irrelevant finding.

    Attributes:
      series: UID of the scan.
      centre: World position x, y, z in mm.
      diameter: In mm; negative if it was not measured.
    """

    series: str
    centre: tuple[float, float, float]
    diameter: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that may be a nodule.

    Attributes:
      series: UID of the scan.
      centre: World position x, y, z in mm.
      probability: The higher, the more likely a nodule; any finite number.
    """

    series: str
    centre: tuple[float, float, float]
    probability: float


@dataclass(frozen=True)
class Marks:
    """What enters the curve, the most probable first.

    Attributes:
      nodules: (scan,) int, nodules of each scan, found or not.
      owners: (n,) int, the scan of each mark.
      hits: (n,) bool, True for a nodule that was found, False for a false positive.
      probabilities: (n,) float64, falling.
    """

    nodules: np.ndarray
    owners: np.ndarray
    hits: np.ndarray
    probabilities: np.ndarray


@dataclass(frozen=True)
class Froc:
    """A curve and its score.

    Attributes:
      scans: How many were evaluated.
      nodules: How many lie in them.
      found: How many of those a candidate hits.
      candidates: How many lie in the scans.
      curve: (385,) float64, sensitivities at `GRID`.
      band: (2, 385) float64, the 95 % interval of each; None for fewer scans than a
        bootstrap takes.
      cpm: Mean of the sensitivities at `RATES`, in [0, 1].
      cpm_interval: Its 95 % interval, or None.
    """

    scans: int
    nodules: int
    found: int
    candidates: int
    curve: np.ndarray
    band: np.ndarray | None
    cpm: float
    cpm_interval: tuple[float, float] | None

    @property
    def sensitivities(self) -> np.ndarray:
        """(7,) float64, the sensitivities at `RATES`."""
        return self.curve[_AT_RATES]

    @property
    def intervals(self) -> np.ndarray | None:
        """(2, 7) float64, the 95 % interval of each of them, or None."""
        return None if self.band is None else self.band[:, _AT_RATES]


def evaluate_froc(
    scans: Sequence[str],
    nodules: Iterable[Nodule],
    candidates: Iterable[Candidate],
    irrelevant: Iterable[Nodule],
    rng: np.random.Generator,
) -> Froc:
    """Evaluates candidates as LUNA16 does.

    Args:
      scans: UIDs of all scans evaluated, each once; whatever lies in others is left
        out.
      nodules: To be found.
      candidates: With their probabilities.
      irrelevant: Findings that are neither nodules nor false positives.
      rng: Source of randomness of the bootstrap.

    Returns:
      The curve, the score and their intervals; no intervals for fewer scans than
      `statistics.MIN_PATIENTS`.

    Raises:
      InputError: If no scan is named, or one twice, no nodule lies in the scans, or
        a probability is not finite.
    """
    named = set(scans)
    candidates = [one for one in candidates if one.series in named]
    marks = match(scans, nodules, candidates, irrelevant)
    total = int(marks.nodules.sum())
    if not total:
        raise InputError(
            "a FROC curve takes scans with one nodule or more. "
            f"Received: {len(scans)} scans without any"
        )
    curve = np.interp(GRID, *froc_points(marks, np.ones(len(scans), int)))
    band = interval = None
    if len(scans) >= MIN_PATIENTS:
        curves = _bootstrap(marks, rng)
        band = np.quantile(curves, _QUANTILES, axis=0)
        interval = np.quantile(curves[:, _AT_RATES].mean(axis=1), _QUANTILES)
        interval = tuple(interval.tolist())
    return Froc(
        scans=len(scans),
        nodules=total,
        found=int(marks.hits.sum()),
        candidates=len(candidates),
        curve=curve,
        band=band,
        cpm=float(curve[_AT_RATES].mean()),
        cpm_interval=interval,
    )


def match(
    scans: Sequence[str],
    nodules: Iterable[Nodule],
    candidates: Iterable[Candidate],
    irrelevant: Iterable[Nodule] = (),
) -> Marks:
    """Finds out which candidates hit what.

    Args:
      scans: UIDs, each once; whatever lies in others is left out.
      nodules: To be found.
      candidates: With their probabilities.
      irrelevant: Findings that are neither nodules nor false positives.

    Returns:
      One mark for each nodule found and each false positive.

    Raises:
      InputError: If no scan is named, or one twice, or a probability is not finite.
    """
    if not scans or len(set(scans)) != len(scans):
        raise InputError(
            "one scan or more is evaluated, and each once. "
            f"Received: {len(scans)} scans of {len(set(scans))} names"
        )
    in_scan, others_in, found_in = (
        _by_scan(scans, things) for things in (nodules, irrelevant, candidates)
    )
    found, false = zip(
        *(_match_scan(*one) for one in zip(in_scan, others_in, found_in, strict=True)),
        strict=True,
    )
    owners = [
        np.repeat(np.arange(len(scans)), [len(x) for x in y]) for y in (found, false)
    ]
    owners, probabilities = np.concatenate(owners), np.concatenate([*found, *false])
    order = np.argsort(-probabilities, kind="stable")
    hits = np.arange(len(owners)) < sum(map(len, found))
    return Marks(
        np.array([len(one) for one in in_scan]),
        owners[order],
        hits[order],
        probabilities[order],
    )


def froc_points(marks: Marks, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts what is found above each threshold; ties pass a threshold together.

    Args:
      marks: As from `match`.
      weights: (scan,) int, how often each scan counts; a nodule lies in one that does.

    Returns:
      False positives per scan and sensitivities in [0, 1], both (threshold + 1,)
      float64 and rising from 0.
    """
    counts = weights[marks.owners]
    lowest_of_tie = np.diff(marks.probabilities, append=-np.inf) != 0
    hits = np.cumsum(counts * marks.hits)[lowest_of_tie]
    false_positives = np.cumsum(counts * ~marks.hits)[lowest_of_tie]
    return (
        np.append(0, false_positives) / weights.sum(),
        np.append(0, hits) / (weights @ marks.nodules),
    )


def _bootstrap(marks: Marks, rng: np.random.Generator) -> np.ndarray:
    """Curves (resample, 385) of as many scans, drawn with repeats.

    Draws without a nodule, of which nothing can be found, are left out.
    """
    scans = len(marks.nodules)
    draws = rng.multinomial(scans, np.full(scans, 1 / scans), RESAMPLES)
    draws = draws[draws @ marks.nodules > 0]
    return np.stack([np.interp(GRID, *froc_points(marks, draw)) for draw in draws])


def _by_scan(scans: Sequence[str], things: Iterable) -> list[list]:
    """The things in each scan; those in others are left out."""
    places: dict[str, list] = {series: [] for series in scans}
    for thing in things:
        if thing.series in places:
            places[thing.series].append(thing)
    return list(places.values())


def _match_scan(
    nodules: Sequence[Nodule],
    irrelevant: Sequence[Nodule],
    candidates: Sequence[Candidate],
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the nodules found and of the false positives of a scan."""
    probabilities = np.array([one.probability for one in candidates], float)
    if not np.isfinite(probabilities).all():
        raise InputError(
            "probabilities of candidates are finite numbers. "
            f"Received: others in scan {candidates[0].series}"
        )
    centres = _centres(candidates)
    if len(candidates) > _MOST_CANDIDATES:
        next_one = np.sort(probabilities)[-_MOST_CANDIDATES - 1]
        centres = centres[probabilities > next_one]
        probabilities = probabilities[probabilities > next_one]
    hits = _hits(nodules, centres)
    found = np.where(hits, probabilities, -np.inf).max(axis=1, initial=-np.inf)
    passed_over = np.concatenate([hits, _hits(irrelevant, centres)]).any(axis=0)
    return found[hits.any(axis=1)], probabilities[~passed_over]


def _hits(nodules: Sequence[Nodule], centres: np.ndarray) -> np.ndarray:
    """Which candidates, at (candidate, 3), hit which nodule: (nodule, candidate)."""
    diameters = np.array([one.diameter for one in nodules], float)
    radii = np.where(diameters < 0, _UNMEASURED_MM, diameters) / 2
    offsets = _centres(nodules)[:, None] - centres
    return np.square(offsets).sum(axis=-1) < np.square(radii)[:, None]


def _centres(things: Sequence) -> np.ndarray:
    return np.array([one.centre for one in things], float).reshape(-1, 3)
