"""The charts of a device: its slides one after the other, each chart with one question.

An alarm stays until somebody acts: a quality slide that reads as before shows that the microscope is in
order, and sets the chart back; a recalibration begins it anew.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edge_runtime.device.entries import Entry
from edge_runtime.statistics.control import LIMIT, Reference, Sums, share_tail
from edge_runtime.statistics.rates import MeasuredRate

State = Literal["learning", "ok", "warning", "alarm"]

# The share of a slide lies above its line on 2 ordinary slides of 100, and on two running once in 2,550: for
# a share q that is (1 + q) / q^2 slides (Feller, An Introduction to Probability Theory I, XIII.7).
LINE, RUNNING = 0.02, 2
SITE = 30  # ordinary slides after which the site's own share and spread take the place of the manifest's
SETTLED = 100  # slides that a reference is made of: later ones must not teach it a slow change
STRANGE = 4.0  # standard deviations: as much as one slide may tell, and what teaches nothing
AGAIN = 50  # slides within which an alarm is the second one
_RAREST = 1e-12  # probability
FEWEST_CELLS = 100  # whole cells of a slide, or it tells little of the device


@dataclass(frozen=True)
class Watched:
    """What a chart of sums looks at.

    Attributes:
        name: of the chart.
        value: attribute of an entry.
        alarm: what sounds it, in the long run: a fall of the value, or a fall and a rise.
        least: standard deviation between slides below which no difference matters; judged, not measured.
        compared: whether with all slides, or with those that the same bundle decided.
        sentence: what has happened, in an alarm.
        advice: what to check.
    """

    name: str
    value: str
    alarm: Literal["low", "both"]
    least: float
    compared: Literal["all", "bundle"]
    sentence: str
    advice: str


REJECTION, DISTANCE, FOCUS = "rejection", "distance", "focus"
_STAIN = "check stain, buffer and light"
_LENS = "clean the objective, and check the fine focus and the thickness of the cover glass"
_LAMP = "check lamp, condenser and exposure"
_BALANCE = "check lamp and filters, and set the camera's white balance on an empty place of the slide"
_UNLIKE = "cells are less like the training cells"
_OTHER_COLOUR = "the light's colour has changed"
SUMS: tuple[Watched, ...] = (
    Watched(DISTANCE, "confidence", "low", 0.05, "bundle", _UNLIKE, _STAIN),
    Watched(FOCUS, "sharpness", "low", 0.5, "all", "pictures are less sharp", _LENS),
    Watched("light", "brightness", "both", 2.0, "all", "the light has changed", _LAMP),
    Watched("warmth", "warmth", "both", 0.02, "all", _OTHER_COLOUR, _BALANCE),
    Watched("tint", "tint", "both", 0.02, "all", _OTHER_COLOUR, _BALANCE),
)


@dataclass(frozen=True)
class Chart:
    """One chart of a device's slides.

    Attributes:
        name: of what it looks at.
        state: "learning" while nothing can be said yet, "warning" after one share above its line, "alarm"
            until somebody acts.
        heights: of every slide: 0 is ordinary, more than 1 beyond the line.
        alarm: code of the slide on which the alarm sounded; empty if none is on.
        onset: number of the entry where the change seems to have begun; 0 if no alarm is on.
        again: whether this is the second alarm within AGAIN slides.
        sounded: how many slides came before the last alarm, on or not; None if there was none.
        sentence: what has happened, in an alarm.
        advice: what to check.
    """

    name: str
    sentence: str
    advice: str
    state: State = "learning"
    heights: tuple[float, ...] = ()
    alarm: str = ""
    onset: int = 0
    again: bool = False
    sounded: int | None = None

    def after(self, entry: Entry, height: float, *, sounds: bool, onset: int) -> "Chart":
        """The chart with one more slide; an alarm that is on stays."""
        heights = (*self.heights, height)
        if self.state == "alarm":
            return replace(self, heights=heights)
        if not sounds:
            return replace(self, heights=heights, state="warning" if height > 1 else "ok")
        return replace(
            self,
            heights=heights,
            state="alarm",
            alarm=entry.slide,
            onset=onset,
            again=self.sounded is not None and len(self.heights) - self.sounded < AGAIN,
            sounded=len(self.heights),
        )

    def set_back(self) -> "Chart":
        """The chart after a quality slide that reads as before."""
        state: State = "learning" if self.state == "learning" else "ok"
        return replace(self, state=state, alarm="", onset=0, again=False)


def ordinary(entry: Entry) -> bool:
    """Whether a slide may say what is ordinary at its site."""
    return tells(entry) and not entry.unusual


def tells(entry: Entry) -> bool:
    """Whether a slide shows enough to tell of the device."""
    return entry.kind != "quality" and entry.fields > 0 and entry.whole >= FEWEST_CELLS


def shares_chart(entries: Sequence[Entry], in_order: Collection[int]) -> Chart:
    """The chart of the rejected share of the whole cells: a p-chart whose slides differ as ordinary ones do.

    Args:
        entries: decided by one bundle, in order.
        in_order: numbers of the readings of quality slides that read as before.
    """
    chart = Chart(REJECTION, "more cells are rejected", _STAIN)
    learnt = [entry for entry in entries if ordinary(entry)][:SITE]
    site = MeasuredRate.of_patients([e.rejected for e in learnt], [e.whole for e in learnt])
    known_from = learnt[-1].number if len(learnt) == SITE and 0 < site.hits < site.cells else math.inf
    above: list[int] = []  # numbers of the last slides, as long as they lie above
    for entry in entries:
        if entry.number in in_order:
            chart, above = chart.set_back(), []
        if not tells(entry):
            continue
        own = entry.number > known_from
        mean, correlation = (site.share, site.correlation) if own else (entry.usual, entry.correlation)
        height = _rarity(entry, mean, correlation)
        above = [*above, entry.number] if height > 1 else []
        sounds = len(above) >= RUNNING
        chart = chart.after(entry, height, sounds=sounds, onset=above[0] if sounds else 0)
    return chart


def _rarity(entry: Entry, mean: float, correlation: float) -> float:
    """How rare a rejected share as large as a slide's is on ordinary ones: 0 is not at all, 1 at the line."""
    if entry.rejected <= mean * entry.whole:
        return 0.0
    tail = share_tail(entry.rejected, entry.whole, mean, correlation)
    return math.log(max(tail, _RAREST)) / math.log(LINE)


