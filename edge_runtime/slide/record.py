"""The slide record: everything one reading of a slide found, in one SQLite file, a transaction per field.

While a slide is read there are two more files beside it, SQLite's write-ahead log and its index: so others
can look into the record meanwhile, and what was recorded is on the disk even if the power fails. At the end
all is in the one file, which can be copied.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_runtime.cells.preprocessing import Box
from edge_runtime.decision.table import SUSPECT
from edge_runtime.errors import SourceError, StorageError
from edge_runtime.slide.database import (
    connect,
    damaged,
    make_one_file,
    opened,
    reading_errors,
    reserved,
    storage_errors,
    sync_folder,
)
from edge_runtime.slide.readings import (
    AppliedGate,
    AppliedTest,
    CellReading,
    Counts,
    FieldCounts,
    FieldReading,
    SlideHeader,
)
from edge_runtime.sources.items import SkippedFrame
from edge_runtime.statistics.rates import UNKNOWN, MeasuredRate
from edge_runtime.statistics.stopping import DEFAULT

_WITHDRAW = (
    "UPDATE cell SET status = 'not-judged', reason = ?, label = '', probability = NULL, "
    "\"values\" = '{}', confidences = '[]', crop = x'' "
    "WHERE field = ? AND x = ? AND y = ? AND width = ? AND height = ?"
)
_RATES = ("sensitivity", "false_positives")
_BOX = ("x", "y", "width", "height")
RECORD = "slide.sqlite"  # in the folder of a slide
_SCHEMA = 7
_READABLE = (6, _SCHEMA)  # 6 noted neither the bundle's rates nor how much was to be read
# Columns are named as the fields of the dataclasses in `readings`; a box is four columns, and what is no
# plain value is JSON.
_TABLES = """
CREATE TABLE slide (
    schema INTEGER, slide TEXT, source TEXT, bundle TEXT, bundle_digest TEXT, tests TEXT, gates TEXT,
    classes TEXT, parasitized TEXT, usual REAL, correlation REAL, provider TEXT, software TEXT, started TEXT,
    finished TEXT, repeats INTEGER, sensitivity TEXT, false_positives TEXT,
    until TEXT, every REAL
);
CREATE TABLE field (
    number INTEGER PRIMARY KEY, name TEXT, width INTEGER, height INTEGER, overview BLOB, read_at TEXT,
    reason TEXT, "values" TEXT, moment REAL
);
CREATE TABLE cell (
    field INTEGER REFERENCES field(number), number INTEGER,
    x INTEGER, y INTEGER, width INTEGER, height INTEGER,
    status TEXT, reason TEXT, label TEXT, probability REAL, "values" TEXT, confidences TEXT, crop BLOB,
    PRIMARY KEY (field, number)
);
CREATE TABLE skipped (name TEXT, reason TEXT);
CREATE TABLE note (text TEXT);
"""


class SlideRecord:
    """A slide record on disk. Every `add_…` is one transaction: what it returned from is on the disk."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    @contextmanager
    def create(cls, path: str | Path, header: SlideHeader) -> Iterator["SlideRecord"]:
        """Start a record.

        Raises:
            SourceError: there is a record already.
            StorageError: the disk is full or cannot be written.
        """
        path = Path(path)
        with reserved(path.parent), storage_errors(path):
            if path.exists() and not _is_empty(path):
                raise SourceError(f"{path}: holds a slide already; choose another --out")
            with cls._begun(path, header) as record:
                yield record

    @classmethod
    @contextmanager
    def _begun(cls, path: Path, header: SlideHeader) -> Iterator["SlideRecord"]:
        with closing(connect(path)) as connection:
            try:
                _start(connection, header)
                sync_folder(path.parent)
            except sqlite3.Error as error:
                path.unlink(missing_ok=True)  # or the next try would take it for a slide
                raise StorageError(
                    f"{path}: cannot be written ({error}); free some space or choose another --out"
                ) from error
            try:
                yield cls(path, connection)
            finally:
                make_one_file(connection)

    @classmethod
    @contextmanager
    def resume(
        cls, path: str | Path, header: SlideHeader, *, though_finished: bool = False
    ) -> Iterator["SlideRecord"]:
        """Go on with a record that was cut off, or start one where there is none.

        Args:
            path: of the record.
            header: of the reading that goes on; what was noted at its start stays.
            though_finished: whether to open a record that is finished, too.

        Raises:
            SourceError: it is finished, is of another slide, source, bundle or setting, or cannot be read.
            StorageError: the disk is full or cannot be written.
        """
        path = Path(path)
        with reserved(path.parent), storage_errors(path):
            if not path.exists() or _is_empty(path):
                with cls._begun(path, header) as record:
                    yield record
                return
            with opened(path) as connection:  # which changes nothing in a record that is not this one's
                begun = cls(path, connection)
                begun._check_schema((_SCHEMA,))
                noted = begun.header()
            if noted.finished is not None and not though_finished:
                raise SourceError(f"{path}: holds a slide already; choose another --out")
            if other := noted.differs_from(header):
                raise SourceError(
                    f"{path}: holds the beginning of a slide with {other}, cannot go on with; give the same "
                    "command, or another --out"
                )
            with closing(connect(path)) as connection:
                try:
                    yield cls(path, connection)
                finally:
                    make_one_file(connection)

    def _check_schema(self, readable: Sequence[int]) -> None:
        (schema,) = self._connection.execute("SELECT schema FROM slide").fetchone() or ("none",)
        if schema not in readable:
            raise SourceError(
                f"{self.path}: slide record of schema {schema}, but this cellgate reads schema {_SCHEMA}; "
                "open it with the cellgate that made it"
            )

    @classmethod
    @contextmanager
    def open(cls, path: str | Path) -> Iterator["SlideRecord"]:
        """Open a record for reading.

        Raises:
            SourceError: absent, no slide record, or one of another version.
        """
        path = Path(path)
        if not path.is_file():
            raise SourceError(f"{path}: no slide record; make one with 'cellgate read'")
        try:
            with opened(path) as connection:
                record = cls(path, connection)
                record._check_schema(_READABLE)
                yield record
        except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite quotes damaged names as they are
            raise damaged(path, error) from error

    def add_field(self, field: FieldReading, dirt: Iterable[tuple[int, Box]] = ()) -> None:
        """Record one field with its cells, whole or not at all.

        Args:
            field: that was read.
            dirt: cells of earlier fields, by number and box, which this one shows to be dirt: what was said
                of them is taken back.
        """
        about = {name: value for name, value in vars(field).items() if name != "cells"}
        about["values"] = json.dumps(dict(field.values))
        cells = [_cell_row(field.number, number, cell) for number, cell in enumerate(field.cells, start=1)]
        with storage_errors(self.path), self._connection as connection:
            _insert(connection, "field", [about])
            _insert(connection, "cell", cells)
            connection.executemany(_WITHDRAW, [("dirt", number, *box) for number, box in dirt])

    def add_skipped(self, skipped: SkippedFrame) -> None:
        """Record a frame that could not be read."""
        with storage_errors(self.path), self._connection as connection:
            _insert(connection, "skipped", [vars(skipped)])

    def add_note(self, text: str) -> None:
        """Record something that happened to the source."""
        with storage_errors(self.path), self._connection as connection:
            _insert(connection, "note", [{"text": text}])

    def finish(self, when: str | None, *, repeats: int = 0) -> None:
        """Note that the reading ended, and how many looks showed what was read already.

        Args:
            when: it came to its end, UTC, ISO 8601; None if it was cut off.
            repeats: the number of those looks.
        """
        with storage_errors(self.path), self._connection as connection:
            connection.execute("UPDATE slide SET finished = ?, repeats = ?", (when, repeats))
        make_one_file(self._connection)

    def header(self) -> SlideHeader:
        """What holds for the whole slide."""
        with reading_errors(self.path):
            (row,) = self._rows("SELECT * FROM slide")
            row.setdefault("every", 0.0)
            row.setdefault("until", DEFAULT)
            applied = {
                "tests": tuple(AppliedTest(**test) for test in json.loads(row["tests"])),
                "gates": tuple(AppliedGate(**gate) for gate in json.loads(row["gates"])),
                "classes": tuple(json.loads(row["classes"])),
                "parasitized": tuple(json.loads(row["parasitized"])),
                "sensitivity": _rate(row.get("sensitivity")),
                "false_positives": _rate(row.get("false_positives")),
            }
            return SlideHeader(**{name: row[name] for name in row if name != "schema"} | applied)

    def fields(self) -> Iterator[FieldReading]:
        """The fields in the order of reading, one at a time."""
        numbers = [row["number"] for row in self._rows("SELECT number FROM field ORDER BY number")]
        for number in numbers:  # one at a time: all their pictures together fill the memory
            (row,) = self._rows("SELECT * FROM field WHERE number = ?", number)
            cells = self._rows("SELECT * FROM cell WHERE field = ? ORDER BY number", row["number"])
            with reading_errors(self.path):
                values = {name: _number(value) for name, value in json.loads(row["values"]).items()}
                field = FieldReading(**row | {"values": values}, cells=tuple(map(_cell, cells)))
            yield field

    def notes(self) -> list[str]:
        """What happened to the source, in the order of reading."""
        return [row["text"] for row in self._rows("SELECT text FROM note")]

    def skipped(self) -> list[SkippedFrame]:
        """Frames that could not be read."""
        return [SkippedFrame(**row) for row in self._rows("SELECT * FROM skipped")]

    def field_counts(self) -> list[FieldCounts]:
        """Of every field that counts, its parasitized cells and those that were asked."""
        rows = self._connection.execute(
            "SELECT sum(status = 'parasitized'), count(*) FROM cell WHERE status IN "
            "('uninfected', 'parasitized') OR (status = 'rejected' AND reason = ?) GROUP BY field",
            (SUSPECT.code,),
        )
        return [FieldCounts(*row) for row in rows.fetchall()]

    def counts(self) -> Counts:
        """Cells by answer."""
        by_status = self._counted("SELECT status, count(*) FROM cell GROUP BY status")
        by_reason = self._counted(
            "SELECT reason, count(*) FROM cell WHERE status = 'rejected' GROUP BY reason"
        )
        by_stop = self._counted("SELECT reason, count(*) FROM field GROUP BY reason")
        by_class = self._counted(
            "SELECT label, count(*) FROM cell WHERE status IN ('uninfected', 'parasitized') GROUP BY label"
        )
        header = self.header()
        no_cell = {test.reason for test in header.tests if not test.whole}
        return Counts(
            uninfected=by_status.get("uninfected", 0),
            parasitized=by_status.get("parasitized", 0),
            rejected=by_status.get("rejected", 0),
            not_judged=by_status.get("not-judged", 0),
            fields=by_stop.get("", 0),
            stopped=sum(number for reason, number in by_stop.items() if reason),
            stops={reason: by_stop.get(reason, 0) for reason in header.stops},
            skipped=self._counted("SELECT 'all', count(*) FROM skipped")["all"],
            reasons={reason: by_reason.get(reason, 0) for reason in header.sentences},
            broken=sum(by_reason.get(reason, 0) for reason in no_cell),
            classes={name: by_class.get(name, 0) for name in header.classes},
        )

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        found = self._connection.execute(query, values)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _counted(self, query: str) -> dict[str, int]:
        return dict(self._connection.execute(query).fetchall())


