"""The beta distribution against scipy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.statistics.beta import at_least, beta_cdf, beta_quantile

special = pytest.importorskip("scipy.special", reason="the oracle; a device has no scipy")
stats = pytest.importorskip("scipy.stats")

NUMBER = st.floats(0.05, 50_000)
SHARE = st.floats(0, 1)


@given(x=SHARE, a=NUMBER, b=NUMBER)
def test_the_distribution_is_that_of_scipy(x: float, a: float, b: float) -> None:
    assert float(beta_cdf(x, a, b)) == pytest.approx(special.betainc(a, b, x), rel=1e-9, abs=1e-12)


@given(share=st.floats(1e-6, 1 - 1e-6), a=st.floats(0.5, 20_000), b=st.floats(0.5, 20_000))
def test_the_quantile_turns_the_distribution_round(share: float, a: float, b: float) -> None:
    found = beta_quantile(share, a, b)
    assert special.betainc(a, b, np.nextafter(found, 0)) <= share + 1e-9
    assert special.betainc(a, b, np.nextafter(found, 1)) >= share - 1e-9
    assert found == pytest.approx(special.betaincinv(a, b, share), rel=1e-6, abs=1e-12)


@given(of=st.integers(1, 20_000), count=st.integers(-1, 20_001), share=SHARE)
def test_so_many_cells_or_more(of: int, count: int, share: float) -> None:
    assert float(at_least(count, of, share)) == pytest.approx(stats.binom.sf(count - 1, of, share), abs=1e-9)


def test_many_values_at_once() -> None:
    x = np.linspace(0, 1, 101)
    assert beta_cdf(x, 3, 900) == pytest.approx(special.betainc(3, 900, x), abs=1e-12)
    assert at_least(0, 5, x).shape == at_least(6, 5, x).shape == x.shape


@pytest.mark.parametrize(("x", "a", "b"), [(1.1, 1, 1), (0.5, 0, 1), (0.5, 1, -1), (float("nan"), 1, 1)])
def test_what_is_no_beta_distribution_is_refused(x: float, a: float, b: float) -> None:
    with pytest.raises(ValueError, match="no beta distribution"):
        beta_cdf(x, a, b)
    with pytest.raises(ValueError, match="no probability"):
        beta_quantile(1.5, 1, 1)
