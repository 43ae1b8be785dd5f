"""What a person says of cells: one by one, or in a CSV."""

from pathlib import Path
from typing import get_args

from edge_runtime.clock import now
from edge_runtime.errors import SourceError
from edge_runtime.record.readings import Answer, Call
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.sources.names import printable
from edge_runtime.sources.rows import Row, read_rows

ANSWERS: tuple[Answer, ...] = get_args(Answer)


def call_cell(
    record: SlideRecord, field: int, cell: int, answer: Answer, *, reviewer: str, remark: str = ""
) -> Call:
    """Record what a person says of a cell.

    Args:
        record: opened for calls.
        field: number of its field.
        cell: its own number in that field.
        answer: whether it holds a parasite.
        reviewer: who says so.
        remark: species, stage or anything else.

    Raises:
        SourceError: there is no such cell, it was not judged, or nobody says so.
    """
    if not reviewer.strip():
        raise SourceError("nobody is named as reviewer; give initials or a code with --reviewer")
    call = Call(field, cell, answer, printable(remark.strip()), printable(reviewer.strip()), now())
    record.add_call(call)
    return call


def call_listed(record: SlideRecord, path: Path, *, reviewer: str) -> int:
    """Record the calls that a CSV lists: all of them, or none where one line is wrong.

    Args:
        record: opened for calls.
        path: the CSV, with the columns field, cell, answer and, if wanted, remark.
        reviewer: who says so.

    Returns:
        How many there were.

    Raises:
        SourceError: it cannot be read, or a line is wrong: which one, and what is expected.
    """
    rows, _ = read_rows(path, ("field", "cell", "answer"), ("remark",))
    calls = [_checked(record, path, row) for row in rows]
    for (field, cell, answer), row in zip(calls, rows, strict=True):
        call_cell(record, field, cell, answer, reviewer=reviewer, remark=row.values["remark"])
    return len(calls)


def _checked(record: SlideRecord, path: Path, row: Row) -> tuple[int, int, Answer]:
    field, cell, said = (row.values[name] for name in ("field", "cell", "answer"))
    answer = next((known for known in ANSWERS if known == said.lower()), None)
    if not (field.isdecimal() and cell.isdecimal() and answer):
        raise SourceError(
            f"{path}, line {row.line}: {field},{cell},{said}; expected the numbers of field and cell, "
            f"and one of {', '.join(ANSWERS)}"
        )
    try:
        judged = record.cell(int(field), int(cell)).status != "not-judged"
    except SourceError as error:
        raise SourceError(f"{path}, line {row.line}: {error}") from error
    if not judged:
        raise SourceError(f"{path}, line {row.line}: cell {cell} of field {field} was not judged")
    return int(field), int(cell), answer
