"""Frames of a video file, each at its own time."""

from collections.abc import Generator
from math import floor
from pathlib import Path

import cv2

from edge_runtime.errors import ImageError, SourceError
from edge_runtime.sources.capture import Capture, Listener, grabbed, listener, open_video, picture
from edge_runtime.sources.containers import bytes_missing
from edge_runtime.sources.items import Frame, SkippedFrame
from edge_runtime.sources.names import printable

# A decoder shows frames up to so many later than it decodes them (H.264, annex A).
_REORDERED = 16
_ROUNDING = 1e-3  # seconds


def video_frames(path: Path, every: float) -> Generator[Frame | SkippedFrame, None, None]:
    """Looks at a video, one each `every` seconds by the frames' own times.

    A frame that is damaged, or is computed from a damaged one, is yielded as skipped.

    Args:
        path: of the file.
        every: seconds between two looks; 0 for every frame.

    Raises:
        SourceError: it cannot be decoded, holds no frame, or ends in the middle; the frames before are good.
    """
    shown = printable(path.name)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # OpenCV crashes
        raise SourceError(f"{printable(str(path))}: a name that no decoder takes; rename it") from error
    with listener() as ears:
        with ears.listening():
            capture = open_video(str(path.absolute()))
        ears.heard()  # what is told of the whole file, a sound track for instance, is told of no frame
        if capture is None:
            raise SourceError(f"{path}: not a video that can be decoded; copy it again")
        try:
            number = yield from _looks(capture, shown, every, ears)
            declared = int(capture.stream.get(cv2.CAP_PROP_FRAME_COUNT))
        finally:
            capture.stream.release()
    if not number:
        raise SourceError(f"{path}: not one frame of it can be decoded; copy it again")
    missing = bytes_missing(path)
    if missing and not number >= declared > 0:
        raise SourceError(
            f"{path}: ends in the middle, after frame {number}; {missing} bytes of the file are missing. "
            "What was read before is kept, copy the video again and read it as another slide"
        )


def _looks(
    capture: Capture, shown: str, every: float, ears: Listener
) -> Generator[Frame | SkippedFrame, None, int]:
    """Yields the looks and returns the number of frames there were."""
    number, due, last, whole_from = 0, 0.0, -1.0, 0
    while True:
        with ears.listening():
            there = capture.stream.grab()
        if not there:
            return number
        number += 1
        moment = capture.stream.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if not capture.encoded:
            if ears.heard():
                whole_from = number + _REORDERED
            elif whole_from and number >= whole_from and _stands_alone(capture):
                whole_from = 0
        # Where times do not grow they are no times (a recording of several parts), and no field may be lost.
        if moment + _ROUNDING < due and moment > last:
            last = moment
            continue
        last = moment
        due = (floor((moment + _ROUNDING) / every) + 1) * every if every > _ROUNDING else 0.0
        name = f"{shown} frame {number}"
        if whole_from:
            yield SkippedFrame(
                name, "damaged in the file, or computed from a damaged frame; copy the video again"
            )
            continue
        try:
            with ears.listening():
                content = grabbed(capture)
            if content is None:
                yield SkippedFrame(name, "cannot be decoded; copy the video again")
            else:
                yield Frame.of(name, picture(content, name), moment)
        except ImageError as error:
            yield SkippedFrame.of(name, error)


def _stands_alone(capture: Capture) -> bool:
    return capture.stream.get(cv2.CAP_PROP_FRAME_TYPE) == ord("I")
