"""A slide in the history of a device, and the history as it is read."""

import hashlib
import json
import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from edge_runtime.decision import table
from edge_runtime.errors import SourceError
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.summary import summarise
from edge_runtime.statistics.rates import MeasuredRate

Kind = Literal["patient", "known-negative", "quality"]

_OF_FIELDS = ("sharpness", "brightness", "warmth", "tint")  # gates


@dataclass(frozen=True)
class Entry:
    """One slide that was read to its end.

    Attributes:
        number: from 1, in the order of entering.
        identity: sha256 of what no other reading has: code, source, time and bundle.
        slide: its code.
        folder: name of its folder, beside the history.
        finished: UTC, ISO 8601.
        bundle: title of the bundle that decided.
        bundle_digest: its sha256.
        usual: share of cells that this bundle rejects on an ordinary slide.
        correlation: of rejection among the cells of such a slide.
        false_positives: of this bundle, as its manifest states them.
        verdict: the word of it (see `report.verdict`).
        unusual: whether too many of its cells were rejected for an ordinary slide.
        fields: that count.
        stopped: frames that did not pass a gate.
        judged: cells that were classified.
        whole: of these whole cells, but for suspects, which are as many as there are parasites.
        rejected: of these rejected.
        asked: cells that were asked for a parasite.
        called: of these called parasitized.
        confidence: median over the whole cells, accepted or not; no number where there are none.
        sharpness: median of this gate's value over the fields that count; likewise.
        brightness: likewise.
        warmth: likewise.
        tint: likewise.
        kind: whose slide it is, as it was told last.
    """

    number: int
    identity: str
    slide: str
    folder: str
    finished: str
    bundle: str
    bundle_digest: str
    usual: float
    correlation: float
    false_positives: MeasuredRate
    verdict: str
    unusual: bool
    fields: int
    stopped: int
    judged: int
    whole: int
    rejected: int
    asked: int
    called: int
    confidence: float
    sharpness: float
    brightness: float
    warmth: float
    tint: float
    kind: Kind = "patient"


@dataclass(frozen=True)
class Recalibrated:
    """A bundle that was fitted to the site's slides: what is ordinary is learned anew after it.

    Attributes:
        after: number of the last slide before it; 0 if none.
        site: its name.
        bundle: title of the bundle that was made.
        at: UTC, ISO 8601.
    """

    after: int
    site: str
    bundle: str
    at: str


@dataclass(frozen=True)
class History:
    """What has happened on a device so far.

    Attributes:
        entries: its slides in the order of entering.
        recalibrations: likewise.
    """

    entries: tuple[Entry, ...]
    recalibrations: tuple[Recalibrated, ...] = ()

    @property
    def since_recalibration(self) -> tuple[Entry, ...]:
        """The slides after the last recalibration; all where there was none."""
        after = self.recalibrations[-1].after if self.recalibrations else 0
        return tuple(entry for entry in self.entries if entry.number > after)


def row_of(record: SlideRecord, folder: str) -> dict[str, Any]:
    """A slide as the table has it, but for its number and kind.

    Raises:
        SourceError: it was not read to its end.
    """
    if record.header().finished is None:
        raise SourceError(
            f"{record.path}: was not read to its end; give the same command again, and it goes on"
        )
    summary = summarise(record)
    header, counts, group = summary.header, summary.counts, summary.group
    reading = [header.slide, header.source, header.started, header.bundle_digest]
    return {
        "identity": hashlib.sha256(json.dumps(reading).encode()).hexdigest(),
        "slide": header.slide,
        "folder": folder,
        "finished": header.finished,
        "bundle": header.bundle,
        "bundle_digest": header.bundle_digest,
        "usual": header.usual,
        "correlation": header.correlation,
        "false_positives": json.dumps(asdict(header.false_positives)),
        "verdict": summary.verdict.word,
        "unusual": group.alarm,
        "fields": counts.fields,
        "stopped": counts.stopped,
        "judged": counts.judged,
        "whole": group.cells,
        "rejected": group.rejected,
        "asked": counts.asked,
        "called": counts.parasitized,
        **_medians(record),
    }


def _medians(record: SlideRecord) -> dict[str, float]:
    """Of the whole cells' confidence, and of the gates' values over the fields that count."""
    no_cells = {test.reason for test in record.header().tests if not test.whole}
    values = defaultdict[str, list[float]](list)
    for gates in record.gate_values():
        for name in _OF_FIELDS:
            values[name].append(gates.get(name, math.nan))
    values["confidence"] = [
        tests[table.CONFIDENCE]
        for reason, tests in record.test_values()
        if reason not in no_cells and table.CONFIDENCE in tests
    ]
    return {name: _median(values[name]) for name in ("confidence", *_OF_FIELDS)}


def _median(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan


def entry_of(row: dict[str, Any], kind: Kind) -> Entry:
    """A slide from its row of the table, where what is no number is NULL."""
    known: dict[str, Any] = {name: math.nan if value is None else value for name, value in row.items()}
    known["false_positives"] = MeasuredRate.noted(json.loads(row["false_positives"]))
    return Entry(**known | {"unusual": bool(row["unusual"])}, kind=kind)
