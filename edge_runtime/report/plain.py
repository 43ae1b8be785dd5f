"""A slide in plain text: each look while it is read, and the numbers and the verdict at the end."""

from collections.abc import Iterator, Mapping

from edge_runtime.fields.gates import stopped_by
from edge_runtime.record.readings import FieldReading, by_class
from edge_runtime.report.estimate import Estimate, told
from edge_runtime.report.reviewed import Reviewed
from edge_runtime.report.summary import SlideSummary
from edge_runtime.report.texts import ENGLISH, Texts
from edge_runtime.report.verdict import Verdict
from edge_runtime.report.wording import stop_told
from edge_runtime.sources.items import SkippedFrame, SourceNote

Look = FieldReading | SkippedFrame | SourceNote  # what becomes of a look at a source

_NAMES = ("uninfected", "parasitized", "rejected", "not_judged", "fields", "stopped", "skipped")


def one_line(field: Look, limits: Mapping[str, float]) -> str:
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


def lines_of(summary: SlideSummary, texts: Texts = ENGLISH) -> Iterator[str]:
    """The counts with their reasons, the estimate where there is one, and the verdict.

    Args:
        summary: of the slide; its verdict is in the language it was made in.
        texts: of that language. The names before the numbers stay those of the JSON.
    """
    header, counts = summary.header, summary.counts
    whys = {
        "uninfected": by_class(header, counts, "uninfected"),
        "parasitized": by_class(header, counts, "parasitized"),
        "rejected": [
            (number, f"{code}: {texts.of_record('reason', code, header.sentences[code])}")
            for code, number in counts.reasons.items()
        ],
        "stopped": [
            (number, f"{code}: {stop_told(header.stops[code], texts)}")
            for code, number in counts.stops.items()
            if number
        ],
    }
    for name in _NAMES:
        yield f"{name.replace('_', ' '):<12}{getattr(counts, name):>7}"
        for number, why in whys.get(name, ()):
            yield f"  {number:>17}  {why}"
    if header.repeats:
        yield f"{'repeats':<12}{header.repeats:>7}"
    yield from _estimated(summary.estimate, texts)
    yield from _ended(summary.verdict, texts.say("verdict.unreviewed"), texts)
    if summary.reviewed:
        yield from _after_review(summary.reviewed, texts)
    yield f"bundle {header.bundle} on {header.provider}"


def _after_review(found: Reviewed, texts: Texts) -> Iterator[str]:
    names = ", ".join(found.reviewers)
    yield f"\n{texts.say('review.called', count=found.cells, reviewers=names)}"
    if found.waiting:
        yield texts.say("review.waiting", count=found.waiting)
    yield from _estimated(found.estimate, texts)
    if found.verdict:
        yield from _ended(found.verdict, texts.say("verdict.reviewed", reviewers=names), texts)


def _estimated(found: Estimate | None, texts: Texts) -> Iterator[str]:
    for name, line in told(found, texts) if found else ():
        yield f"{name:<12}{line}"


def _ended(end: Verdict, by: str, texts: Texts) -> Iterator[str]:
    yield f"\n{texts.say(f'verdict.{end.word}')}, {by}"
    for reason in end.reasons:
        yield f"  {reason}"
