"""The budget: what pictures may have stays below the whole, however much a slide has to show."""

import pytest

from edge_runtime.record.readings import Counts
from edge_runtime.report import budget
from edge_runtime.report.budget import CELL_SIZES, FIELD_SIZES, Size, allowances, from_usual


def counts(fields: int, parasitized: int, suspect: int = 0, others: int = 0, stopped: int = 0) -> Counts:
    return Counts(
        uninfected=100 * fields,
        parasitized=parasitized,
        rejected=suspect + others,
        not_judged=0,
        fields=fields,
        skipped=0,
        stopped=stopped,
        reasons={"suspect": suspect, "far-from-training": others},
    )


@pytest.mark.parametrize(
    "of",
    [
        counts(1, 0),
        counts(14, 90, 23, 132),
        counts(100, 16_000),
        counts(1900, 12_000, 4000, 23_000, stopped=100),
    ],
)
def test_all_pictures_with_the_text_around_them_stay_below_the_whole(of: Counts) -> None:
    allowed = allowances(of)
    shown = min(of.rejected - of.suspect, budget.MOST_REJECTED)
    bytes_of = (
        (of.parasitized + of.suspect, allowed.flagged, 190),
        (shown, allowed.rejected, 190),
        (of.fields + of.stopped, allowed.field, 600),
    )
    total = sum(number * (bytes_each * 4 / 3 + text) for number, bytes_each, text in bytes_of)
    if allowed.every_box:
        total += 130 * (of.judged + of.not_judged)
    assert total <= budget.MOST_BYTES - 1_000_000
    assert allowed.flagged >= CELL_SIZES[-1].usual
    assert allowed.field >= FIELD_SIZES[-1].usual


def test_the_more_there_is_to_show_the_smaller_it_is_shown() -> None:
    few, many = allowances(counts(14, 90)), allowances(counts(2000, 16_000))
    assert few.roomy
    assert few.large
    assert few.every_box
    assert not (many.roomy or many.large or many.every_box)
    assert few.context > many.context > 1
    assert few.flagged > many.flagged
    assert few.field > many.field


@pytest.mark.parametrize("sizes", [CELL_SIZES, FIELD_SIZES])
def test_sizes_stand_in_order_and_trying_begins_where_one_usually_fits(sizes: tuple[Size, ...]) -> None:
    assert list(sizes) == sorted(sizes, key=lambda size: (-size.side, -size.quality))
    assert list(sizes) == sorted(sizes, key=lambda size: -size.usual)
    assert from_usual(sizes, 10**9) == list(sizes)
    assert from_usual(sizes, sizes[3].usual) == list(sizes[3:])
    assert list(from_usual(sizes, 0)) == [sizes[-1]]
