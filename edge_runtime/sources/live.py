"""Cameras and streams: the newest picture at each look, and what is wrong with them told in three seconds.

A thread of its own takes every picture as it comes, so that none grows old in a buffer while cells are
judged.
"""

import threading
import time
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ImageError, SourceError
from edge_runtime.sources.capture import OPEN_TIMEOUT, READ_TIMEOUT, Capture, grabbed, picture
from edge_runtime.sources.items import Frame, SourceNote

Opens = Callable[[], Capture | None]
Mark = tuple[int, int]  # length and checksum: sensors have noise, so no two pictures of theirs are the same

NOTICED = 2.8  # seconds without a new picture before it is told
_BACK_OFF, _LONGEST_BACK_OFF = 0.5, 5.0  # seconds between two attempts to connect again
_JUDGED = 0.2  # seconds; of a faster source not every picture is unpacked
_POLLED = 0.05  # seconds between two glances at what the thread has found
_BLACK = 24  # of 255: darker are 99 % of the pixels where no light comes in

CLOSED = "closed the connection"
SILENT = "sends nothing more; check cable and power"
FROZEN = "sends the same picture again and again, it hangs; start it anew if it stays so"
BLACK = "sends black pictures; check lamp, shutter and lens cap"
DAMAGED = "sends damaged pictures, which are left out; check cable and network"
UNOPENED = "cannot be opened again; check cable and power"


@dataclass(frozen=True)
class _Picture:
    image: NDArray[np.uint8]
    mark: Mark
    at: float


