"""The pictures of a slide's report: galleries of cells, and fields with a box around every cell."""

import base64
import math
from collections import Counter
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np

from edge_runtime.decision import table
from edge_runtime.slide.readings import CellReading, FieldReading, Status

MOST_SHOWN = 200  # crops per gallery; at some 10 kB each a phone still opens the report
_SHOWN_AT_ONCE = 48  # crops before the rest is folded away
_CROP_SIDE = 176  # pixels; twice the size on the page, sharp on a phone's dense screen

# Drawn in this order, the gravest on top. The answers differ in dashes and width as well as in colour, and
# rejected is never green: it must not pass for a good cell at a glance.
_PENS: dict[Status, str] = {
    "uninfected": 'stroke="#17753a" stroke-width="1.5"',
    "not-judged": 'stroke="#4a4f55" stroke-width="1.5" stroke-dasharray="1.5 3"',
    "rejected": 'stroke="#33383d" stroke-width="2.5" stroke-dasharray="6 4"',
    "parasitized": 'stroke="#c4121f" stroke-width="3.5"',
}
_LEGEND: dict[Status, str] = {
    "parasitized": "Parasitized: thick red line",
    "uninfected": "Uninfected: thin green line",
    "rejected": "Rejected: dashed grey line",
    "not-judged": "Not judged: dotted grey line",
}
_NOT_JUDGED = {
    "edge": "cut by the edge",
    "clump": "clumped",
    "too-small": "too small",
    "too-dark": "too dark",
}


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


def reason_text(reason: str) -> str:
    """Return a reason code in words, as plain text; an unknown code stays as it is."""
    rejected = {test.reason.code: test.reason.sentence for test in table.TESTS}
    return (rejected | _NOT_JUDGED).get(reason, reason)


def parasitized_first(cells: list[NumberedCell]) -> list[NumberedCell]:
    """Order cells for review: those labelled parasitized first, then by score, highest first."""

    def order(cell: NumberedCell) -> tuple[bool, float]:
        score = cell.reading.values.get("confidence", math.nan)
        return cell.reading.label != "parasitized", math.inf if math.isnan(score) else -score

    return sorted(cells, key=order)


def gallery(cells: list[NumberedCell]) -> str:
    """Return crops as HTML: the first few in sight, more folded away, the last only counted."""
    shown = cells[:MOST_SHOWN]
    parts = [_crops(shown[:_SHOWN_AT_ONCE])]
    folded = shown[_SHOWN_AT_ONCE:]
    if folded:
        parts.append(f"<details><summary>Show {len(folded)} more</summary>{_crops(folded)}</details>")
    if len(cells) > len(shown):
        parts.append(f'<p class="soft">{len(cells) - len(shown):,} more are in the slide record only.</p>')
    return "\n".join(parts)


def legend() -> str:
    """Return the key to the boxes as HTML."""
    entries = "\n".join(
        f'<li><svg viewBox="0 0 40 30" aria-hidden="true"><g {_PENS[status]}>'
        f'<rect x="6" y="5" width="28" height="20"/></g></svg>{text}</li>'
        for status, text in _LEGEND.items()
    )
    return f'<ul class="legend">\n{entries}\n</ul>'


def field_figure(field: FieldReading) -> str:
    """Return one field as HTML: its counts, and its overview with a box around every cell."""
    by_status = Counter(cell.status for cell in field.cells)
    counted = ", ".join(f"{by_status[status]} {_words(status)}" for status in _LEGEND)
    boxes = "\n".join(_boxes(field, status) for status in _PENS)
    return f"""<figure class="field" id="field-{field.number}">
<figcaption><h3>Field {field.number} <span class="soft note">{escape(field.name)}</span></h3>
<span class="note">{counted}</span></figcaption>
<div class="view">
<img src="{_data_uri("jpeg", field.overview)}" width="{field.width}" height="{field.height}"
 loading="lazy" alt="Field {field.number}: {counted}">
<svg viewBox="0 0 {field.width} {field.height}" preserveAspectRatio="none" aria-hidden="true">
{boxes}
</svg></div></figure>"""


def _crops(cells: list[NumberedCell]) -> str:
    return '<ul class="crops">\n' + "\n".join(map(_crop, cells)) + "\n</ul>"


def _crop(cell: NumberedCell) -> str:
    reading = cell.reading
    probability = _probability(reading.probability)
    place, answer = f"Field {cell.field}", probability
    if reading.status == "rejected":
        answer = f"{escape(reading.label)} {probability}"
        answer = f"<span>{answer}</span><span>{escape(reason_text(reading.reason))}</span>"
    alt = escape(f"Cell {cell.number} of field {cell.field}, {_describe(reading)}")
    return (
        f'<li><img src="{_data_uri("png", _thumbnail(reading.crop))}" alt="{alt}" loading="lazy">'
        f'<a href="#field-{cell.field}">{place}</a> {answer}</li>'
    )


def _boxes(field: FieldReading, status: Status) -> str:
    rects = "\n".join(
        '<rect x="{}" y="{}" width="{}" height="{}">'.format(*cell.box)
        + f"<title>Cell {number}: {escape(_describe(cell))}</title></rect>"
        for number, cell in enumerate(field.cells, start=1)
        if cell.status == status
    )
    return f'<g class="{status}" {_PENS[status]}>\n{rects}\n</g>'


def _describe(cell: CellReading) -> str:
    """Return a cell's answer as plain text."""
    if cell.status == "not-judged":
        return f"not judged: {reason_text(cell.reason)}"
    label = f"{cell.label}, probability {_probability(cell.probability)}"
    return f"rejected: {reason_text(cell.reason)}; {label}" if cell.status == "rejected" else label


def _words(status: Status) -> str:
    return status.replace("-", " ")


def _probability(probability: float) -> str:
    """No classifier is certain, so 99.97 % is not rounded to 100."""
    if math.isnan(probability):
        return "unknown"
    return "over 99\u00a0%" if probability > 0.99 else f"{100 * probability:.0f}\u00a0%"


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _thumbnail(png: bytes) -> bytes:
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
