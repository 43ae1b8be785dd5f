"""Cells that a person has named, as training and recalibration read them: crops, and a CSV of labels."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import SourceError
from edge_runtime.exchange.tables import write_rows
from edge_runtime.record.readings import Call, CellReading, SlideHeader
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.storage import whole_folder, write_whole

LABELS = "labels.csv"
# `fit --cells` reads the first three, `recalibrate --labels` the first two.
_COLUMNS = ("path", "label", "patient", "model", "class_by", "reviewer", "remark")


@dataclass(frozen=True)
class RelabelPack:
    """What became of a person's calls.

    Attributes:
        cells: labelled cells of each class that has one.
        class_by_model: of these, those whose class is the model's, since a call says no class of several.
        cannot_tell: left out, since the person could not tell.
        without_class: left out, since neither person nor model says which of several classes.
        without_crop: left out, since the cell was not judged, or turned out to be dirt: there is no crop.
    """

    cells: Mapping[str, int]
    class_by_model: int
    cannot_tell: int
    without_class: int
    without_crop: int


@dataclass(frozen=True)
class _Named:
    """A cell with its call; no label where it is left out, and then why in `by`."""

    name: str
    cell: CellReading
    call: Call
    label: str
    by: str


def write_relabel_pack(record: SlideRecord, out: str | Path) -> RelabelPack:
    """Write the cells that people have named into a new folder: a folder of crops per class, and labels.csv.

    Args:
        record: of the slide.
        out: folder to make; it must not exist, or be empty.

    Raises:
        SourceError: no call names a cell.
        StorageError: the folder holds something or cannot be written.
    """
    header, calls = record.header(), record.latest_calls()
    told, by_label, rows = Counter[str](), Counter[str](), []
    with whole_folder(Path(out)) as folder:
        for named in _named(record, header, calls.values()):
            told[named.by] += 1
            if not named.label:
                continue
            by_label[named.label] += 1
            path = f"{_safe(named.label, ' ')}/{named.name}.png"
            (folder / path).parent.mkdir(exist_ok=True)
            write_whole(folder / path, named.cell.crop)
            rows.append(_row(path, named, header))
        if not rows:
            raise SourceError(
                f"{record.path}: {len(calls)} cells were reviewed, and none was named with a class; review "
                "the slide first with 'cellgate review'"
            )
        write_rows(folder / LABELS, _COLUMNS, rows)
    return RelabelPack(by_label, told["model"], told["cannot-tell"], told["no-class"], told["no-crop"])


def _named(record: SlideRecord, header: SlideHeader, calls: Iterable[Call]) -> Iterator[_Named]:
    for call in sorted(calls, key=lambda call: (call.field, call.cell)):
        cell = record.cell(call.field, call.cell)
        name = f"{_safe(header.slide)}-f{call.field:04}-c{call.cell:03}"
        yield _Named(name, cell, call, *_label(call, cell, header))


def _label(call: Call, cell: CellReading, header: SlideHeader) -> tuple[str, str]:
    """The class that a call gives a cell and who chose it among several; or "" and why there is none."""
    if call.answer == "cannot-tell":
        return "", "cannot-tell"
    if not cell.crop:
        return "", "no-crop"
    infected = call.answer == "parasite"
    possible = [name for name in header.classes if (name in header.parasitized) == infected]
    said = call.remark.strip().lower()
    if len(possible) == 1:
        return possible[0], "person"
    if said in possible:
        return said, "person"
    return (cell.label, "model") if cell.label in possible else ("", "no-class")


def _row(path: str, named: _Named, header: SlideHeader) -> tuple[str, ...]:
    call = named.call
    model = "rejected" if named.cell.status == "rejected" else named.cell.label
    return path, named.label, header.slide, model, named.by, call.reviewer, call.remark


def _safe(text: str, also: str = "") -> str:
    """A part of a path on every system: small disks of cameras know few letters."""
    return re.sub(f"[^A-Za-z0-9{also}]+", "-", text).strip("- ")[:60] or "slide"
