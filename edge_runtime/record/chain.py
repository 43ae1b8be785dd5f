"""The entries of a record: what was written when, each sealed together with all before it.

An entry's digest is the SHA-256 of the digest before it, of what the entry says, and of the rows that it
brought. Whoever changes, removes or adds a row afterwards breaks the chain there. It shows accidents and
careless hands; somebody who rewrites all digests after it is found only by a digest that was noted elsewhere,
as on a printed report.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

from edge_runtime.clock import Instant, doubt_after, instant

_OF_A_CELL = (
    'field, number, x, y, width, height, status, reason, label, probability, "values", confidences, crop'
)
# Which rows an entry brings, by its kind; the number that it is about stands for every "?".
_ROWS = {
    "started": (),
    "resumed": (),
    "field": (
        "SELECT * FROM field WHERE number = ?",
        f"SELECT {_OF_A_CELL} FROM cell WHERE field = ? ORDER BY number",  # noqa: S608 - our names
        "SELECT field, number FROM cell WHERE withdrawn = ? ORDER BY field, number",
    ),
    "skipped": ("SELECT * FROM skipped WHERE rowid = ?",),
    "note": ("SELECT * FROM note WHERE rowid = ?",),
    "call": ("SELECT * FROM call WHERE rowid = ?",),
    "maps": ("SELECT * FROM map ORDER BY field, cell",),
    "ended": (),
    "upgraded": (),
}
# What stands in the one row of the slide, sealed when it starts; its end is sealed by the entry of the end.
_SLIDE = ("SELECT * FROM slide",)
_OF_THE_END = ("finished", "repeats")
_COUNTED = {"field": "field", "skipped": "skipped", "note": "note", "call": "call"}


def append(connection: sqlite3.Connection, kind: str, about: int | None = None, content: str = "") -> None:
    """Add an entry, within the transaction that brings its rows.

    Args:
        connection: to a record.
        kind: what happened, a name of `_ROWS`.
        about: the number of the row that it brought; None where it brought none.
        content: what else is to be known, as JSON.
    """
    last = connection.execute("SELECT at, boot, uptime, digest FROM entry ORDER BY number DESC").fetchone()
    before, digest = (Instant(*last[:3]), last[3]) if last else (None, "")
    this = instant()
    told = (kind, about, content, *astuple(this), doubt_after(before, this))
    digest = _digest(connection, digest, told)
    connection.execute(
        "INSERT INTO entry (kind, about, content, at, boot, uptime, doubt, digest) VALUES (?,?,?,?,?,?,?,?)",
        (*told, digest),
    )


def adopt(connection: sqlite3.Connection, why: str) -> None:
    """Begin the chain of a record that had none, with all that it holds."""
    append(connection, "upgraded", content=json.dumps(why))
    for kind, table in _COUNTED.items():
        numbers = connection.execute(f"SELECT rowid FROM {table} ORDER BY rowid").fetchall()  # noqa: S608
        for (number,) in numbers:
            append(connection, kind, number)
    append(connection, "ended", content=_end(connection))


def end(connection: sqlite3.Connection) -> None:
    """Add the entry of a reading's end, or of its being cut off."""
    append(connection, "ended", content=_end(connection))


def seal(connection: sqlite3.Connection) -> str:
    """The last digest, which stands for the whole record."""
    found = connection.execute("SELECT digest FROM entry ORDER BY number DESC LIMIT 1").fetchone()
    return found[0] if found else ""


def misfits(connection: sqlite3.Connection) -> Iterator[str]:
    """Everything in a record that is not what was written, in words; nothing if it is whole."""
    digest, met = "", dict.fromkeys(_COUNTED, 0)
    for number, *told, sealed in connection.execute("SELECT * FROM entry ORDER BY number").fetchall():
        kind, about = told[0], told[1]
        digest = _digest(connection, digest, tuple(told))
        if digest != sealed:
            yield f"entry {number} ({kind}{'' if about is None else f' {about}'}) is not as it was written"
            digest = sealed  # what follows may be right
        met |= {kind: met[kind] + 1} if kind in met else {}
    for table, many in met.items():
        (held,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - our names
        if held != many:
            yield f"{held} rows of {table}, and {many} were written"
    last = connection.execute(
        "SELECT content FROM entry WHERE kind = 'ended' ORDER BY number DESC"
    ).fetchone()
    if last and last[0] != _end(connection):
        yield "the end of the reading is not as it was written"


def doubts(connection: sqlite3.Connection) -> list[str]:
    """Why times in a record cannot be trusted, each reason once; none if they can."""
    found = connection.execute(
        "SELECT doubt FROM entry WHERE doubt != '' GROUP BY doubt ORDER BY min(number)"
    )
    return [text for (text,) in found.fetchall()]


def _end(connection: sqlite3.Connection) -> str:
    return json.dumps(connection.execute("SELECT finished, repeats FROM slide").fetchone())


def _digest(connection: sqlite3.Connection, before: str, told: tuple[Any, ...]) -> str:
    kind, about = told[0], told[1]
    queries = _SLIDE if kind in {"started", "upgraded"} else _ROWS[kind]
    sealed = hashlib.sha256(json.dumps([before, *told]).encode())
    for query in queries:
        rows = connection.execute(query, (about,) if "?" in query else ())
        names = [column[0] for column in rows.description]
        for row in rows.fetchall():
            named = {name: value for name, value in zip(names, row, strict=True) if name not in _OF_THE_END}
            sealed.update(json.dumps(named, default=_hashed, sort_keys=True).encode())
    return sealed.hexdigest()


def _hashed(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()
