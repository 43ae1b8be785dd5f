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
from edge_runtime.sources.continuity import is_torn
from edge_runtime.sources.headers import BMP, JPEG, MOST_PIXELS, PNG, encoded_size, is_tiff, tiff_directories
from edge_runtime.sources.unpacking import lzw_length, packbits_length

Pixels = NDArray[np.uint8]

_HEIC_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"avif")
_TIFF_COMPRESSION, _TIFF_ROWS, _TIFF_JPEG_TABLES = 259, 278, 347
_TIFF_SHAPE, _TIFF_BITS = (256, 257, 277), 258  # width, height and samples; bits of each sample
_TIFF_TILE = (322, 323)  # width and height
_TIFF_PLANES = 284  # 2 where the colours are kept apart
_TIFF_PLACES, _TIFF_LENGTHS = (273, 324), (279, 325)  # of strips, of tiles
# Compressions that OpenCV's libtiff reads; with any other it gives a picture all the same.
_TIFF_NONE, _TIFF_LZW, _TIFF_JPEG, _TIFF_DEFLATE, _TIFF_PACKBITS = 1, 5, 7, (8, 32946), 32773
_TIFF_READ = {_TIFF_NONE, _TIFF_LZW, _TIFF_JPEG, *_TIFF_DEFLATE, _TIFF_PACKBITS}


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
        pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False)
    except ValueError as error:
        raise _damaged(name, str(error)) from error
    if is_torn(pixels):
        raise _damaged(name, "from one row of its blocks on, light or colour is another")
    return np.asarray(pixels, np.uint8)


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
        eight_bit = pages and set(pages[0].get(_TIFF_BITS, ())) == {8}  # else OpenCV tells what it is
        for part, length in _tiff_parts(data, pages[0]) if eight_bit else ():
            _check_part(part, compression, length)
    except (struct.error, ValueError, zlib.error) as error:
        raise _damaged(name, str(error)) from error
    except (LookupError, ArithmeticError) as error:
        raise _damaged(name, "its tables do not fit each other") from error
    return _by_opencv(data, name)


def _tiff_parts(data: bytes, page: dict[int, tuple[int, ...]]) -> Iterator[tuple[bytes, int]]:
    """The strips or tiles of a page, of JPEG each with the shared tables; and how long each is unpacked."""
    tables = bytes(page.get(_TIFF_JPEG_TABLES, ()))
    width, height, samples = (page.get(tag, (1,))[0] for tag in _TIFF_SHAPE)
    rows = min(page.get(_TIFF_ROWS, (height,))[0], height)
    if page.get(_TIFF_PLANES, (1,))[0] == 2:  # one colour after the other
        samples = 1
    strips, tiled = -(-height // max(rows, 1)), _TIFF_TILE[0] in page
    if tiled:
        width, rows = (page[tag][0] for tag in _TIFF_TILE)
    places, lengths = (page.get(tags[tiled], ()) for tags in (_TIFF_PLACES, _TIFF_LENGTHS))
    for number, (place, length) in enumerate(zip(places, lengths, strict=True)):
        part = data[place : place + length]
        left = rows if tiled else min(rows, height - number % strips * rows)
        yield tables[:-2] + part[2:] if tables else part, left * width * samples


def _check_part(part: bytes, compression: int, length: int) -> None:
    """Refuse, by a ValueError or zlib's own error, a strip or tile that OpenCV would have to guess at."""
    if compression == _TIFF_JPEG:
        _check_jpeg_part(part)
    found = length
    if compression in _TIFF_DEFLATE:
        unpacking = zlib.decompressobj()  # bounded: a few bytes can stand for gigabytes
        found = len(unpacking.decompress(part, length + 1))
        if not unpacking.eof:
            raise ValueError("the end of its data is missing, or far beyond where it should be")
    elif compression == _TIFF_LZW:
        found = lzw_length(part, length + 1)
    elif compression == _TIFF_PACKBITS:
        found = packbits_length(part)
    if found != length:
        raise ValueError(f"{found} bytes where {length} should be")


def _check_jpeg_part(part: bytes) -> None:
    try:
        simplejpeg.decode_jpeg(part, colorspace="RGB")
    except ValueError as error:
        # Within TIFF the colours may be named otherwise than in any file of JPEG's own.
        if "subsampling level" not in str(error):
            raise


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
    if pixels is None and _too_large(data):
        raise MemoryError
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


def _too_large(data: bytes) -> bool:
    """Whether a picture that OpenCV did not give has no room here: in its order of colours and in ours."""
    width, height = encoded_size(data) or (0, 0)
    try:
        np.empty((2, height, width, 3), np.uint8)
    except (MemoryError, ValueError):
        return True
    return False


def _damaged(name: str, found: str) -> ImageError:
    if "end of JPEG file" in found or "Could not determine" in found:
        return ImageError(f"{name}: the file is cut off; copy it again")
    return ImageError(f"{name}: the file is damaged ({found}); copy it again")
