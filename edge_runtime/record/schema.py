"""The tables of a slide record, and how a record of an earlier version becomes one of this version.

Columns are named as the fields of the dataclasses in `readings`; a box is four columns, and what is no plain
value is JSON. No row is ever changed but the slide's end: what turns out to be dirt is marked as withdrawn by
the field that showed it, and a person's call stands beside the answer of the model.

`cell_now` is what holds of the cells with what was withdrawn; `cell_uncalled` are those of them that nobody
has called; `cell_reviewed` is what holds if persons are right. There a parasite counts as one, a cell of
which nobody can tell is rejected, and "none" makes an uninfected red cell of what was asked for a parasite;
what was rejected for another reason stays so, for it may be no red cell.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_runtime.record import chain

SCHEMA = 8
# 6 noted neither the bundle's rates nor how much was to be read; 7 no chain, no calls, no device.
UPGRADED = (6, 7)

_SLIDE = {
    "schema": "INTEGER",
    "slide": "TEXT",
    "source": "TEXT",
    "bundle": "TEXT",
    "bundle_digest": "TEXT",
    "tests": "TEXT",
    "gates": "TEXT",
    "classes": "TEXT",
    "parasitized": "TEXT",
    "usual": "REAL",
    "correlation": "REAL",
    "provider": "TEXT",
    "software": "TEXT",
    "started": "TEXT",
    "finished": "TEXT",
    "repeats": "INTEGER",
    "sensitivity": "TEXT",
    "false_positives": "TEXT",
    "findable": "TEXT",
    "until": "TEXT",
    "every": "REAL",
    "operator": "TEXT",
    "device": "TEXT",
    "libraries": "TEXT",
}

_READ = """
CREATE TABLE field (
    number INTEGER PRIMARY KEY, name TEXT, width INTEGER, height INTEGER, overview BLOB, read_at TEXT,
    reason TEXT, "values" TEXT, moment REAL
);
CREATE TABLE cell (
    field INTEGER REFERENCES field(number), number INTEGER,
    x INTEGER, y INTEGER, width INTEGER, height INTEGER,
    status TEXT, reason TEXT, label TEXT, probability REAL, "values" TEXT, confidences TEXT, crop BLOB,
    withdrawn INTEGER REFERENCES field(number),
    PRIMARY KEY (field, number)
);
CREATE TABLE skipped (name TEXT, reason TEXT);
CREATE TABLE note (text TEXT)
"""

_ADDED = """
CREATE VIEW cell_now AS SELECT
    field, number, x, y, width, height,
    iif(withdrawn IS NULL, status, 'not-judged') AS status,
    iif(withdrawn IS NULL, reason, 'dirt') AS reason,
    iif(withdrawn IS NULL, label, '') AS label,
    iif(withdrawn IS NULL, probability, NULL) AS probability,
    iif(withdrawn IS NULL, "values", '{}') AS "values",
    iif(withdrawn IS NULL, confidences, '[]') AS confidences,
    iif(withdrawn IS NULL, crop, x'') AS crop
FROM cell;
CREATE TABLE call (
    field INTEGER, cell INTEGER, answer TEXT, remark TEXT, reviewer TEXT, at TEXT,
    FOREIGN KEY (field, cell) REFERENCES cell(field, number)
);
CREATE TABLE map (
    field INTEGER, cell INTEGER, picture BLOB, PRIMARY KEY (field, cell)
);
CREATE VIEW last_call AS SELECT * FROM call
WHERE rowid IN (SELECT max(rowid) FROM call GROUP BY field, cell);
CREATE VIEW cell_reviewed AS SELECT
    cell_now.field AS field, cell_now.number AS number,
    CASE WHEN answer IS NULL THEN status
         WHEN answer = 'parasite' THEN 'parasitized'
         WHEN answer = 'cannot-tell' THEN 'rejected'
         WHEN status = 'rejected' AND reason != 'suspect' THEN status
         ELSE 'uninfected' END AS status,
    CASE WHEN answer IS NULL THEN reason
         WHEN answer = 'cannot-tell' THEN 'cannot-tell'
         WHEN answer = 'none' AND status = 'rejected' AND reason != 'suspect' THEN reason
         ELSE '' END AS reason,
    iif(answer IS NULL, label, '') AS label
FROM cell_now LEFT JOIN last_call
    ON last_call.field = cell_now.field AND last_call.cell = cell_now.number;
CREATE VIEW cell_uncalled AS SELECT cell_now.* FROM cell_now LEFT JOIN last_call
    ON last_call.field = cell_now.field AND last_call.cell = cell_now.number
WHERE answer IS NULL;
CREATE TABLE entry (
    number INTEGER PRIMARY KEY, kind TEXT, about INTEGER, content TEXT,
    at TEXT, boot TEXT, uptime REAL, doubt TEXT, digest TEXT
)
"""


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty file, within a transaction of the caller."""
    columns = ", ".join(f"{name} {kind}" for name, kind in _SLIDE.items())
    for statement in (f"CREATE TABLE slide ({columns})", *_READ.split(";"), *_ADDED.split(";")):
        connection.execute(statement)


def schema_of(connection: sqlite3.Connection) -> int | str:
    """The version of a record's tables; "none" where no slide was begun."""
    (schema,) = connection.execute("SELECT schema FROM slide").fetchone() or ("none",)
    return schema


def upgrade(connection: sqlite3.Connection) -> None:
    """Turn a record of an earlier version into one of this version, whole or not at all.

    What was never noted stays unknown, and its chain begins now.
    """
    before = schema_of(connection)
    known = {row[1] for row in connection.execute("PRAGMA table_info(slide)").fetchall()}
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for name, kind in _SLIDE.items():
            if name not in known:
                connection.execute(f"ALTER TABLE slide ADD COLUMN {name} {kind}")
        connection.execute("ALTER TABLE cell ADD COLUMN withdrawn INTEGER REFERENCES field(number)")
        for statement in _ADDED.split(";"):
            connection.execute(statement)
        connection.execute("UPDATE slide SET schema = ?", (SCHEMA,))
        chain.adopt(connection, f"from schema {before}")


@contextmanager
def upgraded_copy(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """The same record in this version's tables, somewhere else; the record itself is left as it is."""
    with (
        TemporaryDirectory(prefix="cellgate-") as folder,
        closing(sqlite3.connect(Path(folder, "slide.sqlite"))) as copy,
    ):
        connection.backup(copy)
        upgrade(copy)
        yield copy
