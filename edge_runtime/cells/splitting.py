"""Touching cells cut apart: at the necks between them and, where there is no neck, into two ellipses.

A part is looked at on a mask reduced to cells of at most 24 pixels radius: that is fine enough for a cut, and
bounds what a crowded frame costs in time and in memory.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.light import Mask
from edge_runtime.cells.shape import LARGE, covariance, distances, ellipticity, heaped, largest, solidity
from edge_runtime.cells.valleys import parted_at_necks

Labels = NDArray[np.int32]
Sides = tuple[bool, bool, bool, bool]

UNCUT: Sides = (False, False, False, False)

_RADIUS = 24.0  # pixels of a cell's radius on the reduced mask
_SOLID = 0.88  # solidity, from which on nobody looks for a second cell in what is no larger than one
_LEAST = 0.35  # of the typical cell's area: a smaller piece is no cell of its own
_GAIN = 0.02  # of likeness to ellipses that a cut must bring
_ROUNDS = 20


def split(part: Mask, typical: float, cut: Sides = UNCUT) -> Iterator[tuple[NDArray[np.bool_], int, int]]:
    """Cut a part into its cells; one that is a single cell stays whole.

    Args:
        part: uint8 [h, w], 255 inside, 0 outside, of which the outermost pixels are outside.
        typical: area of the typical cell, pixels.
        cut: at which sides the frame's edge cuts the part: top, bottom, left, right.

    Yields:
        The mask of a cell, bool, and where its upper left corner lies in the part: x, y.
    """
    if cv2.countNonZero(part) <= LARGE * typical and solidity(part) >= _SOLID:
        yield part > 0, 0, 0
        return
    radius = float(np.sqrt(typical / np.pi))
    scale = min(1.0, _RADIUS / radius)
    # Beyond the frame's edge the cells go on, or a cell that it cuts would seem thin.
    top, bottom, left, right = (round(radius) * side for side in cut)
    inner = part[1:-1, 1:-1]
    beyond = cv2.copyMakeBorder(inner, top, bottom, left, right, cv2.BORDER_REPLICATE)
    labels = parted_at_necks(_reduced(np.pad(beyond, 1), scale), radius * scale)
    _part_heaps(labels, typical * scale * scale)
    within = cv2.copyMakeBorder(inner, top + 1, bottom + 1, left + 1, right + 1, cv2.BORDER_CONSTANT)
    for piece, x, y in _pieces(np.asarray(within, np.uint8), labels):
        yield piece, x - left, y - top


def _reduced(part: Mask, scale: float) -> Mask:
    size = (max(3, round(part.shape[1] * scale)), max(3, round(part.shape[0] * scale)))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA) if scale < 1 else part
    return np.asarray((small > 127) * np.uint8(255), np.uint8)


def _pieces(part: Mask, labels: Labels) -> Iterator[tuple[NDArray[np.bool_], int, int]]:
    """What each label stands for in the part itself."""
    boxes = _boxes(labels)
    near = _nearest(labels)
    rows, columns = (
        np.arange(full) * few // full for full, few in zip(part.shape, labels.shape, strict=True)
    )
    for number, (top, bottom, left, right) in boxes:
        # One pixel of the reduced mask more on each side: its border is coarser than the part's.
        high = slice(np.searchsorted(rows, top - 1), np.searchsorted(rows, bottom + 2))
        wide = slice(np.searchsorted(columns, left - 1), np.searchsorted(columns, right + 2))
        mine = (near[rows[high]][:, columns[wide]] == number) & (part[high, wide] > 0)
        if mine.any():
            yield largest(mine), int(wide.start), int(high.start)


def _boxes(labels: Labels) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Of each label the first and last row and column."""
    y, x = np.nonzero(labels)
    number = labels[y, x]
    order = np.argsort(number, kind="stable")
    numbers, first = np.unique(number[order], return_index=True)
    return [
        (int(one), (int(ys.min()), int(ys.max()), int(xs.min()), int(xs.max())))
        for one, ys, xs in zip(
            numbers, np.split(y[order], first[1:]), np.split(x[order], first[1:]), strict=True
        )
    ]


def _nearest(labels: Labels) -> Labels:
    """The labels, each pixel outside with the one that is nearest."""
    outside = np.asarray((labels == 0).astype(np.uint8))
    _, nearest = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    known = np.zeros(int(nearest.max()) + 1, np.int32)
    known[nearest[outside == 0]] = labels[outside == 0]
    return np.asarray(known[nearest], np.int32)


def _part_heaps(labels: Labels, typical: float) -> None:
    """Part in two, in place, what is still several cells, as long as that makes better ellipses."""
    waiting = _boxes(labels)
    fresh = int(labels.max()) + 1
    while waiting:
        number, (top, bottom, left, right) = waiting.pop()
        window = labels[top : bottom + 1, left : right + 1]
        mask = window == number
        if not heaped(mask, typical):
            continue
        halves = _two_ellipses(mask)
        if halves is None or not _better(mask, halves, typical):
            continue
        window[halves[1]] = fresh
        for half, name in zip(halves, (number, fresh), strict=True):
            y, x = np.nonzero(half)
            waiting.append((name, (top + y.min(), top + y.max(), left + x.min(), left + x.max())))
        fresh += 1


def _better(mask: NDArray[np.bool_], halves: tuple[NDArray[np.bool_], ...], typical: float) -> bool:
    areas = [int(np.count_nonzero(half)) for half in halves]
    if min(areas) < _LEAST * typical:
        return False
    likeness = np.average([ellipticity(half) for half in halves], weights=areas)
    return bool(likeness >= ellipticity(mask) + _GAIN)


def _two_ellipses(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """The two ellipses that explain a mask best: each pixel goes to the likelier, again and again."""
    y, x = np.nonzero(mask)
    at = np.stack([x, y], axis=1).astype(np.float64)
    away = at - at.mean(axis=0)
    second = away @ np.linalg.eigh(covariance(away))[1][:, 1] > 0
    for _ in range(_ROUNDS):
        if second.all() or not second.any():
            return None
        unlikely = [_unlikelihood(at, at[mine]) for mine in (~second, second)]
        before, second = second, unlikely[1] < unlikely[0]
        if np.array_equal(before, second):
            break
    halves = np.zeros((2, *mask.shape), np.bool_)
    halves[second.astype(int), y, x] = True
    return (halves[0], halves[1]) if second.any() and not second.all() else None


def _unlikelihood(at: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.floating]:
    """Twice the negative logarithm of the density of the normal distribution that points have, elsewhere."""
    middle = of.mean(axis=0)
    spread = covariance(of - middle)
    return np.asarray(distances(at - middle, spread) + np.log(np.linalg.det(spread)))
