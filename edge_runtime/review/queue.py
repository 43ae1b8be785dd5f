"""Which cells a person should look at, and in which order."""

import math

from edge_runtime.errors import SourceError
from edge_runtime.record.readings import CellReading
from edge_runtime.record.slide_record import SlideRecord

Key = tuple[int, int]  # number of the field, and of the cell in it


def queue(record: SlideRecord, *, again: bool = False) -> list[Key]:
    """The cells to be looked at.

    First the suspects, then what was rejected for another reason: of both those that the classifier would
    have called parasitized, the surest first. Then the parasitized cells, the least sure first, for there the
    false ones are.

    Args:
        record: of the slide.
        again: whether to look once more at cells that somebody has called.
    """
    called = set() if again else set(record.latest_calls())
    parasitized = record.header().parasitized
    found = [
        (_order(cell, cell.label in parasitized), (field, number))
        for status in ("rejected", "parasitized")
        for field, number, cell in record.judged(status)
        if (field, number) not in called
    ]
    return [key for _, key in sorted(found)]


def key_of(record: SlideRecord, named: str) -> Key:
    """The cell that is named "FIELD:CELL", as the report numbers them.

    Raises:
        SourceError: no such name, or no such cell.
    """
    field, _, cell = named.partition(":")
    if not (field.isdecimal() and cell.isdecimal()):
        raise SourceError(f"no cell is named '{named}'; give field and cell as 3:12, from the report")
    record.cell(int(field), int(cell))
    return int(field), int(cell)


def _order(cell: CellReading, as_parasitized: bool) -> tuple[int, int, float]:
    margin = cell.values.get("margin", math.nan)
    sure = 0.0 if math.isnan(margin) else margin
    if cell.status == "parasitized":
        return 2, 0, sure
    return (0 if cell.suspect else 1), (0 if as_parasitized else 1), -sure
