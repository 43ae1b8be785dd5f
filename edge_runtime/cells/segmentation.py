"""Cells on a frame: where they are, and which pixels belong to each.

Red cells absorb green light whatever the stain, so the frame becomes a map of absorbance against the
light of the empty film; half the absorbance of a typical cell is a cell's border. Touching cells are cut
apart at their necks. Sizes are judged against the frame's own typical cell, so that neither the
magnification nor the camera's resolution has to be known.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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

_FAINTEST = 0.035  # absorbance; an empty film's clouds are fainter, the palest cells are not
_NOISE = 5.0  # deviations of the empty film that a cell's absorbance must exceed
_FEWEST = 24  # values of the empty film that its noise can be told from
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
    found = [
        _cell(piece, x, y, field, typical)
        for part, x, y in _components(foreground, _SPECK * typical)
        for piece in _split(_fill_holes(part, _HOLE * typical), typical)
    ]
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
    """Standard deviation of the film's absorbance, from the median of its deviations."""
    return 1.4826 * float(np.median(np.abs(film - np.median(film))))


def _typical_area(foreground: Mask) -> float:
    """Area of the frame's typical cell, pixels: the size at which half of all round area lies."""
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


def _fill_holes(part: Mask, largest: float) -> Mask:
    contours, hierarchy = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    filled = part.copy()
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True):
        if parent >= 0 and cv2.contourArea(contour) <= largest:
            cv2.drawContours(filled, [contour], -1, 255, cv2.FILLED)
    return filled


def _split(part: Mask, typical: float) -> Iterator[Mask]:
    """Cut a part at its necks into masks of the same shape; one that is a single cell stays whole."""
    solidity, limit = _SINGLE
    if _solidity(part) >= solidity and cv2.countNonZero(part) <= limit * typical:
        yield part
        return
    depth = np.asarray(cv2.distanceTransform(part, cv2.DIST_L2, 5), np.float32)
    centres = _centres(depth, radius=float(np.sqrt(typical / np.pi)))
    if len(centres) < 2:
        yield part
        return
    # Each pixel goes to the cell whose inscribed circle is nearest: a straight cut through the neck.
    y, x = np.indices(part.shape, np.float32)
    nearest = np.stack([np.hypot(x - cx, y - cy) - depth[cy, cx] for cx, cy in centres]).argmin(0)
    for number in range(len(centres)):
        yield _largest(np.asarray((nearest == number) & (part > 0)))


def _largest(mask: NDArray[np.bool_]) -> Mask:
    """The largest connected part alone: a cut may leave a sliver on the wrong side."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return np.asarray((labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()) * np.uint8(255), np.uint8)


def _centres(depth: Plane, radius: float) -> list[tuple[int, int]]:
    """Where cells lie in a part, by its distance from the border: (x, y) each, the thickest first."""
    smooth = np.asarray(cv2.GaussianBlur(depth, (0, 0), max(1.0, radius / 12)), np.float32)
    around = cv2.dilate(smooth, disc(max(1, round(radius / 4))))
    peaks = np.argwhere((smooth >= around) & (smooth > _CORE * radius))
    ordered = sorted(((int(x), int(y)) for y, x in peaks), key=lambda at: -float(smooth[at[1], at[0]]))
    kept: list[tuple[int, int]] = []
    for at in ordered:
        if all(_parted(smooth, at, other) for other in kept):
            kept.append(at)
    return kept


def _parted(depth: Plane, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether the way between two points passes a neck."""
    steps = max(abs(one[0] - other[0]), abs(one[1] - other[1])) + 1
    xs = np.linspace(one[0], other[0], steps).round().astype(int)
    ys = np.linspace(one[1], other[1], steps).round().astype(int)
    ends = min(depth[one[1], one[0]], depth[other[1], other[0]])
    return bool(depth[ys, xs].min() < _NECK * ends)


def _cell(piece: Mask, x: int, y: int, field: Mask, typical: float) -> Cell:
    left, top, width, height = cv2.boundingRect(piece)
    box = (x + left, y + top, width, height)
    mask = piece[top : top + height, left : left + width] > 0
    limit = _SINGLE[1] * typical
    return Cell(
        box=box,
        mask=mask,
        at_edge=_at_edge(box, mask, field),
        clump=bool(mask.sum() > limit and _solidity(piece) < _RAGGED),
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
