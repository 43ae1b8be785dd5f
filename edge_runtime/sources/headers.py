"""What the header of an encoded image states, before anything is unpacked.

A few megabytes can unpack to many gigabytes.
"""

import struct
from collections.abc import Iterator

# Of one image. A phone's photograph has 12 to 50 million; beyond this a device's memory does not suffice.
MOST_PIXELS = 150_000_000

PNG, JPEG, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM"
_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 7: "B"}  # types of whole numbers, and bytes without a type
# Markers that begin a frame; C4, C8 and CC among them are tables and an extension.
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # markers that no length follows


def encoded_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels that the header of a PNG, JPEG, TIFF or BMP file states.

    Args:
        data: the file's bytes.

    Returns:
        (width, height); None where the header states none that can be read, as in another kind of file.
    """
    try:
        if data.startswith(PNG):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(JPEG):
            return _jpeg_size(data)
        if data.startswith(BMP):
            width, height = struct.unpack_from("<ii", data, 18)
            return width, abs(height)  # negative where the rows run from the top
        if is_tiff(data):
            return _tiff_size(data)
    except struct.error:  # the header is cut off
        pass
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        if marker == 0xFF:  # padding
            place += 1
        elif marker in _JPEG_BARE:
            place += 2
        else:
            place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return None


def is_tiff(data: bytes) -> bool:
    """Whether a file begins as TIFF files do."""
    return data[:4] in _TIFF_ORDERS


def tiff_directories(data: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """The pages of a TIFF file: whole numbers by tag, of the types byte, short, long and undefined.

    Raises:
        struct.error: a page lies outside of the file.
        ValueError: pages that follow each other in a circle.
    """
    order, seen = _TIFF_ORDERS[data[:4]], set()
    (place,) = struct.unpack_from(f"{order}I", data, 4)
    while place:
        if place in seen:
            raise ValueError("its pages follow each other in a circle")
        seen.add(place)
        (entries,) = struct.unpack_from(f"{order}H", data, place)
        found = {}
        for entry in range(place + 2, place + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, entry)
            if kind in _TIFF_NUMBERS:
                value = f"{order}{count}{_TIFF_NUMBERS[kind]}"
                inside = struct.calcsize(value) <= 4
                where = entry + 8 if inside else struct.unpack_from(f"{order}I", data, entry + 8)[0]
                found[tag] = struct.unpack_from(value, data, where)
        yield found
        (place,) = struct.unpack_from(f"{order}I", data, place + 2 + 12 * entries)


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    page = next(tiff_directories(data), {})
    width, height = page.get(_TIFF_WIDTH), page.get(_TIFF_HEIGHT)
    return (width[0], height[0]) if width and height else None
