"""What the report shows of cells: which of them, in which order, as which picture and in which words."""

import base64
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge_runtime.cells.cutting import WHY_NOT_CUT
from edge_runtime.decision.table import CONFIDENCE
from edge_runtime.record.readings import CellReading, FieldReading, SlideHeader
from edge_runtime.report.colours import PENS

MOST_SHOWN = 200  # crops per gallery; at some 10 kB each a phone still opens the report
_SHOWN_AT_ONCE = 48  # crops before the rest is folded away
_CROP_SIDE = 176  # pixels; twice the size on the page, sharp on a phone's dense screen


@dataclass(frozen=True)
class NumberedCell:
    """A cell and where it stands in the record.

    Attributes:
        field: number of its field.
        number: its own number in that field, from 1.
        reading: what was found.
    """

    field: int
    number: int
    reading: CellReading


@dataclass(frozen=True)
class Gallery:
    """Cells for review.

    Attributes:
        shown: in sight.
        folded: behind a click.
        left_out: number of further cells, which are in the record only.
    """

    shown: list[NumberedCell]
    folded: list[NumberedCell]
    left_out: int


def numbered(field: FieldReading) -> list[NumberedCell]:
    """Return the cells of a field with their numbers."""
    return [NumberedCell(field.number, number, cell) for number, cell in enumerate(field.cells, start=1)]


def gallery(cells: list[NumberedCell], parasitized: Sequence[str]) -> Gallery:
    """Order cells for review: those of classes that count as parasitized, then the most confident first."""

    def order(cell: NumberedCell) -> tuple[bool, float]:
        confidence = cell.reading.values.get(CONFIDENCE, math.nan)
        return cell.reading.label not in parasitized, math.inf if math.isnan(confidence) else -confidence

    ordered = sorted(cells, key=order)
    shown = ordered[:MOST_SHOWN]
    return Gallery(shown[:_SHOWN_AT_ONCE], shown[_SHOWN_AT_ONCE:], len(ordered) - len(shown))


def counted(field: FieldReading) -> str:
    """Return how many cells of a field have which answer."""
    by_status = Counter(cell.status for cell in field.cells)
    return ", ".join(f"{by_status[status]} {words(status)}" for status in PENS)


def describe(cell: CellReading, header: SlideHeader) -> str:
    """Return a cell's answer as plain text."""
    if cell.status == "not-judged":
        return f"not judged: {why(cell, header)}"
    label = f"{cell.label}, probability {probability(cell.probability)}"
    return f"rejected: {why(cell, header)}; {label}" if cell.status == "rejected" else label


def why(cell: CellReading, header: SlideHeader) -> str:
    """Return every reason why a cell was rejected, gravest first, or why it was not judged; in words.

    A code that nobody explains stays as it is.
    """
    sentences = WHY_NOT_CUT if cell.status == "not-judged" else header.sentences
    failed = [test.sentence for test in cell.failed(header.tests)]
    return ", ".join(dict.fromkeys([sentences.get(cell.reason, cell.reason), *failed]))


def words(status: str) -> str:
    """Return an answer as a person reads it."""
    return status.replace("-", " ")


def probability(share: float) -> str:
    """Return a probability as a percentage; no classifier is certain, so 99.97 % is not rounded to 100."""
    if math.isnan(share):
        return "unknown"
    return "over 99\u00a0%" if share > 0.99 else f"{100 * share:.0f}\u00a0%"


def data_uri(data: bytes, kind: str) -> str:
    """Return an encoded picture as the address of itself; `kind` is "png" or "jpeg"."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def thumbnail(png: bytes) -> bytes:
    """Shrink a large crop; a small one stays as it was judged."""
    side = max(int.from_bytes(png[16:20]), int.from_bytes(png[20:24]))  # PNG's first chunk
    if side <= _CROP_SIDE:
        return png
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return b""
    height, width = (max(1, round(length * _CROP_SIDE / side)) for length in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".png", small)[1].tobytes()
