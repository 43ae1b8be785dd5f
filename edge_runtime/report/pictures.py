"""The report's pictures: a cell amid its surroundings, and a field, in as many bytes as they may have."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.record.readings import CellReading, FieldReading
from edge_runtime.report.budget import CELL_SIZES, FIELD_SIZES, Size, from_usual

_OUTSIDE = (224, 224, 224)  # beyond the frame's edge
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


@dataclass(frozen=True)
class NumberedCell:
    """A cell and where it stands in the record.

    Attributes:
        field: number of its field.
        number: its own number in that field, from 1.
        reading: what was found.
        map: WebP of the cell with a ring around what the decision hangs on; empty where there is none.
    """

    field: int
    number: int
    reading: CellReading
    map: bytes = b""


def numbered(field: FieldReading, maps: Mapping[int, bytes] | None = None) -> list[NumberedCell]:
    """The cells of a field with their numbers, and with their maps, which are given by these."""
    return [
        NumberedCell(field.number, number, cell, (maps or {}).get(number, b""))
        for number, cell in enumerate(field.cells, start=1)
    ]


def data_uri(picture: bytes) -> str:
    """A WebP picture as the address of itself."""
    return f"data:image/webp;base64,{base64.b64encode(picture).decode()}"


def overview(field: FieldReading, *, least: int = 0) -> NDArray[np.uint8]:
    """A field's picture.

    Args:
        field: as it was recorded.
        least: width in pixels that is enough, as it is quicker to decode; 0 for all there is.

    Returns:
        uint8 [h, w, 3] BGR; one grey pixel where the record's picture cannot be decoded.
    """
    known = min(field.width, 1600)
    flag = next((flag for by, flag in _REDUCED.items() if least and known >= by * least), cv2.IMREAD_COLOR)
    pixels = _decoded(field.overview, flag)
    return np.full((1, 1, 3), _OUTSIDE, np.uint8) if pixels is None else pixels


def field_picture(shown: NDArray[np.uint8], allowance: int) -> bytes:
    """WebP of a field, in at most so many bytes where any size of it fits.

    Args:
        shown: uint8 [h, w, 3] BGR, of `overview`.
        allowance: bytes.
    """
    return fitted(shown, FIELD_SIZES, allowance)


def cell_picture(
    shown: NDArray[np.uint8], field: FieldReading, cell: CellReading, context: float, allowance: int
) -> bytes:
    """WebP of a cell in the middle of its surroundings, in at most so many bytes where any size fits.

    Args:
        shown: uint8 [h, w, 3] BGR, all of the field's `overview`.
        field: of the cell.
        cell: that is to be seen.
        context: side of the picture, in units of the cell's longer side.
        allowance: bytes.
    """
    most = from_usual(CELL_SIZES, allowance)[0].side
    return fitted(surroundings(shown, field, cell, context, most), CELL_SIZES, allowance)


def surroundings(
    shown: NDArray[np.uint8], field: FieldReading, cell: CellReading, context: float, most: int
) -> NDArray[np.uint8]:
    """A cell amid its neighbours. It is taken from its own crop, for the field's picture may be reduced.

    Returns:
        uint8 [side, side, 3] BGR, no larger than `most`, nor than it is on the frame.
    """
    x, y, width, height = cell.box
    across = context * max(width, height)  # pixels of the frame
    side = max(1, min(most, round(across)))
    scale = shown.shape[1] / field.width
    left, top = (x + (width - across) / 2) * scale, (y + (height - across) / 2) * scale
    around = max(1, round(across * scale))
    to_corner = np.array([[1, 0, -left], [0, 1, -top]], np.float64)
    patch = cv2.warpAffine(shown, to_corner, (around, around), borderValue=_OUTSIDE)
    smaller = cv2.INTER_AREA if side < around else cv2.INTER_LINEAR
    view = np.asarray(cv2.resize(patch, (side, side), interpolation=smaller), np.uint8)
    if (crop := _decoded(cell.crop)) is not None:
        _lay(view, crop, side / across)
    return view


def _lay(view: NDArray[np.uint8], crop: NDArray[np.uint8], zoom: float) -> None:
    """Lay a crop, black outside its cell, over the middle of a view."""
    height, width = (min(len(view), max(1, round(length * zoom))) for length in crop.shape[:2])
    inside = (crop.max(axis=2) > 0).astype(np.float32)
    share = cv2.resize(inside, (width, height), interpolation=cv2.INTER_AREA)[..., None]
    small = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA)  # black counts for nothing in it
    top, left = (len(view) - height) // 2, (len(view) - width) // 2
    middle = view[top : top + height, left : left + width]
    middle[:] = np.rint(middle * (1 - share) + small).clip(0, 255)


def map_picture(png: bytes, allowance: int) -> bytes:
    """WebP of a map of the pixels behind a decision; empty where there is none."""
    pixels = _decoded(png)
    return b"" if pixels is None else fitted(pixels, CELL_SIZES, allowance)


def fitted(pixels: NDArray[np.uint8], sizes: Sequence[Size], allowance: int) -> bytes:
    """WebP in the first size that fits; in the smallest one where none does, for nothing is left out.

    Args:
        pixels: uint8 [h, w, 3] BGR.
        sizes: largest first.
        allowance: bytes.
    """
    made = b""
    for size in from_usual(sizes, allowance):
        quality = [cv2.IMWRITE_WEBP_QUALITY, size.quality]
        made = cv2.imencode(".webp", _shrunk(pixels, size.side), quality)[1].tobytes()
        if len(made) <= allowance:
            break
    return made


def _shrunk(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _decoded(data: bytes, flag: int = cv2.IMREAD_COLOR) -> NDArray[np.uint8] | None:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    return None if pixels is None else np.asarray(pixels, np.uint8)
