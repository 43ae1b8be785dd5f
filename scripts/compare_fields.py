"""Are real cells found, and read as the expert labelled them? Compares a slide record with located NIH crops.

    cellgate read frames --slide nih --out slide
    python -m scripts.compare_fields --record slide/slide.sqlite --annotations annotations.json

The annotations name, per frame, where crops of the NIH archive were cut out of it (`frames` -> file name ->
`cells`: crop, label, x, y, w, h in pixels). Cells without a crop are unlabelled, not negative, so nothing is
said of them. Exit code 1 if fewer than 90 % are found (box overlap 0.5 or more), or if fewer than 90 % of
those accepted have the label of their crop.

With the archive itself, the crop that the device cut is compared with the NIH crop of the same cell, both
decided by one bundle; a Markdown table by patient is printed, and on standard error the cells that differ:

    python -m scripts.compare_fields … --crops nih-cells.zip --held-out runs/default

Exit code 1 then if, of the cells found, fewer than 95 % have the same class from both crops, or fewer than
85 % are accepted from ours. A cell that was found but not judged (a clump, cut by the edge) is neither.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath

import click

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import default_bundle
from edge_runtime.cells.boxes import best_match
from edge_runtime.console import Commands
from edge_runtime.errors import SourceError
from edge_runtime.record.readings import CellReading
from edge_runtime.record.slide_record import SlideRecord
from scripts.compare_crops import (
    Located,
    Readings,
    compare_crops,
    decide_crops,
    differences,
    held_out_patients,
    located_cells,
    markdown_table,
    sizes_on_frames,
)
from training.cells.archive import patient_of

WANTED = 0.9
SAME_CLASS, ACCEPTED = 0.95, 0.85  # of the cells found
COLUMNS = ("cells", "found", "accepted", "right", "rejected", "not-judged")


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--record", type=click.Path(path_type=Path), required=True, help="slide.sqlite of the reading.")
@click.option("--annotations", type=click.Path(path_type=Path), required=True, help="annotations.json.")
@click.option("--crops", type=click.Path(path_type=Path), help="NIH archive: compare our crops with its own.")
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="What read the slide; the default bundle if left out."
)
@click.option(
    "--held-out", type=click.Path(path_type=Path), help="Only patients in the test split of this run folder."
)
def main(
    record: Path, annotations: Path, crops: Path | None, bundle: Path | None, held_out: Path | None
) -> None:
    """Compare a reading with the located crops."""
    located = located_cells(annotations)
    if held_out is not None:
        patients = held_out_patients(held_out)
        located = [cell for cell in located if patient_of(cell.crop) in patients]
        if not located:
            raise SourceError(f"{held_out}: no located cell is of a patient in its test split; leave it out")
    read = _readings(record)
    if crops is None:
        sys.exit(0 if _compare_with_expert(located, read) else 1)
    classifier = Classifier.open(bundle or default_bundle())
    _check_reader(record, classifier)
    theirs = decide_crops(crops, sizes_on_frames(located, read), classifier)
    compared = [cell for cell in located if cell.crop in theirs]
    rows = compare_crops(compared, read, theirs)
    click.echo(markdown_table(rows))
    for told in differences(compared, read, theirs):
        click.echo(told, err=True)
    if absent := len(located) - len(compared):
        click.echo(f"{absent} located cells are left out: {crops} does not hold their crops", err=True)
    every = sum(rows.values(), Counter[str]())
    good = every["same class"] >= SAME_CLASS * every["found"] and (
        every["accepted, our crop"] >= ACCEPTED * every["found"]
    )
    sys.exit(0 if every["found"] and good else 1)


def _readings(record: Path) -> Readings:
    with SlideRecord.open(record) as opened:
        return {PurePath(field.name).name: field.cells for field in opened.fields()}


def _check_reader(record: Path, classifier: Classifier) -> None:
    with SlideRecord.open(record) as opened:
        header = opened.header()
    if header.bundle_digest != classifier.bundle.digest:
        raise SourceError(
            f"{record}: read by {header.bundle}, not by {classifier.bundle.title}; "
            "name the one that read it with --bundle"
        )


def _compare_with_expert(located: list[Located], read: Readings) -> bool:
    total: Counter[str] = Counter()
    click.echo(f"{'frame':<28}" + "".join(f"{name:>12}" for name in COLUMNS))
    for frame in dict.fromkeys(cell.frame for cell in located):
        of_frame = [cell for cell in located if cell.frame == frame]
        counts = Counter(told for cell in of_frame for told in _outcome(cell, read.get(frame, ())))
        click.echo(f"{frame:<28}" + "".join(f"{counts[name]:>12}" for name in COLUMNS))
        total += counts
    click.echo(f"{'all':<28}" + "".join(f"{total[name]:>12}" for name in COLUMNS))
    found, right = total["found"] / max(total["cells"], 1), total["right"] / max(total["accepted"], 1)
    click.echo(f"found {found:.1%}; of the accepted {right:.1%} have the class of their crop")
    return found >= WANTED and right >= WANTED


def _outcome(located: Located, cells: tuple[CellReading, ...]) -> Iterator[str]:
    yield "cells"
    best = best_match(located.box, cells)
    if best is None:
        return
    yield "found"
    if best.status in ("rejected", "not-judged"):
        yield best.status
        return
    yield "accepted"
    if best.status == located.label:
        yield "right"


if __name__ == "__main__":
    main()
