"""Decoding images: what is read, in which order of colours, and what is refused."""

import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import ImageError
from edge_runtime.sources.decoding import decode_image

# Two pixels wide, three high, so that neither axes nor colours can be swapped unseen.
PIXELS = np.array(
    [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]], [[1, 2, 3], [200, 100, 50]]], np.uint8
)
NOISE = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: np.ndarray, *, bits: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A PNG as its specification says, row by row without filter; rows are bytes [height, bytes per row]."""
    height = len(rows)
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    width = rows.shape[1] * 8 // (bits * samples)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def encode(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def exif_turned(jpeg: bytes) -> bytes:
    """The same JPEG with a note that it should be shown turned by a quarter."""
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def test_png_becomes_rgb_rows_from_the_top() -> None:
    decoded = decode_image(png(PIXELS.reshape(3, 6)), "a.png")
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, PIXELS)


def test_palette_is_resolved_to_colours() -> None:
    palette = chunk(b"PLTE", bytes([255, 0, 0, 10, 20, 30]))
    decoded = decode_image(png(np.array([[0, 1, 1]], np.uint8), colour=3, extra=palette), "a.png")
    assert decoded.tolist() == [[[255, 0, 0], [10, 20, 30], [10, 20, 30]]]


def test_opaque_alpha_is_dropped() -> None:
    rgba = np.dstack([PIXELS, np.full((3, 2), 255, np.uint8)])
    np.testing.assert_array_equal(decode_image(png(rgba.reshape(3, 8), colour=6), "a.png"), PIXELS)


@pytest.mark.parametrize("suffix", [".bmp", ".tif"])
def test_lossless_formats_keep_every_pixel(suffix: str) -> None:
    decoded = decode_image(encode(suffix, cv2.cvtColor(NOISE, cv2.COLOR_RGB2BGR)), f"a{suffix}")
    np.testing.assert_array_equal(decoded, NOISE)


def test_jpeg_keeps_the_order_of_colours() -> None:
    bgr = np.full((16, 16, 3), (20, 90, 200), np.uint8)
    assert np.abs(decode_image(encode(".jpg", bgr), "a.jpg").mean((0, 1)) - (200, 90, 20)).max() < 3


def test_pixels_are_not_turned_by_a_note_in_the_file() -> None:
    jpeg = encode(".jpg", NOISE)
    np.testing.assert_array_equal(decode_image(exif_turned(jpeg), "t"), decode_image(jpeg, "p"))


def grey() -> np.ndarray:
    return np.full((20, 20), 130, np.uint8)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(b"", "an empty file; copy it again", id="empty"),
        pytest.param(b"dear technician\n", "not an image that can be decoded", id="text"),
        pytest.param(bytes(400), "not an image that can be decoded", id="zeros"),
        pytest.param(encode(".png", np.zeros((9, 9, 3), np.uint16)), "16 bits per channel", id="16-bit-png"),
        pytest.param(encode(".tif", np.zeros((9, 9, 3), np.uint16)), "16 bits per channel", id="16-bit-tiff"),
        pytest.param(encode(".tif", np.zeros((9, 9, 3), np.float32)), "32 bits per channel", id="float-tiff"),
        pytest.param(encode(".png", grey()), "a grey image", id="grey-png"),
        pytest.param(encode(".jpg", grey()), "a grey image", id="grey-jpeg"),
        pytest.param(png(np.zeros((8, 1), np.uint8), bits=1, colour=0), "a grey image", id="two-level"),
        pytest.param(
            png(np.array([[1, 2, 3, 255, 4, 5, 6, 254]], np.uint8), colour=6),
            "partly transparent",
            id="transparent",
        ),
    ],
)
def test_what_cannot_be_trusted_is_refused_by_name(data: bytes, told: str) -> None:
    with pytest.raises(ImageError, match=f"^some name: .*{told}"):
        decode_image(data, "some name")


WHOLE = {suffix: encode(suffix, NOISE) for suffix in (".png", ".jpg", ".bmp", ".tif")}


@given(st.sampled_from(sorted(WHOLE)), st.floats(0, 0.99))
def test_a_file_that_is_cut_off_anywhere_is_refused(suffix: str, kept: float) -> None:
    data = WHOLE[suffix][: int(kept * (len(WHOLE[suffix]) - 3))]
    known = suffix in {".png", ".jpg"} and len(data) >= 8
    with pytest.raises(ImageError, match="^cut: the file is cut off; copy it again" if known else "^cut: "):
        decode_image(data, "cut")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_padding_after_the_end_is_no_harm(suffix: str) -> None:
    padded = decode_image(WHOLE[suffix] + bytes(50), "padded")
    np.testing.assert_array_equal(padded, decode_image(WHOLE[suffix], "whole"))


@given(st.integers(0, len(WHOLE[".png"]) - 1), st.integers(1, 255))
def test_a_damaged_png_is_never_taken_for_another_picture(position: int, change: int) -> None:
    damaged = bytearray(WHOLE[".png"])
    damaged[position] ^= change
    try:
        decoded = decode_image(bytes(damaged), "damaged")
    except ImageError:
        return
    np.testing.assert_array_equal(decoded, decode_image(WHOLE[".png"], "whole"))


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM", b"II*\0"]),
)
def test_no_bytes_raise_anything_but_a_refusal(data: bytes, start: bytes) -> None:
    with suppress(ImageError):
        decode_image(start + data, "noise")
