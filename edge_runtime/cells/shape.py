"""The shape of a piece: how like an ellipse it is, and which of its holes belong to it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.light import Mask, disc

LARGE = 1.4  # of the typical cell's area: what is larger is one cell only where it is an ellipse
_ELLIPTIC = 0.955  # likeness to an ellipse, from which on even a large piece is one cell
CELL_LIKE = 0.9  # likeness to an ellipse that a cell has which touches no other
_CUT = 0.78  # likeness to an ellipse, from which on a piece that was cut is taken for a cell
_HOLE = 0.35  # of the typical cell's area: pallor is smaller, a gap between cells may be larger
_PALLOR = 0.7  # the same for a hole that is convex: into a gap the cells around it bulge
_CONVEX = 0.85  # share of its convex hull that such a hole fills
_THROAT = 0.4  # of the typical radius: half the width at which pallor may open to the outside


def ellipticity(mask: NDArray[np.bool_]) -> float:
    """Overlap (intersection over union) of a mask with the ellipse that has its moments; 1 for an ellipse.

    Args:
        mask: bool [height, width] with something in it.
    """
    y, x = np.nonzero(mask)
    middle = x.mean(), y.mean()
    spread = covariance(np.stack([x - middle[0], y - middle[1]], axis=1))
    rows, columns = np.indices(mask.shape, np.float32)
    away = np.stack([columns - middle[0], rows - middle[1]], axis=-1).reshape(-1, 2)
    inside = distances(away, spread) <= 4  # a uniform ellipse reaches two standard deviations far
    area = 4 * np.pi * float(np.sqrt(np.linalg.det(spread)))
    shared = float((inside & mask.ravel()).sum())
    return shared / (area + len(x) - shared)


def covariance(away: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of points around their middle: [N, 2] to [2, 2]; each is a pixel, which has a size of its own."""
    return np.asarray(away.T @ away / len(away) + np.eye(2) / 12, np.float64)


def distances(away: NDArray[np.floating], spread: NDArray[np.float64]) -> NDArray[np.floating]:
    """Squared Mahalanobis distance of points [N, 2] from their middle."""
    turned = away @ np.linalg.inv(spread)
    return np.asarray(turned[:, 0] * away[:, 0] + turned[:, 1] * away[:, 1])


def cell_like(mask: NDArray[np.bool_], typical: float) -> bool:
    """Whether a mask is an ellipse of at most a cell's size."""
    return bool(np.count_nonzero(mask) <= LARGE * typical and ellipticity(mask) >= CELL_LIKE)


def heaped(mask: NDArray[np.bool_], typical: float) -> bool:
    """Whether a mask must be several cells: larger than one, and no ellipse."""
    return bool(np.count_nonzero(mask) > LARGE * typical and ellipticity(mask) < _ELLIPTIC)


def well_cut(mask: NDArray[np.bool_]) -> bool:
    """Whether what was cut off others looks like a cell."""
    return ellipticity(mask) >= _CUT


def whole(part: Mask, typical: float) -> Mask:
    """A part with its pallor, also where that opens to the outside, if only then it looks like a cell.

    Args:
        part: uint8 [h, w], 255 inside, 0 outside, of which the outermost pixels are outside.
        typical: area of the typical cell, pixels.
    """
    filled = fill_holes(part, typical)
    if cv2.countNonZero(filled) > LARGE * typical or ellipticity(filled > 0) >= CELL_LIKE:
        return filled
    reach = max(1, round(_THROAT * float(np.sqrt(typical / np.pi))))
    wide = np.pad(filled, reach)
    closed = np.asarray(cv2.morphologyEx(wide, cv2.MORPH_CLOSE, disc(reach)), np.uint8)
    closed = fill_holes(closed, typical)[reach:-reach, reach:-reach]
    return np.ascontiguousarray(closed) if cell_like(closed > 0, typical) else filled


def fill_holes(part: Mask, typical: float) -> Mask:
    """A part, its pallor filled; gaps between cells stay open."""
    contours, hierarchy = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    filled = part.copy()
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True):
        if parent < 0:
            continue
        area = cv2.contourArea(contour)
        convex = area > _CONVEX * cv2.contourArea(cv2.convexHull(contour))
        if area <= (_PALLOR if convex else _HOLE) * typical:
            cv2.drawContours(filled, [contour], -1, 255, cv2.FILLED)
    return filled


def solidity(mask: Mask) -> float:
    """Share of the convex hull that the mask fills; a round cell's is close to 1."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return 0.0
    # Both areas are counted between pixel centres, or small masks would seem more than solid.
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    return sum(cv2.contourArea(contour) for contour in contours) / hull if hull else 1.0


def largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part alone: a cut may leave a sliver on the wrong side."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return np.asarray(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())
