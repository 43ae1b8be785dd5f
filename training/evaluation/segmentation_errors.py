"""What a segmentation that went wrong hands to the classifier, made from good crops.

Every segmentation error takes crops (uint8 [N, S, S, 3] RGB, black outside the cell) and gives as many.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import resize_crop

Crops = NDArray[np.uint8]
SegmentationError = Callable[[Crops], Crops]


def half_cells(crops: Crops) -> Crops:
    """The cell cut in two by a straight line: its box has been cut, too, and fills the input again."""
    size = crops.shape[1]
    return np.stack([resize_crop(np.ascontiguousarray(crop[:, : size // 2]), size) for crop in crops])


def two_cells(crops: Crops) -> Crops:
    """A cell and the next one of the batch, touching, taken for one."""
    size = crops.shape[1]
    pairs = zip(crops, np.roll(crops, 1, axis=0), strict=True)
    return np.stack([resize_crop(_side_by_side(left, right), size) for left, right in pairs])


def empty(crops: Crops) -> Crops:
    """No cell: what lies between cells, in the light and the noise of this one."""
    rng = np.random.default_rng(0)
    made = np.empty_like(crops)
    for number, crop in enumerate(crops):
        cell = crop.any(axis=2)
        bright = np.quantile(crop[cell], 0.95, axis=0) if cell.any() else np.full(3, 220.0)
        texture = cv2.GaussianBlur(rng.normal(0, 6, crop.shape), (0, 0), 1.0)
        plain = np.clip(bright + texture, 1, 255).astype(np.uint8)
        made[number] = np.where(cell[..., None], plain, np.uint8(0))
    return made


def shrunk(crops: Crops) -> Crops:
    """The scale wrong by a half: the cell fills half of the input's side."""
    size = crops.shape[1]
    made = np.zeros_like(crops)
    side = size // 2
    start = (size - side) // 2
    for number, crop in enumerate(crops):
        small = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        made[number, start : start + side, start : start + side] = small
    return made


def magnified(crops: Crops) -> Crops:
    """The scale wrong by two: the middle of the cell fills the input."""
    size = crops.shape[1]
    start, side = size // 4, size // 2
    middle = crops[:, start : start + side, start : start + side]
    return np.stack([cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR) for crop in middle])


def _side_by_side(left: Crops, right: Crops) -> Crops:
    """Both cells on one line, without the black between them."""
    both = np.concatenate([_trimmed(left), _trimmed(right)], axis=1)
    return np.ascontiguousarray(both)


def _trimmed(crop: Crops) -> Crops:
    columns = np.flatnonzero(crop.any(axis=(0, 2)))
    return crop[:, columns[0] : columns[-1] + 1] if len(columns) else crop


SEGMENTATION_ERRORS: Mapping[str, SegmentationError] = {
    "half a cell": half_cells,
    "two cells": two_cells,
    "no cell": empty,
    "half the scale": shrunk,
    "twice the scale": magnified,
}
