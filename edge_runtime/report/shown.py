"""What the report shows of cells and fields, gathered in one pass over the record.

One field is in memory at a time. What is kept of it are its pictures as the report shows them, which together
have no more bytes than the budget allows, and the words beside them.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import Box
from edge_runtime.decision.table import CONFIDENCE, SUSPECT
from edge_runtime.record.readings import Counts, FieldReading, SlideHeader
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.budget import MOST_PAGES, MOST_REJECTED, PAGE, Allowances, allowances
from edge_runtime.report.colours import PENS
from edge_runtime.report.pictures import (
    NumberedCell,
    cell_picture,
    field_picture,
    map_picture,
    numbered,
    overview,
)
from edge_runtime.report.texts import Texts
from edge_runtime.report.wording import Answer, answer_of, describe, label_of, named, stop_told, tally, whys

_THUMBNAIL = 160  # pixels; beyond it a field's picture is decoded in full
_MARKED = ("parasitized", "suspect")
_SHOWN = (*_MARKED, "rejected")

T = TypeVar("T")


@dataclass(frozen=True)
class ShownCell:
    """A cell in a gallery.

    Attributes:
        field: number of its field.
        number: its own number in that field, from 1.
        label: the classifier's class; empty where the answer says it already.
        probability: of it, as a person reads it.
        also: further reasons why it was rejected.
        answer: in words, for whoever does not see the picture.
        picture: WebP of the cell amid its surroundings.
        map: WebP of the pixels behind the decision; empty where there is none.
        order: smaller stands before larger.
    """

    field: int
    number: int
    label: str
    probability: str
    also: str
    answer: str
    picture: bytes
    map: bytes
    order: tuple[bool, float]


@dataclass(frozen=True)
class ShownField:
    """A field in the list of all of them.

    Attributes:
        number: of the field.
        name: of its frame, and when it was seen.
        stop: why it is not counted, and what to do; empty if it is.
        counts: how many cells have which answer, gravest first.
        picture: WebP.
        size: width and height of the frame in pixels.
        boxes: of the cells that are marked, by answer, with what is said of each; no words where there are
            too many cells.
    """

    number: int
    name: str
    stop: str
    counts: tuple[tuple[Answer, int], ...]
    picture: bytes
    size: tuple[int, int]
    boxes: Mapping[Answer, Sequence[tuple[Box, str]]]


@dataclass(frozen=True)
class Shown:
    """What a report shows.

    Attributes:
        allowed: how many bytes each picture had.
        parasitized: every such cell, most confident first.
        suspect: every such cell; those first that the classifier would have called parasitized.
        rejected: cells rejected for another reason, by its code, gravest first; all, or some of each.
        fields: every field, counted or not, in the order of reading.
    """

    allowed: Allowances
    parasitized: list[ShownCell]
    suspect: list[ShownCell]
    rejected: dict[str, list[ShownCell]]
    fields: list[ShownField]


def gather(record: SlideRecord, header: SlideHeader, counts: Counts, texts: Texts) -> Shown:
    """Go through a record once.

    Args:
        record: of the slide.
        header: of it.
        counts: its cells by answer.
        texts: of the report's language.
    """
    allowed = allowances(counts)
    most = MOST_REJECTED if counts.rejected - counts.suspect <= MOST_REJECTED else PAGE
    lists: dict[tuple[Answer, str, bool], list[ShownCell]] = defaultdict(list)
    fields = []
    for field in record.fields():
        maps = record.maps(field.number)
        wanted = [cell for cell in numbered(field, maps) if answer_of(cell.reading) in _SHOWN]
        pixels = overview(field, least=0 if wanted or allowed.large else _THUMBNAIL)
        for cell in wanted:
            answer, other = answer_of(cell.reading), cell.reading.label not in header.parasitized
            into = lists[answer, cell.reading.reason, other]
            if answer in _MARKED or len(into) < most:
                into.append(_shown_cell(cell, field, pixels, allowed, header, texts))
        fields.append(_shown_field(field, field_picture(pixels, allowed.field), allowed, header, texts))

    def listed(answer: Answer, reason: str) -> list[ShownCell]:
        cells = [*lists[answer, reason, False], *lists[answer, reason, True]]
        return sorted(cells, key=lambda cell: cell.order)

    reasons = [*counts.reasons, *(reason for answer, reason, _ in lists if answer == "rejected")]
    rejected = {code: listed("rejected", code)[:most] for code in reasons if code != SUSPECT.code}
    return Shown(allowed, listed("parasitized", ""), listed("suspect", SUSPECT.code), rejected, fields)


def pages(items: Sequence[T]) -> Iterator[tuple[int, Sequence[T]]]:
    """Items page by page, each with the number of its first one, from 1."""
    size = PAGE * max(1, math.ceil(len(items) / (PAGE * MOST_PAGES)))
    for start in range(0, len(items), size):
        yield start + 1, items[start : start + size]


def _shown_cell(
    cell: NumberedCell,
    field: FieldReading,
    pixels: NDArray[np.uint8],
    allowed: Allowances,
    header: SlideHeader,
    texts: Texts,
) -> ShownCell:
    reading = cell.reading
    allowance = allowed.flagged if answer_of(reading) in _MARKED else allowed.rejected
    if cell.map:  # shares what the cell may have
        allowance //= 2
    confidence = reading.values.get(CONFIDENCE, math.nan)
    return ShownCell(
        field=cell.field,
        number=cell.number,
        label="" if reading.label == reading.status else label_of(reading, texts),
        probability=texts.probability(reading.probability),
        also=", ".join(whys(reading, header, texts)[1:]) if reading.status == "rejected" else "",
        answer=describe(reading, header, texts),
        picture=cell_picture(pixels, field, reading, allowed.context, allowance),
        map=map_picture(cell.map, allowance),
        order=(reading.label not in header.parasitized, math.inf if math.isnan(confidence) else -confidence),
    )


def _shown_field(
    field: FieldReading, picture: bytes, allowed: Allowances, header: SlideHeader, texts: Texts
) -> ShownField:
    boxes: dict[Answer, list[tuple[Box, str]]] = {
        answer: [] for answer in reversed([*PENS])
    }  # gravest on top
    for number, cell in enumerate(field.cells, start=1):
        answer = answer_of(cell)
        if allowed.every_box:
            told = texts.say("cell.numbered", cell=str(number), answer=describe(cell, header, texts))
            boxes[answer].append((cell.box, told))
        elif answer in _MARKED:
            boxes[answer].append((cell.box, ""))
    found = tally(field)
    return ShownField(
        number=field.number,
        name=named(field, texts),
        stop=stop_told(header.stops[field.reason], texts) if field.reason else "",
        counts=tuple((answer, found[answer]) for answer in PENS if found[answer]),
        picture=picture,
        size=(field.width, field.height),
        boxes={answer: cells for answer, cells in boxes.items() if cells},
    )