def sums_chart(watched: Watched, entries: Sequence[Entry], in_order: Collection[int]) -> Chart:
    """A chart of cumulative sums of what the slides have in one number.

    Args:
        watched: which number.
        entries: that can be compared, in order.
        in_order: numbers of the readings of quality slides that read as before.
    """
    chart = Chart(watched.name, watched.sentence, watched.advice)
    reference, sums = Reference(), Sums()
    low_from = high_from = 0  # numbers of the slides with which the sums began to grow
    for entry in entries:
        if entry.number in in_order:
            chart, sums = chart.set_back(), Sums()
        value = getattr(entry, watched.value)
        if not tells(entry) or math.isnan(value):
            continue
        score = reference.standardised(value, watched.least)
        known = not math.isnan(score)
        if known:
            low_from = low_from if sums.low else entry.number
            high_from = high_from if sums.high else entry.number
            sums = sums.after(min(max(score, -STRANGE), STRANGE))
            low = watched.alarm == "low" or sums.low > sums.high
            height = (sums.low if low else sums.high) / LIMIT
            chart = chart.after(entry, height, sounds=height > 1, onset=low_from if low else high_from)
        if reference.values < SETTLED and chart.state != "alarm" and not (known and abs(score) > STRANGE):
            reference = reference.including(value)
    return chart
