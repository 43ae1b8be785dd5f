"""What is cut out of a frame is told with its size against the frame's typical cell."""

import math

import cv2
import numpy as np
import pytest

from edge_runtime.cells.boxes import best_match
from edge_runtime.cells.cutting import cut_cells, cut_found, known_typical
from edge_runtime.cells.segmentation import segmentation
from edge_runtime.simulator import RED_CELL_KINDS, simulate_field


@pytest.mark.parametrize("scale", [1, 2])
def test_a_size_does_not_depend_on_the_magnification(scale: int) -> None:
    field = simulate_field(5, width=800, height=600, cells=30)
    frame = field.frame.repeat(scale, axis=0).repeat(scale, axis=1)
    sizes = np.array([cell.relative_size for cell in cut_cells(frame, 64)[0]])
    assert len(sizes) >= 15
    assert np.median(sizes) == pytest.approx(1, abs=0.06)


def test_platelets_are_smaller_and_white_cells_larger_than_red_cells() -> None:
    sizes: dict[str, list[float]] = {"red": [], "platelet": [], "white-cell": []}
    for seed in range(20, 26):
        field = simulate_field(seed, width=1280, height=960, cells=40)
        cut, _ = cut_cells(field.frame, 64)
        for true in field.objects:
            if true.free and (found := best_match(true.box, cut)) is not None:
                kind = "red" if true.kind in RED_CELL_KINDS else true.kind
                sizes.setdefault(kind, []).append(found.relative_size)
    assert np.mean([0.55 <= size <= 1.6 for size in sizes["red"]]) > 0.99
    assert np.mean([size < 0.55 for size in sizes["platelet"]]) > 0.9


def discs(*radii: int) -> np.ndarray:
    """A frame of dark discs in a row on an empty film: uint8 [300, W, 3]."""
    frame = np.full((300, 160 * len(radii) + 400, 3), 225, np.uint8)
    frame = frame - np.random.default_rng(0).integers(0, 3, frame.shape, np.uint8)
    for number, radius in enumerate(radii):
        cv2.circle(frame, (200 + 160 * number, 150), radius, (190, 120, 150), cv2.FILLED)
    return frame


@pytest.mark.parametrize(
    ("radii", "known"),
    [
        ((30, 31, 32), True),
        ((30, 31), False),  # either may be the odd one
        ((30, 31, 60), False),  # the largest holds half of the area
        ((12, 11, 13, 12, 30, 31), False),  # most are specks
        ((12, 11, 13, 12, 12, 11, 30, 31, 30, 29, 31), True),
    ],
)
def test_of_few_cells_a_size_is_known_only_where_they_agree(radii: tuple[int, ...], known: bool) -> None:
    frame = discs(*radii)
    found = segmentation(frame)
    assert len(found.cells) == len(radii)
    cut, _ = cut_found(frame, found.cells, 64, typical=known_typical(found))
    sizes = [cell.relative_size for cell in cut]
    assert [math.isnan(size) for size in sizes] == [not known] * len(radii)
    if known:
        assert max(sizes) == pytest.approx(1, abs=0.07)
