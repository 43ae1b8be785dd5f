"""A cell that was judged is known wherever it is shown again, and forgotten if dirt lay on it."""

import pytest

from edge_runtime.cells.preprocessing import Box
from edge_runtime.fields.places import Overlap
from edge_runtime.record.readings import CellReading, FieldReading
from edge_runtime.slide.judging import not_judged
from edge_runtime.slide.known import KnownCells, counted_before

CELL: Box = (300, 100, 80, 80)


def judged(box: Box) -> CellReading:
    return CellReading(box, "uninfected", "", "uninfected", 0.9, {}, (), b"")


def field(number: int, *cells: CellReading) -> FieldReading:
    return FieldReading(number, f"{number}.png", 640, 480, b"", "", "", {}, cells)


def moved(of: int, x: float, scale: float = 1.0) -> Overlap:
    return Overlap(of, x, 0.0, scale, 0.5)


@pytest.fixture
def cells() -> KnownCells:
    """Those of one field: one that was judged, and one that its edge cuts."""
    known = KnownCells()
    known.keep(field(1, judged(CELL), not_judged((600, 200, 40, 80), "edge")), [])
    return known


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((100, 100, 80, 80), "counted-before"),
        ((139, 100, 80, 80), "counted-before"),
        ((141, 100, 80, 80), None),
        ((400, 200, 80, 80), None),  # cut before, whole now
    ],
)
def test_only_a_cell_at_the_place_of_a_judged_one_was_counted_before(
    cells: KnownCells, box: Box, why: str | None
) -> None:
    assert counted_before(cells.shown_again([moved(1, 200)]), box) == why


def test_a_copy_of_half_the_size_shows_the_same_cells(cells: KnownCells) -> None:
    again = cells.shown_again([moved(1, 0, scale=2.0)])
    assert counted_before(again, (150, 50, 40, 40)) == "counted-before"
    assert counted_before(again, (150, 75, 40, 40)) is None


def test_a_cell_is_known_over_a_field_whose_edge_cuts_it(cells: KnownCells) -> None:
    cells.keep(field(2, not_judged((0, 100, 20, 80), "counted-before")), cells.shown_again([moved(1, 360)]))
    [again] = cells.shown_again([moved(2, -300)])
    assert (again.judged, again.x, again.y) == ((1, CELL), 280, 140)


def test_a_cell_that_a_field_does_not_show_is_not_kept_with_it(cells: KnownCells) -> None:
    cells.keep(field(2), cells.shown_again([moved(1, 390)]))
    assert cells.shown_again([moved(2, 0)]) == []


def test_a_cell_that_two_fields_show_is_known_once(cells: KnownCells) -> None:
    cells.keep(field(2), cells.shown_again([moved(1, 100)]))
    assert len(cells.shown_again([moved(2, 100), moved(1, 200)])) == 1


def test_a_cell_that_lay_under_dirt_may_be_judged_elsewhere(cells: KnownCells) -> None:
    cells.keep(field(2), cells.shown_again([moved(1, 100)]))
    cells.withdraw({(1, CELL)})
    assert cells.shown_again([moved(2, 100), moved(1, 200)]) == []
