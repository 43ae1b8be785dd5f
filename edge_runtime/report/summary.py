"""A slide in numbers: what it is called, how many cells have which answer, and whether it is unusual."""

from dataclasses import dataclass

from edge_runtime.record.readings import Counts, SlideHeader
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.estimate import Estimate, estimate
from edge_runtime.report.group import GroupJudgement, judge_group
from edge_runtime.report.reviewed import Reviewed, reviewed
from edge_runtime.report.texts import ENGLISH, Texts
from edge_runtime.report.verdict import Verdict, unread, verdict, why_not_readable


@dataclass(frozen=True)
class SlideSummary:
    """The numbers of a slide; `read --json` and `report --json` print them by these names.

    Attributes:
        header: what holds for the whole slide.
        counts: cells by answer.
        group: whether its whole cells, together, are like those of ordinary slides.
        unread: why the slide says nothing about the patient, however much of it is read; empty if it may.
        verdict: what the reading ends with, and why.
        estimate: the share of parasitized cells and its interval; None where the slide is not readable.
        reviewed: the same after review; None where nobody has looked.
    """

    header: SlideHeader
    counts: Counts
    group: GroupJudgement
    unread: str
    verdict: Verdict
    estimate: Estimate | None
    reviewed: Reviewed | None = None

    @property
    def last_verdict(self) -> Verdict:
        """What the reading ends with: after review, once nothing waits for it."""
        return self.reviewed.verdict if self.reviewed and self.reviewed.verdict else self.verdict

    @property
    def last_estimate(self) -> Estimate | None:
        """The estimate that belongs to the last verdict."""
        return self.reviewed.estimate if self.reviewed and self.reviewed.verdict else self.estimate


def summarise(record: SlideRecord, texts: Texts = ENGLISH) -> SlideSummary:
    """Count a slide's cells and judge them as a group.

    Args:
        record: of the slide.
        texts: of the language in which the verdict says why.
    """
    header, counts = record.header(), record.counts()
    # Suspects are as many as there are parasites, which make no slide unusual.
    group = judge_group(
        counts.whole_rejected - counts.suspect,
        counts.whole - counts.suspect,
        usual=header.usual,
        correlation=header.correlation,
    )
    why_not = why_not_readable(header, counts, group, texts)
    found = None
    if not why_not:
        found = estimate(counts, record.field_counts(), header.sensitivity, header.false_positives)
    end = verdict(why_not, found, texts)
    readable = None if end.word == "not-readable" else found
    after = reviewed(record, why_not, texts)
    return SlideSummary(header, counts, group, unread(counts, texts), end, readable, after)
