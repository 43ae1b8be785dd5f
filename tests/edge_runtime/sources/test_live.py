"""Cameras and streams that misbehave: told in time and once, opened again, and no picture given twice."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.sources import capture, live
from edge_runtime.sources.frames import frames
from edge_runtime.sources.items import Frame, SourceNote

pytestmark = pytest.mark.usefixtures("sooner")

Serve = Callable[[Callable[[int, int], bytes | None]], str]

INTERVAL = 0.03  # seconds between two pictures of the loopback camera
SHARE = 4  # of the delays that users see, tests wait this part
SIZE = (120, 160)


def picture(number: int, size: tuple[int, int] = SIZE) -> bytes:
    rows, columns = np.mgrid[: size[0], : size[1]]
    shown = np.dstack([rows, columns, (rows + 9 * number) % 200]).astype(np.uint8)
    return cv2.imencode(".jpg", shown)[1].tobytes()


BLACK = cv2.imencode(".jpg", np.zeros((*SIZE, 3), np.uint8))[1].tobytes()


def watch(address: str, **settings: Any) -> tuple[list[tuple[float, Frame | SourceNote]], str]:
    """What a source gave, each with the seconds since the item before, and why it was given up."""
    found, before = [], time.monotonic()
    try:
        for item in frames(address, **{"every": 0, "patience": 1.5, "endless": True, **settings}):
            assert isinstance(item, Frame | SourceNote)
            found.append((time.monotonic() - before, item))
            before = time.monotonic()
    except SourceError as error:
        return found, str(error)
    raise AssertionError


def notes(found: list[tuple[float, Frame | SourceNote]]) -> list[str]:
    return [item.text for _, item in found if isinstance(item, SourceNote)]


GOOD = 5
TROUBLES = {
    "frozen": (lambda _, n: picture(min(n, GOOD - 1)), live.FROZEN),
    "black": (lambda _, n: picture(n) if n < GOOD else BLACK, live.BLACK),
    "stall": (lambda c, n: picture(n) if n < GOOD and not c else b"", live.SILENT),
    "close": (lambda _, n: picture(n) if n < GOOD else None, live.CLOSED),
    "cut": (lambda _, n: picture(n) if n < GOOD else picture(n)[:900], live.DAMAGED),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_trouble_is_told_once_within_three_seconds_and_given_up_when_patience_ends(
    serve: Serve, trouble: str
) -> None:
    sends, text = TROUBLES[trouble]
    address = serve(sends)
    began = time.monotonic()
    found, ended = watch(address)
    assert time.monotonic() - began < 1.5 + GOOD * INTERVAL + live.OPEN_TIMEOUT + 0.5
    assert [item.name for _, item in found[:GOOD]] == [f"{address} picture {n}" for n in range(1, GOOD + 1)]
    assert notes(found) == [text]
    waited, note = found[GOOD]
    assert waited < 3 / SHARE
    assert str(note) == f"note: {address}: {text}"
    assert ended == f"{address}: {text}. Nothing new came for 1.5 seconds; what was read before is kept"


def test_black_from_the_start_is_told_too(serve: Serve) -> None:
    found, ended = watch(serve(lambda *_: BLACK))
    assert [type(item) for _, item in found] == [SourceNote]
    assert live.BLACK in ended


def test_a_stream_that_comes_back_goes_on_and_no_picture_is_given_twice(serve: Serve) -> None:
    address = serve(lambda c, n: picture(3 * c + n) if n < 5 else None)
    looks = list(islice(frames(address, every=0, endless=True), 12))
    given = [item.image.tobytes() for item in looks if isinstance(item, Frame)]
    told = [item for item in looks if isinstance(item, SourceNote)]
    assert len(set(given)) == len(given) >= 9
    assert [note.text for note in told] == [live.CLOSED] * len(told)
    assert told


def test_a_cut_jpeg_is_never_filled_from_the_picture_before(serve: Serve) -> None:
    address = serve(lambda _, n: picture(n)[: 200 + 97 * n] if n % 3 == 2 else picture(n))
    looks = list(islice(frames(address, every=0, endless=True), 9))
    assert [item.text for item in looks if isinstance(item, SourceNote)] == [live.DAMAGED]
    sound = [cv2.imdecode(np.frombuffer(picture(n), np.uint8), cv2.IMREAD_COLOR_RGB) for n in range(20)]
    given = [item for item in looks if isinstance(item, Frame)]
    assert len(given) == 8
    for item in given:
        assert min(np.abs(item.image.astype(int) - whole).max() for whole in sound) <= 2
    assert sum(item.dropped for item in given) >= 2


def test_good_pictures_are_found_among_bad_ones_however_they_alternate(
    monkeypatch: pytest.MonkeyPatch, camera: Callable[..., None]
) -> None:
    # Of pictures 0.01 s apart every second is unpacked, and every second is damaged.
    monkeypatch.setattr(live, "_JUDGED", 0.015)
    sent = [picture(n)[:700] if n % 2 == 0 else picture(n) for n in range(40)]
    camera(*(np.frombuffer(data, np.uint8)[None] for data in sent), raw=True)
    found, _ = watch("0", every=0.015, patience=0.3)
    assert sum(isinstance(item, Frame) for _, item in found) > 5


def test_another_size_is_told_and_read(serve: Serve) -> None:
    address = serve(lambda _, n: picture(n, SIZE if n < 3 else (96, 128)))
    looks = list(islice(frames(address, every=0, endless=True), 6))
    assert [str(item) for item in looks if isinstance(item, SourceNote)] == [
        f"note: {address}: now sends 128x96 pixels, before 160x120"
    ]
    assert {item.image.shape for item in looks if isinstance(item, Frame)} == {(120, 160, 3), (96, 128, 3)}


def test_the_newest_picture_is_given_and_what_nobody_saw_is_counted(serve: Serve) -> None:
    found = frames(serve(lambda _, n: picture(n)), every=0, endless=True)
    first = next(found)
    time.sleep(20 * INTERVAL)
    second = next(found)
    found.close()  # type: ignore[attr-defined]
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert second.moment is not None
    assert second.moment > 15 * INTERVAL
    assert second.dropped >= 10


def test_looks_are_as_far_apart_as_asked(serve: Serve) -> None:
    looks = list(islice(frames(serve(lambda _, n: picture(n)), every=0.6, endless=True), 3))
    moments = [item.moment for item in looks if isinstance(item, Frame)]
    assert moments == pytest.approx([0, 0.6, 1.2], abs=0.35)


def test_leaving_ends_the_thread(serve: Serve) -> None:
    before = set(threading.enumerate())
    address = serve(lambda _, n: picture(n) if n < 2 else b"")
    serving = {thread for thread in threading.enumerate() if thread not in before}
    found = frames(address, every=0, endless=True)
    next(found)
    assert any(thread.name == address for thread in threading.enumerate())
    found.close()  # type: ignore[attr-defined]
    assert not any(thread.name == address for thread in threading.enumerate())
    assert serving


def test_a_stream_that_is_not_there_is_named_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}/live"
        with pytest.raises(
            SourceError, match=f"^http://{address}: cannot be opened; check that it is connected"
        ):
            list(frames(f"http://nurse:secret@{address}", endless=True))


class StandIn:
    """A camera at a cable: it sends given pictures, then none, or hangs inside its driver."""

    def __init__(
        self, sent: list[np.ndarray], hangs: threading.Event | None = None, raw: bool = False
    ) -> None:
        self._sent, self._hangs, self._raw = list(sent), hangs, raw
        self._now: np.ndarray | None = None

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def get(self, what: int) -> float:
        return cv2.VideoWriter.fourcc(*"MJPG") if self._raw and what == cv2.CAP_PROP_FOURCC else 0.0

    def set(self, *_: float) -> bool:
        return self._raw

    def grab(self) -> bool:
        time.sleep(0.01)
        self._now = self._sent.pop(0) if self._sent else None
        if self._now is None and self._hangs:
            self._hangs.wait(20)
        return self._now is not None

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        return self._now is not None, self._now

    def release(self) -> None:
        pass


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def play(*sent: np.ndarray, **settings: Any) -> None:
        monkeypatch.setattr(cv2, "VideoCapture", lambda *_: StandIn(list(sent), **settings))

    return play


def decoded(number: int) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(picture(number), np.uint8), cv2.IMREAD_COLOR)


def test_a_cameras_pictures_are_rgb_and_its_end_is_told(camera: Callable[..., None]) -> None:
    camera(decoded(0), decoded(1))
    found, ended = watch("0", patience=0.3)
    given = [item for _, item in found if isinstance(item, Frame)]
    assert [item.name for item in given] == ["camera 0 picture 1", "camera 0 picture 2"]
    np.testing.assert_array_equal(given[0].image, decoded(0)[..., ::-1])
    assert notes(found) == [live.CLOSED]
    assert ended.startswith(f"camera 0: {live.CLOSED}. Nothing new came for 0.3 seconds")


def test_a_camera_whose_driver_hangs_is_told_in_time(camera: Callable[..., None]) -> None:
    over = threading.Event()
    camera(decoded(0), hangs=over)
    looks = frames("camera:1", every=0, patience=1.5, endless=True)
    assert isinstance(next(looks), Frame)
    began = time.monotonic()
    assert str(next(looks)) == f"note: camera 1: {live.SILENT}"
    assert time.monotonic() - began < 3 / SHARE
    with pytest.raises(SourceError, match=r"^camera 1: sends nothing more; .* for 1\.5 seconds"):
        next(looks)
    over.set()


def test_a_camera_that_sends_jpeg_is_decoded_by_what_tells_damage(camera: Callable[..., None]) -> None:
    sent = [picture(0), picture(1)[:700], picture(2)]
    camera(*(np.frombuffer(data, np.uint8)[None] for data in sent), raw=True)
    found, _ = watch("0", patience=0.3)
    given = [item.image for _, item in found if isinstance(item, Frame)]
    assert len(given) == 2
    assert np.abs(given[1].astype(int) - decoded(2)[..., ::-1]).max() <= 2
    assert notes(found) == [live.DAMAGED, live.CLOSED]


def test_what_nobody_foresaw_is_raised_where_the_pictures_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a driver's surprise")

    monkeypatch.setattr(cv2, "VideoCapture", broken)
    with pytest.raises(RuntimeError, match="a driver's surprise"):
        list(frames("0", endless=True))


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
from edge_runtime.sources.frames import frames
try:
    for item in frames(sys.argv[1], every=0, endless=True):
        print(item.name, flush=True)
except KeyboardInterrupt:
    print("ended by Ctrl-C")
"""


def test_ctrl_c_ends_the_wait_for_a_picture(serve: Serve) -> None:
    address = serve(lambda _, n: picture(n) if n < 1 else b"")
    command = [sys.executable, "-c", INTERRUPTED, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == f"{address} picture 1\n"
        child.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert child.stdout.read() == "ended by Ctrl-C\n"
        assert child.wait(10) == 0
        assert time.monotonic() - began < capture.OPEN_TIMEOUT * SHARE + 1
        assert "Traceback" not in child.stderr.read()
