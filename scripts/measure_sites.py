"""What recalibration and a slide's alarm are worth, measured on test cells as another site would show them.

    python -m scripts.measure_sites --run runs/default --ood ../shared/data/other.zip/nih_native_ood

A site is a corruption at its greatest severity: 200 of its cells, without labels, recalibrate
the detector, and its other cells and the OOD images, corrupted likewise, judge it before and after. Prints a
table in Markdown.
"""

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from edge_runtime.console import Commands
from edge_runtime.decision.decide import decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.device.recalibration import recalibrate
from edge_runtime.errors import CheckFailedError, SourceError
from edge_runtime.report.group import judge_group
from edge_runtime.simulator.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from training.cells.source import CellSource, cell_source_options
from training.evaluation.imagesets import ood_jobs
from training.evaluation.subject import Subject, load_subject

Crops = NDArray[np.uint8]

FITTING = 200  # cells that a site gives to recalibration
GROUP = 100  # cells of a slide
DRAWS = 500  # slides drawn from the cells of a site
FEWEST_OF_PATIENT = 30  # cells, for a patient's alarm to be counted


@dataclass(frozen=True)
class Site:
    """What a worse microscope does to the detector. Shares are 0 to 1; None where it refused to be fitted.

    Attributes:
        corruption: its name and severity.
        accuracy: of the classifier on the site's cells, rejected or not.
        alarms: share of slides of GROUP cells that sound the alarm.
        accepted: share of the site's cells, before and after recalibration.
        accuracy_of_accepted: before and after.
        ood_rejected: share of what is no red cell, before and after.
    """

    corruption: str
    accuracy: float
    alarms: float
    accepted: tuple[float, float | None]
    accuracy_of_accepted: tuple[float, float | None]
    ood_rejected: tuple[float, float | None]


def measure_site(subject: Subject, cells: NDArray[np.int64], ood: Crops, corruption: str) -> Site:
    """Recalibrate on the first FITTING cells, judge by the others and by the OOD images.

    Args:
        subject: the run.
        cells: numbers of test cells, more than FITTING, in a random order.
        ood: uint8 [N, size, size, 3] RGB.
        corruption: one of CORRUPTIONS, at its greatest severity.
    """
    severity, calibration = max(SEVERITIES), subject.trained.calibration

    def seen(crops: Crops) -> Evidence:
        return subject.trained.evidence(corrupt(crops, corruption, severity))

    fitting, judged, strange = (
        seen(images)
        for images in (
            subject.cells.images[cells[:FITTING]],
            subject.cells.images[cells[FITTING:]],
            ood,
        )
    )
    right = judged.logits.argmax(axis=1) == subject.cells.labels[cells[FITTING:]]
    try:
        fitted = recalibrate(calibration.detector, fitting, alpha=calibration.alpha).detector
    except CheckFailedError:
        fitted = None
    before, after = _figures(calibration.detector, judged, strange, right), None
    if fitted is not None:
        after = _figures(fitted, judged, strange, right)
    pairs = [(value, None if after is None else after[place]) for place, value in enumerate(before)]
    rng = np.random.default_rng(0)
    rejected_here = decide(calibration.detector, judged).rejected
    drawn = [rejected_here[rng.choice(len(right), GROUP)].sum() for _ in range(DRAWS)]
    alarms = [_alarm(subject, int(rejected), GROUP) for rejected in drawn]
    return Site(f"{corruption} {severity}", float(right.mean()), float(np.mean(alarms)), *pairs)


def _figures(
    detector: Detector, judged: Evidence, strange: Evidence, right: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Cells accepted, accuracy of these, OOD images rejected."""
    accepted, let_in = (~decide(detector, seen).rejected for seen in (judged, strange))
    accuracy = float(right[accepted].mean()) if accepted.any() else float("nan")
    return float(accepted.mean()), accuracy, float(1 - let_in.mean())


def _alarm(subject: Subject, rejected: int, cells: int) -> bool:
    calibration = subject.trained.calibration
    return judge_group(rejected, cells, usual=calibration.alpha, correlation=calibration.correlation).alarm


def false_alarms(subject: Subject, cells: NDArray[np.int64]) -> tuple[int, int]:
    """How many of the patients of test cells as they are sound the alarm, and how many were asked."""
    rejected = subject.trained.decide(subject.cells.images[cells]).rejected
    patients = np.array([subject.cells.patients[cell] for cell in cells])
    found = [rejected[patients == patient] for patient in np.unique(patients)]
    asked = [cells for cells in found if len(cells) >= FEWEST_OF_PATIENT]
    return sum(_alarm(subject, int(cells.sum()), len(cells)) for cells in asked), len(asked)


def table(sites: list[Site]) -> str:
    """The sites in Markdown."""
    head = [
        "site",
        "accuracy",
        f"alarms of {GROUP} cells",
        "accepted",
        "accuracy of these",
        "OOD rejected",
    ]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for site in sites:
        pairs = (site.accepted, site.accuracy_of_accepted, site.ood_rejected)
        shown = [f"{_percent(before)} to {_percent(after)}" for before, after in pairs]
        lines.append(" | ".join([site.corruption, _percent(site.accuracy), _percent(site.alarms), *shown]))
    return "\n".join(f"| {line} |" for line in lines)


def _percent(share: float | None) -> str:
    return "refused" if share is None else f"{100 * share:.1f}"


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--run", type=click.Path(path_type=Path), required=True, help="The run folder.")
@cell_source_options
@click.option("--ood", help="Images that are no red cells; the simulator's if left out.")
@click.option("--limit", type=click.IntRange(FITTING + 40), default=700, show_default=True)
def main(run: Path, source: CellSource, ood: str | None, limit: int) -> None:
    """Measure recalibration and the alarm of a slide under every corruption."""
    subject = load_subject(run, source)
    cells = np.random.default_rng(subject.trained.info.config.seed).permutation(subject.split.test)
    if len(cells) < FITTING + 40:
        raise SourceError(f"{run}: {len(cells)} test cells; at least {FITTING + 40} are needed")
    jobs = list(ood_jobs(ood, limit, subject.trained.info.input.size))
    chosen = jobs[:-1] if ood is not None else jobs[-1:]
    made = [job.make() for job in chosen]
    crops = np.concatenate([images.pixels for images in made if len(images)])
    click.echo(table([measure_site(subject, cells[:limit], crops, name) for name in CORRUPTIONS]))
    alarms, asked = false_alarms(subject, subject.split.test)
    click.echo(f"\nAs they are, {alarms} of {asked} patients sound the alarm; {len(crops)} OOD images.")


if __name__ == "__main__":
    main()
