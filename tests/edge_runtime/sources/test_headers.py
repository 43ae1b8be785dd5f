"""The size of an image is known before it is unpacked, and what is too large is not unpacked."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import ImageError
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.frames import frames
from edge_runtime.sources.headers import MOST_PIXELS, encoded_size
from edge_runtime.sources.items import SkippedFrame


def encoded(suffix: str, width: int, height: int, *settings: int) -> bytes:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(suffix, image, list(settings))[1].tobytes()


def huge_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be a large image."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"\0"), b"IEND"]
    packed = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + packed


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (70, 30), (301, 1200)])
def test_the_header_states_the_size(suffix: str, width: int, height: int) -> None:
    assert encoded_size(encoded(suffix, width, height)) == (width, height)


def test_a_progressive_jpeg_with_restarts() -> None:
    data = encoded(".jpg", 90, 40, cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    assert encoded_size(data) == (90, 40)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0\xff\xff\xff\xff"]
)
def test_no_size_where_none_is_stated(data: bytes) -> None:
    assert encoded_size(data) is None


@given(
    st.sampled_from([".png", ".jpg", ".tif", ".bmp"]), st.integers(0, 400), st.binary(min_size=1, max_size=8)
)
def test_damage_ends_in_an_answer(suffix: str, place: int, damage: bytes) -> None:
    data = encoded(suffix, 20, 10)
    size = encoded_size(data[:place] + damage + data[place + len(damage) :])
    assert size is None or len(size) == 2


def test_what_is_too_large_is_refused_before_it_is_unpacked() -> None:
    side = int(MOST_PIXELS**0.5) + 1
    with pytest.raises(ImageError, match=f"a.png: {side}x{side} pixels; at most 150 million can be read"):
        decode_image(huge_png(side, side), "a.png")


def test_one_too_large_image_does_not_end_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(huge_png(32_000, 32_000))
    (tmp_path / "b.png").write_bytes(encoded(".png", 100, 80))
    first, second = frames(str(tmp_path))
    assert isinstance(first, SkippedFrame)
    assert "32000x32000 pixels" in first.reason
    assert not isinstance(second, SkippedFrame)
