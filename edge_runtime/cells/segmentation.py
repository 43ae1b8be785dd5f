"""Cells on a frame: where they are, and which pixels belong to each.

Red cells absorb green light whatever the stain, so the frame becomes a map of absorbance against the
light of the empty film; half the absorbance of a typical cell is a cell's border. Touching cells are cut
apart at their necks. Sizes are judged against the frame's own typical cell, so that neither the
magnification nor the camera's resolution has to be known.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.light import (
    Mask,
    Plane,
    absorbance_of,
    below_white_cells,
    disc,
    field_of_view,
    otsu,
    parted_by,
    reduced,
)
from edge_runtime.cells.preprocessing import Box
from edge_runtime.cells.shape import CELL_LIKE, ellipticity, heaped, largest, well_cut, whole
from edge_runtime.cells.splitting import Sides, split
from edge_runtime.cells.typical import thickness_area

_FAINTEST = 0.035  # absorbance; an empty film's clouds are fainter, the palest cells are not
_NOISE = 5.0  # deviations of the empty film that a cell's absorbance must exceed
_NOISE_OF_PALLOR = 3.0  # the same where cells and film are two clear groups
_CLEAR = (
    0.8  # of the variance between two groups: film and cells; of noise it is 0.64, of thick films up to 0.78
)
_FEWEST = 24  # values of the empty film that its noise can be told from
_ABOUT = (0.4, 2.0)  # of the area that thickness tells: as far the typical cell's may lie from it
_SPECK = 0.02  # of the typical cell's area: smaller is noise and dust


@dataclass(frozen=True)
class Cell:
    """One object that may be a cell.

    Attributes:
        box: (x, y, width, height) in pixels, tight around the mask.
        mask: bool [height, width], True on the object.
        at_edge: cut by the frame's edge or by the eyepiece's circle.
        clump: several cells that could not be told apart.
    """

    box: Box
    mask: NDArray[np.bool_]
    at_edge: bool
    clump: bool


@dataclass(frozen=True)
class Segmentation:
    """What segmentation makes of a frame.

    Attributes:
        cells: from top to bottom.
        lit: uint8 [H, W], 255 inside the eyepiece's circle, 0 outside.
        small: uint8 [h, w, 3] RGB, the frame reduced to at most 320 pixels of width.
        film: float32 [h, w]: the green light of the empty film, also under the cells, 0 to 255 and, where it
            is extrapolated, beyond.
        typical: area of the frame's typical cell, pixels: half of all area of whole single cells lies on
            cells up to this; 0 where no cell is found.
    """

    cells: list[Cell]
    lit: Mask
    small: NDArray[np.uint8]
    film: Plane
    typical: float


def segment(frame: NDArray[np.uint8]) -> list[Cell]:
    """Find the cells of a frame, from top to bottom.

    Args:
        frame: uint8 [H, W, 3] RGB of a stained thin film in transmitted light.

    Returns:
        Everything that absorbs like a cell and is not a speck: red cells, but also white cells, platelets
        and debris, which are the classifier's to reject. Empty for an empty film.
    """
    return segmentation(frame).cells


def segmentation(frame: NDArray[np.uint8]) -> Segmentation:
    """The same, with the light in which the cells were found.

    Args:
        frame: uint8 [H, W, 3] RGB of a stained thin film in transmitted light.
    """
    small = reduced(frame)
    lit = field_of_view(small, frame.shape[1], frame.shape[0])
    foreground, film = _foreground(frame, lit)
    cells, typical = _cells(foreground, lit)
    return Segmentation(cells, lit, small, np.exp(-film), typical)


def _foreground(frame: NDArray[np.uint8], field: Mask) -> tuple[Mask, Plane]:
    """What absorbs like a cell, 255 there, all 0 on an empty film; and the film's own density, reduced."""
    absorbance, film = absorbance_of(frame, field)
    threshold = _threshold(absorbance, field)
    if threshold is None:
        return np.zeros(field.shape, np.uint8), film
    dark = (absorbance > threshold).view(np.uint8)
    np.minimum(dark * np.uint8(255), field, out=dark)
    return np.asarray(cv2.morphologyEx(dark, cv2.MORPH_OPEN, disc(1)), np.uint8), film


def _cells(foreground: Mask, field: Mask) -> tuple[list[Cell], float]:
    """The cells from top to bottom, and the area of the typical one; 0 where there is none."""
    if not foreground.any():
        return [], 0.0
    typical = thickness_area(foreground)
    found = [
        cell
        for part, x, y in _whole_parts(foreground, typical)
        for cell in _parted(part, x, y, field, typical)
    ]
    typical = _typical_area(found, typical)
    found = [replace(cell, clump=cell.clump or heaped(cell.mask, typical)) for cell in found]
    return sorted(found, key=lambda cell: (cell.box[1], cell.box[0])), typical if found else 0.0


