"""Cell crops from encoded images: one at a time, or all of a list that can be judged."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import MIN_SIDE, is_masked, resize_crop
from edge_runtime.cells.segmentation import segment
from edge_runtime.errors import ImageError
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.items import ImageFile, SkippedFrame

# Of NIH cells the largest is 390 pixels across; twice as large a copy is a crop, too.
_LARGEST_MASKED = 1000
_LARGEST_PATCH = 400  # of a picture in which nothing is masked
_CELLS_OF_A_FIELD = 4  # a careless crop shows parts of the neighbours as well


def decode_crop(data: bytes, name: str, size: int) -> NDArray[np.uint8]:
    """One cell crop as the network sees it.

    Args:
        data: the bytes of an image file that shows one cell, black outside it.
        name: how to call it in an error.
        size: side of the network's input in pixels.

    Returns:
        uint8 [size, size, 3] RGB.

    Raises:
        ImageError: not an image that can be judged (see `decode_image` and `resize_crop`).
    """
    return resize_crop(decode_image(data, name), size, name)


def refuse_field(image: NDArray[np.uint8], name: str) -> None:
    """Refuse a photograph of many cells: as one crop it would get one answer.

    Args:
        image: uint8 [h, w, 3] RGB.
        name: how to call it in the error.

    Raises:
        ImageError: it is larger than any crop, or shows several cells, and nothing of it is masked.
    """
    height, width = image.shape[:2]
    if max(height, width) <= _LARGEST_MASKED and is_masked(image):
        return
    advice = "give whole fields to 'cellgate read', and here crops of one cell each, black around it"
    if min(height, width) > _LARGEST_PATCH:
        raise ImageError(f"{name}: {width}x{height} pixels, far more than one cell has; {advice}")
    cells = sum(max(cell.box[2:]) >= MIN_SIDE for cell in segment(image))
    if cells >= _CELLS_OF_A_FIELD:
        raise ImageError(f"{name}: shows {cells} cells; {advice}")


def read_crops(files: Iterable[ImageFile], size: int) -> tuple[NDArray[np.uint8], list[SkippedFrame]]:
    """All crops of a list that can be judged, and those that were skipped.

    Args:
        files: one cell each.
        size: side of the network's input in pixels.

    Returns:
        uint8 [N, size, size, 3] RGB, N from 0, in the order of the files; and what was left out, and why.
    """
    crops, skipped = [], []
    for file in files:
        try:
            crops.append(decode_crop(file.read(), file.name, size))
        except ImageError as error:
            skipped.append(SkippedFrame.of(file.name, error))
    return np.stack(crops) if crops else np.zeros((0, size, size, 3), np.uint8), skipped
