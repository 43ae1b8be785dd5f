"""What a reading can miss: how many calls a slide without a parasite may have, what density exceeds them."""

import numpy as np

from edge_runtime.errors import SourceError
from edge_runtime.statistics.beta import at_least
from edge_runtime.statistics.rates import MeasuredRate

FALSE_ALARMS = 0.05  # share of slides without a parasite on which parasites may be seen
FOUND = 0.95  # share of slides at the limit of detection on which they are
DRAWS = 2000  # patients; tails are added up exactly for each, so fewer do than for an interval
_SEED = 1
_PRECISE = 1e-4  # of the limit of detection, relative


def critical_count(of: int, false_positives: MeasuredRate, *, false_alarms: float = FALSE_ALARMS) -> int:
    """The smallest number of called cells that a slide without a parasite rarely reaches.

    Args:
        of: cells judged.
        false_positives: share of cells without a parasite that are called parasitized.
        false_alarms: share of slides without a parasite that may reach it.

    Returns:
        1 to `of` + 1, which no slide reaches.
    """
    _check(of)
    shares = false_positives.of_a_patient("high", np.random.default_rng(_SEED), DRAWS)
    low, high = 0, of + 1  # `low` is reached too often, `high` is not
    while high - low > 1:
        middle = (low + high) // 2
        if float(at_least(middle, of, shares).mean()) <= false_alarms:
            high = middle
        else:
            low = middle
    return high


def limit_of_detection(
    of: int,
    critical: int,
    sensitivity: MeasuredRate,
    false_positives: MeasuredRate,
    *,
    found: float = FOUND,
) -> float | None:
    """The smallest share of parasitized cells at which a slide reaches the critical count nearly always.

    Args:
        of: cells judged.
        critical: as `critical_count` gives it.
        sensitivity: share of parasitized cells called so.
        false_positives: share of other cells called so.
        found: share of slides that reach it.

    Returns:
        0 to 1; None where even a slide of nothing but parasites does not.
    """
    _check(of)
    rng = np.random.default_rng(_SEED)
    hit = sensitivity.of_a_patient("low", rng, DRAWS)
    wrong = false_positives.of_a_patient("low", rng, DRAWS)

    def reached(share: float) -> float:
        return float(at_least(critical, of, share * hit + (1 - share) * wrong).mean())

    if reached(1.0) < found:
        return None
    low, high = 0.0, 1.0
    while high - low > _PRECISE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) >= found else (middle, high)
    return high


def _check(of: int) -> None:
    if of < 1:
        raise SourceError(f"{of} cells judged; nothing can be said of a slide without any")
