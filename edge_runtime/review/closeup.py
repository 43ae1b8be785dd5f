"""A cell amid its neighbours, for a person who is to say what it is: as a picture, and in a terminal."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.pictures import overview, surroundings

_CONTEXT = 2.2  # sides of the cell
SIDE = 480  # pixels of the picture
_COLUMNS = 64  # of a terminal; each line shows two rows of pixels


def close_up(record: SlideRecord, field: int, cell: int) -> NDArray[np.uint8]:
    """A cell in the middle of its surroundings, as large as it is on the frame or smaller.

    Returns:
        uint8 [side, side, 3] RGB.

    Raises:
        SourceError: there is no such cell.
    """
    shown = record.field(field)
    view = surroundings(overview(shown), shown, record.cell(field, cell), _CONTEXT, SIDE)
    return np.asarray(cv2.cvtColor(view, cv2.COLOR_BGR2RGB), np.uint8)


def in_terminal(picture: NDArray[np.uint8], columns: int = _COLUMNS) -> Iterator[str]:
    """Lines that show a picture in a terminal of 24-bit colour: half a letter for each pixel.

    Args:
        picture: uint8 [H, W, 3] RGB.
        columns: how many letters wide.
    """
    height = max(2, round(columns * picture.shape[0] / picture.shape[1] / 2) * 2)
    small = cv2.resize(picture, (columns, height), interpolation=cv2.INTER_AREA)
    for upper, lower in zip(small[::2].tolist(), small[1::2].tolist(), strict=True):
        pixels = zip(upper, lower, strict=True)
        letters = (f"\x1b[38;2;{a};{b};{c};48;2;{d};{e};{f}m▀" for (a, b, c), (d, e, f) in pixels)
        yield f"{''.join(letters)}\x1b[0m"
