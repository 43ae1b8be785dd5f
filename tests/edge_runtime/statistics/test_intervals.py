"""Intervals against scipy's and published ones, and how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import SourceError
from edge_runtime.statistics import intervals
from edge_runtime.statistics.intervals import clopper_pearson, corrected, melded, worst_case
from edge_runtime.statistics.rates import MeasuredRate

# As a bundle may state them: few cells of few patients, who differ.
SENSITIVITY = MeasuredRate(5900, 6960, 0.025, 80)
FALSE_POSITIVES = MeasuredRate(6, 2380, 0.0032, 35)


@given(of=st.integers(1, 20_000), share=st.floats(0, 1))
def test_the_exact_interval_is_that_of_scipy(of: int, share: float) -> None:
    stats = pytest.importorskip("scipy.stats", reason="the oracle; a device has no scipy")
    count = round(share * of)
    expected = stats.binomtest(count, of).proportion_ci(0.95, method="exact")
    found = clopper_pearson(count, of)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-12)


def test_the_true_share_behind_an_apparent_one() -> None:
    # Rogan and Gladen: of 1,000 persons 130 are positive by a test of sensitivity 90 % and specificity 95 %.
    assert corrected(0.13, 0.9, 0.05) == pytest.approx(0.0941, abs=1e-4)
    assert corrected(0.01, 0.9, 0.05) == 0.0
    assert np.isnan(corrected(0.1, 0.05, 0.05))


def test_rates_that_are_known_exactly_leave_the_exact_interval() -> None:
    perfect, none = MeasuredRate(10**9, 10**9, 0, 10**9), MeasuredRate(0, 10**9, 0, 10**9)
    for count, of in ((0, 500), (5, 1000), (120, 5000)):
        exact, found = clopper_pearson(count, of), melded(count, of, perfect, none)
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), rel=0.03, abs=1e-5)


def test_every_doubt_widens_the_interval() -> None:
    def width(**changed: object) -> float:
        told = {"hits": 900, "cells": 1000, "correlation": 0.0, "patients": 20} | changed
        found = melded(100, 5000, MeasuredRate(**told), FALSE_POSITIVES)  # type: ignore[arg-type]
        return found.high - found.low

    assert width() < width(hits=90, cells=100) < width(hits=0, cells=0, patients=0)
    assert width() < width(correlation=0.05)
    few, many = (melded(100, 5000, SENSITIVITY, FALSE_POSITIVES, dispersion=d) for d in (1.0, 3.0))
    assert many.low < few.low < few.high < many.high


def test_nothing_is_said_where_nothing_was_measured() -> None:
    unknown = MeasuredRate(0, 0, 0.0, 0)
    assert melded(50, 1000, unknown, unknown) == intervals.Interval(0.0, 1.0)


def test_the_same_counts_have_the_same_interval() -> None:
    assert melded(7, 3000, SENSITIVITY, FALSE_POSITIVES) == melded(7, 3000, SENSITIVITY, FALSE_POSITIVES)


def test_the_worst_that_rejected_cells_allow() -> None:
    assert worst_case(3, 87, 10) == intervals.Interval(0.03, 0.13)
    assert worst_case(0, 50, 0) == intervals.Interval(0.0, 0.0)
    with pytest.raises(SourceError, match="0 of 0 cells"):
        worst_case(0, 0, 0)


@pytest.mark.parametrize(("count", "of"), [(-1, 5), (6, 5), (0, 0)])
def test_counts_that_cannot_be_are_refused(count: int, of: int) -> None:
    with pytest.raises(SourceError, match=f"{count} of {of} cells"):
        clopper_pearson(count, of)
    with pytest.raises(SourceError, match=f"{count} of {of} cells"):
        melded(count, of, SENSITIVITY, FALSE_POSITIVES)
