"""Which of many boxes is meant by one."""

from dataclasses import dataclass

import pytest

from edge_runtime.cells.boxes import MATCH_IOU, best_match, box_iou
from edge_runtime.cells.preprocessing import Box


@dataclass(frozen=True)
class Place:
    name: str
    box: Box


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        ((0, 0, 10, 10), 1.0),
        ((5, 0, 10, 10), 50 / 150),
        ((2, 3, 4, 5), 20 / 100),
        ((10, 0, 10, 10), 0.0),  # they touch
        ((-20, -20, 5, 5), 0.0),  # apart in both directions, whose negative lengths must not multiply
    ],
)
def test_intersection_over_union(other: Box, iou: float) -> None:
    assert box_iou((0, 0, 10, 10), other) == pytest.approx(iou)
    assert box_iou(other, (0, 0, 10, 10)) == pytest.approx(iou)


def test_the_best_of_several_is_taken() -> None:
    places = [Place("good", (2, 0, 10, 10)), Place("better", (1, 0, 10, 10)), Place("far", (50, 50, 10, 10))]
    assert best_match((0, 0, 10, 10), places) == places[1]


@pytest.mark.parametrize(("height", "found"), [(50, True), (49, False)])
def test_half_is_enough_and_less_is_not(height: int, found: bool) -> None:
    place = Place("part", (0, 0, 100, height))
    assert box_iou((0, 0, 100, 100), place.box) == height / 100
    assert (best_match((0, 0, 100, 100), [place]) is place) is found
    assert MATCH_IOU == 0.5


def test_among_none_there_is_none() -> None:
    assert best_match((0, 0, 10, 10), []) is None
