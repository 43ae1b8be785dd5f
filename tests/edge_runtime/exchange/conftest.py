"""Records of slides whose every number is known, with the calls of a person."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import slide_samples

from edge_runtime.decision import table
from edge_runtime.decision.detector import Detector
from edge_runtime.fields.gates import default_limits
from edge_runtime.record.readings import (
    Answer,
    Call,
    CellReading,
    FieldReading,
    SlideHeader,
    applied_gates,
    applied_tests,
)
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.statistics.rates import MeasuredRate

Recorded = Callable[..., Path]

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
FINISHED = "2025-01-02T04:00:00+00:00"


def _field(number: int, *cells: CellReading) -> FieldReading:
    values = {gate.name: gate.limit for gate in HEADER.gates}
    return replace(slide_samples.FIELD, number=number, name=f"field-{number}.png", values=values, cells=cells)


@pytest.fixture
def header() -> SlideHeader:
    return HEADER


@pytest.fixture
def cells() -> dict[str, CellReading]:
    """A cell of each kind, by name."""
    uninfected = replace(PARASITIZED, status="uninfected", label="uninfected")
    return {
        "parasitized": PARASITIZED,
        "uninfected": uninfected,
        "suspect": replace(PARASITIZED, status="rejected", reason="suspect"),
        "not-judged": slide_samples.NOT_JUDGED,
    }


@pytest.fixture
def field() -> Callable[..., FieldReading]:
    """Make a field of its number and its cells."""
    return _field


@pytest.fixture
def long_slide(cells: dict[str, CellReading]) -> Callable[[int], list[FieldReading]]:
    """Make enough fields for a verdict: so many parasitized cells in each, a suspect, one not judged."""

    def make(parasitized: int) -> list[FieldReading]:
        names = ["parasitized"] * parasitized + ["uninfected"] * (500 - parasitized)
        found = [cells[name] for name in (*names, "suspect", "not-judged")]
        return [_field(number, *found) for number in range(1, 13)]

    return make


@pytest.fixture
def calls_of() -> Callable[..., list[Call]]:
    """Make calls of field, cell and answer."""

    def make(*told: tuple[int, int, Answer], remark: str = "", reviewer: str = "N. Khumalo") -> list[Call]:
        at = "2025-01-03T08:00:00+00:00"
        return [Call(of, cell, answer, remark, reviewer, at) for of, cell, answer in told]

    return make


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """Write a record of some fields and calls into a folder, as `read` does; returns the record's path."""

    def make(
        *fields: FieldReading,
        header: SlideHeader = HEADER,
        finished: str | None = FINISHED,
        calls: Iterable[Call] = (),
    ) -> Path:
        folder = tmp_path / "read"
        folder.mkdir()
        with SlideRecord.begin(folder / "slide.sqlite", header) as record:
            for one in fields:
                record.add_field(one)
            if finished:
                record.finish(finished)
            for call in calls:
                record.add_call(call)
        return folder / "slide.sqlite"

    return make
