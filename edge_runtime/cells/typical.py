"""The area of a frame's typical cell, by which everything else on it is measured."""

from collections.abc import Iterable

import cv2
import numpy as np

from edge_runtime.cells.light import Mask, disc
from edge_runtime.cells.shape import fill_holes

_SOLID = 0.88  # share of its convex hull that a piece without necks fills
_RADIUS = 16.0  # pixels of a cell's radius on the mask on which thickness is measured
_INSCRIBED = 0.87  # radius of the circle inscribed in a cell, of that of the circle that has its area
_THIN = 0.2  # of the typical radius: thinner is no cell


def middle_area(areas: Iterable[float]) -> float:
    """The area at which half of all area lies, so that many specks do not outweigh the cells; 0 of none."""
    ordered = np.sort(np.fromiter(areas, np.float64))
    return float(ordered[np.searchsorted(ordered.cumsum(), ordered.sum() / 2)]) if len(ordered) else 0.0


def thickness_area(foreground: Mask) -> float:
    """Area of the typical cell, pixels, from how thick the pieces are: known even where all cells touch.

    Args:
        foreground: uint8 [H, W], 255 on what absorbs like a cell.
    """
    coarse = _solid_area(foreground)
    radius = float(np.sqrt(coarse / np.pi))
    scale = min(1.0, _RADIUS / radius)
    reduced = cv2.resize(foreground, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small: Mask = np.asarray((reduced > 127) * np.uint8(255), np.uint8)
    if not small.any():
        return coarse
    filled = np.pad(fill_holes(small, coarse * scale * scale), 1)
    depth = cv2.GaussianBlur(cv2.distanceTransform(filled, cv2.DIST_L2, 5), (0, 0), 1)
    thick = radius * scale
    for _ in range(2):  # first by the solid pieces' size, then by what that has shown
        around = cv2.dilate(depth, disc(max(1, round(thick / 2))))
        summits = depth[(depth >= around) & (depth > _THIN * thick)]
        if not summits.size:
            return coarse
        thick = float(np.sqrt(middle_area((summits**2).tolist())))
    return float(np.pi * (thick / _INSCRIBED / scale) ** 2)


def _solid_area(foreground: Mask) -> float:
    """Area of the typical solid piece, pixels: of a cell where most lie alone, of a heap where few do."""
    contours, _ = cv2.findContours(foreground, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    areas = [cv2.contourArea(contour) for contour in contours]
    hulls = [cv2.contourArea(cv2.convexHull(contour)) for contour in contours]
    solid = [area for area, hull in zip(areas, hulls, strict=True) if area > _SOLID * hull]
    return middle_area(solid) or max(areas, default=0.0) or 1.0
