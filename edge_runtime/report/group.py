"""Are the cells of one slide, as a group, like those of the slides the detector was calibrated on?

One rejected cell says little: some are rejected on every slide. Many more than usual on one slide say that
its stain, light or focus differs, and that its accepted cells deserve less trust, too.
"""

import math
from dataclasses import dataclass

from edge_runtime.errors import SourceError
from edge_runtime.statistics.beta import log_beta

FALSE_ALARMS = 0.01  # share of ordinary slides on which the alarm may sound


@dataclass(frozen=True)
class GroupJudgement:
    """What is said of the cells of one slide together.

    Attributes:
        cells: number of whole cells judged.
        rejected: of these rejected.
        most: rejected cells that an ordinary slide has at most, but for the share `false_alarms` of slides.
        p_value: probability of at least as many rejected cells on an ordinary slide.
        alarm: more are rejected than that.
    """

    cells: int
    rejected: int
    most: int
    p_value: float
    alarm: bool


def judge_group(
    rejected: int, cells: int, *, usual: float, correlation: float, false_alarms: float = FALSE_ALARMS
) -> GroupJudgement:
    """Test whether a slide has too many rejected cells for an ordinary one.

    The cells of one slide are alike: it may have many rejected cells, or few, without being another kind of
    slide. So the number of rejected cells is beta-binomial (Skellam 1948), with the correlation that was
    found among the validation cells of one patient; with correlation 0 it is the binomial distribution.

    Args:
        rejected: number of rejected cells, 0 to `cells`.
        cells: number of cells judged; what was not judged, or is not one whole cell, does not count: that
            tells how crowded the slide is.
        usual: share of in-distribution cells that is rejected, between 0 and 1.
        correlation: intra-class correlation of rejection among the cells of one patient, 0 to below 1.
        false_alarms: share of ordinary slides on which the alarm may sound.

    Raises:
        SourceError: a number outside its range.
    """
    if not 0 <= rejected <= cells:
        raise SourceError(f"{rejected} rejected of {cells} cells; give a number from 0 to all of them")
    for name, value in (("usual", usual), ("false_alarms", false_alarms)):
        if not 0 < value < 1:
            raise SourceError(f"{name} is {value}; give a share between 0 and 1")
    if not 0 <= correlation < 1:
        raise SourceError(f"correlation is {correlation}; give a number from 0 to below 1")
    tails = _tails(cells, usual, correlation)
    # The smallest number whose own tail is rare enough sounds the alarm; the last one that is not, does not.
    most = max(count for count, tail in enumerate(tails) if tail > false_alarms)
    p_value = tails[rejected]
    return GroupJudgement(cells, rejected, most, p_value, alarm=rejected > most)


def _tails(cells: int, mean: float, correlation: float) -> list[float]:
    """Probability of at least k rejected cells, for k = 0 to all; added up from the rare end."""
    tails, total = [], 0.0
    for count in range(cells, -1, -1):
        total += math.exp(_log_probability(count, cells, mean, correlation))
        tails.append(min(total, 1.0))
    return tails[::-1]


def _log_probability(count: int, cells: int, mean: float, correlation: float) -> float:
    """Logarithm of the beta-binomial probability of exactly `count` of `cells`."""
    chosen = _log_choose(cells, count)
    if correlation == 0:
        return chosen + count * math.log(mean) + (cells - count) * math.log1p(-mean)
    # The correlation of a beta-binomial variable is 1 / (a + b + 1).
    both = (1 - correlation) / correlation
    a, b = mean * both, (1 - mean) * both
    return chosen + log_beta(count + a, cells - count + b) - log_beta(a, b)


def _log_choose(total: int, count: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
