"""A power cut tears what was being written: the record opens all the same, and lacks nothing that was told.

What a process had synced is on the disk; of what it wrote after that any part may be, in any order. SQLite
writes its log first and the file afterwards, so both are torn here, page by page, between two states that
were on the disk: before a field was recorded, and after.
"""

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from slide_samples import FIELD, HEADER

from edge_runtime.record import database
from edge_runtime.record.slide_record import SlideRecord

PAGE = 4096  # bytes; a card writes no less than one, or a part of it
TRIES = 60
FILES = ("slide.sqlite", "slide.sqlite-wal")


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, bytes]]:
    """Record and log after each of three fields; the log is moved into the file at every commit."""
    path, found = tmp_path / "slide.sqlite", []
    with SlideRecord.begin(path, HEADER) as record:
        for number in (1, 2, 3):
            record.add_field(replace(FIELD, number=number, overview=bytes([number]) * 30_000))
            found.append(
                {name: (tmp_path / name).read_bytes() for name in ("slide.sqlite", "slide.sqlite-wal")}
            )
    monkeypatch.setattr(database, "PATIENCE", 1.0)
    return found


def torn(before: bytes, after: bytes, rng: np.random.Generator) -> bytes:
    """Some pages of one state, some of the other, some torn themselves, and perhaps not all of its length."""
    length = int(rng.integers(min(len(before), len(after)), max(len(before), len(after)) + 1))
    mixed = bytearray((before if rng.random() < 0.5 else after).ljust(length, b"\0")[:length])
    for start in range(0, length, PAGE):
        source = before if rng.random() < 0.5 else after
        part = source[start : start + (PAGE if rng.random() < 0.9 else int(rng.integers(PAGE)))]
        mixed[start : start + len(part)] = part[: length - start]
    return bytes(mixed)


def told(folder: Path) -> list[int]:
    """The fields of a record that opens and is whole; as the next reading finds it."""
    path = folder / "slide.sqlite"
    with SlideRecord.begin(path, HEADER) as record:
        numbers = [field.number for field in record.fields()]
        assert record.misfits() == []
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return numbers


def left_behind(folder: Path, files: dict[str, bytes]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_log_that_is_torn_while_a_field_is_written_loses_that_field_alone(
    states: list[dict[str, bytes]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    before, after = states[1], states[2]
    ended = set()
    for _ in range(TRIES):
        log = torn(before["slide.sqlite-wal"], after["slide.sqlite-wal"], rng)
        folder = left_behind(tmp_path / "cut", {**before, "slide.sqlite-wal": log})
        numbers = told(folder)
        assert numbers in ([1, 2], [1, 2, 3])
        ended.add(len(numbers))
    assert 2 in ended


def test_a_file_that_is_torn_while_the_log_is_moved_into_it_loses_nothing(
    states: list[dict[str, bytes]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(2)
    before, after = states[1], states[2]
    for _ in range(TRIES):
        file = torn(before["slide.sqlite"], after["slide.sqlite"], rng)
        folder = left_behind(tmp_path / "cut", {**after, "slide.sqlite": file})
        assert told(folder) == [1, 2, 3]
