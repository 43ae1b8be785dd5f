"""What a record holds as rows of its tables, and back."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edge_runtime.record.readings import AppliedGate, AppliedTest, CellReading, FieldReading, SlideHeader
from edge_runtime.record.schema import SCHEMA
from edge_runtime.statistics.rates import MeasuredRate

_BOX = ("x", "y", "width", "height")
_RATES = ("sensitivity", "false_positives", "findable")
_NAMES = ("classes", "parasitized")


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[Mapping[str, object]]) -> int | None:
    """Insert rows whose keys are the columns' names; all rows have the same keys.

    Returns:
        The row's number where it is one.
    """
    if not rows:
        return None
    columns = ", ".join(f'"{name}"' for name in rows[0])
    values = ", ".join(f":{name}" for name in rows[0])
    told = connection.cursor()
    line = f"INSERT INTO {into} ({columns}) VALUES ({values})"  # noqa: S608 - our names
    if len(rows) > 1:
        told.executemany(line, rows)
        return None
    return told.execute(line, rows[0]).lastrowid


def each_row(connection: sqlite3.Connection, query: str, *values: object) -> Iterator[dict[str, Any]]:
    """What a query finds, by the names of its columns, a row at a time."""
    found = connection.execute(query, values)
    names = [column[0] for column in found.description]
    return (dict(zip(names, row, strict=True)) for row in found)


def rows_of(connection: sqlite3.Connection, query: str, *values: object) -> list[dict[str, Any]]:
    """All that a query finds, by the names of its columns."""
    return list(each_row(connection, query, *values))


def header_row(header: SlideHeader) -> dict[str, object]:
    """The one row of the slide."""
    applied = {
        name: json.dumps([asdict(entry) for entry in entries])
        for name, entries in (("tests", header.tests), ("gates", header.gates))
    }
    applied |= {name: json.dumps(getattr(header, name)) for name in _NAMES}
    applied |= {name: json.dumps(asdict(getattr(header, name))) for name in _RATES}
    return {"schema": SCHEMA, **vars(header), **applied}


def header_of(row: Mapping[str, Any]) -> SlideHeader:
    """The header in the row of a slide; what an older cellgate did not note has its default.

    Raises:
        ValueError, TypeError, KeyError: the row is not what was written.
    """
    noted = {name: value for name, value in row.items() if name not in {"schema", "finished"}}
    noted = {name: value for name, value in noted.items() if value is not None}
    applied: dict[str, Any] = {
        "tests": tuple(AppliedTest(**test) for test in json.loads(row["tests"])),
        "gates": tuple(AppliedGate(**gate) for gate in json.loads(row["gates"])),
    }
    applied |= {name: tuple(json.loads(row[name])) for name in _NAMES}
    applied |= {name: MeasuredRate.noted(json.loads(noted[name])) for name in _RATES if name in noted}
    return SlideHeader(**noted | applied, finished=row["finished"])


def field_row(field: FieldReading) -> dict[str, object]:
    """A field without its cells."""
    about = {name: value for name, value in vars(field).items() if name != "cells"}
    return about | {"values": json.dumps(dict(field.values))}


def field_of(row: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> FieldReading:
    """The field in a row, with the cells in theirs.

    Raises:
        ValueError, TypeError, KeyError: a row is not what was written.
    """
    return FieldReading(**dict(row) | {"values": values_of(row["values"])}, cells=tuple(map(cell_of, cells)))


def values_of(noted: str) -> dict[str, float]:
    """What the gates of a field looked at, by name."""
    return {name: _number(value) for name, value in json.loads(noted).items()}


def cell_row(field_number: int, number: int, cell: CellReading) -> dict[str, object]:
    """A cell of a field."""
    row = {name: value for name, value in vars(cell).items() if name != "box"}
    row["values"], row["confidences"] = json.dumps(dict(cell.values)), json.dumps(cell.confidences)
    place = dict(zip(_BOX, cell.box, strict=True))
    return {"field": field_number, "number": number, **place, **row}


def cell_of(row: Mapping[str, Any]) -> CellReading:
    """The cell in a row.

    Raises:
        ValueError, TypeError, KeyError: the row is not what was written.
    """
    rest = {name: value for name, value in row.items() if name not in {"field", "number", *_BOX}}
    rest["values"], rest["confidences"] = json.loads(row["values"]), tuple(json.loads(row["confidences"]))
    rest["probability"] = _number(row["probability"])
    x, y, width, height = (row[name] for name in _BOX)
    return CellReading(box=(x, y, width, height), **rest)


def _number(value: float | None) -> float:
    """SQLite keeps nan as NULL."""
    return float("nan") if value is None else value
