"""Touching cells cut apart: along the valleys of the distance from the border, between its peaks."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.light import Mask, Plane

Labels = NDArray[np.int32]

_RADIUS = 24.0  # pixels: larger cells are split on a reduced mask
_NECK = 0.97
_CORE = 0.45


def split(part: Mask, typical: float) -> Labels:
    radius = float(np.sqrt(typical / np.pi))
    scale = min(1.0, _RADIUS / radius)
    height, width = part.shape
    size = max(3, round(width * scale)), max(3, round(height * scale))
    small = part if scale == 1 else cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    basins = _basins(np.asarray((small > 127) * np.uint8(255), np.uint8), radius * scale)
    if scale < 1:
        basins = np.asarray(
            cv2.resize(basins.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST), np.int32
        )
    return basins


def _basins(part: Mask, radius: float) -> Labels:
    """Number of the cell that each pixel belongs to, from 1 on; 0 outside."""
    depth = np.asarray(cv2.distanceTransform(part, cv2.DIST_L2, 5), np.float32)
    smooth = np.asarray(cv2.GaussianBlur(depth, (0, 0), max(1.0, radius / 12)), np.float32)
    inside = np.pad(part > 0, 1)
    heights = np.where(inside, np.pad(smooth, 1), np.float32(-1))
    summit = _summits(heights, inside)
    tops, first = np.unique(summit, return_inverse=True)
    number = np.full(heights.shape, -1, np.int32)
    number[inside] = first
    peaks = heights.ravel()[tops].astype(np.float64)
    group = _merged(number, heights, peaks, radius)
    labels = np.where(inside, group[number] + 1, 0).astype(np.int32)
    return labels[1:-1, 1:-1]


def _summits(heights: Plane, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where each pixel inside arrives that climbs along the steepest ascent: index into heights.ravel()."""
    width = heights.shape[1]
    at = np.flatnonzero(inside)
    flat = heights.ravel()
    best, goal = flat[at].copy(), at.copy()
    for step, far in ((1, 1), (-1, 1), (width, 1), (-width, 1),
                 (width + 1, 1.414), (width - 1, 1.414), (-width + 1, 1.414), (-width - 1, 1.414)):
        there = flat[at + step]
        higher = flat[at] + (there - flat[at]) / np.float32(far)
        climbs = higher > best
        best[climbs], goal[climbs] = higher[climbs], (at + step)[climbs]
    pointer = np.zeros(flat.size, np.int64)
    pointer[at] = goal
    while True:
        further = pointer[goal]
        if np.array_equal(further, goal):
            return goal
        goal = further
        pointer[at] = goal


def _merged(number: Labels, heights: Plane, peaks: NDArray[np.float64], radius: float) -> NDArray[np.int32]:
    """For each basin the number of its cell: basins that no neck parts are one."""
    saddles = _saddles(number, heights)
    leader = list(range(len(peaks)))
    top = peaks.tolist()

    def find(basin: int) -> int:
        while leader[basin] != basin:
            leader[basin] = leader[leader[basin]]
            basin = leader[basin]
        return basin

    for (one, other), height in saddles:
        a, b = sorted((find(one), find(other)), key=lambda basin: -top[basin])
        if a != b and (height >= _NECK * top[b] or top[b] < _CORE * radius):
            leader[b] = a
    _, group = np.unique([find(basin) for basin in range(len(peaks))], return_inverse=True)
    return group.astype(np.int32)


def _saddles(number: Labels, heights: Plane):
    """The highest pass between each two basins that touch, the highest first."""
    pairs, passes = [], []
    for one, other in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ):
        a, b = number[one], number[other]
        border = (a != b) & (a >= 0) & (b >= 0)
        low, high = np.minimum(a[border], b[border]), np.maximum(a[border], b[border])
        pairs.append(low.astype(np.int64) << 32 | high)
        passes.append(np.minimum(heights[one][border], heights[other][border]))
    pair, height = np.concatenate(pairs), np.concatenate(passes)
    order = np.argsort(-height, kind="stable")
    _, first = np.unique(pair[order], return_index=True)
    chosen = order[np.sort(first)]
    return [((int(pair[k] >> 32), int(pair[k] & 0xFFFFFFFF)), float(height[k])) for k in chosen]
