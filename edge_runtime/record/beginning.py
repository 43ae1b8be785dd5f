"""A record's first moment, and whether a file is one that this reading, or this cellgate, may go on with."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from edge_runtime.errors import SourceError, StorageError
from edge_runtime.record import chain
from edge_runtime.record.database import opened, reading_errors, sync_folder
from edge_runtime.record.readings import SlideHeader
from edge_runtime.record.rows import header_of, header_row, insert, rows_of
from edge_runtime.record.schema import SCHEMA, UPGRADED, create_tables, schema_of


def start(path: Path, connection: sqlite3.Connection, header: SlideHeader) -> None:
    """Begin the record of a slide in an empty file.

    Raises:
        StorageError: the disk is full or cannot be written; nothing is left behind.
    """
    try:
        with connection:
            # sqlite3 begins no transaction of its own before it creates a table.
            connection.execute("BEGIN")
            create_tables(connection)
            insert(connection, "slide", [header_row(header)])
            chain.append(connection, "started", content=who(header))
        sync_folder(path.parent)
    except sqlite3.Error as error:
        path.unlink(missing_ok=True)  # or the next try would take it for a slide
        raise StorageError(
            f"{path}: cannot be written ({error}); free some space or choose another --out"
        ) from error


def check_same(path: Path, header: SlideHeader, *, though_finished: bool) -> None:
    """Refuse to go on with a record that is not this reading's; nothing in it is changed.

    Raises:
        SourceError: it is finished, or another's.
    """
    with opened(path) as connection:
        if readable(path, connection) != SCHEMA:
            raise SourceError(f"{path}: was begun by an earlier cellgate; choose another --out")
        with reading_errors(path):
            noted = header_of(rows_of(connection, "SELECT * FROM slide")[0])
    if noted.finished is not None and not though_finished:
        raise SourceError(f"{path}: holds a slide already; choose another --out")
    if other := noted.differs_from(header):
        raise SourceError(
            f"{path}: holds the beginning of a slide with {other}, cannot go on with; give the same "
            "command, or another --out"
        )


def readable(path: Path, connection: sqlite3.Connection) -> int | str:
    """The version of a record that this cellgate reads.

    Raises:
        SourceError: it reads no such version.
    """
    schema = schema_of(connection)
    if schema not in {*UPGRADED, SCHEMA}:
        raise SourceError(
            f"{path}: slide record of schema {schema}, but this cellgate reads schema {SCHEMA}; "
            "open it with the cellgate that made it"
        )
    return schema


def there(path: str | Path) -> Path:
    """The path of a record.

    Raises:
        SourceError: there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"{path}: no slide record; make one with 'cellgate read'")
    return path


def who(header: SlideHeader) -> str:
    """Who reads on what, for the chain: a reading that goes on may have changed hands."""
    return json.dumps(
        {name: getattr(header, name) for name in ("operator", "device", "libraries", "provider")}
    )


def is_empty(path: Path) -> bool:
    """Whether a file is what is left of a reading that ended before it began."""
    with closing(sqlite3.connect(path)) as connection:
        return not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
