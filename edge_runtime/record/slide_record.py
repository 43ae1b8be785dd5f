"""The slide record: everything one reading of a slide found, in one SQLite file, a transaction per field.

While a slide is read there are two more files beside it, SQLite's write-ahead log and its index: so others
can look into the record meanwhile, and what was recorded is on the disk even if the power fails. At the end
all is in the one file, which can be copied.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from edge_runtime.cells.preprocessing import Box
from edge_runtime.errors import SourceError
from edge_runtime.record import chain
from edge_runtime.record.beginning import check_same, is_empty, readable, start, there, who
from edge_runtime.record.counting import View, count_cells, count_fields
from edge_runtime.record.database import (
    connect,
    damaged,
    make_one_file,
    opened,
    reading_errors,
    reserved,
    storage_errors,
)
from edge_runtime.record.readings import (
    Call,
    CellReading,
    Counts,
    FieldCounts,
    FieldReading,
    SlideHeader,
    Status,
)
from edge_runtime.record.rows import (
    cell_of,
    cell_row,
    each_row,
    field_of,
    field_row,
    header_of,
    insert,
    rows_of,
    values_of,
)
from edge_runtime.record.schema import SCHEMA, upgrade, upgraded_copy
from edge_runtime.sources.items import SkippedFrame

RECORD = "slide.sqlite"  # in the folder of a slide
_WITHDRAW = (
    "UPDATE cell SET withdrawn = ? WHERE withdrawn IS NULL AND status != 'not-judged' "
    "AND field = ? AND x = ? AND y = ? AND width = ? AND height = ?"
)


class SlideRecord:
    """A slide record on disk. Every `add_…` is one transaction: what it returned from is on the disk."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    @contextmanager
    def begin(
        cls, path: str | Path, header: SlideHeader, *, though_finished: bool = False
    ) -> Iterator["SlideRecord"]:
        """Start a record, or go on with one that was cut off.

        Args:
            path: of the record.
            header: of the reading; of one that goes on, what was noted at its start stays.
            though_finished: whether to open a record that is finished, too.

        Raises:
            SourceError: it is finished, is of another slide, source, bundle or setting, or cannot be read.
            StorageError: the disk is full or cannot be written.
        """
        path = Path(path)
        with reserved(path.parent), storage_errors(path):
            begun = path.exists() and not is_empty(path)
            if begun:
                check_same(path, header, though_finished=though_finished)
            with closing(connect(path)) as connection:
                try:
                    if not begun:
                        start(path, connection, header)
                    elif cls(path, connection).header().finished is None:
                        with connection:
                            chain.append(connection, "resumed", content=who(header))
                    yield cls(path, connection)
                finally:
                    make_one_file(connection)

    @classmethod
    @contextmanager
    def open(cls, path: str | Path) -> Iterator["SlideRecord"]:
        """Open a record for reading; one of an earlier version as a copy in this version's tables.

        Raises:
            SourceError: absent, no slide record, or one of a later version.
        """
        path = there(path)
        try:
            with opened(path) as connection:
                if readable(path, connection) == SCHEMA:
                    yield cls(path, connection)
                else:
                    with upgraded_copy(connection) as copy:
                        yield cls(path, copy)
        except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite quotes damaged names as they are
            raise damaged(path, error) from error

    @classmethod
    @contextmanager
    def open_for_calls(cls, path: str | Path) -> Iterator["SlideRecord"]:
        """Open a record to add a person's calls; one of an earlier version becomes one of this version.

        Raises:
            SourceError: as `open`; or another program reads or reviews this slide now.
            StorageError: the disk is full or cannot be written.
        """
        path = there(path)
        with reserved(path.parent), storage_errors(path):
            try:
                with opened(path) as connection:  # which changes nothing in what is no record
                    old = readable(path, connection) != SCHEMA
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise damaged(path, error) from error
            with closing(connect(path)) as connection:
                if old:
                    upgrade(connection)
                try:
                    yield cls(path, connection)
                finally:
                    make_one_file(connection)

    def add_field(self, field: FieldReading, dirt: Iterable[tuple[int, Box]] = ()) -> None:
        """Record one field with its cells, whole or not at all.

        Args:
            field: that was read.
            dirt: cells of earlier fields, by number and box, which this one shows to be dirt: what was said
                of them holds no longer.
        """
        cells = [cell_row(field.number, number, cell) for number, cell in enumerate(field.cells, start=1)]
        with storage_errors(self.path), self._connection as connection:
            insert(connection, "field", [field_row(field)])
            insert(connection, "cell", cells)
            connection.executemany(_WITHDRAW, [(field.number, number, *box) for number, box in dirt])
            chain.append(connection, "field", field.number)

    def add_skipped(self, skipped: SkippedFrame) -> None:
        """Record a frame that could not be read."""
        self._add("skipped", vars(skipped))

    def add_note(self, text: str) -> None:
        """Record something that happened to the source."""
        self._add("note", {"text": text})

    def add_call(self, call: Call) -> None:
        """Record what a person says of a cell, beside what the model said and whatever was said before.

        Raises:
            SourceError: there is no such cell, or it was never judged.
        """
        if self.cell(call.field, call.cell).status == "not-judged":
            raise SourceError(
                f"cell {call.cell} of field {call.field} was not judged; it has no picture to call"
            )
        self._add("call", vars(call))

    def _add(self, kind: str, row: dict[str, Any]) -> None:
        with storage_errors(self.path), self._connection as connection:
            chain.append(connection, kind, insert(connection, kind, [row]))

    def finish(self, when: str | None, *, repeats: int = 0) -> None:
        """Note that the reading ended, and how many looks showed what was read already.

        Args:
            when: it came to its end, UTC, ISO 8601; None if it was cut off.
            repeats: the number of those looks.
        """
        with storage_errors(self.path), self._connection as connection:
            connection.execute("UPDATE slide SET finished = ?, repeats = ?", (when, repeats))
            chain.end(connection)
        make_one_file(self._connection)

    def header(self) -> SlideHeader:
        """What holds for the whole slide."""
        with reading_errors(self.path):
            (row,) = self._rows("SELECT * FROM slide")
            return header_of(row)

    def fields(self) -> Iterator[FieldReading]:
        """The fields in the order of reading, one at a time."""
        numbers = [row["number"] for row in self._rows("SELECT number FROM field ORDER BY number")]
        for number in numbers:  # one at a time: all their pictures together fill the memory
            yield self.field(number)

    def field(self, number: int) -> FieldReading:
        """One field, by its number.

        Raises:
            SourceError: there is none.
        """
        rows = self._rows("SELECT * FROM field WHERE number = ?", number)
        if not rows:
            raise SourceError(f"{self.path}: has no field {number}; see the report")
        cells = self._rows("SELECT * FROM cell_now WHERE field = ? ORDER BY number", number)
        with reading_errors(self.path):
            return field_of(rows[0], cells)

    def cell(self, field: int, number: int) -> CellReading:
        """One cell, by the number of its field and its own in it.

        Raises:
            SourceError: there is none.
        """
        rows = self._rows("SELECT * FROM cell_now WHERE field = ? AND number = ?", field, number)
        if not rows:
            raise SourceError(f"{self.path}: has no cell {number} in field {field}; see the report")
        with reading_errors(self.path):
            return cell_of(rows[0])

    def add_maps(self, pictures: Mapping[tuple[int, int], bytes]) -> None:
        """Record the maps of cells, all of them at once: pictures by the numbers of field and cell."""
        rows = [{"field": field, "cell": cell, "picture": made} for (field, cell), made in pictures.items()]
        with storage_errors(self.path), self._connection as connection:
            insert(connection, "map", rows)
            chain.append(connection, "maps")

    def maps(self, field: int) -> dict[int, bytes]:
        """The maps of the cells of a field, by their numbers in it."""
        return {
            row["cell"]: row["picture"]
            for row in self._rows("SELECT cell, picture FROM map WHERE field = ?", field)
        }

    def judged(self, status: Status) -> Iterator[tuple[int, int, CellReading]]:
        """The cells of an answer with the number of their field and their own in it, in order of reading."""
        query = "SELECT * FROM cell_now WHERE status = ? ORDER BY field, number"
        for row in each_row(self._connection, query, status):
            with reading_errors(self.path):
                cell = cell_of(row)
            yield row["field"], row["number"], cell

    def gate_values(self) -> Iterator[dict[str, float]]:
        """What each gate looked at, by name, of every field that counts; no picture is read."""
        for row in each_row(self._connection, "SELECT \"values\" FROM field WHERE reason = ''"):
            with reading_errors(self.path):
                yield values_of(row["values"])

    def test_values(self) -> Iterator[tuple[str, dict[str, float]]]:
        """The reason of every judged cell, and what each test looked at, by name; no picture is read."""
        query = "SELECT reason, \"values\" FROM cell_now WHERE status != 'not-judged'"
        for row in each_row(self._connection, query):
            with reading_errors(self.path):
                yield row["reason"], json.loads(row["values"])

    def notes(self) -> list[str]:
        """What happened to the source, in the order of reading."""
        return [row["text"] for row in self._rows("SELECT text FROM note")]

    def skipped(self) -> list[SkippedFrame]:
        """Frames that could not be read."""
        return [SkippedFrame(**row) for row in self._rows("SELECT * FROM skipped")]

    def calls(self) -> list[Call]:
        """All that persons have said of cells, in the order in which they said it."""
        return [Call(**row) for row in self._rows("SELECT * FROM call ORDER BY rowid")]

    def latest_calls(self) -> dict[tuple[int, int], Call]:
        """What was said last of each cell, by the number of its field and its own in it."""
        rows = self._rows("SELECT * FROM last_call")
        return {(row["field"], row["cell"]): Call(**row) for row in rows}

    def seal(self) -> str:
        """The digest that stands for all of the record (see `chain`): SHA-256, hexadecimal."""
        return chain.seal(self._connection)

    def misfits(self) -> list[str]:
        """What in the record is not as it was written, each in words; nothing if it is whole."""
        return list(chain.misfits(self._connection))

    def clock_doubts(self) -> list[str]:
        """Why times in the record cannot be trusted, each reason once; none if they can."""
        return chain.doubts(self._connection)

    def field_counts(self, of: View = "cell_now") -> list[FieldCounts]:
        """Of every field that counts, its parasitized cells and those that were asked; `of` as `counts`."""
        return count_fields(self._connection, of)

    def counts(self, of: View = "cell_now") -> Counts:
        """Cells by answer.

        Args:
            of: which cells, and by whose answer (see `schema`): the model's, a person's where there is one,
                or the model's to those cells that nobody has called.
        """
        return count_cells(self._connection, self.header(), of)

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        return rows_of(self._connection, query, *values)
