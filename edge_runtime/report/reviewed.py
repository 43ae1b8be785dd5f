"""What a slide says after persons have looked at its cells."""

from dataclasses import dataclass

from edge_runtime.record.readings import Counts
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.estimate import Estimate, estimate
from edge_runtime.report.texts import ENGLISH, Texts
from edge_runtime.report.verdict import Verdict, reviewed_verdict
from edge_runtime.statistics.rates import MeasuredRate

_NEVER = MeasuredRate(0, 10**9, 0.0, 1)  # false positives: a person who looks is taken to be right


@dataclass(frozen=True)
class Reviewed:
    """A slide after review, beside what the model alone says of it.

    Attributes:
        reviewers: who has looked, in the order in which they began.
        cells: that were called by somebody.
        waiting: parasitized and suspect cells that nobody has called; there is no number before all are.
        rejected: cells that were rejected for another reason, and that nobody has called.
        counts: cells by answer, a person's call in place of the model's.
        estimate: as of the model's counts, with no false positives left and the parasites that the model took
            for nothing; None while cells are waiting, or where the slide is not readable.
        verdict: what the reading ends with now; None while cells are waiting.
    """

    reviewers: tuple[str, ...]
    cells: int
    waiting: int
    rejected: int
    counts: Counts
    estimate: Estimate | None
    verdict: Verdict | None


def reviewed(record: SlideRecord, why_not: tuple[str, ...], texts: Texts = ENGLISH) -> Reviewed | None:
    """What a slide says after review; None where nobody has called a cell.

    Args:
        record: of the slide.
        why_not: reasons for which no number may be taken from it (see `verdict.why_not_readable`).
        texts: of the language in which the verdict says why.
    """
    calls = record.latest_calls()
    if not calls:
        return None
    names = tuple(dict.fromkeys(call.reviewer for call in record.calls()))
    counts, left = record.counts("cell_reviewed"), record.counts("cell_uncalled")
    waiting = left.parasitized + left.suspect
    found, end = None, None
    if not waiting:
        if not why_not:
            found = estimate(counts, record.field_counts("cell_reviewed"), record.header().findable, _NEVER)
        end = reviewed_verdict(why_not, found, counts.parasitized, names, texts)
    return Reviewed(names, len(calls), waiting, left.rejected - left.suspect, counts, found, end)
