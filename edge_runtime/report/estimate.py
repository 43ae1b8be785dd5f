"""What the counts of a slide say of the patient's blood, with every doubt that can be put in numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_runtime.bundle.performance import PatientCounts
from edge_runtime.record.readings import Counts, FieldCounts
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

    def per_microlitre(self, share: float) -> str:
        """A density for people: parasitized cells in a microlitre where `share` of the red cells are."""
        return round_number(self.red_cells.density(share))


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


def told(of: Estimate) -> Iterator[tuple[str, str]]:
    """The estimate in plain text, each line with its name."""
    low, high = of.interval.low, of.interval.high
    yield "share", f"{percent(of.share)} of {of.cells} cells, {of.parasitized}, are called parasitized"
    about = "" if of.corrected is None else f"about {percent(of.corrected)}, "
    yield "interval", f"{about}{percent(low)} to {percent(high)} truly are, with 95 % confidence"
    yield "density", f"{of.per_microlitre(low)} to {of.per_microlitre(high)} in a microlitre, {of.red_cells}"
    if of.detectable is None:
        yield "detectable", "nothing: on so few cells a parasite is not told from a false positive"
    else:
        yield "detectable", f"{of.per_microlitre(of.detectable)} in a microlitre; fewer may be missed"
    if of.parasitized < of.critical <= of.cells:
        yield "", f"up to {of.critical - 1} of so many cells are called so on slides without a parasite, too"


def percent(share: float) -> str:
    """Two digits after the point, since at low parasitaemia one hides all there is."""
    return f"{100 * share:.2f} %"


def round_number(value: float) -> str:
    """With two digits that count: no density is known any better."""
    if value <= 0:
        return "0"
    step = 10 ** (math.floor(math.log10(value)) - 1)
    return f"{round(value / step) * step:,.0f}"
