"""The cells of a slide that were judged, wherever its fields show them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.cutting import NotCutReason
from edge_runtime.cells.preprocessing import Box
from edge_runtime.fields.places import Overlap
from edge_runtime.record.readings import FieldReading

# Of the larger of two boxes' sides: nearer to each other are the middles of one cell on two frames.
_SAME_CELL = 0.5

JudgedOn = tuple[int, Box]


@dataclass(frozen=True)
class KnownCell:
    """A cell that was judged, where some field shows it.

    Where it lies on another field than its own is computed, not recognised: cut by the edge there, or touched
    by another cell, it would seem to lie elsewhere.

    Attributes:
        judged: the number of the field on which it was judged, and its box there.
        x: of its middle on the field that shows it, pixels.
        y: likewise.
        size: the larger side of its box there, pixels.
    """

    judged: JudgedOn
    x: float
    y: float
    size: float


class KnownCells:
    """The judged cells of one slide so far."""

    def __init__(self) -> None:
        self._by_field: dict[
            int, NDArray[np.float64]
        ] = {}  # a row a cell: a long slide has a hundred thousand

    def shown_again(self, overlaps: Sequence[Overlap]) -> list[KnownCell]:
        """Where a new frame shows them, each once; some may lie outside of it.

        Args:
            overlaps: of the new frame with fields that were kept, the largest first.
        """
        found: dict[JudgedOn, KnownCell] = {}
        for overlap in overlaps:
            for cell in map(_of_row, self._by_field[overlap.field]):
                x, y = overlap.on_new(cell.x, cell.y)
                found.setdefault(cell.judged, KnownCell(cell.judged, x, y, cell.size / overlap.scale))
        return list(found.values())

    def keep(self, field: FieldReading, again: Sequence[KnownCell]) -> None:
        """Remember the cells that a field shows: those judged on it, and those that it shows again."""
        judged = [_known(field.number, cell.box) for cell in field.cells if cell.status != "not-judged"]
        on_it = [cell for cell in again if _touches(cell, field.width, field.height)]
        rows = [(cell.judged[0], *cell.judged[1], cell.x, cell.y, cell.size) for cell in (*judged, *on_it)]
        self._by_field[field.number] = np.array(rows, np.float64).reshape(len(rows), 8)

    def withdraw(self, cells: Collection[JudgedOn]) -> None:
        """Forget cells that turned out to lie under dirt: where none lies on them, they may be judged yet."""
        for field, known in self._by_field.items() if cells else ():
            left = [_of_row(row).judged not in cells for row in known]
            self._by_field[field] = known[np.array(left, bool)]


def _of_row(row: NDArray[np.float64]) -> KnownCell:
    field, x, y, width, height = map(int, row[:5])
    return KnownCell((field, (x, y, width, height)), *row[5:].tolist())


def counted_before(known: Sequence[KnownCell], box: Box) -> NotCutReason | None:
    """Why a cell of a frame is not judged, if it is one of those that the frame shows again."""
    this = _known(0, box)
    near = any(
        np.hypot(cell.x - this.x, cell.y - this.y) < _SAME_CELL * max(cell.size, this.size) for cell in known
    )
    return "counted-before" if near else None


def _known(field: int, box: Box) -> KnownCell:
    x, y, width, height = box
    return KnownCell((field, box), x + width / 2, y + height / 2, max(width, height))


def _touches(cell: KnownCell, width: int, height: int) -> bool:
    half = cell.size / 2
    return -half < cell.x < width + half and -half < cell.y < height + half
