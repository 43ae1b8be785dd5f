"""A person's calls stand beside the answers of the model, and all of them are kept."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from slide_samples import CALL, FIELD, HEADER, NOT_JUDGED

from edge_runtime.errors import SourceError
from edge_runtime.record.slide_record import SlideRecord


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "slide.sqlite"
    with SlideRecord.begin(made, HEADER) as record:
        record.add_field(replace(FIELD, cells=(*FIELD.cells, NOT_JUDGED)))
        record.finish("2025-01-02T04:00:00+00:00")
    return made


@pytest.fixture
def record(path: Path) -> Iterator[SlideRecord]:
    with SlideRecord.open_for_calls(path) as opened:
        yield opened


def test_the_last_call_of_a_cell_counts_and_none_is_lost(path: Path, record: SlideRecord) -> None:
    other = replace(CALL, cell=1)
    again = replace(CALL, answer="none", remark="", reviewer="CD")
    for call in (CALL, other, again):
        record.add_call(call)
    assert record.calls() == [CALL, other, again]
    assert record.latest_calls() == {(1, 1): other, (1, 2): again}
    with SlideRecord.open(path) as read:
        assert read.calls() == [CALL, other, again]


def test_the_answer_of_the_model_stays(record: SlideRecord) -> None:
    before, counts = record.cell(1, 2), record.counts()
    record.add_call(CALL)
    assert (record.cell(1, 2), record.counts()) == (before, counts)


def test_a_cell_that_is_not_there_cannot_be_called(record: SlideRecord) -> None:
    with pytest.raises(SourceError, match=r"has no cell 9 in field 1; see the report"):
        record.add_call(replace(CALL, cell=9))
    with pytest.raises(SourceError, match=r"has no cell 2 in field 7"):
        record.add_call(replace(CALL, field=7))
    with pytest.raises(SourceError, match="cell 5 of field 1 was not judged"):
        record.add_call(replace(CALL, cell=5))
    assert record.calls() == []


def test_nobody_calls_while_another_does(path: Path, record: SlideRecord) -> None:
    assert record.calls() == []
    with pytest.raises(SourceError, match="another program"), SlideRecord.open_for_calls(path):
        pass
