"""Decoding an image, refusing whatever the decoder had to guess at.

OpenCV fills what it cannot read with grey or with the rows before, and says nothing to its caller: such a
field would be counted. JPEG is therefore decoded by a library that tells (with the same libjpeg-turbo inside,
and the same pixels), PNG's checksums are compared, and of TIFF only what OpenCV reads whole is accepted.
"""

import struct
import zlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from edge_runtime.errors import ImageError
from edge_runtime.sources.headers import BMP, JPEG, MOST_PIXELS, PNG, encoded_size, is_tiff, tiff_directories

Pixels = NDArray[np.uint8]

_HEIC_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"avif")
_TIFF_COMPRESSION, _TIFF_JPEG_TABLES = 259, 347
_TIFF_PLACES, _TIFF_LENGTHS = (273, 324), (279, 325)  # of strips, of tiles
# Compressions that OpenCV's libtiff reads; with any other it gives a picture all the same.
_TIFF_READ = {1: "none", 5: "LZW", 7: "JPEG", 8: "deflate", 32946: "deflate", 32773: "PackBits"}


def decode_image(data: bytes, name: str) -> Pixels:
    """Decode an encoded colour image.

    Args:
        data: the bytes of a PNG, JPEG, TIFF or BMP file.
        name: how to call the image in an error.

    Returns:
        uint8 array [height, width, 3], RGB, 0-255, in the orientation in which the pixels are stored.

    Raises:
        ImageError: not an image, damaged or cut off, of several pages, too large for a device's memory,
            16-bit, grey, or partly transparent.
    """
    if not data:
        raise ImageError(f"{name}: an empty file; copy it again")
    size = encoded_size(data)
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise ImageError(
            f"{name}: {size[0]}x{size[1]} pixels; at most {MOST_PIXELS // 10**6} million can be read, "
            "cut it into fields of view or save it smaller"
        )
    try:
        return _decoder(data)(data, name)
    except MemoryError as error:
        raise ImageError(f"{name}: too large for the memory of this device; save it smaller") from error


def _decoder(data: bytes) -> Callable[[bytes, str], Pixels]:
    if data.startswith(JPEG):
        return _jpeg
    if data.startswith(PNG):
        return _png
    if is_tiff(data):
        return _tiff
    if data.startswith(BMP):
        return _bmp
    return _unknown


def _jpeg(data: bytes, name: str) -> Pixels:
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours == "Gray":
            raise ImageError(f"{name}: a grey image; the stain's colour is needed, give RGB")
        return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False))
    except ValueError as error:
        raise _damaged(name, str(error)) from error


def _png(data: bytes, name: str) -> Pixels:
    wrong = next((kind for kind, right in _png_chunks(data, name) if not right), None)
    if wrong is not None:
        raise _damaged(name, f"the checksum of {wrong} is wrong")
    return _by_opencv(data, name)


def _png_chunks(data: bytes, name: str) -> Iterator[tuple[str, bool]]:
    """The chunks of a PNG file up to its end, and whether each one's checksum is right."""
    place = len(PNG)
    while True:
        head = data[place : place + 8]
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"")
        body = data[place + 4 : place + 8 + length]
        stated = data[place + 8 + length : place + 12 + length]
        if len(stated) < 4:
            raise ImageError(f"{name}: the file is cut off; copy it again")
        yield kind.decode("ascii", "replace"), struct.unpack(">I", stated)[0] == zlib.crc32(body)
        if kind == b"IEND":
            return
        place += 12 + length


def _tiff(data: bytes, name: str) -> Pixels:
    try:
        pages = list(tiff_directories(data))
        if len(pages) > 1:
            raise ImageError(f"{name}: {len(pages)} pages; save each one as an image of its own")
        compression = (pages[0].get(_TIFF_COMPRESSION) or (1,))[0] if pages else 1
        if compression not in _TIFF_READ:
            raise ImageError(f"{name}: compressed by TIFF's method {compression}; save it as PNG")
        if compression == 7:
            for part in _tiff_parts(data, pages[0]):
                simplejpeg.decode_jpeg(part, colorspace="RGB")
    except (struct.error, ValueError) as error:
        raise _damaged(name, str(error)) from error
    return _by_opencv(data, name)


def _tiff_parts(data: bytes, page: dict[int, tuple[int, ...]]) -> Iterator[bytes]:
    """The JPEG files that the strips or tiles of a page are, each with the tables that they share."""
    tables = bytes(page.get(_TIFF_JPEG_TABLES, ()))
    for places, lengths in zip(_TIFF_PLACES, _TIFF_LENGTHS, strict=True):
        for place, length in zip(page.get(places, ()), page.get(lengths, ()), strict=True):
            part = data[place : place + length]
            yield tables[:-2] + part[2:] if tables else part


def _bmp(data: bytes, name: str) -> Pixels:
    (stated,) = struct.unpack_from("<I", data.ljust(6, b"\0"), 2)
    if len(data) < stated:
        raise ImageError(f"{name}: the file is cut off; copy it again")
    return _by_opencv(data, name)


def _unknown(data: bytes, name: str) -> Pixels:
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        raise ImageError(f"{name}: HEIC or AVIF cannot be read; let the phone save JPEG, or convert it")
    raise ImageError(f"{name}: not an image that can be decoded; give a PNG, JPEG, TIFF or BMP")


def _by_opencv(data: bytes, name: str) -> Pixels:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ImageError(f"{name}: not an image that can be decoded; give a PNG, JPEG, TIFF or BMP")
    if pixels.dtype != np.uint8:
        bits = pixels.dtype.itemsize * 8
        raise ImageError(f"{name}: {bits} bits per channel; save it with 8 bits per channel")
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        raise ImageError(f"{name}: a grey image; the stain's colour is needed, give RGB")
    if pixels.shape[2] == 4:
        if (pixels[..., 3] != 255).any():
            raise ImageError(f"{name}: partly transparent; save it without an alpha channel")
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB), np.uint8)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _damaged(name: str, found: str) -> ImageError:
    return ImageError(f"{name}: the file is cut off or damaged ({found}); copy it again")
