"""What a slide, a field and a cell are told as, by the same names in the tables and in JSON."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edge_runtime.clock import reliable
from edge_runtime.record.readings import Call, CellReading, FieldReading, SlideHeader
from edge_runtime.report.colours import PENS
from edge_runtime.report.estimate import Estimate
from edge_runtime.report.pictures import NumberedCell
from edge_runtime.report.summary import SlideSummary
from edge_runtime.statistics.intervals import LEVEL

Calls = Mapping[tuple[int, int], Call]  # the last call of each cell, by the numbers of field and cell
Entry = dict[str, Any]

_BOX = ("x", "y", "width", "height")
# Of what is a number and no plain count: dotted names lead into what is nested.
UNITS = {
    "share": "of the red cells that were asked, 0 to 1",
    "interval": "of the red cells that were asked, 0 to 1",
    "interval.level": "0 to 1",
    "interval.per_microlitre": "parasitized red cells in a microlitre of blood",
    "limit_of_detection.share": "of the red cells that were asked, 0 to 1",
    "limit_of_detection.per_microlitre": "parasitized red cells in a microlitre of blood",
    "limit_of_detection.critical_count": "cells",
    "red_cells.per_microlitre": "red cells in a microlitre of blood",
    "counts": "cells",
    "counts.fields": "frames",
    "counts.skipped": "frames",
    "counts.stopped": "frames",
    "counts.stops": "frames",
    "fields.moment": "seconds from the start of the video or live source",
    "fields.width": "pixels",
    "fields.height": "pixels",
    "fields.cells": "cells",
    "cells.box": "pixels of the frame, from its upper left corner",
    "cells.probability": "of the label, 0 to 1",
}


def slide_entry(header: SlideHeader) -> Entry:
    """What holds for the whole slide; times that cannot be true are None."""
    return {
        **asdict(header),
        "started": reliable(header.started),
        "finished": reliable(header.finished),
    }


def numbers(summary: SlideSummary) -> Entry:
    """What was counted and what follows from it; None wherever the slide gives no number."""
    found = summary.estimate
    return {
        "counts": asdict(summary.counts),
        "verdict": asdict(summary.verdict),
        "share": None if found is None else {"apparent": found.share, "corrected": found.corrected},
        "interval": None if found is None else _interval(found),
        "limit_of_detection": _limit(found),
        "red_cells": None if found is None else asdict(found.red_cells),
    }


def _interval(found: Estimate) -> Entry:
    density = found.red_cells.density
    ends = asdict(found.interval)
    return {
        **ends,
        "level": LEVEL,
        "per_microlitre": {end: density(share) for end, share in ends.items()},
    }


def _limit(found: Estimate | None) -> Entry | None:
    if found is None or found.detectable is None:
        return None
    return {
        "share": found.detectable,
        "per_microlitre": found.red_cells.density(found.detectable),
        "critical_count": found.critical,
    }


def field_entry(field: FieldReading, header: SlideHeader) -> Entry:
    """A field without its cells; its reason is empty where they count."""
    by_status = Counter(cell.status for cell in field.cells)
    return {
        "field": field.number,
        "name": field.name,
        "moment": field.moment,
        "read_at": reliable(field.read_at),
        "width": field.width,
        "height": field.height,
        "reason": field.reason,
        "values": {gate.name: _number(field.values, gate.name) for gate in header.gates},
        "cells": {status.replace("-", "_"): by_status[status] for status in PENS},
    }


def cell_entry(cell: NumberedCell, header: SlideHeader, calls: Calls) -> Entry:
    """A cell with the model's answer and, beside it, a person's."""
    reading = cell.reading
    return {
        "field": cell.field,
        "cell": cell.number,
        "box": dict(zip(_BOX, reading.box, strict=True)),
        "status": reading.status,
        "reason": reading.reason,
        "label": reading.label,
        "probability": None if math.isnan(reading.probability) else reading.probability,
        "values": {test.name: _number(reading.values, test.name) for test in header.tests},
        "call": call_entry(calls.get((cell.field, cell.number))),
    }


def call_entry(call: Call | None) -> Entry | None:
    """What a person said of a cell; None where nobody did."""
    if call is None:
        return None
    return {
        "answer": call.answer,
        "remark": call.remark,
        "reviewer": call.reviewer,
        "at": reliable(call.at),
    }


def answer_of(cell: CellReading) -> str:
    """The model's answer in one word: the class where it was accepted, else what became of the cell."""
    return cell.status if cell.status in {"rejected", "not-judged"} else cell.label


def _number(values: Mapping[str, float], name: str) -> float | None:
    value = values.get(name, math.nan)
    return value if math.isfinite(value) else None
