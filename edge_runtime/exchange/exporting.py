"""A slide's record written for another program, in the form that was asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from edge_runtime.exchange.document import write_document
from edge_runtime.exchange.fhir import write_fhir
from edge_runtime.exchange.relabel import LABELS, RelabelPack, write_relabel_pack
from edge_runtime.exchange.tables import write_tables
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.report.texts import ENGLISH

Form = Literal["csv", "json", "fhir", "relabel"]


def export_slide(folder: str | Path, form: Form, out: str | Path) -> list[str]:
    """Write what `read` left in a folder for another program, whole or not at all.

    Args:
        folder: that `read` wrote.
        form: "csv", a folder of tables; "json", a file with everything but the pictures; "fhir", a file
            with a FHIR R4 bundle; "relabel", a folder of the cells that people have named, for training.
        out: file or folder to write. A file that is there is replaced, a folder must be empty.

    Returns:
        What was written, in lines for people.

    Raises:
        SourceError: the folder has no record; for "relabel", nobody has named a cell.
        StorageError: it cannot be written.
    """
    with SlideRecord.open(Path(folder) / RECORD) as record:
        if form == "relabel":
            return list(_told(write_relabel_pack(record, out), Path(out)))
        write = {"csv": write_tables, "json": write_document, "fhir": write_fhir}[form]
        slide = write(record, out)
    title = ENGLISH.say(f"verdict.{slide.summary.last_verdict.word}")
    return [f"{slide.header.slide}: {title}, {len(slide.calls)} cells reviewed; {form} in {out}"]


def _told(pack: RelabelPack, out: Path) -> Iterator[str]:
    for name, number in pack.cells.items():
        yield f"{number:>7} {name}"
    left_out = {
        "left out: the reviewer could not tell": pack.cannot_tell,
        "left out: no word which of several classes": pack.without_class,
        "left out: never judged, or dirt": pack.without_crop,
        "of these with the model's choice among several classes": pack.class_by_model,
    }
    for why, number in left_out.items():
        if number:
            yield f"{number:>7} {why}"
    yield f"train on them with --cells {out / LABELS}"
