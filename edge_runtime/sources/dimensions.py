"""How large an encoded image is, from its header alone: a few megabytes can unpack to many gigabytes."""

import struct

# Of one image. A phone's photograph has 12 to 50 million; beyond this a device's memory does not suffice.
MOST_PIXELS = 150_000_000

_PNG, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM"
_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SHORT = 256, 257, 3
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
        if data.startswith(_PNG):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(_JPEG):
            return _jpeg_size(data)
        if data.startswith(_BMP):
            width, height = struct.unpack_from("<ii", data, 18)
            return width, abs(height)  # negative where the rows run from the top
        if data[:4] in _TIFF_ORDERS:
            return _tiff_size(data, _TIFF_ORDERS[data[:4]])
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


def _tiff_size(data: bytes, order: str) -> tuple[int, int] | None:
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (entries,) = struct.unpack_from(f"{order}H", data, directory)
    found = {}
    for number in range(entries):
        entry = directory + 2 + 12 * number
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            (found[tag],) = struct.unpack_from(
                f"{order}{'H' if kind == _TIFF_SHORT else 'I'}", data, entry + 8
            )
    return (found[_TIFF_WIDTH], found[_TIFF_HEIGHT]) if len(found) == 2 else None
