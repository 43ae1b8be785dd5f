"""What the container of a video states of itself: whether it is a video, and how long the file should be."""

import os
import struct
from pathlib import Path
from typing import BinaryIO

from edge_runtime.sources.headers import BMP, JPEG, PNG, is_tiff

_STILL = (b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"avif", b"avis")  # pictures in the container of mp4
_MATROSKA, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_TRANSPORT = 188  # bytes of a packet of a transport stream, each beginning with "G"
HEAD = 2 * _TRANSPORT + 1
_UNKNOWN = 0xFFFFFFFF  # a length that the writer of an avi did not know
_MOST_BOXES = 100_000
_SLACK = 64  # bytes; writers miscount their own headers


def is_video(head: bytes) -> bool:
    """Whether a file begins as a video: mp4, mov, avi, mkv, webm, ts, mpg, flv or wmv.

    Args:
        head: its first HEAD bytes.
    """
    return (
        (head[4:8] == b"ftyp" and head[8:12] not in _STILL)
        or (head[4:8] in (b"moov", b"mdat", b"wide") and head[:2] == b"\0\0")
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or head.startswith((_MATROSKA, b"\0\0\x01\xba", b"FLV\x01", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"))
        or (len(head) == HEAD and head[0] == head[_TRANSPORT] == head[2 * _TRANSPORT] == ord("G"))
    )


def is_image(head: bytes) -> bool:
    """Whether a file begins as a PNG, JPEG, TIFF or BMP file."""
    return head.startswith((PNG, JPEG, BMP)) or is_tiff(head)


def bytes_missing(path: Path) -> int:
    """How many bytes a video file lacks, by what its outermost parts state; 0 where they state nothing.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(12)
        length = file.seek(0, os.SEEK_END)
        if head[:4] == b"RIFF":
            stated = int.from_bytes(head[4:8], "little")
            end = stated + 8 if stated != _UNKNOWN else 0
        elif head.startswith(_MATROSKA):
            end = _end_of_segment(file)
        else:
            end = _end_of_boxes(file, length) if head[4:8].isalpha() else 0
    return end - length if end - length > _SLACK else 0


def _end_of_boxes(file: BinaryIO, length: int) -> int:
    """Where the last box of an mp4 file ends (ISO/IEC 14496-12, 4.2)."""
    place = 0
    for _ in range(_MOST_BOXES):
        if place + 16 > length:
            return place
        file.seek(place)
        size, _kind, long_size = struct.unpack(">I4sQ", file.read(16))
        size = long_size if size == 1 else size
        if size < 8:  # 0: to the end of the file, whatever that is
            return 0
        place += size
    return 0


def _end_of_segment(file: BinaryIO) -> int:
    """Where the segment of a Matroska or WebM file ends; 0 if it was written without knowing (RFC 8794)."""
    file.seek(0)
    head = file.read(4096)
    place = head.find(_SEGMENT) + 4
    if place < 4 or place >= len(head) or not head[place]:
        return 0
    width = 9 - head[place].bit_length()
    value = int.from_bytes(head[place : place + width], "big") & ((1 << 7 * width) - 1)
    return 0 if value == (1 << 7 * width) - 1 else place + width + value