def _threshold(absorbance: Plane, field: Mask) -> float | None:
    """Half the absorbance of a typical cell; None if nothing stands out from the empty film."""
    values = absorbance[::4, ::4][field[::4, ::4] > 0]
    if not values.size:
        return None
    cut = below_white_cells(values)
    # Their darkness would still draw the cut up.
    values = np.minimum(values, np.median(values[values >= cut]))
    cut = otsu(values)
    above, film = values[values >= cut], values[values < cut]
    if not above.size or film.size < _FEWEST:
        return None
    typical, noise = float(np.median(above)), _noise(film)
    # Where two groups are clear to see, much of what lies below the cut is pallor, and no noise.
    parted = parted_by(values, values >= cut) >= _CLEAR
    if typical < max(_FAINTEST, (_NOISE_OF_PALLOR if parted else _NOISE) * noise):
        return None
    return typical / 2 if parted else max(typical / 2, 3 * noise)


def _noise(film: Plane) -> float:
    """Standard deviation of the film's absorbance, from what is brighter: the cells' borders are darker."""
    middle = np.median(film)
    return 1.4826 * float(np.median(middle - film[film <= middle]))


def _typical_area(cells: Iterable[Cell], by_thickness: float) -> float:
    """Of cells of about the size that thickness tells and of an ellipse's shape; else just that size."""
    areas = [
        float(np.count_nonzero(cell.mask))
        for cell in cells
        if not cell.at_edge and ellipticity(cell.mask) >= CELL_LIKE
    ]
    low, high = _ABOUT
    return float(np.median([area for area in areas if low < area / by_thickness < high] or [by_thickness]))


def _whole_parts(foreground: Mask, typical: float) -> Iterator[tuple[Mask, int, int]]:
    """The connected parts with their pallor; an island in the pallor of another is no part of its own."""
    filled = np.zeros_like(foreground)
    for part, x, y in _components(foreground, _SPECK * typical):
        inner = part[1:-1, 1:-1]
        here = filled[y + 1 : y + 1 + inner.shape[0], x + 1 : x + 1 + inner.shape[1]]
        if (here & inner).any():
            left = (inner & ~here) > 0
            if np.count_nonzero(left) < np.count_nonzero(inner) / 2:
                continue
            inner[:] = largest(left) * np.uint8(255)
        mended = whole(part, typical)
        here |= mended[1:-1, 1:-1] & ~inner
        yield mended, x, y


def _components(foreground: Mask, smallest: float) -> Iterator[tuple[Mask, int, int]]:
    """Connected parts of at least so many pixels, the largest first: mask with a margin of a pixel, x, y."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    for label in 1 + np.argsort(-areas[1:], kind="stable"):
        x, y, width, height, area = (int(value) for value in stats[label])
        if area >= smallest:
            part = labels[y : y + height, x : x + width] == label
            yield np.pad(part.astype(np.uint8) * np.uint8(255), 1), x - 1, y - 1


def _cut(part: Mask, x: int, y: int, field: Mask) -> Sides:
    """At which sides the frame's edge cuts a part with a margin of one pixel: top, bottom, left, right."""
    height, width = part.shape
    return y < 0, y + height > field.shape[0], x < 0, x + width > field.shape[1]


def _parted(part: Mask, x: int, y: int, field: Mask, typical: float) -> list[Cell]:
    """The cells of a part; what was cut and looks like none may be the middle of three, or two halves."""
    pieces = list(split(part, typical, _cut(part, x, y, field)))
    return [
        _cell(piece, x + left, y + top, field, clump=len(pieces) > 1 and not well_cut(piece))
        for piece, left, top in pieces
    ]


def _cell(piece: NDArray[np.bool_], x: int, y: int, field: Mask, *, clump: bool) -> Cell:
    left, top, width, height = cv2.boundingRect(piece.astype(np.uint8))
    box = (x + left, y + top, width, height)
    mask = piece[top : top + height, left : left + width]
    return Cell(box=box, mask=mask, at_edge=_at_edge(box, mask, field), clump=clump)


def _at_edge(box: Box, mask: NDArray[np.bool_], field: Mask) -> bool:
    """Whether an object comes within two pixels of the frame's edge, or of the eyepiece's circle."""
    x, y, width, height = box
    rows, columns = field.shape
    if x <= 1 or y <= 1 or x + width >= columns - 1 or y + height >= rows - 1:
        return True
    around = field[y - 2 : y + height + 2, x - 2 : x + width + 2]
    if around.all():
        return False
    grown = cv2.dilate(np.pad(mask.astype(np.uint8), 2), disc(2))
    return bool((grown[: around.shape[0], : around.shape[1]] > around).any())