def _start(connection: sqlite3.Connection, header: SlideHeader) -> None:
    with connection:
        # sqlite3 begins no transaction of its own before it creates a table.
        connection.execute("BEGIN")
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.execute(statement)
        applied = {
            name: json.dumps([asdict(entry) for entry in entries])
            for name, entries in (("tests", header.tests), ("gates", header.gates))
        }
        applied |= {name: json.dumps(getattr(header, name)) for name in ("classes", "parasitized")}
        applied |= {name: json.dumps(asdict(getattr(header, name))) for name in _RATES}
        _insert(connection, "slide", [{"schema": _SCHEMA, **vars(header), **applied}])


def _is_empty(path: Path) -> bool:
    """Whether a file is what is left of a reading that ended before it began."""
    with closing(sqlite3.connect(path)) as connection:
        return not connection.execute("SELECT 1 FROM sqlite_master").fetchone()


def _insert(connection: sqlite3.Connection, into: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows whose keys are the columns' names; all rows have the same keys."""
    if not rows:
        return
    columns = ", ".join(f'"{name}"' for name in rows[0])
    values = ", ".join(f":{name}" for name in rows[0])
    connection.executemany(f"INSERT INTO {into} ({columns}) VALUES ({values})", rows)  # noqa: S608 - our names


def _cell_row(field_number: int, number: int, cell: CellReading) -> dict[str, object]:
    row = {name: value for name, value in vars(cell).items() if name != "box"}
    row["values"], row["confidences"] = json.dumps(dict(cell.values)), json.dumps(cell.confidences)
    place = dict(zip(_BOX, cell.box, strict=True))
    return {"field": field_number, "number": number, **place, **row}


def _cell(row: dict[str, Any]) -> CellReading:
    rest = {name: value for name, value in row.items() if name not in {"field", "number", *_BOX}}
    rest["values"], rest["confidences"] = json.loads(row["values"]), tuple(json.loads(row["confidences"]))
    rest["probability"] = _number(row["probability"])
    x, y, width, height = (row[name] for name in _BOX)
    return CellReading(box=(x, y, width, height), **rest)


def _rate(noted: str | None) -> MeasuredRate:
    told = {"counts": (), **json.loads(noted)} if noted else None  # older records have sums alone
    return MeasuredRate(**told | {"counts": tuple(map(tuple, told["counts"]))}) if told else UNKNOWN


def _number(value: float | None) -> float:
    """SQLite keeps nan as NULL."""
    return float("nan") if value is None else value
