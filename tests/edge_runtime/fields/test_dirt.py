"""Dirt at fixed pixels is found, alone and on a cell, and cells are not taken for it."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import Box
from edge_runtime.fields.dirt import Dirt
from edge_runtime.simulator import simulate_field

Picture = NDArray[np.uint8]
Told = set[tuple[int, Box]]

SPECKS = ((150, 120, 26), (420, 300, 18))  # x, y, radius in pixels
FIELDS = 9


@pytest.fixture(scope="module")
def slide() -> list[tuple[Picture, list[Box]]]:
    """Fields with few cells, and the true boxes of what lies on them."""
    fields = [simulate_field(8, index, width=640, height=480, cells=8) for index in range(FIELDS)]
    return [(field.frame, [item.box for item in field.objects]) for field in fields]


def with_specks(frame: Picture, passing: float = 0.6) -> Picture:
    light = np.ones(frame.shape[:2], np.float32)
    for x, y, radius in SPECKS:
        cv2.circle(light, (x, y), radius, passing, cv2.FILLED)
    return np.rint(frame * cv2.GaussianBlur(light, (0, 0), 1)[..., None]).astype(np.uint8)


def boxes_of_specks() -> list[Box]:
    return [(x - r, y - r, 2 * r + 1, 2 * r + 1) for x, y, r in SPECKS]


def touches_speck(box: Box) -> bool:
    x, y, width, height = box
    return any(x - r < left < x + width + r and y - r < top < y + height + r for left, top, r in SPECKS)


def told_of(slide: list[tuple[Picture, list[Box]]], *, dirty: bool) -> tuple[Told, list[list[Box]]]:
    dirt, told, given = Dirt(), set[tuple[int, Box]](), list[list[Box]]()
    for number, (frame, boxes) in enumerate(slide):
        given.append([*boxes_of_specks(), *boxes] if dirty else boxes)
        new = dirt.look(number, with_specks(frame) if dirty else frame, given[-1])
        assert not told & set(new)  # nothing is told twice
        told |= set(new)
    return told, given


def test_dirt_is_told_on_every_field_also_on_those_before(slide: list[tuple[Picture, list[Box]]]) -> None:
    told, boxes = told_of(slide, dirty=True)
    assert {(field, speck) for field in range(FIELDS) for speck in boxes_of_specks()} <= told
    assert all(box in boxes[field] and touches_speck(box) for field, box in told)


def test_a_cell_over_dirt_is_not_judged_either(slide: list[tuple[Picture, list[Box]]]) -> None:
    dirt = Dirt()
    for number, (frame, boxes) in enumerate(slide):
        dirt.look(number, with_specks(frame), boxes)
    x, y, _ = SPECKS[1]
    cells: list[Box] = [(x - 50, y - 30, 80, 80), (x + 60, y - 30, 80, 80), (5, 5, 60, 60)]
    assert dirt.look(FIELDS, with_specks(slide[0][0]), cells) == [(FIELDS, cells[0])]


def test_clean_slides_have_none(slide: list[tuple[Picture, list[Box]]]) -> None:
    assert told_of(slide, dirty=False)[0] == set()


def test_two_fields_say_nothing(slide: list[tuple[Picture, list[Box]]]) -> None:
    assert told_of(slide[:2], dirty=True)[0] == set()


def test_a_resting_stage_is_no_dirt(slide: list[tuple[Picture, list[Box]]]) -> None:
    assert told_of(slide[:1] * FIELDS, dirty=False)[0] == set()


def test_another_camera_starts_anew(slide: list[tuple[Picture, list[Box]]]) -> None:
    dirt = Dirt()
    for number, (frame, _) in enumerate(slide[:-1]):
        dirt.look(number, with_specks(frame), boxes_of_specks())
    frame = cv2.resize(with_specks(slide[-1][0]), (800, 600))
    assert dirt.look(FIELDS, np.asarray(frame, np.uint8), boxes_of_specks()) == []


def test_fields_without_objects_are_read(slide: list[tuple[Picture, list[Box]]]) -> None:
    dirt = Dirt()
    assert [dirt.look(number, frame, []) for number, (frame, _) in enumerate(slide[:3])] == [[]] * 3
    assert dirt.look(3, np.zeros((480, 640, 3), np.uint8), boxes_of_specks()) == []
