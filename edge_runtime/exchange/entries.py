"""What a slide, a field and a cell are told as, by the same names in the tables and in JSON."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from edge_runtime.clock import reliable
from edge_runtime.record.readings import Call, Counts, FieldReading, SlideHeader, Status
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.estimate import Estimate
from edge_runtime.report.pictures import NumberedCell
from edge_runtime.report.summary import SlideSummary, summarise
from edge_runtime.report.verdict import Verdict
from edge_runtime.statistics.intervals import LEVEL

Entry = dict[str, Any]
STATUSES = tuple(status.replace("-", "_") for status in get_args(Status))  # as `Counts` has them

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


@dataclass(frozen=True)
class Slide:
    """A slide as it leaves its record; its fields and cells come one at a time.

    Attributes:
        summary: its numbers.
        calls: of people, the last of each cell, by the numbers of field and cell.
        seal: the digest that stands for all of the record.
        clock_doubts: why no time in the record can be trusted; empty if they can.
    """

    summary: SlideSummary
    calls: Mapping[tuple[int, int], Call]
    seal: str
    clock_doubts: tuple[str, ...]

    @property
    def header(self) -> SlideHeader:
        """What holds for the whole slide."""
        return self.summary.header

    def time(self, stamp: str | None) -> str | None:
        """A time that the record has, None where the clock cannot be trusted."""
        return None if self.clock_doubts else reliable(stamp)


def slide_of(record: SlideRecord) -> Slide:
    """What leaves a record, but for its fields and cells."""
    return Slide(summarise(record), record.latest_calls(), record.seal(), tuple(record.clock_doubts()))


def slide_entry(slide: Slide) -> Entry:
    """What holds for the whole slide."""
    header = slide.header
    times = {"started": slide.time(header.started), "finished": slide.time(header.finished)}
    return {**asdict(header), **times, "clock_doubts": slide.clock_doubts, "seal": slide.seal}


def numbers(summary: SlideSummary) -> Entry:
    """What was counted and what follows from it, by the model alone and after review.

    None wherever the slide gives no number, or nobody has reviewed it.
    """
    after = summary.reviewed
    alone = _numbers(summary.counts, summary.verdict, summary.estimate)
    if after is None:
        return {**alone, "reviewed": None}
    found = _numbers(after.counts, after.verdict, after.estimate)
    told = {"reviewers": after.reviewers, "cells": after.cells, "waiting": after.waiting}
    return {**alone, "reviewed": {**told, **found}}


def _numbers(counts: Counts, end: Verdict | None, found: Estimate | None) -> Entry:
    return {
        "counts": asdict(counts),
        "verdict": None if end is None else asdict(end),
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


def field_entry(field: FieldReading, slide: Slide) -> Entry:
    """A field without its cells; its reason is empty where they count."""
    by_status = Counter(cell.status.replace("-", "_") for cell in field.cells)
    return {
        "field": field.number,
        "name": field.name,
        "moment": field.moment,
        "read_at": slide.time(field.read_at),
        "width": field.width,
        "height": field.height,
        "reason": field.reason,
        "values": {gate.name: _number(field.values, gate.name) for gate in slide.header.gates},
        "cells": {status: by_status[status] for status in STATUSES},
    }


def cell_entry(cell: NumberedCell, slide: Slide) -> Entry:
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
        "values": {test.name: _number(reading.values, test.name) for test in slide.header.tests},
        "call": _call_entry(cell, slide),
    }


def _call_entry(cell: NumberedCell, slide: Slide) -> Entry | None:
    """What a person said of a cell; None where nobody did."""
    call = slide.calls.get((cell.field, cell.number))
    if call is None:
        return None
    return {
        "answer": call.answer,
        "remark": call.remark,
        "reviewer": call.reviewer,
        "at": slide.time(call.at),
    }


def _number(values: Mapping[str, float], name: str) -> float | None:
    value = values.get(name, math.nan)
    return value if math.isfinite(value) else None
