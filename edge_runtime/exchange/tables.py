"""A slide as tables: slide.csv, fields.csv and cells.csv, for spreadsheets and statistics."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from edge_runtime.exchange.entries import (
    STATUSES,
    UNITS,
    Entry,
    Slide,
    cell_entry,
    field_entry,
    numbers,
    slide_entry,
    slide_of,
)
from edge_runtime.record.readings import SlideHeader
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.pictures import numbered
from edge_runtime.storage import whole_file, whole_folder

# A text that begins so is run by spreadsheets (OWASP, "CSV Injection"); an apostrophe keeps it a text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_MARK = "\ufeff"  # by which spreadsheets know UTF-8
_ABOUT = (
    "source",
    "bundle",
    "bundle_digest",
    "software",
    "provider",
    "operator",
    "device",
    "started",
    "finished",
    "seal",
)


def write_tables(record: SlideRecord, out: str | Path) -> Slide:
    """Write a slide as tables into a new folder, all of them or none; docs/exchange.md has the columns.

    Args:
        record: of the slide.
        out: folder to make; it must not exist, or be empty.

    Returns:
        The slide as it was written.

    Raises:
        StorageError: the folder holds something or cannot be written.
    """
    slide = slide_of(record)
    with whole_folder(Path(out)) as folder:
        write_rows(folder / "slide.csv", ("slide", "name", "value", "unit"), _slide_rows(slide))
        fields = (field_entry(field, slide) for field in record.fields())
        _write_entries(folder / "fields.csv", slide, _field_columns(slide.header), fields)
        cells = (cell_entry(cell, slide) for field in record.fields() for cell in numbered(field))
        _write_entries(folder / "cells.csv", slide, _cell_columns(slide.header), cells)
    return slide


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV that spreadsheets open as it is meant, whole or not at all.

    Args:
        path: of the file.
        columns: their names.
        rows: a value for each column; None where there is none. A text that a spreadsheet would run gets an
            apostrophe before it.

    Raises:
        StorageError: the file cannot be written.
    """
    with whole_file(path) as file:
        file.write(_MARK.encode())
        for row in chain([columns], rows):
            _write_row(file, row)


def _write_row(file: BinaryIO, row: Sequence[object]) -> None:
    line = io.StringIO()
    csv.writer(line).writerow([_harmless(value) if isinstance(value, str) else value for value in row])
    file.write(line.getvalue().encode())


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _write_entries(path: Path, slide: Slide, columns: Sequence[str], entries: Iterable[Entry]) -> None:
    rows = ([slide.header.slide, *(_value(entry, column) for column in columns)] for entry in entries)
    write_rows(path, ("slide", *columns), rows)


def _value(entry: Entry, column: str) -> object:
    """What a dotted name leads to."""
    found: object = entry
    for name in column.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _field_columns(header: SlideHeader) -> list[str]:
    return [
        *("field", "name", "moment", "read_at", "width", "height", "reason"),
        *(f"values.{gate.name}" for gate in header.gates),
        *(f"cells.{status}" for status in STATUSES),
    ]


def _cell_columns(header: SlideHeader) -> list[str]:
    return [
        *("field", "cell", "box.x", "box.y", "box.width", "box.height"),
        *("status", "reason", "label", "probability"),
        *(f"values.{test.name}" for test in header.tests),
        *("call.answer", "call.remark", "call.reviewer", "call.at"),
    ]


def _slide_rows(slide: Slide) -> Iterable[tuple[object, ...]]:
    about = slide_entry(slide)
    told = {name: about[name] for name in _ABOUT} | numbers(slide.summary)
    for name, value in _flat(told):
        yield slide.header.slide, name, value, _unit(name) if isinstance(value, int | float) else ""


def _flat(told: Mapping[str, object], before: str = "") -> Iterable[tuple[str, object]]:
    """What is nested by its dotted name; sentences in one."""
    for name, value in told.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", "; ".join(value) if isinstance(value, list | tuple) else value


def _unit(name: str) -> str:
    """Of the nearest name that has one; after review as before."""
    name = name.removeprefix("reviewed.")
    while name and name not in UNITS:
        name = name.rpartition(".")[0]
    return UNITS.get(name, "")