@dataclass
class _Shared:
    """What the thread and its reader share; changed under `changed`, times by `time.monotonic`."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    stop: threading.Event = field(default_factory=threading.Event)
    failed: Exception | None = None
    absent: bool = False  # could not be opened the first time
    newest: _Picture | None = None
    received: int = 0
    heard: float | None = None  # when anything came last; None while it is being opened
    fresh: float = field(default_factory=time.monotonic)  # when a new and good picture came last
    good: Mark | None = None  # of that picture
    shape: tuple[int, ...] = ()
    given: set[Mark] = field(default_factory=set)
    told: list[str] = field(default_factory=list)  # since then
    notes: list[str] = field(default_factory=list)  # not yielded yet

    def tell(self, trouble: str) -> None:
        """Have a trouble told, once until it is over."""
        with self.changed:
            if trouble not in self.told:
                self.told.append(trouble)
                self.notes.append(trouble)
                self.changed.notify()


def live_frames(
    opens: Opens, name: str, *, every: float, patience: float
) -> Generator[Frame | SourceNote, None, None]:
    """The newest picture of a live source each `every` seconds, without end; and what is wrong with it.

    A source that is closed, silent, frozen, black or sends nothing but damaged pictures is told by a note,
    within three seconds and once each time it begins, and opened again, until `patience` is at an end. A
    picture that was yielded is never yielded again.

    Args:
        opens: opens the source.
        name: how to call it.
        every: seconds between two looks; 0 for every picture.
        patience: seconds without a new picture before it is given up.

    Raises:
        SourceError: it cannot be opened, or sent nothing new for longer than `patience`.
    """
    shared = _Shared()
    thread = threading.Thread(target=_run, args=(opens, shared, every), name=name, daemon=True)
    thread.start()
    try:
        yield from _looks(shared, name, every, patience)
    finally:
        shared.stop.set()
        # A thread inside OpenCV must not outlive the interpreter: it would end in an abort.
        thread.join(max(OPEN_TIMEOUT, READ_TIMEOUT) + 0.5)


def _looks(
    shared: _Shared, name: str, every: float, patience: float
) -> Generator[Frame | SourceNote, None, None]:
    number, counted, due, first = 0, 0, 0.0, 0.0
    while True:
        with shared.changed:
            now = time.monotonic()
            if not shared.notes and not (shared.newest and now >= due):
                shared.changed.wait(_POLLED)
                now = time.monotonic()
            notes, shared.notes = shared.notes, []
            found = shared.newest if now >= due else None
            if found:
                shared.newest = None
                shared.given.add(found.mark)
            received, fresh, heard = shared.received, shared.fresh, shared.heard
        for note in notes:
            yield SourceNote(name, note)
        if shared.failed:
            raise shared.failed
        if shared.absent:
            raise SourceError(f"{name}: cannot be opened; check that it is connected and not in use")
        if found:
            number, due = number + 1, now + every
            first = first or found.at
            dropped, counted = received - counted - 1, received
            yield Frame(f"{name} picture {number}", found.image, found.at - first, max(0, dropped))
            continue
        if heard and now - heard > NOTICED:  # the thread waits inside a driver
            shared.tell(SILENT)
        if now - fresh > patience:
            trouble = shared.told[-1] if shared.told else SILENT
            raise SourceError(
                f"{name}: {trouble}. Nothing new came for {patience:g} seconds; what was read before is kept"
            )


def _run(opens: Opens, shared: _Shared, every: float) -> None:
    """What the thread does; what it could not foresee is raised where the pictures are read."""
    try:
        _receive(opens, shared, every)
    except Exception as error:  # noqa: BLE001 - as said
        shared.failed = error


def _receive(opens: Opens, shared: _Shared, every: float) -> None:
    """Open, take pictures until something is wrong, and once more."""
    pause, opened = _BACK_OFF, False
    while not shared.stop.is_set():
        capture = opens()
        if capture is None:
            with shared.changed:
                shared.absent = not opened
            if not opened:
                return
            shared.tell(UNOPENED)
        else:
            opened, before = True, shared.fresh
            try:
                trouble = _take(capture, shared, every)
            finally:
                shared.heard = None
                capture.stream.release()
            if shared.stop.is_set():
                return
            shared.tell(trouble)
            if shared.fresh > before:
                pause = _BACK_OFF
        shared.stop.wait(pause)
        pause = min(2 * pause, _LONGEST_BACK_OFF)


def _take(capture: Capture, shared: _Shared, every: float) -> str:
    """Take pictures until something is wrong; returns what."""
    began, judged, trouble, wrong = time.monotonic(), 0.0, SILENT, ""
    if not shared.received:
        shared.fresh = began
    while not shared.stop.is_set():
        asked = time.monotonic()
        shared.heard = asked
        there = capture.stream.grab()
        now = time.monotonic()
        if not there:
            return SILENT if now - asked > 0.8 * READ_TIMEOUT else CLOSED
        shared.received += 1
        # After a bad one the next: of a camera that cuts every fifth, always the fifth could be unpacked.
        if wrong or now - judged >= min(_JUDGED, every):
            judged = now
            wrong = _judge(grabbed(capture), shared, now)
            trouble = wrong or trouble
        if now - max(shared.fresh, began) > NOTICED:
            return trouble
    return ""


def _judge(content: NDArray[np.uint8] | None, shared: _Shared, now: float) -> str:
    """Keep a picture if it is new and good; returns what is wrong with it, "" if nothing is."""
    if content is None:
        return DAMAGED
    mark = (content.size, zlib.crc32(content.data))
    if mark == shared.good or mark in shared.given:
        return FROZEN
    try:
        image = Frame.of("picture", picture(content, "picture")).image
    except ImageError:
        shared.tell(DAMAGED)
        return DAMAGED
    if np.percentile(image[::8, ::8].max(axis=2), 99) < _BLACK:
        return BLACK
    with shared.changed:
        if shared.shape and shared.shape != image.shape:
            (height, width), (before_height, before_width) = image.shape[:2], shared.shape[:2]
            shared.notes.append(f"now sends {width}x{height} pixels, before {before_width}x{before_height}")
        shared.shape, shared.good, shared.fresh = image.shape, mark, now
        shared.told = [trouble for trouble in shared.told if trouble == DAMAGED]
        shared.newest = _Picture(image, mark, now)
        shared.changed.notify()
    return ""
