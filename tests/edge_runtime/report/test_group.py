"""The slide-level test against closed forms, simulation, and its promise on false alarms."""

import math

import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.report.group import GroupJudgement, judge_group


def judged(rejected: int, cells: int, correlation: float = 0.0, usual: float = 0.05) -> GroupJudgement:
    return judge_group(rejected, cells, usual=usual, correlation=correlation)


def test_without_correlation_it_is_the_binomial_tail() -> None:
    exact = sum(math.comb(20, k) * 0.05**k * 0.95 ** (20 - k) for k in range(4, 21))
    assert judged(4, 20).p_value == pytest.approx(exact, rel=1e-12)


def test_a_uniform_share_makes_every_count_equally_probable() -> None:
    # Mean 1/2 and correlation 1/3 are a beta distribution with a = b = 1.
    found = [judged(k, 9, correlation=1 / 3, usual=0.5).p_value for k in range(10)]
    assert found == pytest.approx([(10 - k) / 10 for k in range(10)], rel=1e-12)


def test_a_vanishing_correlation_is_the_binomial() -> None:
    assert judged(9, 100, correlation=1e-9).p_value == pytest.approx(judged(9, 100).p_value, rel=1e-5)


@pytest.mark.parametrize("correlation", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("cells", [30, 100, 1000])
def test_ordinary_slides_sound_the_alarm_as_rarely_as_promised(correlation: float, cells: int) -> None:
    rng = np.random.default_rng(cells)
    slides = 40_000
    if correlation:
        both = (1 - correlation) / correlation
        shares = rng.beta(0.05 * both, 0.95 * both, slides)
    else:
        shares = np.full(slides, 0.05)
    most = judged(0, cells, correlation).most
    alarms = float((rng.binomial(cells, shares) > most).mean())
    assert alarms <= 0.01 + 4 * math.sqrt(0.01 * 0.99 / slides)
    assert alarms > 0.001  # and the limit is not needlessly high


def test_the_more_alike_cells_are_the_more_it_takes() -> None:
    assert judged(0, 100, 0.0).most < judged(0, 100, 0.02).most < judged(0, 100, 0.1).most


@pytest.mark.parametrize("correlation", [0.0, 0.03])
def test_the_alarm_is_where_the_p_value_is_small(correlation: float) -> None:
    for rejected in range(101):
        found = judged(rejected, 100, correlation)
        assert found.alarm == (found.p_value <= 0.01) == (rejected > found.most)


def test_a_hundred_cells_show_a_slide_that_is_rejected_by_a_third() -> None:
    rng = np.random.default_rng(1)
    counts = rng.binomial(100, 1 / 3, 2000)
    assert np.mean([judged(int(count), 100, correlation=0.02).alarm for count in counts]) > 0.99


def test_no_cells_are_no_reason_for_alarm() -> None:
    found = judged(0, 0)
    assert (found.alarm, found.p_value, found.most) == (False, 1.0, 0)


def test_large_slides_neither_overflow_nor_underflow() -> None:
    found = judged(60_000, 100_000, correlation=0.001)
    assert found.alarm
    assert 0 <= found.p_value < 1e-300 or math.isfinite(found.p_value)


@pytest.mark.parametrize(
    ("rejected", "cells", "usual", "correlation", "told"),
    [
        (-1, 10, 0.05, 0.0, "-1 rejected of 10"),
        (11, 10, 0.05, 0.0, "11 rejected of 10"),
        (1, 10, 0.0, 0.0, "usual is 0.0"),
        (1, 10, 0.05, 1.0, "correlation is 1.0"),
        (1, 10, 0.05, -0.1, "correlation is -0.1"),
    ],
)
def test_numbers_outside_their_range_are_refused(
    rejected: int, cells: int, usual: float, correlation: float, told: str
) -> None:
    with pytest.raises(SourceError, match=told):
        judge_group(rejected, cells, usual=usual, correlation=correlation)
