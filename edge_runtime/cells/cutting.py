"""Cells cut out of a frame, ready to be judged, and those that are seen but cannot be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import MIN_SIDE, Box, masked_crop, resize_crop
from edge_runtime.cells.segmentation import Cell, Segmentation, segmentation
from edge_runtime.errors import ImageError

NotCutReason = Literal["edge", "clump", "too-small", "too-dark", "counted-before", "dirt"]

# Why a cell is seen but not judged: by the code that the slide record has, as a person reads it.
WHY_NOT_CUT: Mapping[str, str] = {
    "edge": "cut by the edge",
    "clump": "clumped",
    "too-small": "too small",
    "too-dark": "too dark",
    "counted-before": "counted in an earlier field",
    "dirt": "dirt that stays while the slide moves",
}

_FEWEST = 3  # whole cells that tell a typical one
_ENOUGH = 10  # whole cells; of fewer a white cell may hold half of the area, or specks be in the majority
_ALIKE = 1.5  # how many times the one area may be the other


@dataclass(frozen=True)
class CutCell:
    """A cell that can be judged.

    Attributes:
        box: (x, y, width, height) in pixels of the frame.
        crop: uint8 [height, width, 3] RGB, black outside the cell.
        resized: uint8 [size, size, 3] RGB, what the network sees.
        relative_size: its diameter over that of the frame's typical cell; NaN where that is not known.
    """

    box: Box
    crop: NDArray[np.uint8]
    resized: NDArray[np.uint8]
    relative_size: float


@dataclass(frozen=True)
class NotCut:
    """A cell that cannot be judged, and why (see WHY_NOT_CUT)."""

    box: Box
    reason: NotCutReason


def cut_cells(frame: NDArray[np.uint8], size: int) -> tuple[list[CutCell], list[NotCut]]:
    """Find the cells of a frame and cut them out.

    Args:
        frame: uint8 [H, W, 3] RGB.
        size: side of the network's input in pixels.

    Returns:
        The cells to judge, and those that cannot be.
    """
    found = segmentation(frame)
    return cut_found(frame, found.cells, size, typical=known_typical(found))


def known_typical(found: Segmentation) -> float:
    """Area of a frame's typical cell in pixels; NaN where too few whole cells tell it.

    Of few cells the one in the middle by area must be as large as the one in the middle by number.
    """
    areas = [np.count_nonzero(cell.mask) for cell in found.cells if not (cell.at_edge or cell.clump)]
    if len(areas) < _FEWEST:
        return float("nan")
    middle = float(np.median(areas))
    alike = middle / _ALIKE <= found.typical <= middle * _ALIKE
    return found.typical if alike or len(areas) >= _ENOUGH else float("nan")


def cut_found(
    frame: NDArray[np.uint8], cells: Iterable[Cell], size: int, *, typical: float
) -> tuple[list[CutCell], list[NotCut]]:
    """The same for cells that were found already.

    Args:
        frame: uint8 [H, W, 3] RGB.
        cells: those to cut out; not all that were found, if others must not be judged.
        size: side of the network's input in pixels.
        typical: area of the frame's typical cell, pixels; NaN where it is not known.
    """
    cut: list[CutCell] = []
    not_cut: list[NotCut] = []
    for cell in cells:
        why = _why_not(cell)
        if why is None:
            crop = masked_crop(frame, cell.box, cell.mask)
            try:
                cut.append(CutCell(cell.box, crop, resize_crop(crop, size), _relative_size(cell, typical)))
            except ImageError:  # dirt may be as black as what is masked out
                why = "too-dark"
        if why is not None:
            not_cut.append(NotCut(cell.box, why))
    return cut, not_cut


def _relative_size(cell: Cell, typical: float) -> float:
    return float(np.sqrt(np.count_nonzero(cell.mask) / typical))


def _why_not(cell: Cell) -> NotCutReason | None:
    if cell.at_edge:
        return "edge"
    if cell.clump:
        return "clump"
    if max(cell.box[2:]) < MIN_SIDE:
        return "too-small"
    return None
