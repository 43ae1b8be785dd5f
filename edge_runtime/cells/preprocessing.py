"""The only preprocessing: a cell on a frame to a crop, a crop to the network's input.

Training, export and the device all call these functions, so they cannot drift apart. The rule, which the
bundle's manifest states and the runtime refuses to differ from:

1. outside the cell's mask the crop is exactly black (as the NIH crops are); where JPEG or a change of size
   has smeared the edge of the mask, the mask is drawn again (see `masked_again`);
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

# The edge of a mask is smeared where a quarter of the pixels that stand at black have less than this share of
# the cell's brightness. Of 16,173 masked cells none has less than 0.72, of their JPEG copies none above 0.02.
_SMEARED = 0.6
_LEAST_OUTSIDE = 0.1  # share of a crop; a round cell leaves 0.21, and a crop without a mask next to nothing
_FINE_SIDE = 125  # pixels; an edge of fewer is coarser than those of most cells
_RIM_MEAN = (5, 5)
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_BLACK = (0, 0, 0)

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
    sharp = masked_again(crop)
    x, y, width, height = cv2.boundingRect(_not_black(sharp)) if sharp.size else (0, 0, 0, 0)
    if width == 0:
        raise ImageError(f"{name}: entirely black; give a crop that shows a cell")
    tight = sharp[y : y + height, x : x + width]
    side = max(height, width)
    enlarged = len(sharp) // len(crop)
    if side < enlarged * MIN_SIDE:
        across = f"{width // enlarged}x{height // enlarged}"
        raise ImageError(f"{name}: {across} pixels; a cell needs at least {MIN_SIDE} across")
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = tight
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (size, size), interpolation=interpolation), np.uint8)


def masked_again(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo what JPEG and changes of size do to the edge of a mask.

    They leave a fringe outside the cell and mix the cell's rim with black. The edge is drawn again halfway
    between black and the cell, and a rim pixel is given the mean of the cell beside it. Small crops are
    enlarged first: their edge is then as fine as that of the cells which the network has learnt.

    Args:
        crop: uint8 [h, w, 3] RGB.

    Returns:
        The crop itself where the mask is sharp, or where there is none; else uint8 [h, w, 3] RGB, or twice as
        many pixels either way, exactly black outside the cell.
    """
    if crop.size == 0 or not _is_smeared(crop):
        return crop
    if max(crop.shape[:2]) < _FINE_SIDE:
        crop = np.asarray(cv2.resize(crop, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
    inside = _inside(_grey(crop))
    if inside.mean() > 1 - _LEAST_OUTSIDE:  # no mask
        return crop
    within = _eroded(inside)
    share = cv2.blur(within.astype(np.float32), _RIM_MEAN)
    beside = (
        cv2.blur(crop * within[..., None].astype(np.float32), _RIM_MEAN) / np.maximum(share, 1e-6)[..., None]
    )
    rim = (inside > within) & (share > 1e-3)
    drawn = np.where(rim[..., None], np.rint(beside), crop) * inside[..., None]
    return np.asarray(drawn, np.uint8)


def is_masked(image: NDArray[np.uint8]) -> bool:
    """Whether the corners of a picture are black, or nearly, as those around a cell that was cut out are.

    Args:
        image: uint8 [h, w, 3] RGB.
    """
    return bool(image.size == 0 or _inside(_grey(image)).mean() <= 1 - _LEAST_OUTSIDE)


def _is_smeared(crop: NDArray[np.uint8]) -> bool:
    """Whether the pixels that stand at black are far darker than the cell."""
    grey, not_black = _grey(crop), _not_black(crop)
    rim = grey[not_black > _eroded(not_black)]
    return bool(rim.size) and float(np.percentile(rim, 25)) < _SMEARED * _brightness(grey)


def _inside(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 on the cell, 0 where at most half as bright a region hangs together with the outside."""
    dark = (grey < _brightness(grey) / 2).view(np.uint8)
    # One more row on each side, so that all of the outside hangs together.
    dark = np.asarray(cv2.copyMakeBorder(dark, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(1,)), np.uint8)
    cv2.floodFill(dark, None, (0, 0), (2,))
    return np.asarray(dark[1:-1, 1:-1] != 2).view(np.uint8)


def _eroded(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.erode(mask, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)).view(np.uint8)


def _grey(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).view(np.uint8)


def _not_black(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """255 where a pixel is not exactly black."""
    return cv2.bitwise_not(cv2.inRange(crop, _BLACK, _BLACK)).view(np.uint8)


def _brightness(grey: NDArray[np.uint8]) -> int:
    """The median of the pixels that belong to the cell: those above a quarter of the brightest."""
    counts = np.bincount(grey.ravel(), minlength=256)
    counts[: int(grey.max()) // 4 + 1] = 0
    return int(np.searchsorted(counts.cumsum(), counts.sum() / 2))


def to_input(resized: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
    """Stack resized crops into the network's input (step 5).

    Args:
        resized: N arrays uint8 [size, size, 3] RGB, or one uint8 [N, size, size, 3].

    Returns:
        float32 [N, 3, size, size] in [0, 1].
    """
    batch = np.asarray(resized).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(batch, np.float32) / np.float32(255)
