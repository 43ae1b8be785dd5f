"""Where frames come from: images, a video, a camera, a stream or the simulator."""

import math
import os
import re
import stat
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_runtime.errors import ImageError, SourceError
from edge_runtime.sources.capture import open_camera, open_stream
from edge_runtime.sources.containers import HEAD, is_image, is_video
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.folders import NO_FILE
from edge_runtime.sources.images import list_images
from edge_runtime.sources.items import Frame, SkippedFrame, SourceNote
from edge_runtime.sources.live import Opens, live_frames
from edge_runtime.sources.names import SUFFIXES, VIDEO_SUFFIXES, no_image_because, printable, suffix_of
from edge_runtime.sources.video import video_frames

SIMULATED_FIELDS, SIMULATED_SEED = 12, 5
EVERY_SECONDS = 1.0  # between two looks at a video or a live source
PATIENCE_SECONDS = 60.0  # without a new picture before a live source is given up
_CAMERA = re.compile(r"(camera:)?[0-9]{1,4}")
_LINUX_CAMERAS = 81  # the major number of their devices

Found = Frame | SkippedFrame | SourceNote


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
    source: str | Path,
    *,
    every: float = EVERY_SECONDS,
    patience: float = PATIENCE_SECONDS,
    endless: bool = False,
) -> Generator[Found, None, None]:
    """Looks at a source, one at a time; what cannot be read among many is yielded as skipped.

    Whether a look shows a field that was shown before is not asked here. A live source (a camera or a stream)
    also yields notes, lines to be told at once: that it hangs, is black, was closed or has another size.

    Args:
        source: an image, a folder or zip of images, a video file, a camera ("0", "camera:0" or a device like
            /dev/video0), a stream (rtsp:// or http://), or "simulated[:fields=12,seed=5]". What exists is a
            file or folder whatever its name is; a `Path` is never anything else.
        every: seconds between two looks at a video or a live source; 0 for every picture.
        patience: seconds without a new picture after which a live source is given up.
        endless: whether the caller stops by itself; a live source never ends.

    Raises:
        SourceError: the source is absent, broken or ended too early. Frames yielded before remain valid.
        ImageError: the source is a single image that cannot be read.
    """
    if not (math.isfinite(every) and every >= 0):
        raise SourceError(f"{every} seconds between two looks; give a number from 0")
    if not (math.isfinite(patience) and patience > 0):
        raise SourceError(f"a patience of {patience} seconds; give a number above 0")
    text = str(source)
    shown = shown_source(text)
    if not text:
        raise SourceError("a source without a name; give a file, folder, camera or stream")
    if isinstance(source, Path) or os.path.lexists(source):
        if _is_camera(Path(source)):
            return _live(partial(open_camera, text), shown, every, patience, endless=endless)
        return _files(Path(source), every)
    if source == "simulated" or source.startswith("simulated:"):
        return _simulated(parse_simulated(source))
    if _CAMERA.fullmatch(source):
        number = int(source.removeprefix("camera:"))
        return _live(partial(open_camera, number), f"camera {number}", every, patience, endless=endless)
    if "://" in source:
        return _live(partial(open_stream, source), shown, every, patience, endless=endless)
    return _files(Path(source), every)


def is_live(source: str | Path) -> bool:
    """Whether a source goes on for ever: a camera or a stream."""
    if isinstance(source, Path) or os.path.lexists(source):
        return _is_camera(Path(source))
    return bool(_CAMERA.fullmatch(source)) or "://" in source


def _live(
    opens: Opens, name: str, every: float, patience: float, *, endless: bool
) -> Generator[Found, None, None]:
    if not endless:
        raise SourceError(f"{name}: never ends; say with --fields or --until how much to read")
    return live_frames(opens, name, every=every, patience=patience)


def _is_camera(path: Path) -> bool:
    """Whether a path is the device of a camera.

    Raises:
        SourceError: it is something else that opening could wait on for ever.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):  # told where it is read
        return False
    if stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _LINUX_CAMERAS:
        return True
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise SourceError(f"{printable(str(path))}: {NO_FILE}")
    return False


def _files(path: Path, every: float) -> Generator[Frame | SkippedFrame, None, None]:
    if path.is_file() and _holds_video(path):
        return video_frames(path, every)
    return _images(path)


def _holds_video(path: Path) -> bool:
    """Whether a file is a video, by its first bytes or else by its suffix."""
    head = _head(path)
    motion_jpeg = suffix_of(path.name) in (".mjpg", ".mjpeg")
    return is_video(head) or (suffix_of(path.name) in VIDEO_SUFFIXES and (motion_jpeg or not is_image(head)))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:  # told where it is read
        return b""


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


def _simulated(settings: SimulatedSource) -> Generator[Frame, None, None]:
    # A fifth of the start of every command, and only this source needs it.
    from edge_runtime.simulator import simulate_field  # noqa: PLC0415

    for index in range(settings.fields):
        yield Frame(f"field {index + 1}", simulate_field(settings.seed, index).frame)


def _images(path: Path) -> Generator[Frame | SkippedFrame, None, None]:
    files = list_images(path)
    alone = len(files) == 1 and path.is_file() and suffix_of(path.name) != ".zip"
    if alone and suffix_of(path.name) not in SUFFIXES:
        kinds = ", ".join((*SUFFIXES, ".zip", *VIDEO_SUFFIXES))
        reason = no_image_because(suffix_of(path.name), _head(path))
        raise SourceError(f"{files[0].name}: {reason or f'not a kind of source; expected a folder, {kinds}'}")
    for file in files:
        try:
            yield Frame.of(file.name, decode_image(file.read(), file.name))
        except ImageError as error:
            if alone:
                raise
            yield SkippedFrame.of(file.name, error)
