"""The statistics of slides beside statsmodels and scipy, which a device does not have."""

import numpy as np
import pytest

from edge_runtime.statistics.beta import at_least
from edge_runtime.statistics.density import red_cells
from edge_runtime.statistics.detection import critical_count, limit_of_detection
from edge_runtime.statistics.fields import dispersion
from edge_runtime.statistics.intervals import clopper_pearson
from edge_runtime.statistics.rates import MeasuredRate

ABSENT = "the oracle is not installed: pip install --group oracles"


@pytest.mark.parametrize("counted", [(0, 500), (1, 500), (5, 676), (62, 5000), (1990, 2000), (900, 900)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_clopper_and_pearson(counted: tuple[int, int], level: float) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason=ABSENT)
    found = clopper_pearson(*counted, level)
    expected = proportion.proportion_confint(*counted, alpha=1 - level, method="beta")
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_tails_of_counts_in_one_call() -> None:
    stats = pytest.importorskip("scipy.stats", reason=ABSENT)
    shares = np.r_[0.0, np.geomspace(1e-9, 1, 400)]
    for count, of in ((1, 500), (12, 2000), (700, 20_000)):
        expected = stats.binom.sf(count - 1, of, shares)
        assert at_least(count, of, shares) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_dispersion_is_that_of_a_binomial_model() -> None:
    api = pytest.importorskip("statsmodels.api", reason=ABSENT)
    hits, cells = np.array([9, 1, 4, 14, 2]), np.array([90, 80, 100, 110, 70])
    model = api.GLM(np.c_[hits, cells - hits], np.ones((5, 1)), family=api.families.Binomial())
    fitted = model.fit()
    expected = fitted.pearson_chi2 / fitted.df_resid
    assert dispersion(hits.tolist(), cells.tolist()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("of", [500, 2000, 20_000])
def test_critical_counts_and_limits_of_beta_binomial_slides(of: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason=ABSENT)
    # Means that are known exactly leave the beta-binomial distribution alone.
    sensitivity = MeasuredRate(9 * 10**11, 10**12, 1e-12, 10**12)
    share, both = 0.002, 1 / 0.003 - 1
    wrong = MeasuredRate(2 * 10**13, 10**16, 0.003, 10**16)
    critical = critical_count(of, wrong)
    tail = 1 - np.cumsum(stats.betabinom.pmf(np.arange(of), of, share * both, (1 - share) * both))
    exact = int(np.argmax(tail <= 0.05)) + 1
    assert abs(critical - exact) <= max(1, 0.05 * exact)  # 2,000 draws
    none = MeasuredRate(0, 10**16, 0.0, 1)
    found = limit_of_detection(of, critical, sensitivity, none)
    assert found is not None
    assert stats.binom.sf(critical - 1, of, 0.9 * found) == pytest.approx(0.95, abs=2e-3)


def test_red_cells_by_the_rule_of_a_thousand() -> None:
    # 125.6 parasites per infected cell of 1,000 and per cent of haematocrit (MalariaScreener's rule).
    assert red_cells(haematocrit=40).density(0.001) == pytest.approx(125.6 * 40)
