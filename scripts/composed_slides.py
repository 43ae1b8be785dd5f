"""Slides composed of judged cells, whose truth is known: how they are drawn, read, and told in a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.performance import PatientCounts
from edge_runtime.decision.table import SUSPECT
from edge_runtime.record.readings import Counts, FieldCounts
from edge_runtime.report.estimate import Estimate, estimate, rates_of
from edge_runtime.report.verdict import verdict
from edge_runtime.statistics.grades import grade
from edge_runtime.statistics.rates import MeasuredRate
from edge_runtime.statistics.stopping import WITHIN

SHARES = (0.0, 0.0002, 0.001, 0.005, 0.02, 0.1)
FEWEST = 20  # cells of a kind that a patient must have, to be drawn from
A_FIELD = 100  # cells
NOT_CALLED, CALLED, SUSPICIOUS, REJECTED = range(4)  # the answers

Rates = tuple[MeasuredRate, MeasuredRate]  # sensitivity, false positives


@dataclass(frozen=True)
class Patient:
    """One patient's cells, as they are answered.

    Attributes:
        counts: for the rates that others' slides are read with: of an infected patient, of a healthy one, or
            of a simulated preparation's slides with and without parasites.
        parasitized: int64 [N] answers to the parasitized cells: CALLED, SUSPICIOUS, REJECTED or NOT_CALLED.
        uninfected: likewise to the others.
    """

    counts: tuple[PatientCounts, ...]
    parasitized: NDArray[np.int64]
    uninfected: NDArray[np.int64]

    @property
    def healthy(self) -> bool:
        """Whether there are cells of a slide without any parasite."""
        return any(one.healthy for one in self.counts)


def counted(parasitized: NDArray[np.int64], uninfected: NDArray[np.int64], *, healthy: bool) -> PatientCounts:
    """Count answers to cells of both kinds, int64 [N] each."""
    numbers = {}
    for name, answers in (("parasitized", parasitized), ("uninfected", uninfected)):
        of = np.bincount(answers, minlength=4)
        numbers |= {
            name: len(answers),
            f"{name}_accepted": int(of[CALLED] + of[NOT_CALLED]),
            f"{name}_suspect": int(of[SUSPICIOUS]),
            f"{name}_called": int(of[CALLED]),
        }
    return PatientCounts(healthy=healthy, **numbers)


@dataclass(frozen=True)
class Reading:
    """A slide that was read: its true share of parasitized cells, what was estimated, and the verdict."""

    share: float
    found: Estimate
    word: str

    @property
    def covered(self) -> bool:
        """Whether the interval holds the truth."""
        return self.found.interval.low <= self.share <= self.found.interval.high

    @property
    def near(self) -> bool:
        """Whether the number is within a quarter of the truth."""
        told = self.found.corrected
        return told is not None and abs(told - self.share) <= WITHIN * self.share

    @property
    def missed(self) -> bool:
        """Whether none were seen above the limit that the reading itself states."""
        limit = self.found.detectable
        return self.word == "none-seen" and limit is not None and self.share > limit


def compose(
    parasitized: NDArray[np.int64],
    uninfected: NDArray[np.int64],
    share: float,
    cells: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """The answers to the cells of one slide, drawn from those to cells of both kinds: int64 [cells]."""
    drawn = rng.choice(uninfected, cells)
    ill = np.flatnonzero(rng.random(cells) < share)
    drawn[ill] = rng.choice(parasitized, len(ill)) if len(ill) else drawn[ill]
    return drawn


def read(drawn: NDArray[np.int64], share: float, rates: Rates) -> Reading:
    """Read a composed slide by rates that were measured on others."""
    number = np.bincount(drawn, minlength=4)
    suspect, rejected = int(number[SUSPICIOUS]), int(number[REJECTED])
    counts = Counts(
        int(number[NOT_CALLED]),
        int(number[CALLED]),
        suspect + rejected,
        0,
        len(drawn) // A_FIELD,
        0,
        reasons={SUSPECT.code: suspect},
    )
    fields = [
        FieldCounts(int((field == CALLED).sum()), int((field != REJECTED).sum()))
        for field in np.array_split(drawn, len(drawn) // A_FIELD)
    ]
    found = estimate(counts, fields, *rates)
    assert found is not None
    return Reading(share, found, verdict((), found).word)


def readings(
    patients: Sequence[Patient],
    share: float,
    slides: int,
    cells: int,
    *,
    seed: int,
    own: bool,
    stated: Rates | None = None,
) -> Iterator[Reading]:
    """Slides of patients in turn, in a random order.

    Args:
        patients: all of them.
        share: of the cells that hold a parasite.
        slides: number of slides.
        cells: per slide.
        seed: of everything that is drawn.
        own: whether cells without a parasite are the patient's own, or those of all healthy patients.
        stated: the rates to read by; those of all other patients where there are none.
    """
    well = np.concatenate([one.uninfected for one in patients if one.healthy])
    able = [
        number
        for number, one in enumerate(patients)
        if (one.healthy if share == 0 else len(one.parasitized) >= FEWEST) and len(one.uninfected) >= FEWEST
    ]
    rng = np.random.default_rng([seed, round(share * 1e6)])
    order = rng.permutation(able)
    for slide in range(slides):
        number = int(order[slide % len(order)])
        chosen = patients[number]
        others = [each for one in (*patients[:number], *patients[number + 1 :]) for each in one.counts]
        drawn = compose(chosen.parasitized, chosen.uninfected if own else well, share, cells, rng)
        yield read(drawn, share, stated or rates_of(others))


def table(made: Mapping[float, Sequence[Reading]]) -> str:
    """The slides of each share in Markdown, and WHO's grade of who reads so."""
    every = [one for of_share in made.values() for one in of_share]
    right = np.mean([(one.word == "parasites-seen") == (one.share > 0) for one in every])
    near = np.mean([one.near for one in every if one.share])
    lines = [
        (
            "| parasitized | slides | parasites seen | none seen | not readable | interval holds "
            "| its width, median | corrected, median | within a quarter | limit of detection, median "
            "| none seen above it |"
        ),
        "|---" * 11 + "|",
        *(row(share, of_share) for share, of_share in made.items()),
        "",
        f"right {right:.1%}, within a quarter {near:.1%}: {grade(float(right), float(near))}",
    ]
    return "\n".join(lines)


def row(share: float, made: Sequence[Reading]) -> str:
    """One line of the table."""
    words = [one.word for one in made]
    held = f"{np.mean([one.covered for one in made]):.1%}"
    width = 100 * np.median([one.found.interval.high - one.found.interval.low for one in made])
    told = [100 * one.found.corrected for one in made if one.found.corrected is not None]
    limit = [100 * one.found.detectable for one in made if one.found.detectable is not None]
    near = f"{np.mean([one.near for one in made]):.0%}" if share else ""
    return (
        f"| {100 * share:g} % | {len(made)} | {words.count('parasites-seen')} | {words.count('none-seen')} "
        f"| {words.count('not-readable')} | {held} | {width:.2f} % | {np.median(told):.2f} % | {near} "
        f"| {np.median(limit) if limit else float('nan'):.2f} % | {sum(one.missed for one in made)} |"
    )
