"""A slide in numbers: what it is called, how many cells have which answer, and whether it is unusual."""

from dataclasses import dataclass

from edge_runtime.slide.group import GroupJudgement, judge_group
from edge_runtime.slide.readings import Counts, SlideHeader
from edge_runtime.slide.record import SlideRecord


@dataclass(frozen=True)
class SlideSummary:
    """The numbers of a slide; `read --json` and `report --json` print them by these names.

    Attributes:
        header: what holds for the whole slide.
        counts: cells by answer.
        group: whether its whole cells, together, are like those of ordinary slides.
    """

    header: SlideHeader
    counts: Counts
    group: GroupJudgement


def summarise(record: SlideRecord) -> SlideSummary:
    """Count a slide's cells and judge them as a group."""
    header, counts = record.header(), record.counts()
    group = judge_group(
        counts.whole_rejected, counts.whole, usual=header.usual, correlation=header.correlation
    )
    return SlideSummary(header, counts, group)
