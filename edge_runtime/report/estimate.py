"""What the counts of a slide say of the patient's blood, with every doubt that can be put in numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_runtime.bundle.performance import PatientCounts
from edge_runtime.record.readings import Counts, FieldCounts
from edge_runtime.report.texts import ENGLISH, Texts
from edge_runtime.statistics.density import RedCells, red_cells
from edge_runtime.statistics.detection import critical_count, limit_of_detection
from edge_runtime.statistics.fields import dispersion
from edge_runtime.statistics.intervals import Interval, corrected, melded, worst_case
from edge_runtime.statistics.rates import MeasuredRate


@dataclass(frozen=True)
class Estimate:
    """The share of parasitized red cells, by a reading that nobody has reviewed.

    Shares are 0 to 1.

    Attributes:
        cells: red cells that were asked: accepted, or suspect. Whatever is rejected for another reason tells
            nothing of parasites.
        parasitized: of these accepted and called parasitized.
        share: apparent share: the one of the other.
        corrected: the true share that the rates make of it (Rogan and Gladen 1978); None where they tell
            nothing.
        interval: 95 % bounds of the true share, from counts, the classifier's errors, and how much both
            differ between patients and fields (see `statistics.intervals.melded`).
        worst: the share if none of the rejected whole cells held a parasite, and if all of them did.
        dispersion: how unevenly parasitized cells lie over the fields; 1 is chance.
        critical: so many called cells are rarely reached on a slide without a parasite.
        detectable: the share of parasitized cells that is nearly always told from none; None where none is.
        red_cells: how many a microlitre holds, for densities.
    """

    cells: int
    parasitized: int
    share: float
    corrected: float | None
    interval: Interval
    worst: Interval
    dispersion: float
    critical: int
    detectable: float | None
    red_cells: RedCells

    def per_microlitre(self, share: float) -> float:
        """Parasitized cells in a microlitre of blood where `share` of the red cells are."""
        return self.red_cells.density(share)


def rates_of(patients: Sequence[PatientCounts]) -> tuple[MeasuredRate, MeasuredRate]:
    """Sensitivity and false-positive rate of a bundle, per cell that is accepted or suspect.

    Args:
        patients: whom it was measured on. Cells without a parasite count where the whole patient has none;
            only where there is no such patient, those of all.
    """
    ill = [of for of in patients if of.parasitized]
    well = [of for of in patients if of.healthy] or list(patients)
    return (
        MeasuredRate.of_patients(
            [of.parasitized_called for of in ill],
            [of.parasitized_accepted + of.parasitized_suspect for of in ill],
        ),
        MeasuredRate.of_patients(
            [of.uninfected_called for of in well],
            [of.uninfected_accepted + of.uninfected_suspect for of in well],
        ),
    )


def findable_of(patients: Sequence[PatientCounts]) -> MeasuredRate:
    """Share of the parasitized cells that a review meets: called so, or suspect; `patients` as `rates_of`."""
    ill = [of for of in patients if of.parasitized]
    return MeasuredRate.of_patients(
        [of.parasitized_called + of.parasitized_suspect for of in ill],
        [of.parasitized_accepted + of.parasitized_suspect for of in ill],
    )


def estimate(
    counts: Counts, fields: Sequence[FieldCounts], sensitivity: MeasuredRate, false_positives: MeasuredRate
) -> Estimate | None:
    """Estimate the share of parasitized cells; None where no red cell was asked.

    Args:
        counts: of the slide.
        fields: parasitized and asked cells of every field that counts.
        sensitivity: of the bundle that decided, as `rates_of` gives it.
        false_positives: likewise.
    """
    cells = counts.asked
    if not cells:
        return None
    uneven = dispersion([of.parasitized for of in fields], [of.asked for of in fields])
    critical = critical_count(cells, false_positives)
    return Estimate(
        cells=cells,
        parasitized=counts.parasitized,
        share=counts.parasitized / cells,
        corrected=_corrected(counts.parasitized / cells, sensitivity, false_positives),
        interval=melded(counts.parasitized, cells, sensitivity, false_positives, dispersion=uneven),
        worst=worst_case(counts.parasitized, counts.uninfected, counts.whole_rejected),
        dispersion=uneven,
        critical=critical,
        detectable=limit_of_detection(cells, critical, sensitivity, false_positives),
        red_cells=red_cells(),
    )


def _corrected(share: float, sensitivity: MeasuredRate, false_positives: MeasuredRate) -> float | None:
    if not (sensitivity.cells and false_positives.cells):
        return None
    found = corrected(share, sensitivity.share, false_positives.share)
    return None if math.isnan(found) else found


def told(of: Estimate, texts: Texts = ENGLISH) -> Iterator[tuple[str, str]]:
    """The estimate in plain text, each line with its name."""

    def density(share: float) -> str:
        return texts.density(of.per_microlitre(share))

    low, high = of.interval.low, of.interval.high
    yield (
        "share",
        texts.say("told.share", share=texts.percent(of.share), cells=of.cells, parasitized=of.parasitized),
    )
    bounds = {"low": texts.percent(low), "high": texts.percent(high)}
    if of.corrected is None:
        yield "interval", texts.say("told.interval", **bounds)
    else:
        yield "interval", texts.say("told.about", share=texts.percent(of.corrected), **bounds)
    held = red_cells_told(of.red_cells, texts)
    yield "density", texts.say("told.density", low=density(low), high=density(high), red_cells=held)
    if of.detectable is None:
        yield "detectable", texts.say("told.limit-none")
    else:
        yield "detectable", texts.say("told.limit", density=density(of.detectable))
    if of.parasitized < of.critical <= of.cells:
        yield "", texts.say("told.false", most=of.critical - 1)


def red_cells_told(of: RedCells, texts: Texts) -> str:
    """What a density rests on."""
    return texts.say(f"numbers.red-cells.{of.origin}", number=round(of.per_microlitre))
