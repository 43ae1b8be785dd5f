"""For tests of a device over time: simulated slides of a site, as its history has them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edge_runtime.device.entries import Entry
from edge_runtime.statistics.rates import MeasuredRate

SLIDE = Entry(
    number=1,
    identity="",
    slide="S1",
    folder="S1",
    finished="2026-11-28T10:00:00+00:00",
    bundle="b 1",
    bundle_digest="b",
    usual=0.05,
    correlation=0.03,
    false_positives=MeasuredRate(6, 20_000, 0.0, 30),
    verdict="none-seen",
    unusual=False,
    fields=20,
    stopped=1,
    judged=2000,
    whole=1900,
    rejected=95,
    asked=1850,
    called=1,
    confidence=0.0,
    sharpness=20.0,
    brightness=200.0,
    warmth=0.3,
    tint=0.1,
)
SPREAD = {"confidence": 0.15, "sharpness": 1.2, "brightness": 6.0, "warmth": 0.05, "tint": 0.04}


def ordinary_slides(seed: int, count: int) -> list[Entry]:
    """Slides that differ as ordinary ones do, numbered from 1."""
    rng = np.random.default_rng(seed)
    both = 1 / SLIDE.correlation - 1
    shares = rng.beta(SLIDE.usual * both, (1 - SLIDE.usual) * both, count)
    return [
        replace(
            SLIDE,
            number=number,
            slide=f"S{number}",
            folder=f"S{number}",
            rejected=int(rng.binomial(SLIDE.whole, shares[number - 1])),
            **{name: rng.normal(getattr(SLIDE, name), spread) for name, spread in SPREAD.items()},
        )
        for number in range(1, count + 1)
    ]


def changed_from(entries: Sequence[Entry], number: int, **by: Any) -> list[Entry]:
    """The slides, those from a number on with values added to what they have."""
    return [
        replace(entry, **{name: getattr(entry, name) + more for name, more in by.items()})
        if entry.number >= number
        else entry
        for entry in entries
    ]
