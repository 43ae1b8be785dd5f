"""What a slide's counts say of the blood: by hand, and on slides made up of patients nobody has measured."""

from edge_runtime.bundle.performance import PatientCounts
from edge_runtime.record.readings import Counts, FieldCounts
from edge_runtime.report.estimate import Estimate, estimate, rates_of, told
from edge_runtime.statistics.intervals import Interval
from edge_runtime.statistics.rates import UNKNOWN, MeasuredRate

RATES = (MeasuredRate(5900, 6960, 0.025, 80), MeasuredRate(6, 2380, 0.0032, 35))


def counts(uninfected: int, parasitized: int, suspect: int = 0, far: int = 0) -> Counts:
    reasons = {"far-from-training": far, "suspect": suspect}
    return Counts(uninfected, parasitized, suspect + far, 0, fields=10, skipped=0, reasons=reasons)


def of(uninfected: int, parasitized: int, **more: int) -> Estimate:
    made = estimate(counts(uninfected, parasitized, **more), [], *RATES)
    assert made is not None
    return made


def patient(parasitized: tuple[int, int, int, int], uninfected: tuple[int, int, int, int]) -> PatientCounts:
    return PatientCounts(parasitized[0] == 0, *parasitized, *uninfected)


def test_rates_are_of_cells_that_are_accepted_or_suspect() -> None:
    ill = patient((100, 80, 15, 78), (50, 40, 2, 9))
    well = patient((0, 0, 0, 0), (200, 190, 4, 1))
    sensitivity, false_positives = rates_of([ill, well, well])
    assert (sensitivity.hits, sensitivity.cells, sensitivity.patients) == (78, 95, 1)
    # What is called in a patient who has parasites may be one that both readings missed.
    assert (false_positives.hits, false_positives.cells, false_positives.patients) == (2, 388, 2)
    assert rates_of([ill])[1] == MeasuredRate(9, 42, 0.0, 1, ((9, 42),))
    assert rates_of([]) == (UNKNOWN, UNKNOWN)


def test_suspects_are_cells_that_were_asked_and_other_rejected_ones_are_not() -> None:
    made = of(940, 50, suspect=10, far=200)
    assert (made.cells, made.parasitized, made.share) == (1000, 50, 0.05)
    assert made.worst == Interval(50 / 1200, 260 / 1200)
    assert made.interval.low < 0.05 < made.interval.high


def test_eight_fields_without_a_parasite_do_not_leave_out_the_truth() -> None:
    """The case that users reported: 5 of 676 cells, whose bounds were 0.68 and 8.21 %."""
    made = of(671, 5)
    assert made.interval.low == 0
    assert made.parasitized < made.critical
    assert any("on slides without a parasite, too" in line for _, line in told(made))


def test_a_slide_says_what_it_may_miss() -> None:
    many, few = of(20_000, 0), of(100, 0)
    assert many.detectable is not None
    assert few.detectable is None or 0 < many.detectable < few.detectable
    lines = dict(told(many))
    assert lines["detectable"].endswith("in a microlitre; fewer may be missed")
    assert "with 5,000,000 red cells in it (assumed)" in lines["density"]


def test_a_bundle_that_was_not_measured_tells_nothing() -> None:
    made = estimate(counts(900, 100), [], UNKNOWN, UNKNOWN)
    assert made is not None
    assert made.interval == Interval(0.0, 1.0)
    assert made.detectable is None
    assert "nothing" in dict(told(made))["detectable"]


def test_parasites_in_some_fields_only_make_the_interval_wider() -> None:
    even = [FieldCounts(5, 100)] * 20
    uneven = [FieldCounts(50, 100)] * 2 + [FieldCounts(0, 100)] * 18
    first, second = (estimate(counts(1900, 100), fields, *RATES) for fields in (even, uneven))
    assert first is not None
    assert second is not None
    assert first.dispersion == 1
    assert second.dispersion > 20
    assert second.interval.low < first.interval.low < first.interval.high < second.interval.high


def test_without_cells_there_is_no_estimate() -> None:
    assert estimate(counts(0, 0, far=30), [], *RATES) is None
