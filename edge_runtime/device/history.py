"""The history of a device: what its slides came to, one after the other, in one file beside their folders.

A slide is entered once, when it was read to its end, and nothing of the slide itself is changed. Nor is a row
of the history: what is told of a slide later, as that it is known to be negative, is a row of its own.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge_runtime.clock import now
from edge_runtime.device.entries import History, Kind, Recalibrated, entry_of, row_of
from edge_runtime.errors import SourceError
from edge_runtime.record.database import (
    connect_briefly,
    damaged,
    opened,
    storage_errors,
    sync_folder,
)
from edge_runtime.record.rows import rows_of
from edge_runtime.record.slide_record import RECORD, SlideRecord

HISTORY = "device.sqlite"  # in the folder that holds the slides' folders

_SCHEMA = 1
_WHAT = "device history"
_REMEDY = "move it away, and enter its slides anew with 'cellgate device add'"
_KEPT = "slides entered before are kept"
# Columns are named as the fields of `Entry`.
_TABLES = """
CREATE TABLE slide (
    number INTEGER PRIMARY KEY, identity TEXT UNIQUE, slide TEXT, folder TEXT, finished TEXT, bundle TEXT,
    bundle_digest TEXT, usual REAL, correlation REAL, false_positives TEXT, verdict TEXT, unusual INTEGER,
    fields INTEGER, stopped INTEGER, judged INTEGER, whole INTEGER, rejected INTEGER, asked INTEGER,
    called INTEGER, confidence REAL, sharpness REAL, brightness REAL, warmth REAL, tint REAL
);
CREATE TABLE kind (slide INTEGER REFERENCES slide(number), kind TEXT, told TEXT);
CREATE TABLE recalibration (after INTEGER, site TEXT, bundle TEXT, at TEXT);
"""


def read_history(folder: Path) -> History:
    """The history in a folder.

    Raises:
        SourceError: there is none, or it cannot be read.
    """
    path = folder / HISTORY
    if not path.is_file():
        raise SourceError(
            f"{path}: no device history; it begins with the first slide that 'cellgate read' brings to its "
            f"end in {folder}, or with 'cellgate device add SLIDE'"
        )
    with _damage_told(path), opened(path) as connection:
        connection.execute("BEGIN")  # what is entered meanwhile does not show
        if not _has_begun(connection, path):
            return History(())
        kinds = dict(connection.execute("SELECT slide, kind FROM kind ORDER BY rowid").fetchall())
        rows = rows_of(connection, "SELECT * FROM slide ORDER BY number")
        entries = tuple(entry_of(row, kinds[row["number"]]) for row in rows)
        marks = rows_of(connection, "SELECT * FROM recalibration ORDER BY rowid")
    return History(entries, tuple(Recalibrated(**mark) for mark in marks))


def enter(slide: Path, kind: Kind | None = None) -> bool:
    """Enter a slide that was read to its end into the history beside its folder.

    Once only: entered again, it stays as it was, and at most its kind is told anew.

    Args:
        slide: the folder that `cellgate read` wrote.
        kind: whose slide it is; None if it is what it was before, or what the last reading of a slide of this
            code was, or else a patient's.

    Returns:
        Whether it was new.

    Raises:
        SourceError: no slide, or one that was not read to its end; a damaged history.
        StorageError: the history cannot be written.
    """
    slide = slide.resolve()
    with SlideRecord.open(slide / RECORD) as record:
        row = row_of(record, slide.name)
    path = slide.parent / HISTORY
    with _changed(path) as connection:
        there = "SELECT number FROM slide WHERE identity = ?"
        found = connection.execute(there, (row["identity"],)).fetchone()
        if found is None:
            kind = kind or _kind_before(connection, row["slide"])
            names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
            added = connection.execute(f"INSERT INTO slide ({names}) VALUES ({places})", row)  # noqa: S608 - ours
        if kind is not None:
            number = found[0] if found else added.lastrowid
            connection.execute("INSERT INTO kind VALUES (?, ?, ?)", (number, kind, now()))
    return found is None


def note_recalibration(folder: Path, site: str, bundle: str) -> None:
    """Note that a bundle was fitted to the slides of a folder.

    Raises:
        SourceError: a damaged history.
        StorageError: it cannot be written.
    """
    with _changed(folder / HISTORY) as connection:
        connection.execute(
            "INSERT INTO recalibration SELECT coalesce(max(number), 0), ?, ?, ? FROM slide",
            (site, bundle, now()),
        )


def _kind_before(connection: sqlite3.Connection, slide: str) -> Kind:
    found = connection.execute(
        "SELECT kind.kind FROM kind JOIN slide ON slide.number = kind.slide WHERE slide.slide = ? "
        "ORDER BY kind.rowid DESC LIMIT 1",
        (slide,),
    ).fetchone()
    return found[0] if found else "patient"


@contextmanager
def _changed(path: Path) -> Iterator[sqlite3.Connection]:
    """A history to write to, in one transaction: all of it is on the disk afterwards, or nothing.

    Whoever comes meanwhile waits. A history that has not begun, begins.
    """
    with (
        storage_errors(path, _KEPT),
        _damage_told(path, writing=True),
        closing(connect_briefly(path)) as connection,  # which takes back what was not committed
    ):
        connection.execute("BEGIN IMMEDIATE")
        if not _has_begun(connection, path):
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_SCHEMA}")
        yield connection
        connection.execute("COMMIT")
        sync_folder(path.parent)


def _has_begun(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether a history holds its tables; not if a power cut came before their transaction's end."""
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and schema != _SCHEMA:
        raise SourceError(
            f"{path}: device history of schema {schema}, but this cellgate has schema {_SCHEMA}; use the "
            "cellgate that made it, or move it away"
        )
    return bool(tables)


@contextmanager
def _damage_told(path: Path, *, writing: bool = False) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError, ValueError, TypeError, KeyError) as error:
        if writing and isinstance(error, sqlite3.OperationalError):  # a full or locked disk
            raise
        raise damaged(path, error, _WHAT, _REMEDY) from error
