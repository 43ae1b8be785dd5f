"""Records of the slides in `exchange_samples`, on disk."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from exchange_samples import HEADER

from edge_runtime.record.readings import Call, FieldReading, SlideHeader
from edge_runtime.record.slide_record import SlideRecord

Recorded = Callable[..., Path]
FINISHED = "2025-01-02T04:00:00+00:00"


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """Write a record of some fields and calls into a folder, as `read` does; returns the record's path."""

    def make(
        *fields: FieldReading,
        header: SlideHeader = HEADER,
        finished: str | None = FINISHED,
        calls: Iterable[Call] = (),
    ) -> Path:
        folder = tmp_path / "read"
        folder.mkdir()
        with SlideRecord.begin(folder / "slide.sqlite", header) as record:
            for one in fields:
                record.add_field(one)
            if finished:
                record.finish(finished)
            for call in calls:
                record.add_call(call)
        return folder / "slide.sqlite"

    return make
