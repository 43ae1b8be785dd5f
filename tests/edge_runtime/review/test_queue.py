"""Which cells a person looks at first."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from slide_samples import CALL, FIELD, HEADER, JUDGED, NOT_JUDGED, REJECTED, UNINFECTED

from edge_runtime.decision.table import SUSPECT
from edge_runtime.errors import SourceError
from edge_runtime.record.readings import CellReading
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.review.queue import key_of, queue


def sure(cell: CellReading, margin: float, label: str = "parasitized") -> CellReading:
    return replace(cell, label=label, values={"margin": margin})


SUSPICIOUS = replace(REJECTED, reason=SUSPECT.code)
CELLS = (
    sure(JUDGED, 3.0),  # 1
    sure(JUDGED, 1.0),  # 2
    UNINFECTED,
    NOT_JUDGED,
    sure(REJECTED, 2.0, "uninfected"),  # 5
    sure(REJECTED, 1.0),  # 6
    sure(SUSPICIOUS, 0.5),  # 7
    sure(SUSPICIOUS, 9.0, "uninfected"),  # 8
    sure(SUSPICIOUS, 0.7),  # 9
    sure(JUDGED, math.nan),  # 10
)
ORDER = [9, 7, 8, 6, 5, 10, 2, 1]


@pytest.fixture
def record(tmp_path: Path) -> Iterator[SlideRecord]:
    with SlideRecord.begin(tmp_path / "slide.sqlite", HEADER) as made:
        made.add_field(replace(FIELD, cells=CELLS))
        yield made


def test_suspects_come_first_and_of_parasitized_cells_the_least_sure(record: SlideRecord) -> None:
    assert queue(record) == [(1, number) for number in ORDER]


def test_what_was_called_is_not_shown_again_unless_asked_for(record: SlideRecord) -> None:
    record.add_call(replace(CALL, cell=9))
    assert queue(record) == [(1, number) for number in ORDER if number != 9]
    assert queue(record, again=True) == [(1, number) for number in ORDER]


def test_fields_are_not_mixed_up(record: SlideRecord) -> None:
    record.add_field(replace(FIELD, number=2, cells=(sure(SUSPICIOUS, 0.6),)))
    assert queue(record)[:3] == [(1, 9), (2, 1), (1, 7)]


def test_a_cell_is_named_by_field_and_number(record: SlideRecord) -> None:
    assert key_of(record, "1:3") == (1, 3)
    with pytest.raises(SourceError, match="no cell is named '7'; give field and cell as 3:12"):
        key_of(record, "7")
    with pytest.raises(SourceError, match="has no cell 99 in field 1"):
        key_of(record, "1:99")
