"""A CSV of calls is taken over whole, or not at all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from slide_samples import FIELD, HEADER, NOT_JUDGED

from edge_runtime.errors import SourceError
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.review.calls import call_cell, call_listed


@pytest.fixture
def record(tmp_path: Path) -> Iterator[SlideRecord]:
    with SlideRecord.begin(tmp_path / "slide.sqlite", HEADER) as made:
        made.add_field(replace(FIELD, cells=(*FIELD.cells, NOT_JUDGED)))
        yield made


def test_every_line_is_a_call(record: SlideRecord, tmp_path: Path) -> None:
    listed = tmp_path / "calls.csv"
    listed.write_text(
        "field,cell,answer,remark\n1,1,parasite,ring\n1,2,None,\n1,3,cannot-tell,out of focus\n"
    )
    assert call_listed(record, listed, reviewer=" AB ") == 3
    told = [(call.cell, call.answer, call.remark, call.reviewer) for call in record.calls()]
    assert told == [
        (1, "parasite", "ring", "AB"),
        (2, "none", "", "AB"),
        (3, "cannot-tell", "out of focus", "AB"),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1,2,maybe", "line 3: 1,2,maybe; expected the numbers of field and cell, and one of parasite, none"),
        ("1,x,none", "line 3: 1,x,none; expected the numbers"),
        ("1,9,none", "line 3: .* has no cell 9 in field 1"),
        ("1,5,none", "line 3: cell 5 of field 1 was not judged"),
        ("1,2", "line 3: 2 values in 3 columns"),
    ],
)
def test_a_wrong_line_is_told_and_nothing_is_recorded(
    record: SlideRecord, tmp_path: Path, line: str, told: str
) -> None:
    listed = tmp_path / "calls.csv"
    listed.write_text(f"field,cell,answer\n1,1,parasite\n{line}\n")
    with pytest.raises(SourceError, match=told):
        call_listed(record, listed, reviewer="AB")
    assert record.calls() == []


def test_nobody_calls_without_a_name(record: SlideRecord) -> None:
    with pytest.raises(SourceError, match="nobody is named as reviewer"):
        call_cell(record, 1, 1, "none", reviewer="  ")
