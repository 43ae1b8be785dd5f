"""Figures after review, against figures computed by hand."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from slide_samples import CALL, FIELD, HEADER, JUDGED, REJECTED, TESTS, UNINFECTED

from edge_runtime.decision.table import SUSPECT
from edge_runtime.record.readings import Answer, AppliedTest, CellReading
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.reviewed import Reviewed
from edge_runtime.report.summary import SlideSummary, summarise
from edge_runtime.statistics.intervals import melded
from edge_runtime.statistics.rates import MeasuredRate

FINDABLE = MeasuredRate(990, 1000, 0.0, 30)
PERHAPS = AppliedTest("margin", SUSPECT.code, SUSPECT.sentence, whole=True, side="at least", limit=0.5)
HEAD = replace(HEADER, tests=(*TESTS, PERHAPS), usual=0.9, findable=FINDABLE, until="quick")
SUSPICIOUS = replace(REJECTED, reason=SUSPECT.code)
# Of each of twelve fields: 3 parasitized, 1 suspect, 1 rejected otherwise, 95 uninfected.
CELLS: tuple[CellReading, ...] = (*[JUDGED] * 3, SUSPICIOUS, REJECTED, *[UNINFECTED] * 95)
FIELDS = 12
Call = Callable[[int, int, Answer], None]


@pytest.fixture
def record(tmp_path: Path) -> Iterator[SlideRecord]:
    with SlideRecord.begin(tmp_path / "slide.sqlite", HEAD) as made:
        for number in range(1, FIELDS + 1):
            made.add_field(replace(FIELD, number=number, cells=CELLS))
        made.finish("2025-01-02T04:00:00+00:00")
        yield made


@pytest.fixture
def call(record: SlideRecord) -> Call:
    def say(field: int, cell: int, answer: Answer) -> None:
        record.add_call(replace(CALL, field=field, cell=cell, answer=answer))

    return say


def after(record: SlideRecord) -> Reviewed:
    summary = summarise(record)
    assert summary.reviewed
    return summary.reviewed


def test_nobody_has_looked(record: SlideRecord) -> None:
    summary = summarise(record)
    assert summary.reviewed is None
    assert summary.last_verdict is summary.verdict
    assert summary.last_estimate is summary.estimate


def test_until_all_are_called_there_is_no_number(record: SlideRecord, call: Call) -> None:
    for cell in (1, 2, 3):
        call(1, cell, "parasite")
    found, summary = after(record), summarise(record)
    assert (found.cells, found.waiting, found.rejected) == (3, 12 * 4 - 3, 12)
    assert (found.estimate, found.verdict) == (None, None)
    assert summary.last_verdict is summary.verdict


def test_figures_after_review_are_those_of_the_persons_calls(record: SlideRecord, call: Call) -> None:
    for field in range(1, FIELDS + 1):
        call(field, 1, "parasite")
        call(field, 2, "none")
        call(field, 3, "cannot-tell")
        call(field, 4, "parasite" if field <= 4 else "none")
    call(1, 5, "parasite")  # one that was rejected as unlike the training cells
    call(2, 5, "none")
    call(3, 6, "parasite")  # one that the classifier took for uninfected
    found = after(record)
    # 12 + 4 + 1 + 1 parasites; 12 + 8 called none of those that were asked; 12 x 95 - 1 left as they were.
    assert found.counts.parasitized == 18
    assert found.counts.uninfected == 20 + 12 * 95 - 1
    assert found.counts.suspect == 0
    assert found.counts.rejected == 12 + 12 - 1  # nobody can tell; for another reason, but for one parasite
    assert found.waiting == 0
    assert found.rejected == 10
    assert found.estimate
    assert (found.estimate.parasitized, found.estimate.cells) == (18, 18 + 20 + 12 * 95 - 1)
    assert found.estimate.share == pytest.approx(18 / 1177)
    assert found.estimate.corrected == pytest.approx(18 / 1177 / 0.99)
    assert found.estimate.critical == 1  # a person who looks is taken to be right
    never = MeasuredRate(0, 10**9, 0.0, 1)
    plain = melded(18, 1177, FINDABLE, never, dispersion=found.estimate.dispersion)
    assert found.estimate.interval.low == pytest.approx(plain.low)
    assert found.estimate.interval.high == pytest.approx(plain.high)
    assert found.verdict
    assert found.verdict.word == "parasites-seen"
    assert found.verdict.reasons == ("18 cells hold a parasite; seen by AB",)


def test_before_review_nothing_changes(record: SlideRecord, call: Call) -> None:
    before = summarise(record)
    call(1, 1, "none")
    assert replace(summarise(record), reviewed=None) == before


def all_called(call: Call, answer: Answer) -> None:
    for field in range(1, FIELDS + 1):
        for cell in (1, 2, 3, 4):
            call(field, cell, answer)


def test_none_seen_names_what_is_missed(record: SlideRecord, call: Call) -> None:
    all_called(call, "none")
    found, summary = after(record), summarise(record)
    assert found.verdict
    assert found.verdict.word == "none-seen"
    assert "none of 1,188 red cells holds a parasite: AB looked at all" in found.verdict.reasons[0]
    assert "may be missed" in found.verdict.reasons[1]
    assert found.estimate
    assert found.estimate.detectable
    # With no false positives one parasite tells: that of the model alone lies higher.
    assert before_detectable(summary) > found.estimate.detectable
    # ln 20 / (n s), for cells that are independent and one call that decides
    assert found.estimate.detectable == pytest.approx(2.996 / (1188 * 0.99), rel=0.03)
    assert summary.last_verdict == found.verdict


def before_detectable(summary: SlideSummary) -> float:
    assert summary.estimate
    assert summary.estimate.detectable
    return summary.estimate.detectable


def test_who_cannot_tell_leaves_the_cell_rejected(record: SlideRecord, call: Call) -> None:
    all_called(call, "cannot-tell")
    found = after(record)
    assert (found.counts.parasitized, found.counts.suspect) == (0, 0)
    assert found.counts.rejected == 12 * 5
    assert found.counts.uninfected == 12 * 95


def test_a_parasite_on_a_slide_that_is_not_readable_is_seen_and_gives_no_number(tmp_path: Path) -> None:
    with SlideRecord.begin(tmp_path / "slide.sqlite", HEAD) as record:
        record.add_field(replace(FIELD, cells=(SUSPICIOUS, UNINFECTED)))
        record.finish("2025-01-02T04:00:00+00:00")
        record.add_call(replace(CALL, cell=1))
        found = after(record)
    assert found.estimate is None
    assert found.verdict
    assert found.verdict.word == "parasites-seen"
    assert found.verdict.reasons[0] == "1 cell holds a parasite; seen by AB"
    assert any("fields" in reason for reason in found.verdict.reasons[1:])
