"""Where thick places of a part meet: each pixel goes to the summit to which the steepest ascent leads.

The height is the distance from the border (a watershed of the distance transform, Vincent and Soille 1991);
a cut then lies in the neck itself, whatever the sizes of the cells on both sides.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.light import Mask, Plane

Labels = NDArray[np.int32]

_NECK = 0.97  # of the thickness of the thinner cell: a pass as low parts two cells
_CORE = 0.45  # of the typical radius: thinner places hold no cell of their own
_SMOOTH = 12  # typical radii per deviation of the blur that takes the border's roughness away


def parted_at_necks(part: Mask, radius: float) -> Labels:
    """Part what narrows between two thick places.

    Args:
        part: uint8 [h, w], 255 inside, 0 outside.
        radius: of the typical cell, pixels.

    Returns:
        int32 [h, w], the number of the cell that each pixel belongs to, from 1 on; 0 outside.
    """
    inside = np.pad(part > 0, 1)
    if not inside.any():
        return np.zeros(part.shape, np.int32)
    depth = np.asarray(cv2.distanceTransform(np.pad(part, 1), cv2.DIST_L2, 5), np.float32)
    smooth = np.asarray(cv2.GaussianBlur(depth, (0, 0), max(1.0, radius / _SMOOTH)), np.float32)
    heights = np.where(inside, smooth, np.float32(-1))
    summits, basin = np.unique(_summits(heights, inside), return_inverse=True)
    basins = np.full(heights.shape, -1, np.int32)
    basins[inside] = basin
    cell = _united(basins, heights, heights.ravel()[summits], radius)
    return np.where(inside, cell[basins] + 1, 0)[1:-1, 1:-1].astype(np.int32)


def _summits(heights: Plane, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where each pixel inside arrives that climbs: places in heights.ravel()."""
    width = heights.shape[1]
    flat, at = heights.ravel(), np.flatnonzero(inside)
    steepest, goal = np.zeros(at.size, np.float32), at.copy()
    for step, far in ((1, 1.0), (width, 1.0), (width + 1, np.sqrt(2)), (width - 1, np.sqrt(2))):
        for towards in (step, -step):
            slope = (flat[at + towards] - flat[at]) / np.float32(far)
            climbs = slope > steepest
            steepest[climbs], goal[climbs] = slope[climbs], (at + towards)[climbs]
    leads = np.zeros(flat.size, np.int64)
    leads[at] = goal
    while not np.array_equal(further := leads[goal], goal):
        goal = further
        leads[at] = goal
    return goal


def _united(basins: Labels, heights: Plane, tops: Plane, radius: float) -> NDArray[np.int32]:
    """For each basin the number of its cell: what no neck parts is one, from the highest pass on."""
    leader = list(range(len(tops)))

    def lead(basin: int) -> int:
        while leader[basin] != basin:
            basin = leader[basin]
        return basin

    for one, other, height in _passes(basins, heights):
        high, low = sorted((lead(one), lead(other)), key=lambda basin: -float(tops[basin]))
        if high != low and (height >= _NECK * tops[low] or tops[low] < _CORE * radius):
            leader[low] = high
    _, cell = np.unique([lead(basin) for basin in range(len(tops))], return_inverse=True)
    return cell.astype(np.int32)


def _passes(basins: Labels, heights: Plane) -> list[tuple[int, int, float]]:
    """The highest pass between each two basins that touch, from the highest on."""
    pairs, passes = [], []
    here, there = slice(None, -1), slice(1, None)
    every = slice(None)
    for one, other in (
        ((every, here), (every, there)),
        ((here, every), (there, every)),
        ((here, here), (there, there)),
        ((here, there), (there, here)),
    ):
        border = (basins[one] != basins[other]) & (basins[one] >= 0) & (basins[other] >= 0)
        sides = np.sort(np.stack([basins[one][border], basins[other][border]], axis=1), axis=1)
        pairs.append(sides)
        passes.append(np.minimum(heights[one][border], heights[other][border]))
    sides, height = np.concatenate(pairs), np.concatenate(passes)
    order = np.argsort(-height, kind="stable")
    _, first = np.unique(sides[order], axis=0, return_index=True)
    return [(int(sides[k, 0]), int(sides[k, 1]), float(height[k])) for k in order[np.sort(first)]]
