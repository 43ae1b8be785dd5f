"""Slides whose every number is known, and the calls of a person: what leaves a record is tested with them."""

from dataclasses import replace

import cv2
import numpy as np
import slide_samples

from edge_runtime.decision import table
from edge_runtime.decision.detector import Detector
from edge_runtime.fields.gates import default_limits
from edge_runtime.record.readings import (
    Answer,
    Call,
    CellReading,
    FieldReading,
    applied_gates,
    applied_tests,
)
from edge_runtime.statistics.rates import MeasuredRate

CROP = cv2.imencode(".png", np.full((30, 40, 3), 90, np.uint8))[1].tobytes()
TESTS = applied_tests(Detector((), 0.0, (), 0.0, (), (), {test.name: 1.25 for test in table.TESTS}))
HEADER = replace(
    slide_samples.HEADER,
    slide="S-17",
    tests=TESTS,
    gates=applied_gates(default_limits()),
    sensitivity=MeasuredRate(5900, 6960, 0.025, 80),
    false_positives=MeasuredRate(6, 2380, 0.0032, 35),
    findable=MeasuredRate(6800, 6960, 0.025, 80),
)
PARASITIZED = replace(slide_samples.JUDGED, values={test.name: 1.5 for test in TESTS}, crop=CROP)


CELLS = {
    "parasitized": PARASITIZED,
    "uninfected": replace(PARASITIZED, status="uninfected", label="uninfected"),
    "suspect": replace(PARASITIZED, status="rejected", reason="suspect"),
    "not-judged": slide_samples.NOT_JUDGED,
}


def field(number: int, *cells: CellReading) -> FieldReading:
    """A field of its number and its cells."""
    values = {gate.name: gate.limit for gate in HEADER.gates}
    return replace(slide_samples.FIELD, number=number, name=f"field-{number}.png", values=values, cells=cells)


def long_slide(parasitized: int) -> list[FieldReading]:
    """Enough fields for a verdict: so many parasitized cells in each, a suspect, one not judged."""
    names = ["parasitized"] * parasitized + ["uninfected"] * (500 - parasitized)
    found = [CELLS[name] for name in (*names, "suspect", "not-judged")]
    return [field(number, *found) for number in range(1, 13)]


def calls_of(*told: tuple[int, int, Answer], remark: str = "", reviewer: str = "N. Khumalo") -> list[Call]:
    """Calls of field, cell and answer."""
    at = "2025-01-03T08:00:00+00:00"
    return [Call(of, cell, answer, remark, reviewer, at) for of, cell, answer in told]
