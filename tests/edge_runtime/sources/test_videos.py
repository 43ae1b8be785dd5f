"""Videos whole and cut off: every whole field before the cut is given, and never a piece of one."""

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.simulator import SimulatedField, simulate_field
from edge_runtime.sources.frames import frames
from edge_runtime.sources.items import Frame, SkippedFrame

AWKWARD = Path(__file__).parents[4] / "shared" / "data" / "awkward"
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
    assert ended.startswith(f"ends in the middle, after frame {len(taken)}; ")
    assert ended.endswith(
        "bytes of the file are missing. What was read before is kept, copy the video again and read it as "
        "another slide"
    )


def test_a_recording_cut_off_is_told_where_it_states_its_length(
    tmp_path: Path, filmed: list[SimulatedField]
) -> None:
    for codec, name in (("VP80", "film.webm"), ("MJPG", "film.mkv")):
        path = record(tmp_path / name, codec, filmed)
        path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
        taken, ended = read(path)
        assert 0 < len(taken) < FIELDS
        assert ended.startswith(f"ends in the middle, after frame {len(taken)}; ")


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
    assert ended.startswith(f"ends in the middle, after frame {len(taken)}; ")


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


def jpegs(avi: Path) -> list[bytes]:
    """The frames of a motion JPEG video as they are stored."""
    stored = cv2.VideoCapture(str(avi), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    found = []
    while True:
        there, data = stored.read()
        if not there:
            return found
        found.append(data.tobytes())


def looks(path: Path, **settings: Any) -> list[Frame | SkippedFrame]:
    found = []
    for item in frames(path, **settings):
        assert isinstance(item, Frame | SkippedFrame)
        found.append(item)
    return found


@pytest.mark.parametrize("suffix", [".avi", ".mjpg"])
def test_a_cut_jpeg_in_a_video_is_skipped_by_name_and_never_filled_from_the_frame_before(
    tmp_path: Path, avi: Path, suffix: str
) -> None:
    stored, whole = jpegs(avi), looks(avi)
    choice = np.random.default_rng(3)
    for _ in range(12):
        hurt = int(choice.integers(FIELDS))
        kept = int(choice.integers(200, len(stored[hurt]) - 2))
        path = tmp_path / f"cut{suffix}"
        if suffix == ".avi":
            data = avi.read_bytes()
            place = data.index(stored[hurt])
            path.write_bytes(
                data[: place + kept] + bytes(len(stored[hurt]) - kept) + data[place + len(stored[hurt]) :]
            )
        else:
            path.write_bytes(b"".join([*stored[:hurt], stored[hurt][:kept], *stored[hurt + 1 :]]))
        found = looks(path, every=0)
        assert [item.name for item in found] == [f"cut{suffix} frame {n}" for n in range(1, FIELDS + 1)]
        assert [isinstance(item, SkippedFrame) for item in found] == [n == hurt for n in range(FIELDS)]
        for item, sound in zip(found, whole, strict=True):
            if isinstance(item, Frame):
                assert isinstance(sound, Frame)
                np.testing.assert_array_equal(item.image, sound.image)


LOOKS = """
import sys, zlib
from edge_runtime.sources.items import Frame
from edge_runtime.sources.frames import frames
for item in frames(sys.argv[1], every=0):
    print(zlib.crc32(item.image) if isinstance(item, Frame) else item)
"""


def told_of(path: Path) -> list[str]:
    """Checksums of the frames, or why they are skipped; by a process of its own, which hears the decoder."""
    done = subprocess.run([sys.executable, "-c", LOOKS, path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_what_is_computed_from_a_damaged_frame_is_skipped_until_a_frame_stands_alone(
    tmp_path: Path, filmed: list[SimulatedField]
) -> None:
    path = record(tmp_path / "film.mp4", "mp4v", [filmed[n // 15] for n in range(60)], fps=5)
    stored, whole = jpegs(path), told_of(path)
    assert all(map(str.isdecimal, whole))
    data = bytearray(path.read_bytes())
    place = data.index(stored[15][8:60])
    data[place + 300 : place + 900] = bytes(600)
    path.write_bytes(data)
    found = told_of(path)
    skipped = [n for n, told in enumerate(found) if not told.isdecimal()]
    assert skipped == list(range(15, skipped[-1] + 1))
    assert 30 < skipped[-1] < 55
    told = "damaged in the file, or computed from a damaged frame; copy the video again"
    assert [found[n] for n in skipped] == [f"skipped: film.mp4 frame {n + 1}: {told}" for n in skipped]
    assert [found[n] for n in range(60) if n not in skipped] == [
        whole[n] for n in range(60) if n not in skipped
    ]


def test_each_frame_has_its_own_time(avi: Path, mp4: Path) -> None:
    for path in (avi, mp4):
        assert [item.moment for item in read(path)[0]] == pytest.approx([0, 1, 2, 3, 4])


@pytest.mark.parametrize("every", [0, 0.3, 1, 7])
def test_looks_are_as_far_apart_as_asked(tmp_path: Path, filmed: list[SimulatedField], every: float) -> None:
    path = record(tmp_path / "slide.mkv", "MJPG", filmed * 2, fps=5)
    expected = [n / 5 for n in range(10) if every == 0 or n == 0 or n / 5 // every > (n - 1) / 5 // every]
    assert [item.moment for item in read(path, every=every)[0]] == pytest.approx(expected, abs=2e-3)


def test_a_video_of_one_frame_is_a_field(tmp_path: Path, filmed: list[SimulatedField]) -> None:
    for codec, name in (("MJPG", "one.avi"), ("mp4v", "one.mp4"), ("VP80", "one.webm")):
        taken, ended = read(record(tmp_path / name, codec, filmed[:1]))
        assert (len(taken), ended) == (1, "")


def test_a_phones_video_is_turned_as_the_phone_was_held(
    tmp_path: Path, mp4: Path, filmed: list[SimulatedField]
) -> None:
    data = bytearray(mp4.read_bytes())
    matrix = data.index(b"tkhd") + 44
    assert struct.unpack_from(">9i", data, matrix) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, matrix, 0, 65536, 0, -65536, 0, 0, 480 << 16, 0, 1 << 30)
    path = tmp_path / "held.mp4"
    path.write_bytes(data)
    first = next(frames(path))
    assert isinstance(first, Frame)
    assert np.abs(np.rot90(first.image).astype(int) - filmed[0].frame).mean() < 6


@pytest.mark.parametrize(
    "name", ["10:30:15.mp4", "http:x.mp4", "film%03d.mp4", "no suffix", "slide.jpg", "é 1.MP4"]
)
def test_a_video_is_one_whatever_its_name(
    tmp_path: Path, mp4: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(mp4.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert len(list(frames(name))) == FIELDS


def test_an_image_that_is_called_a_video_is_an_image(tmp_path: Path, slide_folder: Path) -> None:
    path = tmp_path / "field.mp4"
    path.write_bytes((slide_folder / "field-1.png").read_bytes())
    with pytest.raises(SourceError, match="holds an image, but its name does not end as one"):
        list(frames(path))


def test_a_name_that_would_crash_the_decoder_is_refused(tmp_path: Path, mp4: Path) -> None:
    path = tmp_path / "caf\udce9.mp4"
    try:
        path.write_bytes(mp4.read_bytes())
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    with pytest.raises(SourceError, match="caf\ufffd\\.mp4: a name that no decoder takes; rename it"):
        list(frames(path))


@pytest.mark.real
@pytest.mark.skipif(not AWKWARD.exists(), reason="../shared/data/awkward is not here")
def test_a_browsers_recording_gives_its_fields_and_no_false_end() -> None:
    """Its frame rate varies, and its length is declared as that of 6238 frames."""
    found = looks(AWKWARD / "06_browser_recording.webm")
    assert [item.moment for item in found if isinstance(item, Frame)] == pytest.approx(range(7), abs=0.1)
    kinds: list[np.ndarray] = []
    for item in found:
        assert isinstance(item, Frame)
        if all(np.abs(item.image.astype(int) - other).mean() > 10 for other in kinds):
            kinds.append(item.image)
    assert len(kinds) == 3


def test_a_video_is_read_where_there_is_no_standard_error(avi: Path) -> None:
    command = f'"{sys.executable}" -c "$0" "$1" 2>&-'
    done = subprocess.run(["sh", "-c", command, LOOKS, avi], stdout=subprocess.PIPE, text=True, check=True)
    assert len(done.stdout.split()) == FIELDS
