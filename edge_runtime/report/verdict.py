"""What a reading ends with: parasites seen, none seen, or not readable; and why, and what to do."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edge_runtime.record.readings import Counts, SlideHeader
from edge_runtime.report.estimate import Estimate
from edge_runtime.report.group import FALSE_ALARMS, GroupJudgement
from edge_runtime.report.texts import ENGLISH, Texts
from edge_runtime.statistics.stopping import PRESETS, Missing, missing

Word = Literal["parasites-seen", "none-seen", "not-readable"]

# Of the judged cells: where more are rejected, the others are accepted by chance. As in `recalibrate`.
MOST_REJECTED = 0.5


@dataclass(frozen=True)
class Verdict:
    """The end of a reading.

    Attributes:
        word: the verdict. There is no number where it is "not-readable".
        reasons: why, each a sentence for people; what to do is in it.
    """

    word: Word
    reasons: tuple[str, ...]


def unread(counts: Counts, texts: Texts = ENGLISH) -> str:
    """Why a slide says nothing about the patient, however long one reads on; empty if it may."""
    if not counts.fields:
        reasons = ", ".join(
            f"{number} {texts.of_record('stop', reason, reason)}"
            for reason, number in counts.stops.items()
            if number
        )
        found = (
            [texts.say("verdict.stopped", number=counts.stopped, reasons=reasons)] if counts.stopped else []
        )
        found += [texts.say("verdict.skipped", number=counts.skipped)] if counts.skipped else []
        return texts.say("verdict.no-field", found=", ".join(found) or texts.say("verdict.no-frames"))
    if not counts.judged:
        return texts.say("verdict.no-cell")
    if counts.rejected > MOST_REJECTED * counts.judged:
        return texts.say("verdict.too-many-rejected", rejected=counts.rejected, judged=counts.judged)
    return ""


def lacking(header: SlideHeader, counts: Counts) -> Missing:
    """What a reading still lacks by the preset that its header names."""
    return missing(
        PRESETS[header.until],
        judged=counts.asked,
        parasitized=counts.parasitized,
        fields=counts.fields,
    )


def why_not_readable(
    header: SlideHeader, counts: Counts, group: GroupJudgement, texts: Texts = ENGLISH
) -> tuple[str, ...]:
    """Every reason for which no number must be taken from a slide; none if one may."""
    if nothing := unread(counts, texts):
        return (nothing,)
    return tuple(_doubts(header, counts, group, texts))


def _doubts(header: SlideHeader, counts: Counts, group: GroupJudgement, texts: Texts) -> Iterator[str]:
    if header.finished is None:
        yield texts.say("verdict.unfinished")
    preset, lack = PRESETS[header.until], lacking(header, counts)
    if lack.fields:
        yield texts.say("verdict.few-fields", fields=counts.fields, least=preset.fields)
    if lack.cells:
        yield texts.say("verdict.few-cells", cells=counts.asked, least=counts.asked + lack.cells)
    if group.alarm:
        slides = round(1 / FALSE_ALARMS)
        told = {"rejected": group.rejected, "cells": group.cells, "most": group.most, "slides": slides}
        yield texts.say("verdict.unusual", **told)


def verdict(why_not: tuple[str, ...], found: Estimate | None, texts: Texts = ENGLISH) -> Verdict:
    """Say what a reading ends with.

    Args:
        why_not: as `why_not_readable` gives it.
        found: the estimate; None where no number may be taken.
        texts: of the language in which to say it.
    """
    if why_not or found is None:
        return Verdict("not-readable", why_not or (texts.say("verdict.no-red-cell"),))
    called = {"parasitized": found.parasitized, "cells": found.cells}
    if found.parasitized >= found.critical:
        seen = texts.say("verdict.many-called", **called, critical=found.critical)
        return Verdict("parasites-seen", (seen,))
    few = texts.say("verdict.few-called", **called)
    if found.detectable is None:
        return Verdict("not-readable", (texts.say("verdict.too-few-to-tell", few=few),))
    none = texts.say("verdict.none-called", cells=found.cells)
    missed = _missed(found, found.detectable, texts)
    return Verdict("none-seen", (few if found.parasitized else none, missed))


def reviewed_verdict(
    why_not: tuple[str, ...],
    found: Estimate | None,
    parasites: int,
    reviewers: tuple[str, ...],
    texts: Texts = ENGLISH,
) -> Verdict:
    """Say what a reading ends with after review.

    A parasite that a person has seen is one on a slide that is not readable, too; it gives no number then.

    Args:
        why_not: as `why_not_readable` gives it.
        found: the estimate after review; None where no number may be taken.
        parasites: cells that hold a parasite.
        reviewers: who has looked.
        texts: of the language in which to say it.
    """
    by = ", ".join(reviewers)
    if parasites:
        seen = texts.say("verdict.parasites-confirmed", count=parasites, reviewers=by)
        return Verdict("parasites-seen", (seen, *why_not))
    if why_not or found is None or found.detectable is None:
        return verdict(why_not, found, texts)
    none = texts.say("verdict.none-confirmed", reviewers=by, cells=found.cells)
    return Verdict("none-seen", (none, _missed(found, found.detectable, texts)))


def _missed(found: Estimate, detectable: float, texts: Texts) -> str:
    return texts.say("verdict.missed", density=texts.density(found.per_microlitre(detectable)))
