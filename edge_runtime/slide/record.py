"""The slide record: everything one reading of a slide found, in one SQLite file, a transaction per field."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_runtime.cells.preprocessing import Box
from edge_runtime.errors import SourceError, StorageError
from edge_runtime.sources.images import SkippedFrame

Status = Literal["uninfected", "parasitized", "rejected", "not-judged"]

RECORD = "slide.sqlite"  # in the folder of a slide
_SCHEMA = 3
_TABLES = """
CREATE TABLE slide (
    schema INTEGER, slide TEXT, source TEXT, bundle TEXT, bundle_digest TEXT, threshold REAL,
    least_margin REAL, usual REAL, correlation REAL, provider TEXT, software TEXT, started TEXT, finished TEXT
);
CREATE TABLE field (
    number INTEGER PRIMARY KEY, name TEXT, width INTEGER, height INTEGER, overview BLOB, read_at TEXT
);
CREATE TABLE cell (
    field INTEGER REFERENCES field(number), number INTEGER,
    x INTEGER, y INTEGER, width INTEGER, height INTEGER,
    status TEXT, reason TEXT, label TEXT, probability REAL, score REAL, confidences TEXT, crop BLOB,
    PRIMARY KEY (field, number)
);
CREATE TABLE skipped (name TEXT, reason TEXT);
"""


@dataclass(frozen=True)
class SlideHeader:
    """What holds for the whole slide.

    Attributes:
        slide: the slide's code (no patient's name).
        source: where the frames came from.
        bundle: title of the bundle that decided.
        bundle_digest: its sha256.
        threshold: cells that score below it were rejected.
        least_margin: cells whose two largest logits are closer were rejected, too.
        usual: share of cells that is rejected on an ordinary slide (see `group.judge_group`).
        correlation: of rejection among the cells of an ordinary slide.
        provider: execution provider that was really used.
        software: cellgate's version.
        started: UTC, ISO 8601.
        finished: UTC, ISO 8601; None while reading, and for ever if it was cut off.
    """

    slide: str
    source: str
    bundle: str
    bundle_digest: str
    threshold: float
    least_margin: float
    usual: float
    correlation: float
    provider: str
    software: str
    started: str
    finished: str | None = None


@dataclass(frozen=True)
class CellReading:
    """What was found at one place of a field.

    Attributes:
        box: (x, y, width, height) in pixels of the frame.
        status: the answer; "not-judged" cells were seen but not classified.
        reason: why a cell was rejected or not judged; else empty.
        label: the classifier's class even where it was rejected; empty if not judged.
        probability: of `label`, 0 to 1; nan if not judged.
        score: overall confidence M*, high = in-distribution; nan if not judged.
        confidences: M_l per layer; empty if not judged.
        crop: PNG of the masked crop; empty if not judged.
    """

    box: Box
    status: Status
    reason: str
    label: str
    probability: float
    score: float
    confidences: tuple[float, ...]
    crop: bytes


@dataclass(frozen=True)
class FieldReading:
    """One field of view.

    Attributes:
        number: from 1, in the order of reading.
        name: of the frame in its source.
        width: of the frame in pixels.
        height: of the frame in pixels.
        overview: JPEG of the frame, possibly reduced.
        read_at: UTC, ISO 8601.
        cells: what was found.
    """

    number: int
    name: str
    width: int
    height: int
    overview: bytes
    read_at: str
    cells: tuple[CellReading, ...]


@dataclass(frozen=True)
class Counts:
    """Cells of a slide by answer.

    Attributes:
        uninfected: accepted and uninfected.
        parasitized: accepted and parasitized.
        rejected: classified, but not to be relied on.
        not_judged: clumped or cut by the edge.
        fields: fields read.
        skipped: frames that could not be read.
        not_one_cell: of the rejected, those that the segmentation got wrong.
    """

    uninfected: int
    parasitized: int
    rejected: int
    not_judged: int
    fields: int
    skipped: int
    not_one_cell: int = 0

    @property
    def judged(self) -> int:
        """Cells that were classified, accepted or not."""
        return self.uninfected + self.parasitized + self.rejected

    @property
    def strange(self) -> int:
        """Whole cells that were rejected."""
        return self.rejected - self.not_one_cell

    @property
    def whole(self) -> int:
        """Whole cells that were classified: crowded fields have more of the others, and are not unusual."""
        return self.judged - self.not_one_cell


class SlideRecord:
    """A slide record on disk. Every `add_…` is one transaction: what it returned from is on the disk."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    @contextmanager
    def create(cls, path: Path, header: SlideHeader) -> Iterator["SlideRecord"]:
        """Start a record.

        Raises:
            SourceError: there is a record already.
            StorageError: the disk is full or cannot be written.
        """
        if path.exists():
            raise SourceError(f"{path}: holds a slide already; choose another --out")
        with _storage_errors(path), closing(_connect(path)) as connection:
            try:
                _start(connection, header)
            except sqlite3.Error as error:
                path.unlink(missing_ok=True)  # or the next try would take it for a slide
                raise StorageError(
                    f"{path}: cannot be written ({error}); free some space or choose another --out"
                ) from error
            yield cls(path, connection)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator["SlideRecord"]:
        """Open a record for reading.

        Raises:
            SourceError: absent, no slide record, or one of another version.
        """
        if not path.is_file():
            raise SourceError(f"{path}: no slide record; make one with 'cellgate read'")
        try:
            with closing(_connect(path)) as connection:
                (schema,) = connection.execute("SELECT schema FROM slide").fetchone() or ("none",)
                if schema != _SCHEMA:
                    raise SourceError(
                        f"{path}: slide record of schema {schema}, but this cellgate reads schema {_SCHEMA}; "
                        "open it with the cellgate that made it"
                    )
                yield cls(path, connection)
        except sqlite3.Error as error:
            raise SourceError(f"{path}: no slide record or a damaged one ({error}); copy it again") from error

    def add_field(self, field: FieldReading) -> None:
        """Record one field with its cells, whole or not at all."""
        with _storage_errors(self.path), self._connection as connection:
            connection.execute(
                "INSERT INTO field VALUES (?, ?, ?, ?, ?, ?)",
                (
                    field.number,
                    field.name,
                    field.width,
                    field.height,
                    field.overview,
                    field.read_at,
                ),
            )
            connection.executemany(
                "INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        field.number,
                        number,
                        *cell.box,
                        cell.status,
                        cell.reason,
                        cell.label,
                        cell.probability,
                        cell.score,
                        json.dumps(cell.confidences),
                        cell.crop,
                    )
                    for number, cell in enumerate(field.cells, start=1)
                ],
            )

    def add_skipped(self, skipped: SkippedFrame) -> None:
        """Record a frame that could not be read."""
        with _storage_errors(self.path), self._connection as connection:
            connection.execute("INSERT INTO skipped VALUES (?, ?)", (skipped.name, skipped.reason))

    def finish(self, when: str) -> None:
        """Note that the reading came to its end."""
        with _storage_errors(self.path), self._connection as connection:
            connection.execute("UPDATE slide SET finished = ?", (when,))

    def header(self) -> SlideHeader:
        """What holds for the whole slide."""
        _, *values = self._connection.execute("SELECT * FROM slide").fetchone()
        return SlideHeader(*values)

    def fields(self) -> Iterator[FieldReading]:
        """The fields in the order of reading, one at a time."""
        for row in self._connection.execute("SELECT * FROM field ORDER BY number").fetchall():
            number, name, width, height, overview, read_at = row
            cells = self._connection.execute("SELECT * FROM cell WHERE field = ? ORDER BY number", (number,))
            yield FieldReading(number, name, width, height, overview, read_at, tuple(map(_cell, cells)))

    def skipped(self) -> list[SkippedFrame]:
        """Frames that could not be read."""
        return [SkippedFrame(*row) for row in self._connection.execute("SELECT * FROM skipped")]

    def counts(self) -> Counts:
        """Cells by answer."""
        by_status = dict(self._connection.execute("SELECT status, count(*) FROM cell GROUP BY status"))
        broken = "SELECT count(*) FROM cell WHERE status = 'rejected' AND reason = 'not-one-cell'"
        (not_one_cell,) = self._connection.execute(broken).fetchone()
        (fields,) = self._connection.execute("SELECT count(*) FROM field").fetchone()
        (skipped,) = self._connection.execute("SELECT count(*) FROM skipped").fetchone()
        return Counts(
            uninfected=by_status.get("uninfected", 0),
            parasitized=by_status.get("parasitized", 0),
            rejected=by_status.get("rejected", 0),
            not_judged=by_status.get("not-judged", 0),
            fields=fields,
            skipped=skipped,
            not_one_cell=not_one_cell,
        )


