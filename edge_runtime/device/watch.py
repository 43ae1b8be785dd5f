"""Is a device still what it was, and what is to be done if not? What its history says, in one answer.

An alarm of a chart asks for the quality slide. Another one soon after it says that numbers must not be taken
from this device's slides meanwhile; so do a quality slide that does not read as before, and known-negative
slides with more false positives than the bundle states.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from edge_runtime.device.charts import SUMS, Chart, State, shares_chart, sums_chart
from edge_runtime.device.entries import Entry, History, Kind
from edge_runtime.statistics.control import exceeds, interval_of, repeated
from edge_runtime.statistics.intervals import Interval
from edge_runtime.statistics.rates import UNKNOWN, MeasuredRate

SAME = 0.99  # share of readings of one slide in order that are told as before
REPEATS = 10  # first readings of a slide that say what it reads like

_KINDS: tuple[Kind, ...] = ("patient", "known-negative", "quality")
_GRAVEST: tuple[State, ...] = ("alarm", "warning", "ok", "learning")
_NO_NUMBERS = "take no numbers from this device's slides"
_FIT = "fit the bundle anew with 'cellgate recalibrate'"


@dataclass(frozen=True)
class FalsePositives:
    """What known-negative slides say of the rate of false positives, per cell that was asked.

    Attributes:
        rate: on these slides, all readings by the latest bundle.
        interval: 95 % bounds of its mean over slides.
        stated: by the bundle's manifest.
        stated_interval: likewise.
        exceeded: whether the rate is larger than that, beyond the doubts of both.
    """

    rate: MeasuredRate
    interval: Interval
    stated: MeasuredRate
    stated_interval: Interval
    exceeded: bool


@dataclass(frozen=True)
class QualitySlide:
    """The last reading of a quality slide, against those before it.

    Attributes:
        slide: its code.
        readings: how many it is compared with: the first ones by the same bundle that were in order.
        called: share of the asked cells that is called parasitized.
        called_before: between which shares that lies in order.
        rejected: share of the whole cells that is rejected.
        rejected_before: likewise.
        as_before: whether both lie within; None of the first reading.
    """

    slide: str
    readings: int
    called: float
    called_before: Interval
    rejected: float
    rejected_before: Interval
    as_before: bool | None


@dataclass(frozen=True)
class Watch:
    """What the history of a device says; `device --json` prints it by these names.

    Attributes:
        slides: how many were entered, and since the last recalibration, by kind.
        bundle: title of the bundle of the last slide.
        recalibrated: when it was last; empty if never.
        state: the gravest of all.
        charts: one for each thing that is looked at.
        quality: the last reading of a quality slide; None if there is none.
        false_positives: of known-negative slides.
        advice: what to do, gravest first; empty if nothing.
    """

    slides: dict[str, int]
    bundle: str
    recalibrated: str
    state: State
    charts: tuple[Chart, ...]
    quality: QualitySlide | None
    false_positives: FalsePositives
    advice: tuple[str, ...]


def watch(history: History) -> Watch:
    """Say how a device is."""
    entries = history.since_recalibration
    bundle = entries[-1].bundle_digest if entries else ""
    of_bundle = tuple(entry for entry in entries if entry.bundle_digest == bundle)
    readings = quality_readings(entries)
    in_order = {number for number, reading in readings.items() if reading.as_before}
    compared = {"all": entries, "bundle": of_bundle}
    charts = (
        shares_chart(of_bundle, in_order),
        *(sums_chart(watched, compared[watched.compared], in_order) for watched in SUMS),
    )
    quality = readings[max(readings)] if readings else None
    negative = false_positives(history.entries, bundle)
    spoilt = negative.exceeded or (quality is not None and quality.as_before is False)
    states = {chart.state for chart in charts} | ({"alarm"} if spoilt else set())
    return Watch(
        slides={kind: sum(entry.kind == kind for entry in entries) for kind in _KINDS},
        bundle=history.entries[-1].bundle if history.entries else "",
        recalibrated=history.recalibrations[-1].at if history.recalibrations else "",
        state=next(state for state in _GRAVEST if state in states),
        charts=charts,
        quality=quality,
        false_positives=negative,
        advice=tuple(_advice(charts, quality, negative)),
    )


def quality_readings(entries: Sequence[Entry]) -> dict[int, QualitySlide]:
    """Every reading of a quality slide, by its number, against those before it that were in order."""
    before: dict[tuple[str, str], list[Entry]] = {}
    found = {}
    for entry in entries:
        if entry.kind != "quality":
            continue
        earlier = before.setdefault((entry.slide, entry.bundle_digest), [])
        reading = _against(entry, earlier)
        if reading.as_before is not False and len(earlier) < REPEATS:
            earlier.append(entry)
        found[entry.number] = reading
    return found


def _against(entry: Entry, earlier: Sequence[Entry]) -> QualitySlide:
    called, called_before = _within(entry.called, entry.asked, [(e.called, e.asked) for e in earlier])
    rejected, rejected_before = _within(entry.rejected, entry.whole, [(e.rejected, e.whole) for e in earlier])
    within = all(
        interval.low <= share <= interval.high
        for share, interval in ((called, called_before), (rejected, rejected_before))
    )
    return QualitySlide(
        slide=entry.slide,
        readings=len(earlier),
        called=called,
        called_before=called_before,
        rejected=rejected,
        rejected_before=rejected_before,
        as_before=within if earlier else None,
    )


def _within(hits: int, cells: int, before: Sequence[tuple[int, int]]) -> tuple[float, Interval]:
    """A share of no cells lies nowhere."""
    if not cells:
        return math.nan, Interval(0.0, 1.0)
    return hits / cells, repeated(_rate_of(tuple(before)), cells, SAME)


@lru_cache(maxsize=8)  # the same for every later reading
def _rate_of(readings: tuple[tuple[int, int], ...]) -> MeasuredRate:
    return MeasuredRate.of_patients([hits for hits, _ in readings], [cells for _, cells in readings])


def false_positives(entries: Sequence[Entry], bundle: str) -> FalsePositives:
    """What the known-negative slides say that a bundle has decided; a slide that was read twice is one."""
    counted: dict[str, tuple[int, int]] = {}
    stated = UNKNOWN
    for entry in entries:
        if entry.bundle_digest == bundle:
            stated = entry.false_positives
            if entry.kind == "known-negative":
                called, asked = counted.get(entry.slide, (0, 0))
                counted[entry.slide] = called + entry.called, asked + entry.asked
    rate = MeasuredRate.of_patients(*zip(*counted.values(), strict=True)) if counted else UNKNOWN
    return FalsePositives(rate, interval_of(rate), stated, interval_of(stated), exceeds(rate, stated))


def _advice(charts: Sequence[Chart], quality: QualitySlide | None, negative: FalsePositives) -> Iterator[str]:
    alarms = [chart for chart in charts if chart.state == "alarm"]
    if quality is not None and quality.as_before is False:
        yield (
            f"quality slide {quality.slide} does not read as before: {_NO_NUMBERS} until it does; check "
            f"lamp, condenser, focus and camera, and read it again. What was changed for good: {_FIT}"
        )
    if negative.exceeded:
        yield (
            "known-negative slides have more false positives than the bundle states: "
            f"{_NO_NUMBERS}; look at the called cells in their reports, and {_FIT}"
        )
    for chart in alarms:
        yield f"{chart.name}: {chart.sentence}, told on slide {chart.alarm}; {chart.advice}"
    if any(chart.again for chart in alarms):
        yield f"the second alarm in short time: {_NO_NUMBERS} until the cause is found, or {_FIT}"
    elif alarms:
        yield "read the quality slide: it tells whether the microscope or the slides have changed"
    for chart in charts:
        if chart.state == "warning":
            yield f"{chart.name}: the last slide lies above the line; one more such slide is an alarm"
