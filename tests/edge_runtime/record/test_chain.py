"""Whoever changes a record afterwards breaks its chain, and is told where."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from slide_samples import CALL, FIELD, HEADER, JUDGED, NOT_JUDGED, STOPPED

from edge_runtime.clock import Instant
from edge_runtime.record import chain
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.sources.items import SkippedFrame

Change = Callable[[str], None]
DIRTY = replace(JUDGED, box=(50, 2, 30, 40))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A record with an entry of every kind: begun, cut off, gone on with, ended, called."""
    made = tmp_path / "slide.sqlite"
    with SlideRecord.begin(made, HEADER) as record:
        record.add_field(replace(FIELD, cells=(*FIELD.cells, NOT_JUDGED, DIRTY)))
        record.add_skipped(SkippedFrame("c.png", "cut off"))
        record.finish(None)
    with SlideRecord.begin(made, replace(HEADER, operator="another")) as record:
        record.add_field(STOPPED)
        record.add_field(replace(FIELD, number=4), dirt=[(1, DIRTY.box)])
        record.add_note("camera 0: hangs")
        record.finish("2025-01-02T04:00:00+00:00", repeats=7)
    with SlideRecord.open_for_calls(made) as record:
        record.add_call(CALL)
    return made


@pytest.fixture
def change(path: Path) -> Change:
    def run(statement: str) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return run


def misfits(path: Path) -> list[str]:
    with SlideRecord.open(path) as record:
        return record.misfits()


def test_a_record_is_as_it_was_written(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        kinds = [kind for (kind,) in connection.execute("SELECT kind FROM entry ORDER BY number")]
        digests = [digest for (digest,) in connection.execute("SELECT digest FROM entry")]
    connection.close()
    assert kinds == [
        "started",
        "field",
        "skipped",
        "ended",
        "resumed",
        "field",
        "field",
        "note",
        "ended",
        "call",
    ]
    assert len(set(digests)) == len(digests)
    assert misfits(path) == []
    with SlideRecord.open(path) as record:
        assert record.seal() == digests[-1]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE slide SET slide = 'another'", "entry 1 (started)"),
        ("UPDATE slide SET sensitivity = '{}'", "entry 1 (started)"),
        ("UPDATE field SET overview = x'00' WHERE number = 1", "entry 2 (field 1)"),
        ("UPDATE cell SET status = 'uninfected' WHERE field = 1 AND number = 2", "entry 2 (field 1)"),
        ("UPDATE cell SET crop = x'00' WHERE field = 1 AND number = 2", "entry 2 (field 1)"),
        ("DELETE FROM cell WHERE field = 1 AND number = 5", "entry 2 (field 1)"),
        ("UPDATE cell SET withdrawn = NULL", "entry 7 (field 4)"),
        ("UPDATE skipped SET reason = 'empty'", "entry 3 (skipped 1)"),
        ("UPDATE note SET text = 'all is well'", "entry 8 (note 1)"),
        ("UPDATE call SET answer = 'none'", "entry 10 (call 1)"),
        ("UPDATE entry SET at = '2026-01-01T00:00:00+00:00' WHERE number = 6", "entry 6 (field 3)"),
        ("DELETE FROM entry WHERE number = 6", "entry 7 (field 4)"),
        ("DELETE FROM entry WHERE number = 10", "1 rows of call, and 0 were written"),
        ("INSERT INTO call SELECT * FROM call", "2 rows of call, and 1 were written"),
        ("DELETE FROM call", "entry 10 (call 1)"),
        ("UPDATE slide SET repeats = 0", "the end of the reading"),
        ("UPDATE slide SET finished = NULL", "the end of the reading"),
    ],
)
def test_a_change_is_told(path: Path, change: Change, statement: str, told: str) -> None:
    change(statement)
    assert misfits(path)[0].startswith(told)


def test_one_change_is_told_once(path: Path, change: Change) -> None:
    change("UPDATE field SET name = 'b.png' WHERE number = 1")
    assert len(misfits(path)) == 1


def test_a_clock_that_is_set_in_between_is_doubted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(
        [
            Instant("2026-01-01T10:00:00+00:00", "a", 100.0),
            Instant("2026-01-01T10:00:10+00:00", "a", 110.0),
            Instant("2026-01-01T09:00:20+00:00", "a", 120.0),
            Instant("2026-01-01T09:00:30+00:00", "a", 130.0),
        ]
    )
    monkeypatch.setattr(chain, "instant", lambda: next(times))
    with SlideRecord.begin(tmp_path / "slide.sqlite", HEADER) as record:
        record.add_field(FIELD)
        record.add_field(STOPPED)
        record.finish("2026-01-01T09:00:30+00:00")
        assert record.clock_doubts() == [
            "the clock of this device was set between 2026-01-01T10:00:10+00:00 and 2026-01-01T09:00:20+00:00"
        ]
