"""The slide record: what goes in comes out, a field at a time, whole or not at all."""

import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.errors import SourceError, StorageError
from edge_runtime.slide.record import (
    CellReading,
    Counts,
    FieldReading,
    SlideHeader,
    SlideRecord,
)
from edge_runtime.sources.images import SkippedFrame

HEADER = SlideHeader(
    slide="S-17/ü",
    source="camera 0",
    bundle="tiny 1 (0123)",
    bundle_digest="ab" * 32,
    threshold=-2.25,
    least_margin=0.5,
    usual=0.05,
    correlation=0.02,
    provider="CPUExecutionProvider",
    software="cellgate 0.1.0",
    started="2025-01-02T03:04:05+00:00",
)
JUDGED = CellReading((1, 2, 30, 40), "parasitized", "", "parasitized", 0.875, -1.5, (-1.0, -2.5), b"\x89PNG")
REJECTED = replace(JUDGED, status="rejected", reason="far-from-training", score=-9.0)
UNINFECTED = replace(JUDGED, status="uninfected", label="uninfected")
NOT_JUDGED = CellReading((0, 0, 5, 6), "not-judged", "edge", "", math.nan, math.nan, (), b"")
FIELD = FieldReading(
    1, "a.png", 640, 480, b"\xff\xd8", "2025-01-02T03:04:06+00:00", (JUDGED, REJECTED, REJECTED, UNINFECTED)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "slide.sqlite"


def test_what_goes_in_comes_out(path: Path) -> None:
    second = replace(FIELD, number=2, name="b <&>.png", cells=())
    with SlideRecord.create(path, HEADER) as record:
        record.add_field(FIELD)
        record.add_skipped(SkippedFrame("c.png", "cut off"))
        record.add_field(second)
        record.finish("2025-01-02T04:00:00+00:00")
    with SlideRecord.open(path) as record:
        assert record.header() == replace(HEADER, finished="2025-01-02T04:00:00+00:00")
        assert list(record.fields()) == [FIELD, second]
        assert record.skipped() == [SkippedFrame("c.png", "cut off")]
        assert record.counts() == Counts(1, 1, 2, 0, fields=2, skipped=1)


def test_a_cell_that_was_not_judged_has_no_numbers(path: Path) -> None:
    with SlideRecord.create(path, HEADER) as record:
        record.add_field(replace(FIELD, cells=(NOT_JUDGED,)))
        (cell,) = next(record.fields()).cells
        assert record.counts() == Counts(0, 0, 0, 1, fields=1, skipped=0)
    assert math.isnan(cell.probability)
    assert math.isnan(cell.score)
    assert replace(cell, probability=0.0, score=0.0) == replace(NOT_JUDGED, probability=0.0, score=0.0)


def test_a_reading_that_was_cut_off_stays_readable_and_unfinished(path: Path) -> None:
    def interrupted() -> None:
        with SlideRecord.create(path, HEADER) as record:
            record.add_field(FIELD)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with SlideRecord.open(path) as record:
        assert record.header().finished is None
        assert list(record.fields()) == [FIELD]


def test_what_add_field_returned_from_is_on_the_disk(path: Path) -> None:
    with SlideRecord.create(path, HEADER) as record:
        record.add_field(FIELD)
        with sqlite3.connect(path) as other:
            assert other.execute("SELECT count(*) FROM cell").fetchone() == (4,)
        other.close()


def test_a_field_is_recorded_whole_or_not_at_all(path: Path) -> None:
    broken = replace(FIELD, number=2, cells=(JUDGED, replace(JUDGED, crop=object())))  # type: ignore[arg-type]
    with SlideRecord.create(path, HEADER) as record:
        record.add_field(FIELD)
        with pytest.raises(StorageError):
            record.add_field(broken)
    with SlideRecord.open(path) as record:
        assert list(record.fields()) == [FIELD]
        assert record.counts().parasitized == 1


def test_a_record_is_never_overwritten(path: Path) -> None:
    with SlideRecord.create(path, HEADER) as record:
        record.add_field(FIELD)
    before = path.read_bytes()
    with (
        pytest.raises(SourceError, match=r"slide\.sqlite: holds a slide already; choose another --out"),
        SlideRecord.create(path, HEADER),
    ):
        pass
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named_and_left_clean(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "slide.sqlite"
    with (
        pytest.raises(StorageError, match=r"gone/slide\.sqlite: cannot be written \(unable to open"),
        SlideRecord.create(path, HEADER),
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
    with SlideRecord.create(path, HEADER) as record:
        record.add_field(replace(FIELD, overview=bytes(200_000)))
    path.write_bytes(path.read_bytes()[:40_000])
    with (
        pytest.raises(SourceError, match=r"slide\.sqlite: no slide record or a damaged one"),
        SlideRecord.open(path) as record,
    ):
        list(record.fields())


def test_a_record_of_another_version_is_refused(path: Path) -> None:
    with SlideRecord.create(path, HEADER):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE slide SET schema = 9")
    connection.close()
    with (
        pytest.raises(SourceError, match="slide record of schema 9, but this cellgate reads schema 3"),
        SlideRecord.open(path),
    ):
        pass
