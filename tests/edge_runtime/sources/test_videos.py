"""Videos whole and cut off: every whole field before the cut is given, and never a piece of one."""

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.simulator import SimulatedField, simulate_field
from edge_runtime.sources.frames import Frame, frames

FIELDS = 5


@pytest.fixture(scope="module")
def filmed() -> list[SimulatedField]:
    return [simulate_field(11, index, width=640, height=480, cells=22) for index in range(FIELDS)]


def record(path: Path, codec: str, filmed: list[SimulatedField], fps: float = 1) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (640, 480))
    assert writer.isOpened()
    for field in filmed:
        writer.write(cv2.cvtColor(field.frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory, filmed: list[SimulatedField]) -> Path:
    return record(tmp_path_factory.mktemp("video") / "slide.avi", "MJPG", filmed)


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory, filmed: list[SimulatedField]) -> Path:
    return record(tmp_path_factory.mktemp("video") / "slide.mp4", "mp4v", filmed)


def read(path: Path, **settings: Any) -> tuple[list[Frame], str]:
    """The frames of a video, and how it ended."""
    taken: list[Frame] = []
    try:
        for item in frames(str(path), **settings):
            assert isinstance(item, Frame)
            taken.append(item)
    except SourceError as error:
        return taken, str(error).removeprefix(f"{path}: ")
    return taken, ""


def shows(item: Frame, field: SimulatedField) -> bool:
    """Whether a frame is a whole field, as far as compression lets one tell, to its last row."""
    difference = np.abs(item.image.astype(int) - field.frame)
    return bool(difference.mean() < 6 and difference[-16:].mean() < 8)


@pytest.mark.parametrize("kind", ["avi", "mp4"])
def test_a_video_gives_its_fields(
    kind: str, request: pytest.FixtureRequest, filmed: list[SimulatedField]
) -> None:
    path = request.getfixturevalue(kind)
    taken, ended = read(path)
    assert ended == ""
    assert [f.name for f in taken] == [f"slide.{kind} frame {n}" for n in range(1, FIELDS + 1)]
    assert all(shows(item, field) for item, field in zip(taken, filmed, strict=True))


def test_frames_are_taken_at_the_asked_interval(avi: Path) -> None:
    taken, ended = read(avi, every=2)
    assert ended == ""
    assert [f.name for f in taken] == [f"slide.avi frame {n}" for n in (1, 3, 5)]


def test_a_video_stops_at_the_limit(avi: Path) -> None:
    assert [f.name for f in read(avi, limit=2)[0]] == ["slide.avi frame 1", "slide.avi frame 2"]


def test_a_stage_that_rests_is_not_counted_twice(tmp_path: Path, filmed: list[SimulatedField]) -> None:
    resting = [filmed[0]] * 3 + [filmed[1]] * 3 + [filmed[0]]
    taken, ended = read(record(tmp_path / "rest.avi", "MJPG", resting))
    assert ended == ""
    assert [f.name for f in taken] == ["rest.avi frame 1", "rest.avi frame 4"]


@pytest.mark.parametrize("kept", [0.35, 0.5, 0.7, 0.97])
def test_an_avi_cut_in_the_middle_of_a_frame_gives_the_whole_ones_and_an_error(
    tmp_path: Path, avi: Path, filmed: list[SimulatedField], kept: float
) -> None:
    data = avi.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: int(kept * len(data))])
    taken, ended = read(cut)
    assert 0 < len(taken) < FIELDS
    assert all(shows(item, field) for item, field in zip(taken, filmed, strict=False))
    assert ended == (
        f"ends in the middle, after frame {len(taken)} of {FIELDS}; what was read before is kept, "
        "copy the video again and read it as another slide"
    )


def test_an_avi_cut_between_two_looks_is_noticed_too(tmp_path: Path, avi: Path) -> None:
    cut = tmp_path / "cut.avi"
    cut.write_bytes(avi.read_bytes()[: int(0.7 * avi.stat().st_size)])
    taken, ended = read(cut, every=60)
    assert len(taken) == 1
    assert ended.startswith("ends in the middle, after frame ")


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.99])
def test_an_mp4_cut_before_its_table_gives_nothing_but_an_error(
    tmp_path: Path, mp4: Path, kept: float
) -> None:
    """Its table of frames stands at the end, so OpenCV cannot open what is left."""
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(mp4.read_bytes()[: int(kept * mp4.stat().st_size)])
    assert read(cut) == ([], "not a video that can be decoded; copy it again")


def boxes(data: bytes) -> dict[bytes, bytes]:
    found, at = {}, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found[kind] = data[at : at + size]
        at += size
    return found


def table_first(data: bytes) -> bytes:
    """The same mp4 with its table before its frames, as phones and the web write it."""
    parts = boxes(data)
    table = bytearray(parts.pop(b"moov"))
    at = table.index(b"stco") + 8
    (count,) = struct.unpack(">I", table[at : at + 4])
    for entry in range(at + 4, at + 4 + 4 * count, 4):
        (offset,) = struct.unpack(">I", table[entry : entry + 4])
        table[entry : entry + 4] = struct.pack(">I", offset + len(table))
    return parts.pop(b"ftyp") + bytes(table) + b"".join(parts.values())


@pytest.mark.parametrize("kept", [0.4, 0.8, 0.97])
def test_an_mp4_with_its_table_first_gives_the_whole_frames_before_the_cut(
    tmp_path: Path, mp4: Path, filmed: list[SimulatedField], kept: float
) -> None:
    data = table_first(mp4.read_bytes())
    (tmp_path / "whole.mp4").write_bytes(data)
    assert len(read(tmp_path / "whole.mp4")[0]) == FIELDS
    (tmp_path / "cut.mp4").write_bytes(data[: int(kept * len(data))])
    taken, ended = read(tmp_path / "cut.mp4")
    assert 0 < len(taken) < FIELDS
    assert all(shows(item, field) for item, field in zip(taken, filmed, strict=False))
    assert ended.startswith(f"ends in the middle, after frame {len(taken)} of {FIELDS}; ")


@pytest.mark.parametrize("content", [b"", b"a text", bytes(5000)])
@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv", ".MOV"])
def test_what_is_no_video_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"no{suffix}"
    path.write_bytes(content)
    assert read(path) == ([], "not a video that can be decoded; copy it again")


def test_a_header_without_frames_is_refused(tmp_path: Path, avi: Path) -> None:
    data = avi.read_bytes()
    path = tmp_path / "header.avi"
    path.write_bytes(data[: data.index(b"movi") + 4])
    taken, ended = read(path)
    assert taken == []
    assert ended.endswith("copy it again")
