"""A slide as one JSON document, written a field at a time: a long slide has more cells than memory."""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from edge_runtime.console import to_json
from edge_runtime.exchange.entries import (
    UNITS,
    Slide,
    cell_entry,
    field_entry,
    numbers,
    slide_entry,
    slide_of,
)
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.pictures import numbered
from edge_runtime.report.texts import ENGLISH
from edge_runtime.storage import whole_file

SCHEMA = "cellgate-slide/1"  # another number where a name changes its meaning or goes


def write_document(record: SlideRecord, path: str | Path) -> Slide:
    """Write a slide as JSON, whole or not at all; docs/exchange.md has the names.

    Args:
        record: of the slide.
        path: of the file.

    Returns:
        The slide as it was written.

    Raises:
        StorageError: the file cannot be written.
    """
    slide = slide_of(record)
    head = {
        "schema": SCHEMA,
        "use": ENGLISH.say("research"),
        "units": UNITS,
        "slide": slide_entry(slide),
        **numbers(slide.summary),
    }
    fields = (field_entry(field, slide) for field in record.fields())
    cells = (cell_entry(cell, slide) for field in record.fields() for cell in numbered(field))
    with whole_file(Path(path)) as file:
        file.write(b"{\n")
        for name, value in head.items():
            file.write(f"{to_json(name)}: {to_json(value)},\n".encode())
        _write_list(file, "fields", fields)
        file.write(b",\n")
        _write_list(file, "cells", cells)
        file.write(b"\n}\n")
    return slide


def _write_list(file: BinaryIO, name: str, entries: Iterable[object]) -> None:
    """A name and its list, an entry a line."""
    file.write(f"{to_json(name)}: [".encode())
    for number, entry in enumerate(entries):
        file.write(b",\n" if number else b"\n")
        file.write(to_json(entry).encode())
    file.write(b"\n]")
