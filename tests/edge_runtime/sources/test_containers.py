"""What containers of videos state of their own length, and by which bytes they are known."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.sources.containers import bytes_missing, is_video


def box(kind: bytes, body: bytes, *, stated: int | None = None) -> bytes:
    return struct.pack(">I4s", len(body) + 8 if stated is None else stated, kind) + body


def riff(length: int) -> bytes:
    return b"RIFF" + struct.pack("<I", length) + b"AVI " + bytes(988)


def matroska(length: int | None) -> bytes:
    size = bytes([0x01, *(0xFF,) * 7]) if length is None else (1 << 56 | length).to_bytes(8, "big")
    return b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67" + size + bytes(500)


START = box(b"ftyp", b"isom" + bytes(12))


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        pytest.param(START + box(b"mdat", bytes(900)), 0, id="mp4"),
        pytest.param(START + box(b"mdat", bytes(900), stated=2000), 1092, id="mp4-cut"),
        pytest.param(
            START + box(b"mdat", struct.pack(">Q", 3000) + bytes(892), stated=1), 2092, id="mp4-long"
        ),
        pytest.param(START + box(b"mdat", bytes(900), stated=0), 0, id="mp4-to-its-end"),
        pytest.param(riff(992), 0, id="avi"),
        pytest.param(riff(1000), 0, id="avi-miscounted"),
        pytest.param(riff(2000), 1008, id="avi-cut"),
        pytest.param(riff(0), 0, id="avi-unfinished"),
        pytest.param(riff(0xFFFFFFFF), 0, id="avi-streamed"),
        pytest.param(matroska(500), 0, id="matroska"),
        pytest.param(matroska(800), 300, id="matroska-cut"),
        pytest.param(matroska(None), 0, id="matroska-streamed"),
    ],
)
def test_missing_bytes_are_those_that_the_container_states(tmp_path: Path, data: bytes, missing: int) -> None:
    path = tmp_path / "film"
    path.write_bytes(data)
    assert bytes_missing(path) == missing
    assert is_video(data)


@given(st.sampled_from([b"", b"RIFF", START, b"\x1a\x45\xdf\xa3\x18\x53\x80\x67"]), st.binary(max_size=80))
def test_no_bytes_raise_anything(tmp_path_factory: pytest.TempPathFactory, start: bytes, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(start + data)
    assert bytes_missing(path) >= 0
    assert is_video(start + data) in (True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a text",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0WEBP",
        box(b"ftyp", b"heic"),
        bytes(400),
    ],
)
def test_pictures_and_texts_are_no_videos(data: bytes) -> None:
    assert not is_video(data)
