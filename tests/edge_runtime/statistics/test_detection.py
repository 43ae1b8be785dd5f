"""What a reading can miss, against known numbers and simulation."""

import math

import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.statistics.density import ASSUMED
from edge_runtime.statistics.detection import critical_count, limit_of_detection
from edge_runtime.statistics.rates import MeasuredRate

PERFECT = MeasuredRate(10**10, 10**10, 0, 1)


def known(share: float) -> MeasuredRate:
    return MeasuredRate(round(share * 1e12), 10**12, 0, 1)


@pytest.mark.parametrize(("of", "expected"), [(1000, 2), (5000, 3), (10_000, 4), (20_000, 6)])
def test_a_rate_of_one_in_ten_thousand(of: int, expected: int) -> None:
    assert critical_count(of, known(1e-4)) == expected
    reached = [
        1 - sum(math.comb(of, k) * 1e-4**k * (1 - 1e-4) ** (of - k) for k in range(c)) for c in range(9)
    ]
    assert reached[expected] <= 0.05 < reached[expected - 1]


def test_without_false_positives_one_parasite_is_enough() -> None:
    none = MeasuredRate(0, 10**12, 0, 1)
    assert critical_count(5000, none) == 1
    found = limit_of_detection(5000, 1, known(0.9), none)
    assert found is not None
    assert found * ASSUMED == pytest.approx(ASSUMED * math.log(20) / (5000 * 0.9), rel=0.01)


@pytest.mark.parametrize("of", [500, 2000, 10_000])
def test_slides_of_unmeasured_patients(of: int) -> None:
    sensitivity, false_positives = MeasuredRate(5900, 6960, 0.025, 80), MeasuredRate(6, 2380, 0.0032, 35)
    critical = critical_count(of, false_positives)
    found = limit_of_detection(of, critical, sensitivity, false_positives)
    assert found is not None
    rng = np.random.default_rng(of)

    def seen(share: float) -> float:
        hit, wrong = (
            rng.beta(*(part * (1 / rate.correlation - 1) for part in (rate.share, 1 - rate.share)), 20_000)
            for rate in (sensitivity, false_positives)
        )
        return float((rng.binomial(of, share * hit + (1 - share) * wrong) >= critical).mean())

    assert seen(0.0) <= 0.05
    assert seen(found) >= 0.94
    assert seen(found / 3) < 0.95


def test_what_is_never_called_is_never_found() -> None:
    blind = MeasuredRate(0, 10**6, 0, 1)
    assert limit_of_detection(1000, 1, blind, blind) is None
    with pytest.raises(SourceError, match="0 cells judged"):
        critical_count(0, PERFECT)
