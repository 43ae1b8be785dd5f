"""Where frames come from: images, a video, a camera, a stream or the simulator."""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ImageError, SourceError
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.images import SUFFIXES, SkippedFrame, list_images, printable

VIDEO_SUFFIXES = (".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mjpg", ".mjpeg", ".ts")
# These state the exact number of their frames in a header; others are estimated from the duration.
_EXACT_LENGTH = (".avi", ".mp4", ".m4v", ".mov")

SIMULATED_FIELDS, SIMULATED_SEED = 12, 5
MIN_FRAME = 64  # pixels; a smaller image was not meant to be a field of view
EVERY_SECONDS = 1.0  # between two fields of a video or a camera
CAMERA_TIMEOUT = 10.0  # seconds without a frame before a camera counts as gone

# Two frames show the same field if they can be laid on each other so that what both show agrees. Reduced to
# this width, different fields of some 20 cells correlate by at most 0.6 and real ones by 0.45; the same field
# moved by a quarter by at least 0.72, by two fifths by 0.6. No field may be lost: better count a part twice.
_COMPARED_WIDTH, _REMEMBERED, _SAME = 160, 10, 0.7
_LIT = 0.2  # of the brightest pixel: darker is outside the eyepiece's circle


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        name: as shown to people.
        image: uint8 [H, W, 3] RGB.
    """

    name: str
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class SimulatedSource:
    """The simulated camera, "simulated:fields=12,seed=5".

    Attributes:
        fields: number of fields on the slide.
        seed: of the slide.
    """

    fields: int = SIMULATED_FIELDS
    seed: int = SIMULATED_SEED


def frames(
    source: str | Path, *, limit: int | None = None, every: float = EVERY_SECONDS
) -> Iterator[Frame | SkippedFrame]:
    """Frames of a source, one at a time; what cannot be read among many is yielded as skipped.

    Args:
        source: an image, a folder or zip of images, a video file, a camera ("0" or "camera:0"), a stream
            (rtsp:// or http://), or "simulated[:fields=12,seed=5]". A `Path` is always a file or folder.
        limit: stop after so many frames; needed for a camera or stream, which have no end.
        every: seconds between two frames that are taken from a video, camera or stream.

    Raises:
        SourceError: the source is absent, broken or ended too early. Frames yielded before remain valid.
        ImageError: the source is a single image that cannot be read.
    """
    found = _files(source, every) if isinstance(source, Path) else _frames(source, limit, every)
    taken = 0
    for item in found:
        yield item
        taken += isinstance(item, Frame)
        if limit is not None and taken >= limit:
            return


def _frames(source: str, limit: int | None, every: float) -> Iterator[Frame | SkippedFrame]:
    if source == "simulated" or source.startswith("simulated:"):
        return _simulated(parse_simulated(source))
    if re.fullmatch(r"(camera:)?\d+", source):
        return _live(
            int(source.removeprefix("camera:")),
            f"camera {source.removeprefix('camera:')}",
            limit,
            every,
        )
    if "://" in source:
        return _live(source, shown_source(source), limit, every)
    return _files(Path(source), every)


def _files(path: Path, every: float) -> Iterator[Frame | SkippedFrame]:
    return _video(path, every) if path.suffix.lower() in VIDEO_SUFFIXES else _images(path)


def shown_source(source: str) -> str:
    """A source as it may be shown and recorded: without a stream's user name and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", printable(source))


def parse_simulated(source: str) -> SimulatedSource:
    """Read "simulated" or "simulated:fields=12,seed=5" (either of them).

    Raises:
        SourceError: an unknown setting or a value that is no whole number.
    """
    values = {}
    for setting in filter(None, source.partition(":")[2].split(",")):
        name, _, value = setting.partition("=")
        if name not in ("fields", "seed") or not value.isdecimal():
            raise SourceError(f"{source}: cannot read '{setting}'; expected simulated:fields=12,seed=5")
        values[name] = int(value)
    parsed = SimulatedSource(**values)
    if parsed.fields < 1:
        raise SourceError(f"{source}: no field; expected fields=1 or more")
    return parsed


def _simulated(settings: SimulatedSource) -> Iterator[Frame]:
    # A fifth of the start of every command, and only this source needs it.
    from edge_runtime.simulator import simulate_field  # noqa: PLC0415

    for index in range(settings.fields):
        yield Frame(f"field {index + 1}", simulate_field(settings.seed, index).frame)


def _images(path: Path) -> Iterator[Frame | SkippedFrame]:
    files = list_images(path)
    alone = len(files) == 1 and path.is_file() and path.suffix.lower() != ".zip"
    if alone and path.suffix.lower() not in SUFFIXES:
        kinds = ", ".join((*SUFFIXES, ".zip", *VIDEO_SUFFIXES))
        raise SourceError(f"{path}: not a kind of source; expected a folder, {kinds}")
    for file in files:
        try:
            yield Frame(file.name, _large_enough(decode_image(file.read(), file.name), file.name))
        except ImageError as error:
            if alone:
                raise
            yield SkippedFrame.of(file.name, error)


def _large_enough(image: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if min(height, width) < MIN_FRAME:
        raise ImageError(f"{name}: {width}x{height} pixels; a field of view needs at least {MIN_FRAME}")
    return image


def _video(path: Path, every: float) -> Iterator[Frame]:
    if not path.exists():
        raise SourceError(f"{path}: no such file; check the path")
    capture = _open(str(path), f"{path}: not a video that can be decoded; copy it again")
    declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    step = max(1, round(every * (capture.get(cv2.CAP_PROP_FPS) or 1)))
    seen: list[NDArray[np.float32]] = []
    number = 0
    while capture.grab():
        if number % step == 0:
            ok, image = capture.retrieve()
            if not ok:
                break
            rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
            if _is_new(rgb, seen):
                yield Frame(f"{printable(path.name)} frame {number + 1}", rgb)
        number += 1
    if not number:
        raise SourceError(f"{path}: not one frame of it can be decoded; copy it again")
    slack = 0 if path.suffix.lower() in _EXACT_LENGTH else max(2, declared // 50)
    if number < declared - slack:
        raise SourceError(
            f"{path}: ends in the middle, after frame {number} of {declared}; what was read before is kept, "
            "copy the video again and read it as another slide"
        )


def _live(device: int | str, name: str, limit: int | None, every: float) -> Iterator[Frame]:
    if limit is None:
        raise SourceError(f"{name}: never ends; say with --fields how many fields to read")
    capture = _open(device, f"{name}: cannot be opened; check that it is connected and not in use")
    seen: list[NDArray[np.float32]] = []
    number, last = 0, time.monotonic()
    while True:
        ok, image = capture.read()
        if not ok:
            if time.monotonic() - last > CAMERA_TIMEOUT:
                raise SourceError(
                    f"{name}: sends no more frames; check the cable, what was read before is kept"
                )
            time.sleep(0.05)
            continue
        if number and time.monotonic() - last < every:
            continue
        last = time.monotonic()
        rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        if _is_new(rgb, seen):
            number += 1
            yield Frame(f"{name} field {number}", rgb)


def _open(device: int | str, message: str) -> cv2.VideoCapture:
    # Its own warnings would bury the one line that tells what to do.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Of a frame that is cut off, FFmpeg fills the rest from the frame before: cells would be counted that are
    # not there. Setting this replaces OpenCV's own default, which is the first half.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|fflags;discardcorrupt")
    capture = cv2.VideoCapture(device)
    if not capture.isOpened():
        raise SourceError(message)
    return capture


def _is_new(image: NDArray[np.uint8], seen: list[NDArray[np.float32]]) -> bool:
    """Whether a frame shows another field than the last ones; if so it is remembered in `seen`.

    A stage moved by hand lingers: counting a field twice would count its cells twice.
    """
    detail = _detail(image)
    if any(_agreement(earlier, detail) > _SAME for earlier in seen if earlier.shape == detail.shape):
        return False
    seen.append(detail)
    del seen[:-_REMEMBERED]
    return True


def _detail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What moves with the slide, on a reduced frame: no light, and no eyepiece's circle, which stay put."""
    height, width = image.shape[:2]
    scale = min(1.0, _COMPARED_WIDTH / width)
    size = max(2, round(width * scale)), max(2, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    brightest = small.max(axis=2)
    lit = cv2.erode((brightest > _LIT * brightest.max()).astype(np.float32), np.ones((5, 5), np.uint8))
    green = small[..., 1] * lit
    light = cv2.GaussianBlur(green, (0, 0), 10) / (cv2.GaussianBlur(lit, (0, 0), 10) + 1e-3)
    return np.asarray((green - light) * lit, np.float32)


def _agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Correlation, -1 to 1, of what two reduced frames both show where they line up best."""
    height, width = one.shape
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    (shift_x, shift_y), _ = cv2.phaseCorrelate(one, other, window)
    x, y = round(shift_x), round(shift_y)
    if abs(x) > width / 2 or abs(y) > height / 2:
        return 0.0  # where nothing lines up, the shift is arbitrary
    first = one[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    second = other[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size else 1.0
