"""The picture of the interval: densities stand where their logarithm puts them."""

from dataclasses import replace

import pytest

from edge_runtime.record.readings import Counts
from edge_runtime.report.estimate import Estimate, estimate
from edge_runtime.report.scale import WIDTH, scale_of
from edge_runtime.statistics.intervals import Interval
from edge_runtime.statistics.rates import MeasuredRate


def found() -> Estimate:
    rates = (MeasuredRate(5900, 6960, 0.025, 80), MeasuredRate(6, 2380, 0.0032, 35))
    made = estimate(Counts(1900, 100, 0, 0, fields=10, skipped=0), [], *rates)
    assert made is not None
    return made


def test_ticks_are_tens_of_densities_evenly_apart() -> None:
    ticks = scale_of(found()).ticks
    assert [density for _, density, _ in ticks] == [10, 100, 1000, 10_000, 100_000, 1_000_000]
    assert [share for _, _, share in ticks] == pytest.approx([density / 5e6 for _, density, _ in ticks])
    gaps = [right[0] - left[0] for left, right in zip(ticks, ticks[1:], strict=False)]
    assert gaps == pytest.approx([gaps[0]] * len(gaps), abs=0.15)


def test_the_interval_lies_around_its_point_and_within_the_picture() -> None:
    scale = scale_of(found())
    assert 0 < scale.left < scale.low < scale.point < scale.high < scale.right < WIDTH
    assert not scale.open
    assert scale.limit is not None


def test_what_reaches_down_to_nothing_is_open_and_what_is_everything_ends_at_the_right() -> None:
    scale = scale_of(replace(found(), interval=Interval(0.0, 1.0), detectable=None, corrected=None))
    assert scale.open
    assert (scale.low, scale.high) == (scale.left, scale.right)
    assert scale.limit is None
    assert scale.point == scale_of(replace(found(), corrected=found().share)).point
