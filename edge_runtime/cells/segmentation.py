"""Cells on a frame: where they are, and which pixels belong to each.

Red cells absorb green light whatever the stain, so the frame becomes a map of absorbance against the
light of the empty film; half the absorbance of a typical cell is a cell's border. Touching cells are cut
apart at their necks. Sizes are judged against the frame's own typical cell, so that neither the
magnification nor the camera's resolution has to be known.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import os

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
    reduced,
)
from edge_runtime.cells.preprocessing import Box
from edge_runtime.cells.splitting import split

_FAINTEST = 0.035  # absorbance; an empty film's clouds are fainter, the palest cells are not
_NOISE = 5.0  # deviations of the empty film that a cell's absorbance must exceed
_FEWEST = 24  # values of the empty film that its noise can be told from
_THICK = 16.0  # pixels: the radius of cells at which thickness is measured
_ROUND = 0.87  # radius of the inscribed circle of a cell, of that of the circle of its area
_LARGE = 1.3
_ELLIPTIC = 0.96
_PALLOR = 0.7
_CONVEX = 0.85
_SPECK = 0.02  # of the typical cell's area: smaller is noise and dust
_HOLE = 0.35  # of the typical cell's area: pallor is smaller, a gap between cells may be larger
_SINGLE = (0.88, 1.35)  # solidity from, and area up to which nobody looks for a second cell
_RAGGED = 0.86  # solidity below which a large piece is several cells
_NECK = 0.86  # of the smaller cell's radius: a passage as narrow parts two cells
_CORE = 0.45  # of the typical radius: thinner parts hold no cell of their own


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
    absorbance, film = absorbance_of(frame, lit)
    cells = _cells(absorbance, lit)
    return Segmentation(cells, lit, small, np.exp(-film), typical_area(cells))


def typical_area(cells: Iterable[Cell]) -> float:
    """Area of the typical cell, pixels: of whole single cells where there are any, else of all; 0 of none."""
    every = list(cells)
    whole = [cell for cell in every if not (cell.at_edge or cell.clump)]
    return _middle([float(np.count_nonzero(cell.mask)) for cell in whole or every])


def _middle(areas: Iterable[float]) -> float:
    """The size at which half of all area lies, so that many small specks do not outweigh the cells."""
    ordered = np.sort(np.array(list(areas), np.float64))
    return float(ordered[np.searchsorted(ordered.cumsum(), ordered.sum() / 2)]) if len(ordered) else 0.0


def _cells(absorbance: Plane, field: Mask) -> list[Cell]:
    threshold = _threshold(absorbance, field)
    if threshold is None:
        return []
    foreground = np.asarray(((absorbance > threshold) & (field > 0)) * np.uint8(255), np.uint8)
    foreground = np.asarray(cv2.morphologyEx(foreground, cv2.MORPH_OPEN, disc(1)), np.uint8)
    typical = _typical_area(foreground)
    pieces = [
        (piece, x, y)
        for part, x, y in _components(foreground, _SPECK * typical)
        for piece in _split(_whole(part, typical), typical)
    ]
    found = [_cell(piece, x, y, field) for piece, x, y in pieces]
    typical = _middle([c.mask.sum() for c in found if not c.at_edge and _ellipticity(c.mask) >= 0.9]) or typical
    found = [replace(c, clump=bool(c.mask.sum() > _LARGE * typical and _ellipticity(c.mask) < _ELLIPTIC)) for c in found]
    return sorted(found, key=lambda cell: (cell.box[1], cell.box[0]))


def _threshold(absorbance: Plane, field: Mask) -> float | None:
    """Half the absorbance of a typical cell; None if nothing stands out from the empty film."""
    values = absorbance[::4, ::4][field[::4, ::4] > 0]
    if not values.size:
        return None
    cut = below_white_cells(values)
    # Their darkness would still draw the cut up.
    cut = otsu(np.minimum(values, np.median(values[values >= cut])))
    if not _stands_out(values, cut):
        return None
    return max(float(np.median(values[values >= cut])) / 2, 3 * _noise(values[values < cut]))


def _stands_out(values: Plane, cut: float) -> bool:
    """Whether what lies above the cut can be told from the noise of what lies below."""
    above, film = values[values >= cut], values[values < cut]
    if not above.size or film.size < _FEWEST:
        return False
    return bool(np.median(above) >= max(_FAINTEST, _NOISE * _noise(film)))


def _noise(film: Plane) -> float:
    """Standard deviation of the film's absorbance, from what is brighter: the cells' borders are darker."""
    middle = np.median(film)
    return 1.4826 * float(np.median(middle - film[film <= middle]))


def _typical_area(foreground: Mask) -> float:
    """Area of the frame's typical cell, pixels, from how thick the pieces are: also where all cells touch."""
    coarse = _solid_area(foreground)
    scale = min(1.0, _THICK / np.sqrt(coarse / np.pi))
    small = cv2.resize(foreground, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = np.asarray((small > 127) * np.uint8(255), np.uint8)
    if not small.any():
        return coarse
    filled = np.pad(_fill_holes(small, coarse * scale * scale), 1)
    depth = cv2.GaussianBlur(cv2.distanceTransform(filled, cv2.DIST_L2, 5), (0, 0), 1)
    radius = float(np.sqrt(coarse / np.pi)) * scale
    for _ in range(2):
        around = cv2.dilate(depth, disc(max(1, round(radius / 2))))
        peaks = depth[(depth >= around) & (depth > 0.2 * radius)]
        if not peaks.size:
            return coarse
        radius = float(np.sqrt(_middle(peaks**2)))
    return float(np.pi * (radius / _ROUND / scale) ** 2)


def _solid_area(foreground: Mask) -> float:
    """Area of the typical solid piece, pixels: cells where most lie alone, heaps of them where few do."""
    areas = []
    contours, _ = cv2.findContours(foreground, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        area = cv2.contourArea(contour)
        if area > 0 and area > _SINGLE[0] * cv2.contourArea(cv2.convexHull(contour)):
            areas.append(area)
    if not areas:
        return float(max((cv2.contourArea(contour) for contour in contours), default=1.0) or 1.0)
    return _middle(areas)


def _components(foreground: Mask, smallest: float) -> Iterator[tuple[Mask, int, int]]:
    """Connected parts with at least so many pixels: (mask with a margin of one pixel, x, y of its corner)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=4)
    for label in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[label])
        if area >= smallest:
            part = labels[y : y + height, x : x + width] == label
            yield np.pad(part.astype(np.uint8) * np.uint8(255), 1), x - 1, y - 1


def _whole(part: Mask, typical: float) -> Mask:
    """A part with its pallor, also where that opens to the outside, if then it looks like one cell."""
    filled = _fill_holes(part, typical)
    if cv2.countNonZero(filled) > _LARGE * typical or _ellipticity(filled > 0) >= 0.93:
        return filled
    reach = max(1, round(float(os.environ.get("CLOSE", "0.4")) * np.sqrt(typical / np.pi)))
    padded = np.pad(filled, reach + 1)
    closed = _fill_holes(np.asarray(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc(reach)), np.uint8), typical)
    closed = closed[reach + 1 : -reach - 1, reach + 1 : -reach - 1]
    if cv2.countNonZero(closed) <= _LARGE * typical and _ellipticity(closed > 0) >= 0.9:
        return np.ascontiguousarray(closed)
    return filled


def _fill_holes(part: Mask, typical: float) -> Mask:
    """Fill pallor, which is small, or at least convex; a gap between cells is larger, and their borders bulge into it."""
    contours, hierarchy = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    filled = part.copy()
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True):
        area = cv2.contourArea(contour)
        limit = _PALLOR if area > _CONVEX * cv2.contourArea(cv2.convexHull(contour)) else _HOLE
        if parent >= 0 and area <= limit * typical:
            cv2.drawContours(filled, [contour], -1, 255, cv2.FILLED)
    return filled


def _split(part: Mask, typical: float) -> Iterator[Mask]:
    """Cut a part at its necks into masks of the same shape; one that is a single cell stays whole."""
    solidity, limit = _SINGLE
    if _solidity(part) >= solidity and cv2.countNonZero(part) <= limit * typical:
        yield part
        return
    labels = split(part, typical)
    for number in range(1, int(labels.max()) + 1):
        mine = (labels == number) & (part > 0)
        if mine.any():
            yield _largest(np.asarray(mine))


def _largest(mask: NDArray[np.bool_]) -> Mask:
    """The largest connected part alone: a cut may leave a sliver on the wrong side."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return np.asarray((labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()) * np.uint8(255), np.uint8)


def _cell(piece: Mask, x: int, y: int, field: Mask) -> Cell:
    left, top, width, height = cv2.boundingRect(piece)
    box = (x + left, y + top, width, height)
    mask = piece[top : top + height, left : left + width] > 0
    return Cell(
        box=box,
        mask=mask,
        at_edge=_at_edge(box, mask, field),
        clump=False,
    )


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


def _solidity(mask: Mask) -> float:
    """Share of the convex hull that the mask fills; a round cell's is close to 1."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return 0.0
    # Both areas are counted between pixel centres, or small masks would seem more than solid.
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    return sum(cv2.contourArea(contour) for contour in contours) / hull if hull else 1.0


def _ellipticity(mask: NDArray[np.bool_]) -> float:
    """Overlap (intersection over union) of a mask with the ellipse of the same moments."""
    y, x = np.nonzero(mask)
    spread = np.cov(np.stack([x, y]).astype(np.float64), bias=True) + np.eye(2) / 12
    rows, columns = np.indices(mask.shape, np.float32)
    away = np.stack([columns - x.mean(), rows - y.mean()], axis=-1)
    inside = np.einsum("...i,ij,...j", away, np.linalg.inv(spread), away) <= 4
    # What of the ellipse lies outside of the box is as much as what of the mask lies outside of the ellipse.
    area = 4 * np.pi * float(np.sqrt(np.linalg.det(spread)))
    shared = float((inside & mask).sum())
    return shared / (area + len(x) - shared)
