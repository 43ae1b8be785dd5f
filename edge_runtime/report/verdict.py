"""What a reading ends with: parasites seen, none seen, or not readable; and why, and what to do."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edge_runtime.record.readings import Counts, SlideHeader
from edge_runtime.report.estimate import Estimate
from edge_runtime.report.group import FALSE_ALARMS, GroupJudgement
from edge_runtime.statistics.stopping import PRESETS, Missing, missing

Word = Literal["parasites-seen", "none-seen", "not-readable"]
WORDS = {"parasites-seen": "PARASITES SEEN", "none-seen": "NO PARASITES SEEN", "not-readable": "NOT READABLE"}

# Of the judged cells: where more are rejected, the others are accepted by chance. As in `recalibrate`.
MOST_REJECTED = 0.5


@dataclass(frozen=True)
class Verdict:
    """The end of a reading that nobody has reviewed.

    Attributes:
        word: the verdict. There is no number where it is "not-readable".
        reasons: why, each a sentence for people; what to do is in it.
    """

    word: Word
    reasons: tuple[str, ...]

    @property
    def title(self) -> str:
        """The verdict as a person reads it."""
        return WORDS[self.word]


def unread(counts: Counts) -> str:
    """Why a slide says nothing about the patient, however long one reads on; empty if it may."""
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


def lacking(header: SlideHeader, counts: Counts) -> Missing:
    """What a reading still lacks by the preset that its header names."""
    return missing(
        PRESETS[header.until],
        judged=counts.asked,
        parasitized=counts.parasitized,
        fields=counts.fields,
    )


def why_not_readable(header: SlideHeader, counts: Counts, group: GroupJudgement) -> tuple[str, ...]:
    """Every reason for which no number must be taken from a slide; none if one may."""
    if nothing := unread(counts):
        return (nothing,)
    return tuple(_doubts(header, counts, group))


def _doubts(header: SlideHeader, counts: Counts, group: GroupJudgement) -> Iterator[str]:
    if header.finished is None:
        yield "the reading did not come to its end; give the same command again, and it goes on"
    preset, lack = PRESETS[header.until], lacking(header, counts)
    if lack.fields:
        yield f"{counts.fields} of at least {preset.fields} fields; read on at other places of the film"
    if lack.cells:
        yield f"{counts.asked} of at least {counts.asked + lack.cells} cells; read on"
    if group.alarm:
        yield (
            f"an unusual slide: {group.rejected} of {group.cells} whole cells were rejected, and of "
            f"{1 / FALSE_ALARMS:.0f} ordinary slides only one would have more than {group.most}; its stain, "
            "light, focus or kind of cell is another, so check slide and microscope and read it again"
        )


def verdict(why_not: tuple[str, ...], found: Estimate | None) -> Verdict:
    """Say what a reading ends with.

    Args:
        why_not: as `why_not_readable` gives it.
        found: the estimate; None where no number may be taken.
    """
    if why_not or found is None:
        return Verdict("not-readable", why_not or ("no red cell could be judged",))
    asked, called = f"{found.cells:,}", f"{found.parasitized:,}"
    if found.parasitized >= found.critical:
        often = f"of a slide without a parasite rarely as many as {found.critical:,} are"
        return Verdict("parasites-seen", (f"{called} of {asked} cells are called parasitized; {often}",))
    false = f"{called} of {asked} cells are called parasitized, as on a slide without a parasite"
    if found.detectable is None:
        return Verdict("not-readable", (f"{false}; so few cells tell neither; read on",))
    missed = f"fewer than {found.per_microlitre(found.detectable)} in a microlitre may be missed"
    return Verdict(
        "none-seen", (false if found.parasitized else f"none of {asked} cells is called parasitized", missed)
    )
