"""What readings of slides are worth: slides composed of real cells, whose truth is known.

    python -m scripts.measure_readings --run runs/default --cells 2000

A slide has so many cells, drawn with replacement, a known share of them parasitized: those of one patient.
Its other cells are those of all healthy patients together. With --own they are the same patient's, too (a
healthy one's where the share is 0): some 65 of them, so that a single false positive makes 1.5 % of the
slide, and none makes 0; both are extremes. The networks that decide never saw the cells, and a slide is read
with the rates of all other patients. Prints a table in Markdown, and WHO's grade of a reader.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.performance import PatientCounts
from edge_runtime.console import Commands
from edge_runtime.decision.table import SUSPECT
from edge_runtime.record.readings import Counts, FieldCounts
from edge_runtime.report.estimate import Estimate, estimate, rates_of
from edge_runtime.report.verdict import verdict
from edge_runtime.statistics.grades import grade
from edge_runtime.statistics.stopping import WITHIN
from training.crossfit import held_out_answers
from training.testing import Answers, patient_counts

SHARES = (0.0, 0.0002, 0.001, 0.005, 0.02, 0.1)
FEWEST = 20  # cells of a kind that a patient must have, to be drawn from
A_FIELD = 100  # cells


@dataclass(frozen=True)
class Patient:
    """One patient's cells, as they are answered.

    Attributes:
        counts: for the rates that other patients' slides are read with.
        parasitized: int64 [N] answers to the parasitized cells: CALLED, SUSPICIOUS, REJECTED or NOT_CALLED.
        uninfected: likewise to the others.
    """

    counts: PatientCounts
    parasitized: NDArray[np.int64]
    uninfected: NDArray[np.int64]


NOT_CALLED, CALLED, SUSPICIOUS, REJECTED = range(4)


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


def patients_of(
    answers: Answers,
    parasitized: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    names: Sequence[str],
    healthy: NDArray[np.bool_],
) -> list[Patient]:
    """Gather the answers by patient.

    Args:
        answers: to N cells.
        parasitized: bool [N], by labels on which all readings agree.
        usable: bool [N], cells with such a label.
        names: N patients.
        healthy: bool [N], cells of patients without a parasite.
    """
    what = np.where(answers.infected, CALLED, NOT_CALLED)
    what = np.where(answers.rejected, REJECTED, what)
    what = np.where(answers.suspect, SUSPICIOUS, what)
    found = []
    for name in sorted(set(names)):
        own = (np.array(names) == name) & usable
        counts = patient_counts(answers, parasitized, own, healthy=bool(healthy[own].any()))
        found.append(Patient(counts, what[own & parasitized], what[own & ~parasitized]))
    return found


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


def read(drawn: NDArray[np.int64], share: float, others: Sequence[PatientCounts]) -> Reading:
    """Read a composed slide by the rates of other patients."""
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
    found = estimate(counts, fields, *rates_of(others))
    assert found is not None
    return Reading(share, found, verdict((), found).word)


def readings(
    patients: Sequence[Patient], share: float, slides: int, cells: int, *, seed: int, own: bool
) -> Iterator[Reading]:
    """Slides of patients in turn, in a random order.

    Args:
        patients: all of them.
        share: of the cells that hold a parasite.
        slides: number of slides.
        cells: per slide.
        seed: of everything that is drawn.
        own: whether cells without a parasite are the patient's own, or those of all healthy patients.
    """
    well = np.concatenate([one.uninfected for one in patients if one.counts.healthy])
    able = [
        number
        for number, one in enumerate(patients)
        if (one.counts.healthy if share == 0 else len(one.parasitized) >= FEWEST)
        and len(one.uninfected) >= FEWEST
    ]
    rng = np.random.default_rng([seed, round(share * 1e6)])
    order = rng.permutation(able)
    for slide in range(slides):
        number = int(order[slide % len(order)])
        chosen = patients[number]
        others = [one.counts for one in (*patients[:number], *patients[number + 1 :])]
        drawn = compose(chosen.parasitized, chosen.uninfected if own else well, share, cells, rng)
        yield read(drawn, share, others)


def row(share: float, made: Sequence[Reading]) -> str:
    """One line of the table."""
    words = [one.word for one in made]
    held = f"{np.mean([one.covered for one in made]):.1%}"
    told = [100 * one.found.corrected for one in made if one.found.corrected is not None]
    limit = [100 * one.found.detectable for one in made if one.found.detectable is not None]
    near = f"{np.mean([one.near for one in made]):.0%}" if share else ""
    return (
        f"| {100 * share:g} % | {len(made)} | {words.count('parasites-seen')} | {words.count('none-seen')} "
        f"| {words.count('not-readable')} | {held} | {np.median(told):.2f} % | {near} "
        f"| {np.median(limit) if limit else float('nan'):.2f} % | {sum(one.missed for one in made)} |"
    )


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--run", type=click.Path(path_type=Path), required=True, help="As `training crossfit` made it.")
@click.option("--cells", type=click.IntRange(1000), default=2000, show_default=True, help="Per slide.")
@click.option("--slides", type=click.IntRange(10), default=100, show_default=True, help="Per share.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--own", is_flag=True, help="Cells without a parasite of the slide's own patient only.")
def main(run: Path, cells: int, slides: int, seed: int, own: bool) -> None:
    """Read slides composed of real cells."""
    answers, of, chosen = held_out_answers(run)
    healthy = of.healthy[chosen]
    names = [of.patients[number] for number in chosen]
    patients = patients_of(answers, of.infected[chosen], of.agreed[chosen] | healthy, names, healthy)
    click.echo(
        "| parasitized | slides | parasites seen | none seen | not readable | interval holds "
        "| corrected, median | within a quarter | limit of detection, median | none seen above it |\n"
        f"{'|---' * 10}|"
    )
    made = {share: list(readings(patients, share, slides, cells, seed=seed, own=own)) for share in SHARES}
    for share, of_share in made.items():
        click.echo(row(share, of_share))
    every = [one for of_share in made.values() for one in of_share]
    right = np.mean([(one.word == "parasites-seen") == (one.share > 0) for one in every])
    near = np.mean([one.near for one in every if one.share])
    click.echo(f"\nright {right:.1%}, within a quarter {near:.1%}: {grade(float(right), float(near))}")


if __name__ == "__main__":
    main()
