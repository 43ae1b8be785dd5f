"""A slide of two fields, small enough to be read at a glance: what records and reports are tested with."""

import math
from dataclasses import replace

from edge_runtime.record.readings import (
    AppliedGate,
    AppliedTest,
    Call,
    CellReading,
    FieldReading,
    SlideHeader,
)
from edge_runtime.statistics.rates import MeasuredRate

TESTS = (
    AppliedTest("wholeness", "not-one-cell", "not one whole cell", whole=False, side="at least", limit=0.0),
    AppliedTest("redness", "odd", "of an odd red", whole=True, side="at most", limit=0.5),
    AppliedTest("confidence", "far", "unlike others", whole=True, side="at least", limit=-2.25),
)
GATES = (
    AppliedGate("sharpness", "out-of-focus", "out of focus", "turn the knob", "at least", 13.0),
    AppliedGate("clipped", "overexposed", "too bright", "less lamp", "at most", 0.05),
)

HEADER = SlideHeader(
    slide="S-17/ü",
    source="camera 0",
    bundle="tiny 1 (0123)",
    bundle_digest="ab" * 32,
    tests=TESTS,
    gates=GATES,
    classes=("uninfected", "parasitized"),
    parasitized=("parasitized",),
    usual=0.05,
    correlation=0.02,
    provider="CPUExecutionProvider",
    software="cellgate 0.1.0",
    started="2025-01-02T03:04:05+00:00",
    sensitivity=MeasuredRate(900, 1000, 0.02, 30),
    false_positives=MeasuredRate(3, 2000, 0.001, 20),
)
VALUES = {"wholeness": 0.75, "redness": 0.1, "confidence": -1.5}
JUDGED = CellReading(
    (1, 2, 30, 40), "parasitized", "", "parasitized", 0.875, VALUES, (-1.0, -2.5), b"\x89PNG"
)
REJECTED = replace(JUDGED, status="rejected", reason="far", values={**VALUES, "confidence": -9.0})
UNINFECTED = replace(JUDGED, status="uninfected", label="uninfected")
NOT_JUDGED = CellReading((0, 0, 5, 6), "not-judged", "edge", "", math.nan, {}, (), b"")
FIELD = FieldReading(
    1,
    "a.png",
    640,
    480,
    b"\xff\xd8",
    "2025-01-02T03:04:06+00:00",
    "",
    {"sharpness": 20.5, "clipped": 0.0},
    (JUDGED, REJECTED, REJECTED, UNINFECTED),
)
STOPPED = replace(
    FIELD, number=3, moment=12.25, reason="out-of-focus", values={"sharpness": 7.5, "clipped": 0.0}, cells=()
)

CALL = Call(1, 2, "parasite", "P. vivax, trophozoite", "AB", "2025-01-03T09:00:00+00:00")
