"""The slide record: what goes in comes out, a field at a time, whole or not at all."""

import math
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slide_samples import (
    CALL,
    FIELD,
    HEADER,
    JUDGED,
    NOT_JUDGED,
    REJECTED,
    STOPPED,
    TESTS,
    UNINFECTED,
    VALUES,
)

from edge_runtime.decision import table
from edge_runtime.errors import SourceError, StorageError
from edge_runtime.record import database
from edge_runtime.record import slide_record as record_module
from edge_runtime.record.readings import (
    Counts,
    FieldCounts,
)
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.sources.items import SkippedFrame
from edge_runtime.statistics.rates import UNKNOWN, MeasuredRate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "slide.sqlite"


def test_what_goes_in_comes_out(path: Path) -> None:
    second = replace(FIELD, number=2, name="b <&>.png", cells=())
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(FIELD)
        record.add_skipped(SkippedFrame("c.png", "cut off"))
        record.add_field(second)
        record.add_field(STOPPED)
        record.add_note("camera 0: hangs")
        record.finish("2025-01-02T04:00:00+00:00", repeats=7)
    with SlideRecord.open(path) as record:
        assert record.header() == replace(HEADER, finished="2025-01-02T04:00:00+00:00", repeats=7)
        assert list(record.fields()) == [FIELD, second, STOPPED]
        assert record.notes() == ["camera 0: hangs"]
        assert record.skipped() == [SkippedFrame("c.png", "cut off")]
        assert record.counts() == Counts(
            uninfected=1,
            parasitized=1,
            rejected=2,
            not_judged=0,
            fields=2,
            skipped=1,
            stopped=1,
            stops={"out-of-focus": 1, "overexposed": 0},
            reasons={"not-one-cell": 0, "odd": 0, "far": 2},
            broken=0,
            classes={"uninfected": 1, "parasitized": 1},
        )


def test_what_was_said_of_a_cell_is_taken_back(path: Path) -> None:
    other = replace(JUDGED, box=(50, 2, 30, 40))
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(replace(FIELD, cells=(JUDGED, other)))
        record.add_field(replace(FIELD, number=2, cells=(JUDGED,)), dirt=[(1, JUDGED.box)])
        first, second = record.fields()
        assert [(cell.status, cell.reason) for cell in first.cells] == [
            ("not-judged", "dirt"),
            ("parasitized", ""),
        ]
        assert second.cells == (JUDGED,)
        counts = record.counts()
    assert (counts.parasitized, counts.not_judged) == (2, 1)
    assert (first.cells[0].label, first.cells[0].crop, dict(first.cells[0].values)) == ("", b"", {})


def test_a_cell_that_was_not_judged_has_no_numbers(path: Path) -> None:
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(replace(FIELD, cells=(NOT_JUDGED,)))
        (cell,) = next(record.fields()).cells
        counts = record.counts()
    assert (counts.judged, counts.not_judged) == (0, 1)
    assert math.isnan(cell.probability)
    assert replace(cell, probability=0.0) == replace(NOT_JUDGED, probability=0.0)
    assert cell.failed(TESTS) == []


def test_every_value_of_every_test_is_kept(path: Path) -> None:
    """To the last bit, and also what is no finite number: a rejection can be checked from the record."""
    values = {test.name: (-1) ** number * math.pi**number for number, test in enumerate(table.TESTS)}
    odd = dict(zip(values, (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-308), strict=False))
    cells = (replace(JUDGED, values=values), replace(REJECTED, values=odd))
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(replace(FIELD, cells=cells))
    with SlideRecord.open(path) as record:
        first, second = next(record.fields()).cells
    assert first.values == values
    assert [repr(value) for value in second.values.values()] == [repr(value) for value in odd.values()]


def test_the_tests_that_a_cell_fails_are_told_by_the_record(path: Path) -> None:
    def failed(**values: float) -> list[str]:
        return [test.name for test in replace(JUDGED, values={**VALUES, **values}).failed(TESTS)]

    assert failed() == []
    assert failed(wholeness=0.0, redness=0.5, confidence=-2.25) == []  # at the limit
    assert failed(confidence=-2.3, redness=0.51) == ["redness", "confidence"]
    assert failed(wholeness=math.nan, redness=math.nan) == ["wholeness", "redness"]


