"""What is cut out of a frame is told with its size against the frame's typical cell."""

import math

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


def test_of_few_cells_no_size_is_known() -> None:
    frame = simulate_field(5, width=400, height=300, cells=5).frame
    found = segmentation(frame)
    assert math.isnan(known_typical(found))
    cut, _ = cut_found(frame, found.cells, 64, typical=known_typical(found))
    assert cut
    assert all(math.isnan(cell.relative_size) for cell in cut)
