"""Charts of what is measured slide after slide: has it changed, or does it only vary as it always did?

Sums tell a small change that stays (Page's cumulative sums), tails a share that is too large for one slide.
Both know from the first slides of a site what is ordinary there, and how much ordinary slides differ.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import SourceError
from edge_runtime.statistics.beta import beta_cdf, beta_quantile
from edge_runtime.statistics.intervals import LEVEL, Interval
from edge_runtime.statistics.rates import MeasuredRate

# In standard deviations between slides. A change by twice the slack is found soonest, after some 14 slides;
# the sums of ordinary slides pass the limit once in about 3,500 (either sum) or 7,000 slides (one of them).
SLACK, LIMIT = 0.5, 7.0
LEARNING = 5  # values before which nothing can be said of the next one
_DRAWS = 4000
_SEED = 0


@dataclass(frozen=True)
class Sums:
    """Tabular cumulative sums (Page, Biometrika 41, 1954, 100-115), in standard deviations; they begin at 0.

    Attributes:
        low: what has gathered of values below the mean, 0 or more.
        high: likewise above it.
    """

    low: float = 0.0
    high: float = 0.0

    def after(self, value: float, slack: float = SLACK) -> "Sums":
        """The sums with one more standardised value."""
        return Sums(max(0.0, self.low - value - slack), max(0.0, self.high + value - slack))


@dataclass(frozen=True)
class Reference:
    """What ordinary values look like, as far as they are known.

    Attributes:
        values: how many there were.
        mean: their mean.
        squares: sum of their squared deviations from it.
    """

    values: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def including(self, value: float) -> "Reference":
        """The reference with one more value (Welford, Technometrics 4, 1962, 419-420)."""
        values = self.values + 1
        mean = self.mean + (value - self.mean) / values
        return Reference(values, mean, self.squares + (value - self.mean) * (value - mean))

    def standardised(self, value: float, least: float) -> float:
        """A further value as a standard normal one, whatever the number of values before it.

        As in self-starting charts (Hawkins, The Statistician 36, 1987, 299-315): its t statistic, with the
        doubt of mean and deviation in it, becomes normal, by the approximation of Wallace (Annals of
        Mathematical Statistics 30, 1959, 1124-1130).

        Args:
            value: the next one.
            least: the deviation that is taken where the values lie closer together, above 0: what differs by
                less than that is no change that matters.

        Returns:
            No number while fewer than LEARNING values are known.
        """
        if self.values < LEARNING:
            return math.nan
        freedom = self.values - 1
        deviation = max(math.sqrt(self.squares / freedom), least)
        t = (value - self.mean) / deviation * math.sqrt(self.values / (self.values + 1))
        normal = math.sqrt(freedom * math.log1p(t * t / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
        return math.copysign(normal, t)


def share_tail(hits: int, cells: int, mean: float, correlation: float) -> float:
    """Probability of at least so many hits among the cells of one ordinary slide.

    The cells of one slide are alike, so counts are beta-binomial (Skellam 1948); on a chart of shares a plain
    binomial limit would then sound on many ordinary slides (Laney, Quality Engineering 14, 2002, 531-537).
    The share is taken as a beta variable of the same mean and variance, which is as good where cells are many
    and takes no time (`report.group` adds up the tail itself).

    Args:
        hits: 0 to `cells`.
        cells: at least 2.
        mean: share of ordinary slides, between 0 and 1.
        correlation: between the cells of one slide, 0 to below 1.

    Raises:
        SourceError: a number outside its range.
    """
    a, b = _beta_of(cells, mean, correlation)
    if hits <= 0:
        return 1.0
    return 1.0 - float(beta_cdf(min(1.0, (hits - 0.5) / cells), a, b))


def share_line(cells: int, mean: float, correlation: float, beyond: float) -> float:
    """The share above which a part `beyond` of ordinary slides lies (see `share_tail`)."""
    return beta_quantile(1 - beyond, *_beta_of(cells, mean, correlation))


def _beta_of(cells: int, mean: float, correlation: float) -> tuple[float, float]:
    if not (cells >= 2 and 0 < mean < 1 and 0 <= correlation < 1):
        raise SourceError(
            f"a share of {mean} of {cells} cells, correlation {correlation}: give at least 2 cells, a share "
            "between 0 and 1 and a correlation from 0 to below 1"
        )
    both = cells / (1 + (cells - 1) * correlation) - 1
    return mean * both, (1 - mean) * both


def interval_of(rate: MeasuredRate, level: float = LEVEL) -> Interval:
    """Bounds of the mean of a rate over slides: Clopper and Pearson's, of as many cells as they are worth.

    Args:
        rate: with the spread between its slides; 0 to 1 where it was not measured.
        level: coverage, between 0 and 1.
    """
    if not rate.cells:
        return Interval(0.0, 1.0)
    beyond, scale = (1 - level) / 2, rate.worth / rate.cells
    hits, misses = rate.hits * scale, (rate.cells - rate.hits) * scale
    return Interval(
        low=beta_quantile(beyond, hits, misses + 1) if hits else 0.0,
        high=beta_quantile(1 - beyond, hits + 1, misses) if misses else 1.0,
    )


def exceeds(rate: MeasuredRate, stated: MeasuredRate) -> bool:
    """Whether a rate is larger than the one that was stated, beyond the doubts of both."""
    return interval_of(rate).low > interval_of(stated).high


def repeated(rate: MeasuredRate, cells: int, level: float) -> Interval:
    """Between which shares one more reading of the same slide lies.

    Of the readings before, the sums and their spread are asked: drawn one by one, few repeat themselves.
    Few readings show too little of the spread between them: of six, 95 % bounds hold some 90 % of the next.

    Args:
        rate: of the readings before, with the spread between them.
        cells: of the next reading, at least 1.
        level: share of next readings that lie within, where the spread is known.
    """
    rng, beyond = np.random.default_rng(_SEED), (1 - level) / 2
    low, high = (rng.binomial(cells, shares) for shares in _shares_of_next(replace(rate, counts=())))
    return Interval(float(np.quantile(low, beyond)) / cells, float(np.quantile(high, 1 - beyond)) / cells)


@lru_cache(maxsize=8)  # of a quality slide it is asked for every reading
def _shares_of_next(rate: MeasuredRate) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(_SEED)
    return rate.of_a_patient("low", rng, _DRAWS), rate.of_a_patient("high", rng, _DRAWS)
