"""Whether one variant is better than another: figures with their doubt, from scores of the same rows.

Decides by which rules differences are told from chance; refuses to know what was scored. All chance comes through the
Chance port, so equal seeds give equal reports.

- The interval of a difference is a paired percentile bootstrap: rows are drawn with replacement, each with both its
  scores (B. Efron and R. J. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapters 8 and 13).
- The p-value of scores that are 0 or 1 is McNemar's test in its exact form, a sign test of the rows that differ; of
  other scores, a randomisation test that turns the sign of each difference by chance (the same book, chapter 15).
- Several comparisons are corrected by Holm's method (S. Holm, 1979).
- The interval of a share is Wilson's (E. B. Wilson, 1927), which stays within 0 and 1 and has a width at both ends.

From `LARGE` rows on, intervals and randomisation tests give way to their normal limit, which is the same to the eye.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

import msgspec

from headgate.core.clock import Chance

CONFIDENCE = 0.95
DRAWS = 2000
LARGE = 5000

_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


class Interval(msgspec.Struct, frozen=True):
    """A mean, and where the true one lies with a confidence of 95 %.

    Attributes:
        mean: of what was seen.
        low, high: the interval.
        method: how it was found: `wilson`, `bootstrap` or `normal`.
    """

    mean: float
    low: float
    high: float
    method: str


class Surprise(msgspec.Struct, frozen=True):
    """How surprising a difference would be if there was none.

    Attributes:
        p: the chance of one at least as large.
        method: `mcnemar_exact`, `randomisation` or `normal`.
    """

    p: float
    method: str


def quality(scores: Sequence[float], *, binary: bool, chance: Chance) -> Interval:
    """The mean of scores.

    Args:
        scores: at least one.
        binary: they are 0 and 1 only.
        chance: draws.
    """
    return _wilson(scores) if binary else difference(scores, chance=chance)


def difference(values: Sequence[float], *, chance: Chance) -> Interval:
    """The mean of values, such as the differences of two variants row by row.

    Args:
        values: at least one.
        chance: draws.
    """
    size, mean = len(values), fmean(values)
    if size >= LARGE:
        half = _Z * stdev(values) / math.sqrt(size)
        return Interval(mean, mean - half, mean + half, "normal")
    draw = chance.random
    means = sorted(sum([values[int(draw() * size)] for _ in values]) / size for _ in range(DRAWS))
    tail = (1 - CONFIDENCE) / 2
    low, high = means[math.floor(tail * DRAWS)], means[math.ceil((1 - tail) * DRAWS) - 1]
    return Interval(mean, low, high, "bootstrap")


def surprise(differences: Sequence[float], *, binary: bool, chance: Chance) -> Surprise:
    """Whether the differences of two variants, row by row, may be chance.

    Args:
        differences: at least one.
        binary: both scores are 0 and 1 only.
        chance: draws.
    """
    better, worse = sum(value > 0 for value in differences), sum(value < 0 for value in differences)
    if binary:
        return Surprise(mcnemar(better, worse), "mcnemar_exact")
    if not better + worse:
        return Surprise(1.0, "randomisation")
    size = len(differences)
    if size >= LARGE:
        spread = stdev(differences)
        z = abs(fmean(differences)) * math.sqrt(size) / spread if spread else math.inf
        return Surprise(2 * NormalDist().cdf(-z), "normal")
    seen = abs(sum(differences))
    sizes = [abs(value) for value in differences if value]
    draw = chance.random
    # A hair below, so that sums of the same values in another order count as equal.
    least = seen * (1 - 1e-9)
    extreme = sum(abs(sum([size if draw() < 0.5 else -size for size in sizes])) >= least for _ in range(DRAWS))
    return Surprise((1 + extreme) / (1 + DRAWS), "randomisation")


def mcnemar(better: int, worse: int) -> float:
    """The two-sided exact p-value of so many rows that only one, and so many that only the other got right.

    Example:
        >>> mcnemar(0, 5), mcnemar(3, 3)
        (0.0625, 1.0)
    """
    size, least = better + worse, min(better, worse)
    if 2 * least + 1 >= size:
        return 1.0
    # Through logarithms: the numbers themselves have thousands of digits.
    total = math.lgamma(size + 1) - size * math.log(2)
    terms = [math.exp(total - math.lgamma(k + 1) - math.lgamma(size - k + 1)) for k in range(least + 1)]
    return min(1.0, float(f"{2 * math.fsum(terms):.12g}"))


def holm(values: Sequence[float]) -> list[float]:
    """P-values, corrected for their number: the chance that any of them deceives stays below the bound.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    found = [0.0] * len(values)
    most = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        most = max(most, min(1.0, values[place] * (len(values) - rank)))
        found[place] = most
    return found


def _wilson(scores: Sequence[float]) -> Interval:
    size, mean = len(scores), fmean(scores)
    spread = _Z**2 / size
    middle = (mean + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(mean * (1 - mean) / size + spread / (4 * size))
    # At 0 and 1 the bound is exact; sums are not.
    return Interval(mean, 0.0 if mean == 0 else middle - half, 1.0 if mean == 1 else middle + half, "wilson")
