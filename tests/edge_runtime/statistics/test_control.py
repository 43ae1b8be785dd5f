"""Charts against published run lengths, exact distributions and simulation."""

import math

import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.report.group import judge_group
from edge_runtime.statistics.control import (
    LEARNING,
    SLACK,
    Reference,
    Sums,
    exceeds,
    interval_of,
    repeated,
    share_line,
    share_tail,
)
from edge_runtime.statistics.intervals import clopper_pearson
from edge_runtime.statistics.rates import UNKNOWN, MeasuredRate


def run_length(limit: float, shift: float, seed: int) -> int:
    """Values until either sum passes the limit."""
    rng, sums, length = np.random.default_rng(seed), Sums(), 0
    while max(sums.low, sums.high) <= limit:
        sums, length = sums.after(rng.normal(shift)), length + 1
    return length


# Montgomery, Introduction to Statistical Quality Control, table 9.3 (k = 1/2): two-sided, shift in sigma.
@pytest.mark.parametrize(
    ("limit", "shift", "published"),
    [(4, 0.0, 168), (4, 1.0, 8.38), (5, 0.0, 465), (5, 0.5, 38.0), (5, 1.0, 10.4), (5, 2.0, 4.01)],
)
def test_average_run_lengths_are_those_of_the_textbook(limit: float, shift: float, published: float) -> None:
    assert SLACK == 0.5
    lengths = [run_length(limit, shift, seed) for seed in range(400)]
    error = np.std(lengths) / math.sqrt(len(lengths))
    assert np.mean(lengths) == pytest.approx(published, abs=3 * error)
    assert error < 0.08 * published


def test_sums_forget_what_lies_within_the_slack() -> None:
    sums = Sums()
    for value in (0.4, -0.4, 0.5, -0.5):
        sums = sums.after(value)
    assert sums == Sums()
    assert Sums().after(2.0) == Sums(0.0, 1.5)
    assert Sums(high=1.5).after(-3.0) == Sums(2.5, 0.0)


def learnt(values: np.ndarray) -> Reference:
    reference = Reference()
    for value in values:
        reference = reference.including(value)
    return reference


def test_a_reference_is_mean_and_deviation_of_its_values() -> None:
    values = np.random.default_rng(0).normal(200, 7, 40)
    reference = learnt(values)
    assert reference.mean == pytest.approx(values.mean())
    assert reference.squares / 39 == pytest.approx(values.var(ddof=1))


@pytest.mark.parametrize("known", [LEARNING, 12, 40])
def test_a_further_value_is_standard_normal_however_few_are_known(known: int) -> None:
    rng = np.random.default_rng(known)
    scores = np.array(
        [
            learnt(values[:-1]).standardised(values[-1], 1e-9)
            for values in rng.normal(20, 3, (4000, known + 1))
        ]
    )
    assert scores.mean() == pytest.approx(0, abs=0.06)
    assert scores.std() == pytest.approx(1, abs=0.05)
    assert np.mean(np.abs(scores) > 1.96) == pytest.approx(0.05, abs=0.012)


def test_nothing_is_said_while_little_is_known_and_small_differences_do_not_matter() -> None:
    few = learnt(np.arange(LEARNING - 1.0))
    assert math.isnan(few.standardised(100.0, 1.0))
    alike = learnt(np.full(50, 20.0))
    assert abs(alike.standardised(20.5, 0.5)) == pytest.approx(1, abs=0.05)
    assert alike.standardised(19.0, 0.5) < -1.5


@pytest.mark.parametrize(
    ("cells", "mean", "correlation"), [(300, 0.05, 0.03), (2000, 0.05, 0.07), (900, 0.2, 0.006)]
)
def test_tails_of_a_share_are_those_of_the_beta_binomial_distribution(
    cells: int, mean: float, correlation: float
) -> None:
    for times in (0.5, 1.0, 1.5, 2.5):
        rejected = round(times * mean * cells)
        exact = judge_group(rejected, cells, usual=mean, correlation=correlation).p_value
        assert share_tail(rejected, cells, mean, correlation) == pytest.approx(exact, rel=0.15, abs=1e-4)


def test_a_part_of_ordinary_slides_lies_above_the_line() -> None:
    rng = np.random.default_rng(1)
    of_slides = rng.beta(0.05 * 24, 0.95 * 24, 20_000)  # correlation 1 / (24 + 1)
    shares = rng.binomial(1500, of_slides) / 1500
    assert np.mean(shares > share_line(1500, 0.05, 0.04, 0.03)) == pytest.approx(0.03, abs=0.005)
    plain = share_line(1500, 0.05, 0.0, 0.03)
    assert np.mean(shares > plain) > 0.25  # an alarm on every fourth ordinary slide


def test_no_hits_are_never_rare_and_nonsense_is_refused() -> None:
    assert share_tail(0, 100, 0.05, 0.1) == 1.0
    for cells, mean, correlation in ((1, 0.1, 0.1), (100, 0.0, 0.1), (100, 1.0, 0.1), (100, 0.1, 1.0)):
        with pytest.raises(SourceError, match="give at least 2 cells"):
            share_tail(1, cells, mean, correlation)


def test_the_interval_of_slides_that_do_not_differ_is_clopper_and_pearsons() -> None:
    found, exact = interval_of(MeasuredRate(7, 9000, 0.0, 5)), clopper_pearson(7, 9000)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    wider = interval_of(MeasuredRate(7, 9000, 0.01, 5))
    assert wider.low < found.low
    assert wider.high > found.high
    assert interval_of(UNKNOWN).high - interval_of(UNKNOWN).low == 1.0


def test_only_a_rate_beyond_the_doubts_of_both_exceeds() -> None:
    stated = MeasuredRate(6, 20_000, 0.0, 30)
    assert exceeds(MeasuredRate(60, 20_000, 0.0, 10), stated)
    assert not exceeds(MeasuredRate(9, 20_000, 0.0, 10), stated)
    assert not exceeds(MeasuredRate(60, 20_000, 0.2, 10), stated)  # one slide may have had them all
    assert not exceeds(UNKNOWN, stated)
    assert not exceeds(MeasuredRate(60, 20_000, 0.0, 10), UNKNOWN)


@pytest.mark.parametrize(("spread", "least"), [(0.0, 0.95), (0.01, 0.87)])
def test_one_more_reading_lies_within_its_bounds_as_often_as_is_said(spread: float, least: float) -> None:
    rng = np.random.default_rng(3)
    both = 1 / spread - 1 if spread else 0.0
    inside = []
    for _ in range(250):
        shares = rng.beta(0.02 * both, 0.98 * both, 7) if spread else np.full(7, 0.02)
        counts = rng.binomial(1500, shares)
        before = MeasuredRate.of_patients(counts[:-1].tolist(), [1500] * 6)
        bounds = repeated(before, 1500, 0.95)
        inside.append(bounds.low <= counts[-1] / 1500 <= bounds.high)
    assert np.mean(inside) >= least
    assert repeated(MeasuredRate(120, 6000, 0.0, 4), 1500, 0.99).high < 0.04
