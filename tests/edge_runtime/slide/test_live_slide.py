"""Slides read from a camera that misbehaves: what was read is kept, what is wrong is told, nothing twice."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray

from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.simulator import SimulatedField
from edge_runtime.sources import live

pytestmark = pytest.mark.usefixtures("sooner")

Picture = NDArray[np.uint8]
Serve = Callable[[Callable[[int, int], bytes | None]], str]
Arguments = Callable[..., list[object]]

PATIENCE = 1.2  # seconds


def jpeg(frame: Picture) -> bytes:
    return cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def noisy(frame: Picture) -> bytes:
    """As a sensor gives it: no picture is ever the same."""
    rng = np.random.default_rng(time.monotonic_ns())
    return jpeg(np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def sent(fields: tuple[SimulatedField, ...]) -> list[bytes]:
    return [jpeg(field.frame) for field in fields]


@pytest.fixture
def read(cellgate: Callable[..., Result], read_arguments: Arguments) -> Callable[..., Result]:
    def run(address: str, fields: int, patience: float = PATIENCE) -> Result:
        live_options = ("--fields", fields, "--every", 0.3, "--patience", patience)
        return cellgate(*read_arguments(address, *live_options))

    return run


def recorded(out: Path) -> SlideRecord:
    return SlideRecord.open(out / "slide.sqlite")


BLACK = jpeg(np.zeros((480, 640, 3), np.uint8))
TROUBLES = {
    "frozen": (lambda first, _: first, live.FROZEN, 1),
    "black": (lambda *_: BLACK, live.BLACK, 0),
    "stall": (lambda first, number: first if number < 5 else b"", live.SILENT, 1),
    "close": (lambda first, number: first if number < 20 else None, live.CLOSED, 1),
    "cut": (lambda first, number: first[:9000] if number else first, live.DAMAGED, 1),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_camera_in_trouble_is_given_up_and_what_was_read_is_kept_and_reported(
    trouble: str, serve: Serve, sent: list[bytes], read: Callable[..., Result], tmp_path: Path
) -> None:
    sends, told, fields = TROUBLES[trouble]
    address = serve(lambda _, number: sends(sent[0], number))
    result = read(address, 4)
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.split(" ")[0] for line in lines].count("field") == fields
    assert lines.count(f"note: {address}: {told}") == 1
    assert lines[-1].endswith(f". Nothing new came for {PATIENCE} seconds; what was read before is kept")
    with recorded(tmp_path / "out") as record:
        assert record.counts().fields == fields
        assert record.notes().count(told) == 1
        assert record.header().finished is None
    report = (tmp_path / "out" / "report.html").read_text()
    assert "INCOMPLETE" in report
    assert told in report


def test_a_camera_that_hangs_up_between_fields_is_read_to_the_end(
    serve: Serve, sent: list[bytes], read: Callable[..., Result], tmp_path: Path
) -> None:
    result = read(serve(lambda connection, number: sent[connection % 3] if number < 20 else None), 3, 20)
    assert result.exit_code == 0, result.output
    with recorded(tmp_path / "out") as record:
        assert record.counts().fields == 3
        assert record.header().finished
        assert live.CLOSED in record.notes()


def test_a_camera_that_cuts_pictures_gives_whole_fields_and_is_told_once(
    serve: Serve, fields: tuple[SimulatedField, ...], read: Callable[..., Result], tmp_path: Path
) -> None:
    def sends(_: int, number: int) -> bytes:
        whole = noisy(fields[number // 15 % 3].frame)
        return whole[:9000] if number % 5 == 0 else whole

    result = read(serve(sends), 3, 20)
    assert result.exit_code == 0, result.output
    with recorded(tmp_path / "out") as record:
        read_fields = list(record.fields())
        told, left_out = record.notes()
    assert told == live.DAMAGED
    assert re.fullmatch(r"\d+ pictures that came between two looks were left out", left_out)
    shown = [shown_by(found.overview, fields) for found in read_fields]
    assert sorted(place for place, _ in shown) == [0, 1, 2]
    assert all(difference < 10 for _, difference in shown)


def shown_by(overview: bytes, fields: tuple[SimulatedField, ...]) -> tuple[int, float]:
    """Which field a picture shows, and how far from it are the grey levels of the worst of its 16 strips."""
    picture = cv2.imdecode(np.frombuffer(overview, np.uint8), cv2.IMREAD_COLOR_RGB).astype(np.int64)
    strips = [np.abs(picture - field.frame).reshape(16, -1).mean(axis=1).max() for field in fields]
    return int(np.argmin(strips)), float(min(strips))


@pytest.mark.parametrize(("shows", "is_field"), [("cells", 1), ("an empty film", 0)])
def test_a_camera_that_rests_is_given_up_when_patience_ends(
    shows: str,
    is_field: int,
    serve: Serve,
    fields: tuple[SimulatedField, ...],
    read: Callable[..., Result],
    tmp_path: Path,
) -> None:
    frame = fields[0].frame if shows == "cells" else np.full_like(fields[0].frame, 225)
    result = read(serve(lambda *_: noisy(frame)), 4)
    assert result.exit_code == 1
    first, *more = result.stderr.splitlines()
    assert first.startswith("field 1 " if is_field else "not counted: ")
    (last,) = more
    assert re.fullmatch(
        r"error: http.* picture \d+: nothing new for 1 s; move the stage, or .* is kept", last
    )
    with recorded(tmp_path / "out") as record:
        counts, header = record.counts(), record.header()
    assert (counts.fields, counts.stopped, counts.skipped) == (is_field, 1 - is_field, 0)
    assert header.repeats >= 2