def _start(connection: sqlite3.Connection, header: SlideHeader) -> None:
    with connection:
        # executescript would commit by itself; one by one keeps it a single transaction.
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO slide VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                _SCHEMA,
                header.slide,
                header.source,
                header.bundle,
                header.bundle_digest,
                header.threshold,
                header.least_margin,
                header.usual,
                header.correlation,
                header.provider,
                header.software,
                header.started,
                header.finished,
            ),
        )


def _cell(row: tuple[object, ...]) -> CellReading:
    _, _, x, y, width, height, status, reason, label, probability, score, confidences, crop = row
    return CellReading(
        box=(x, y, width, height),  # type: ignore[arg-type]
        status=status,  # type: ignore[arg-type]
        reason=str(reason),
        label=str(label),
        probability=_number(probability),
        score=_number(score),
        confidences=tuple(json.loads(str(confidences))),
        crop=crop,  # type: ignore[arg-type]
    )


def _number(value: object) -> float:
    """SQLite keeps nan as NULL."""
    return float("nan") if value is None else float(value)  # type: ignore[arg-type]


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path)


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR"))
        advice = "free some space and read the slide" if full else "read the slide"
        raise StorageError(
            f"{path}: cannot be written ({error}); {advice} into another --out, "
            "fields recorded before are kept"
        ) from error
