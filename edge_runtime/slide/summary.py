"""A slide in numbers: what it is called, how many cells have which answer, and whether it is unusual."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.fields.gates import stopped_by
from edge_runtime.slide.estimate import Estimate, estimate
from edge_runtime.slide.group import GroupJudgement, judge_group
from edge_runtime.slide.readings import Counts, FieldReading, SlideHeader
from edge_runtime.slide.record import SlideRecord
from edge_runtime.sources.items import SkippedFrame, SourceNote

# Of the judged cells: where more are rejected, the others are accepted by chance. As in `recalibrate`.
MOST_REJECTED = 0.5


@dataclass(frozen=True)
class SlideSummary:
    """The numbers of a slide; `read --json` and `report --json` print them by these names.

    Attributes:
        header: what holds for the whole slide.
        counts: cells by answer.
        group: whether its whole cells, together, are like those of ordinary slides.
        unread: why the slide says nothing about the patient; empty if it does.
        estimate: the share of parasitized cells and its interval; None where the slide is unread.
    """

    header: SlideHeader
    counts: Counts
    group: GroupJudgement
    unread: str
    estimate: Estimate | None


def summarise(record: SlideRecord) -> SlideSummary:
    """Count a slide's cells and judge them as a group."""
    header, counts = record.header(), record.counts()
    group = judge_group(
        counts.whole_rejected, counts.whole, usual=header.usual, correlation=header.correlation
    )
    unread = _unread(counts)
    found = None if unread else estimate(header, counts, record.field_counts())
    return SlideSummary(header, counts, group, unread, found)


def _unread(counts: Counts) -> str:
    """Why no share of parasitized cells must be taken from a slide; empty if one may."""
    if not counts.fields:
        stopped = ", ".join(f"{number} {reason}" for reason, number in counts.stops.items() if number)
        told = [f"{counts.stopped} not counted ({stopped})"] if counts.stopped else []
        told += [f"{counts.skipped} skipped"] if counts.skipped else []
        return f"none of its frames counts: {', '.join(told) or 'there were none'}"
    if not counts.judged:
        return "no cell could be judged"
    if counts.rejected > MOST_REJECTED * counts.judged:
        return (
            f"{counts.rejected} of {counts.judged} cells were rejected, too many to trust the others; check "
            "slide, light and colours, or fit the bundle to this site with 'cellgate recalibrate'"
        )
    return ""


def one_line(field: FieldReading | SkippedFrame | SourceNote, limits: Mapping[str, float]) -> str:
    """What a look at a source came to, as it is told while a slide is read.

    Args:
        field: what the look gave.
        limits: of the gates, by name.
    """
    if isinstance(field, SkippedFrame | SourceNote):
        return str(field)
    if field.reason:
        gate = stopped_by(field.values, limits)[0]
        return (
            f"not counted: {field.name}: {gate.sentence} ({gate.name} {field.values[gate.name]:.3g}, must be "
            f"{gate.side} {limits[gate.name]:.3g}); {gate.advice}"
        )
    statuses = [cell.status for cell in field.cells]
    return (
        f"field {field.number} ({field.name}): {statuses.count('uninfected')} uninfected, "
        f"{statuses.count('parasitized')} parasitized, {statuses.count('rejected')} rejected, "
        f"{statuses.count('not-judged')} not judged"
    )
