"""Opening what OpenCV's video decoders read, and hearing what they say while they decode."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ImageError
from edge_runtime.sources.decoding import decode_image

OPEN_TIMEOUT, READ_TIMEOUT = 5.0, 2.5  # seconds that a stream may take to be opened, to send a picture
_MOTION_JPEG = cv2.VideoWriter.fourcc(*"MJPG")
_MOST_TOLD = 100_000  # bytes of one frame that are looked through
_ENCODED = -1  # for CAP_PROP_FORMAT: packets as they are in the file
# Of a frame that is cut off, FFmpeg fills the rest from the frame before. Setting this replaces OpenCV's own
# default, which is the first half.
_OPTIONS = "rtsp_transport;tcp|fflags;discardcorrupt"
_OPENCV_5 = int(cv2.__version__.partition(".")[0]) >= 5
_ALL_IT_KNOWS, _NOTHING = 32, -8  # levels of its log: with what it conceals, and none
# Of what it tells, this is said of damage. Tests hold it against damaged and sound videos.
_DAMAGE = re.compile(
    rb"conceal|damaged|reference|error|invalid|corrupt|overread|not match|missing|illegal|out of range"
    rb"|unavailable|no frame|partial file|failed|could not find|not reached",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Capture:
    """An opened video or live source.

    Attributes:
        stream: where pictures are grabbed.
        encoded: whether these are JPEG files, decoded by `decode_image`, which tells a damaged one.
    """

    stream: cv2.VideoCapture
    encoded: bool


def open_video(path: str) -> Capture | None:
    """Open a video file; None if it cannot be decoded.

    Args:
        path: of the file, absolute: FFmpeg takes "10:30.mp4" for a protocol.
    """
    _let_ffmpeg_tell(_ALL_IT_KNOWS)
    # One thread: what is said while a frame is decoded is said of that frame, or one that is shown soon.
    return _ffmpeg(path, [cv2.CAP_PROP_N_THREADS, 1])


def open_stream(address: str) -> Capture | None:
    """Open a stream; None if there is none."""
    _let_ffmpeg_tell(_NOTHING)  # of a thread nobody could hear it
    patience = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(1000 * OPEN_TIMEOUT)),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1000 * READ_TIMEOUT)),
    ]
    return _ffmpeg(address, patience)


def open_camera(device: int | str) -> Capture | None:
    """Open a camera by its number, or on Linux by the path of its device; None if there is none."""
    try:
        stream = cv2.VideoCapture(device, cv2.CAP_V4L2 if isinstance(device, str) else cv2.CAP_ANY)
    except cv2.error:
        return None
    if not stream.isOpened():
        return None
    encoded = stream.get(cv2.CAP_PROP_FOURCC) == _MOTION_JPEG and stream.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    return Capture(stream, bool(encoded))


def _let_ffmpeg_tell(level: int) -> None:
    """Set what FFmpeg tells on standard error; what the first source of a process sets stays."""
    if _OPENCV_5:
        os.environ["OPENCV_FFMPEG_SKIP_LOG_CALLBACK"] = "1"  # that would tell it on standard output
        os.environ["OPENCV_FFMPEG_LOGLEVEL"] = str(level)
    elif level == _NOTHING:
        os.environ["OPENCV_FFMPEG_LOGLEVEL"] = str(level)
    else:  # OpenCV 4 then leaves it at errors
        os.environ.pop("OPENCV_FFMPEG_LOGLEVEL", None)


def _ffmpeg(name: str, settings: list[int]) -> Capture | None:
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _OPTIONS)
    # Asked for packets first: a camera on a network may serve one client at a time.
    stream = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [*settings, cv2.CAP_PROP_FORMAT, _ENCODED])
    encoded = stream.get(cv2.CAP_PROP_FOURCC) == _MOTION_JPEG
    if stream.isOpened() and not encoded:
        stream.release()
        stream = cv2.VideoCapture(name, cv2.CAP_FFMPEG, settings)
    return Capture(stream, encoded) if stream.isOpened() else None


def grabbed(capture: Capture) -> NDArray[np.uint8] | None:
    """What was grabbed last: the bytes of an encoded picture, else uint8 [H, W, 3] RGB; None if nothing."""
    try:
        there, image = capture.stream.retrieve()
    except cv2.error:
        return None
    if not there or image is None:
        return None
    if capture.encoded and (image.ndim < 3 or 1 in image.shape):
        return np.asarray(image, np.uint8).reshape(-1)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def picture(content: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """The picture of what was grabbed, uint8 [H, W, 3] RGB.

    Raises:
        ImageError: it is damaged; only of encoded pictures can that be told here.
    """
    if content.ndim == 3:
        return content
    data = content.tobytes()
    if not data.startswith(b"\xff\xd8"):
        raise ImageError(f"{name}: damaged (no JPEG)")
    return decode_image(data, name)


class Listener:
    """Hears whether the decoder complains: OpenCV passes on the picture, not the complaint."""

    def __init__(self, kept: IO[bytes]) -> None:
        self._kept = kept.fileno()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn standard error of the process aside for a moment; nothing else may be told meanwhile."""
        try:
            before = os.dup(2)
        except OSError:  # the process has none
            yield
            return
        try:
            os.dup2(self._kept, 2)
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)

    def heard(self) -> bool:
        """Whether damage was told of since this was asked last."""
        length = os.lseek(self._kept, 0, os.SEEK_END)
        if not length:
            return False
        os.lseek(self._kept, 0, os.SEEK_SET)
        told = os.read(self._kept, _MOST_TOLD)
        os.ftruncate(self._kept, 0)
        os.lseek(self._kept, 0, os.SEEK_SET)
        return _DAMAGE.search(told) is not None


@contextmanager
def listener() -> Iterator[Listener]:
    """A listener, for as long as a file is decoded."""
    with tempfile.TemporaryFile() as kept:
        yield Listener(kept)
