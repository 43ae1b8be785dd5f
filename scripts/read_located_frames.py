"""Phone photographs of the NIH archive read from end to end as slides: is the located cells' share held?

    python -m scripts.read_located_frames --frames ../shared/data/fields.zip --out located

Reads all frames of `nih_thin` as one slide, then those of each patient. Only some cells of a frame are
located, and by the expert's choice, not by chance: so the estimate of the whole slide is shown, but what is
held against the located cells' share is the estimate from the readings of these cells alone. The rates of the
bundle were measured on these patients, too. All frames are of infected patients; there is no healthy one.
Prints a table in Markdown.
"""

import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import default_bundle
from edge_runtime.cells.boxes import best_match
from edge_runtime.console import Commands
from edge_runtime.decision.table import SUSPECT
from edge_runtime.record.readings import CellReading, Counts, FieldCounts
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.report.estimate import Estimate, estimate, rates_of
from edge_runtime.report.texts import ENGLISH
from edge_runtime.slide.reading import read_slide
from scripts.compare_crops import Located, Readings, located_cells
from training.cells.archive import patient_of

SET = "fields/nih_thin/"
COLUMNS = (
    "slide",
    "frames",
    "seconds",
    "verdict",
    "cells asked",
    "called",
    "whole slide, interval",
    "located",
    "share parasitized",
    "located and asked",
    "called of these",
    "their interval",
    "holds the share",
)


def unpacked(archive: Path, folder: Path) -> tuple[Path, Path]:
    """The frames, each file as it is, and what is known of their cells."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.startswith(SET) and not name.endswith("/")]
        opened.extractall(folder, names)
    return folder / SET / "frames", folder / SET / "annotations.json"


def located_estimate(
    located: Sequence[Located], read: Readings, classifier: Classifier
) -> tuple[Estimate | None, float]:
    """What is estimated from the located cells alone, and the share of them that is parasitized, of 1.

    Args:
        located: the cells.
        read: the cells of every frame, by its file name.
        classifier: what read them.
    """
    found = {frame: list(_found(located, frame, read)) for frame in {cell.frame for cell in located}}
    of = Counter(cell.status for cells in found.values() for cell in cells)
    suspect = sum(cell.suspect for cells in found.values() for cell in cells)
    counts = Counts(
        of["uninfected"],
        of["parasitized"],
        of["rejected"],
        of["not-judged"],
        len(found),
        0,
        reasons={SUSPECT.code: suspect},
    )
    fields = [
        FieldCounts(sum(cell.status == "parasitized" for cell in cells), sum(cell.asked for cell in cells))
        for cells in found.values()
    ]
    rates = rates_of(classifier.bundle.manifest.performance.counts)
    share = sum(cell.label == "parasitized" for cell in located) / len(located)
    return estimate(counts, fields, *rates), share


def _found(located: Iterable[Located], frame: str, read: Readings) -> Iterator[CellReading]:
    for cell in located:
        best = best_match(cell.box, read.get(frame, ())) if cell.frame == frame else None
        if best is not None:
            yield best


def row(name: str, frames: Path, names: Sequence[str], located: Sequence[Located], out: Path) -> str:
    """Read the named frames as one slide into `out`, and compare."""
    source = out / "frames"
    source.mkdir(parents=True)
    for each in names:
        (source / each).hardlink_to(frames / each)
    classifier = Classifier.open(default_bundle())
    begun = time.perf_counter()
    summary = read_slide(source, classifier, name, out)
    seconds = time.perf_counter() - begun
    with SlideRecord.open(out / RECORD) as record:
        read = {Path(field.name).name: field.cells for field in record.fields()}
        header, counts, fields = record.header(), record.counts(), record.field_counts()
    whole = estimate(counts, fields, header.sensitivity, header.false_positives)
    of_these, share = located_estimate(located, read, classifier)
    told = [name, f"{counts.fields} of {len(names)}", f"{seconds:.0f}", summary.verdict.title.lower()]
    told += _told(whole)
    told += [str(len(located)), ENGLISH.percent(share), *_told(of_these)]
    holds = of_these is not None and of_these.interval.low <= share <= of_these.interval.high
    return f"| {' | '.join([*told, 'yes' if holds else 'no'])} |"


def _told(found: Estimate | None) -> list[str]:
    if found is None:
        return ["0", "0", ""]
    low, high = ENGLISH.percent(found.interval.low), ENGLISH.percent(found.interval.high)
    return [str(found.cells), str(found.parasitized), f"{low} to {high}"]


def by_patient(located: Iterable[Located]) -> Mapping[str, list[Located]]:
    """The cells of all of them together, then those of each."""
    every = list(located)
    patients = sorted({patient_of(cell.crop) for cell in every})
    return {"all": every} | {
        one: [cell for cell in every if patient_of(cell.crop) == one] for one in patients
    }


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--frames", "archive", type=click.Path(path_type=Path), required=True, help="fields.zip.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder.")
def main(archive: Path, out: Path) -> None:
    """Read the located frames as slides."""
    frames, annotations = unpacked(archive, out)
    click.echo(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for name, located in by_patient(located_cells(annotations)).items():
        click.echo(row(name, frames, sorted({cell.frame for cell in located}), located, out / name))


if __name__ == "__main__":
    main()
