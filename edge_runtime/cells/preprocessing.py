"""The only preprocessing: a cell on a frame to a crop, a crop to the network's input.

Training, export and the device all call these functions, so they cannot drift apart. The rule, which the
bundle's manifest states and the runtime refuses to differ from:

1. outside the cell's mask the crop is exactly black (as the NIH crops are);
2. the crop is tightened to its non-black pixels, so that the margin is 0 whoever cut it;
3. it is padded with black to a square, so that the cell keeps its shape;
4. it is resized to size x size pixels, with area averaging when shrinking and bilinear when enlarging;
5. it is rounded to uint8 and divided by 255.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ImageError

# Below this a crop holds no stain pattern to judge; the smallest NIH cell is 40 pixels wide.
MIN_SIDE = 16

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class InputSpec:
    """What the network is fed, as the manifest states it.

    Attributes:
        size: side of the square input in pixels.
        color_order: order of the channels.
        range: of the float32 values.
        interpolation: how a crop is resized.
        masking: what stands outside the cell.
        framing: how a crop is made square.
    """

    size: int = 125
    color_order: str = "RGB"
    range: tuple[float, float] = (0.0, 1.0)
    interpolation: str = "area-down,bilinear-up"
    masking: str = "black-outside-cell"
    framing: str = "tight-box,black-square"


def masked_crop(frame: NDArray[np.uint8], box: Box, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Cut one cell out of a frame, exactly black outside its mask.

    Args:
        frame: uint8 [H, W, 3] RGB.
        box: (x, y, width, height) in pixels, inside the frame.
        mask: bool [height, width], True on the cell.

    Returns:
        uint8 [height, width, 3] RGB.
    """
    x, y, width, height = box
    return np.where(mask[..., None], frame[y : y + height, x : x + width], np.uint8(0))


def resize_crop(crop: NDArray[np.uint8], size: int, name: str = "crop") -> NDArray[np.uint8]:
    """Tighten, square and resize one masked crop (steps 2 to 4).

    Args:
        crop: uint8 [h, w, 3] RGB, black outside the cell.
        size: side of the result in pixels.
        name: how to call the crop in an error.

    Returns:
        uint8 [size, size, 3] RGB.

    Raises:
        ImageError: the crop is not uint8 RGB, entirely black or smaller than MIN_SIDE.
    """
    if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3:
        raise ImageError(f"{name}: {crop.dtype} {crop.shape}; expected uint8 [height, width, 3]")
    rows, columns = np.nonzero(crop.any(axis=2))
    if rows.size == 0:
        raise ImageError(f"{name}: entirely black; give a crop that shows a cell")
    tight = crop[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = tight.shape[:2]
    side = max(height, width)
    if side < MIN_SIDE:
        raise ImageError(f"{name}: {width}x{height} pixels; a cell needs at least {MIN_SIDE} across")
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = tight
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (size, size), interpolation=interpolation), np.uint8)


def to_input(resized: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
    """Stack resized crops into the network's input (step 5).

    Args:
        resized: N arrays uint8 [size, size, 3] RGB, or one uint8 [N, size, size, 3].

    Returns:
        float32 [N, 3, size, size] in [0, 1].
    """
    batch = np.asarray(resized).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(batch, np.float32) / np.float32(255)