def test_counts_name_every_reason_gravest_first(path: Path) -> None:
    cells = [REJECTED, replace(REJECTED, reason="not-one-cell"), replace(REJECTED, reason="not-one-cell")]
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(replace(FIELD, cells=(UNINFECTED, *cells)))
        counts = record.counts()
    assert list(counts.reasons.items()) == [("not-one-cell", 2), ("odd", 0), ("far", 1)]
    assert (counts.judged, counts.broken, counts.whole, counts.whole_rejected) == (4, 2, 2, 1)
    assert list(HEADER.sentences.items()) == [
        ("not-one-cell", "not one whole cell"),
        ("odd", "of an odd red"),
        ("far", "unlike others"),
    ]


def test_a_path_may_be_a_string(path: Path) -> None:
    with SlideRecord.begin(str(path), HEADER) as record:
        record.add_field(FIELD)
    with SlideRecord.open(str(path)) as record:
        assert list(record.fields()) == [FIELD]


def test_a_record_starts_with_one_transaction(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def traced(file: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(file)
        connection.set_trace_callback(said.append)
        return connection

    monkeypatch.setattr(record_module, "connect", traced)
    with SlideRecord.begin(path, HEADER):
        begun = list(said)
    assert begun[0] == "BEGIN"
    assert begun[-1] == "COMMIT"
    assert sum(statement == "COMMIT" for statement in begun) == 1
    assert sum("CREATE TABLE" in statement for statement in begun) == 8


DYING = """
import os, sys
from edge_runtime.record import beginning, slide_record as record
beginning.insert = lambda *_: os._exit(9)  # the tables are made, the header is not written
rest = (0.05, 0.02, "cpu", "cellgate", "now")
header = beginning.SlideHeader("S", "folder", "tiny 1", "ab", (), (), (), (), *rest)
with record.SlideRecord.begin(sys.argv[1], header):
    pass
"""


def test_a_process_that_dies_at_the_start_leaves_no_half_record(path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DYING, path], capture_output=True, text=True, check=False)
    assert died.returncode == 9, died.stderr
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    with pytest.raises(SourceError, match="no slide record"), SlideRecord.open(path):
        pass


def test_a_reading_that_was_cut_off_stays_readable_and_unfinished(path: Path) -> None:
    def interrupted() -> None:
        with SlideRecord.begin(path, HEADER) as record:
            record.add_field(FIELD)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with SlideRecord.open(path) as record:
        assert record.header().finished is None
        assert list(record.fields()) == [FIELD]


def test_what_add_field_returned_from_is_on_the_disk(path: Path) -> None:
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(FIELD)
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT count(*) FROM cell").fetchone() == (4,)
        other.close()


def test_a_field_is_recorded_whole_or_not_at_all(path: Path) -> None:
    broken = replace(FIELD, number=2, cells=(JUDGED, replace(JUDGED, crop=object())))  # type: ignore[arg-type]
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(FIELD)
        with pytest.raises(StorageError):
            record.add_field(broken)
    with SlideRecord.open(path) as record:
        assert list(record.fields()) == [FIELD]
        assert record.counts().parasitized == 1


def test_a_record_is_never_overwritten(path: Path) -> None:
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(FIELD)
        record.finish("2025-01-02T04:00:00+00:00")
    before = path.read_bytes()
    with (
        pytest.raises(SourceError, match=r"slide\.sqlite: holds a slide already; choose another --out"),
        SlideRecord.begin(path, HEADER),
    ):
        pass
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named_and_left_clean(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "slide.sqlite"
    with (
        pytest.raises(StorageError, match=r"gone/slide\.sqlite: cannot be written \(unable to open"),
        SlideRecord.begin(path, HEADER),
    ):
        pass
    assert not path.parent.exists()


@pytest.mark.parametrize("content", [None, b"", b"no database at all", bytes(5000)])
def test_what_is_no_record_is_refused(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=r"slide\.sqlite: no slide record"), SlideRecord.open(path):
        pass


def test_a_damaged_record_is_refused_not_misread(path: Path) -> None:
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(replace(FIELD, overview=bytes(200_000)))
    path.write_bytes(path.read_bytes()[:40_000])
    with (
        pytest.raises(SourceError, match=r"slide\.sqlite: no slide record or a damaged one"),
        SlideRecord.open(path) as record,
    ):
        list(record.fields())


@pytest.fixture
def old(path: Path) -> Path:
    """A record as the cellgate before chain and calls wrote it: this test's field, another, and all else."""
    with sqlite3.connect(path) as connection:
        connection.executescript(Path(__file__).with_name("schema-7.sql").read_text())
    connection.close()
    return path


ENDED = replace(HEADER, finished="2025-01-02T04:00:00+00:00", repeats=7)


def test_a_record_of_the_last_version_is_read_and_left_as_it_is(old: Path) -> None:
    before = old.read_bytes()
    with SlideRecord.open(old) as record:
        assert record.header() == ENDED
        assert list(record.fields()) == [FIELD, STOPPED]
        assert record.notes() == ["camera 0: hangs"]
        assert record.skipped() == [SkippedFrame("c.png", "cut off")]
        assert (record.calls(), record.misfits()) == ([], [])
    assert old.read_bytes() == before


def test_a_record_of_the_last_version_takes_calls(old: Path) -> None:
    with SlideRecord.open_for_calls(old) as record:
        record.add_call(CALL)
    with SlideRecord.open(old) as record:
        assert record.header() == ENDED
        assert list(record.fields()) == [FIELD, STOPPED]
        assert record.calls() == [CALL]
        assert record.misfits() == []


def test_a_record_of_the_version_before_knows_no_rates(old: Path) -> None:
    with sqlite3.connect(old) as connection:
        connection.execute("UPDATE slide SET schema = 6")
        for column in ("sensitivity", "false_positives", "until", "every"):
            connection.execute(f"ALTER TABLE slide DROP COLUMN {column}")
    connection.close()
    with SlideRecord.open(old) as record:
        assert record.header() == replace(ENDED, sensitivity=UNKNOWN, false_positives=UNKNOWN)
        assert list(record.fields()) == [FIELD, STOPPED]


def test_of_every_field_the_cells_are_counted_that_were_asked(path: Path) -> None:
    suspect = replace(REJECTED, reason=table.SUSPECT.code)
    cells = (JUDGED, UNINFECTED, UNINFECTED, suspect, REJECTED, NOT_JUDGED)
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(replace(FIELD, cells=cells))
        record.add_field(replace(FIELD, number=FIELD.number + 1, cells=(NOT_JUDGED,)))
        record.add_field(replace(FIELD, number=FIELD.number + 2, cells=(UNINFECTED,)))
        assert record.field_counts() == [FieldCounts(1, 4), FieldCounts(0, 1)]


def test_a_record_of_another_version_is_refused(path: Path) -> None:
    with SlideRecord.begin(path, HEADER):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE slide SET schema = 9")
    connection.close()
    with (
        pytest.raises(SourceError, match="slide record of schema 9, but this cellgate reads schema 8"),
        SlideRecord.open(path),
    ):
        pass


HOLDING = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM cell").fetchone()
print("held", flush=True)
sys.stdin.read()
time.sleep(float(sys.argv[3]))
"""


@contextmanager
def held(path: Path, how: str, seconds: float = 0.0) -> Iterator[subprocess.Popen[bytes]]:
    """Another program that holds the record, until so long after its input is closed."""
    command = [sys.executable, "-c", HOLDING, str(path), how, str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield other


def test_a_reader_that_never_lets_go_holds_up_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.0)  # not even a moment is waited
    monkeypatch.setattr(database, "_PATIENCE_AT_THE_END", 0.1)
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(FIELD)
        with held(path, "BEGIN"):
            record.add_field(replace(FIELD, number=2))
            record.finish("2025-01-02T04:00:00+00:00")
            assert record.counts().fields == 2
    with SlideRecord.open(path) as record:
        assert record.counts().fields == 2
        assert record.header().finished


def test_a_program_that_locks_the_record_is_waited_for(path: Path) -> None:
    assert database.PATIENCE >= 60
    with SlideRecord.begin(path, HEADER) as record:
        with held(path, "BEGIN EXCLUSIVE", seconds=6) as other:  # sqlite3 alone would wait for 5
            assert other.stdin is not None
            other.stdin.close()
            record.add_field(FIELD)
        assert record.counts().fields == 1


def test_a_finished_record_is_one_file(path: Path) -> None:
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(FIELD)
        assert Path(f"{path}-wal").is_file()
        record.finish("2025-01-02T04:00:00+00:00")
        assert [file.name for file in path.parent.iterdir()] == [path.name]
    alone = path.with_name("copy.sqlite")
    alone.write_bytes(path.read_bytes())
    with SlideRecord.open(alone) as record:
        assert list(record.fields()) == [FIELD]


POWER_CUT = """
import os, sys
from edge_runtime.record.slide_record import SlideRecord
with SlideRecord.open(sys.argv[1]) as record:
    header, (field,) = record.header(), record.fields()
with SlideRecord.begin(sys.argv[2], header) as record:
    record.add_field(field)
    os._exit(9)
"""


@pytest.fixture
def cut_off(path: Path, tmp_path: Path) -> Path:
    """A record, all of which stands in the log still, as a power cut leaves it."""
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(FIELD)
    (tmp_path / "cut").mkdir()
    left = tmp_path / "cut" / "slide.sqlite"
    died = subprocess.run([sys.executable, "-c", POWER_CUT, path, left], capture_output=True, check=False)
    assert died.returncode == 9, died.stderr
    assert Path(f"{left}-wal").is_file()
    return left


def test_a_record_is_whole_after_a_power_cut(cut_off: Path) -> None:
    with SlideRecord.open(cut_off) as record:
        assert list(record.fields()) == [FIELD]
        assert record.header().finished is None


def test_a_log_that_cannot_be_written_back_is_read(cut_off: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a card whose switch is locked, which SQLite tells when it opens the log."""
    before = {file.name: file.read_bytes() for file in cut_off.parent.iterdir()}
    real = sqlite3.connect

    def locked(file: Path, **settings: Any) -> sqlite3.Connection:
        name = f"file:{file}?mode=ro&vfs=unix-dotfile" if file == cut_off else str(file)
        return real(name, uri=True, **settings)

    monkeypatch.setattr(database.sqlite3, "connect", locked)
    with SlideRecord.open(cut_off) as record:
        assert list(record.fields()) == [FIELD]
    assert {file.name: file.read_bytes() for file in cut_off.parent.iterdir()} == before


def test_a_file_system_without_shared_memory_is_written_to_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sqlite3.connect
    monkeypatch.setattr(
        database.sqlite3,
        "connect",
        lambda file, **settings: real(f"file:{file}?vfs=unix-dotfile", uri=True, **settings),
    )
    with SlideRecord.begin(path, HEADER) as record:
        record.add_field(FIELD)
        assert not Path(f"{path}-wal").exists()
        record.finish("2025-01-02T04:00:00+00:00")
    monkeypatch.undo()
    with SlideRecord.open(path) as record:
        assert list(record.fields()) == [FIELD]


def test_rates_keep_their_patients_and_older_ones_are_sums_alone(path: Path) -> None:
    rate = MeasuredRate.of_patients([450, 430], [500, 500])
    with SlideRecord.begin(path, replace(HEADER, sensitivity=rate)) as record:
        assert record.header().sensitivity == rate
    sums = '{"hits": 900, "cells": 1000, "correlation": 0.02, "patients": 30}'
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE slide SET sensitivity = ?", (sums,))
    connection.close()
    with SlideRecord.open(path) as record:
        assert record.header() == HEADER
