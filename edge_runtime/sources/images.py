"""Images in: from a file, a folder or a zip to uint8 RGB arrays, refusing what cannot be trusted."""

import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ImageError, SourceError
from edge_runtime.sources.dimensions import MOST_PIXELS, encoded_size

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

# A decoder fills the missing part of a cut-off file with grey and says nothing, so the end marks are checked
# here.
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


@dataclass(frozen=True)
class ImageFile:
    """One image that can be read.

    Attributes:
        name: the path as shown to people; inside a zip, the member's name.
        read: returns the encoded bytes; raises ImageError if they cannot be read.
    """

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class SkippedFrame:
    """An image or a frame that could not be read, and why."""

    name: str
    reason: str

    @classmethod
    def of(cls, name: str, error: ImageError) -> "SkippedFrame":
        """What an error says of an image; the reason does not name it once more."""
        return cls(name, str(error).removeprefix(f"{name}: "))

    def __str__(self) -> str:
        """One line, as commands tell it."""
        return f"skipped: {self.name}: {self.reason}"


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode an encoded colour image.

    Args:
        data: the bytes of a PNG, JPEG, TIFF or BMP file.
        name: how to call the image in an error.

    Returns:
        uint8 array [height, width, 3], RGB, 0-255, in the orientation in which the pixels are stored.

    Raises:
        ImageError: not an image, cut off, too large for a device's memory, 16-bit, grey, or partly
            transparent.
    """
    _check_complete(data, name)
    _check_size(data, name)
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


def list_images(path: str | Path) -> list[ImageFile]:
    """List the images of a file, a folder (searched to any depth) or a zip, sorted by name.

    Raises:
        SourceError: the path is absent, the zip is broken, or there is no image in it.
    """
    path = Path(path)
    if path.is_dir():
        images = [
            ImageFile(printable(str(file)), _file_reader(file))
            for file in sorted(path.rglob("*"))
            if file.suffix.lower() in SUFFIXES and file.is_file()
        ]
    elif not path.exists():
        raise SourceError(f"{path}: no such file or folder; check the path")
    elif path.suffix.lower() == ".zip":
        images = list(_zip_members(path))
    else:
        return [ImageFile(printable(str(path)), _file_reader(path))]
    if not images:
        raise SourceError(f"{path}: holds no image ({', '.join(SUFFIXES)}); check the path")
    return images


def printable(text: str) -> str:
    """Replace what stands for a file name's undecodable bytes: no record or page could hold it."""
    return os.fsencode(text).decode("utf-8", "replace")


def _check_complete(data: bytes, name: str) -> None:
    if not data:
        raise ImageError(f"{name}: an empty file; copy it again")
    # Some writers pad the file, so the end mark need not be the last byte.
    png_cut = data.startswith(_PNG_START) and _PNG_END not in data[-64:]
    jpeg_cut = data.startswith(_JPEG_START) and _JPEG_END not in data[-1024:]
    if png_cut or jpeg_cut:
        raise ImageError(f"{name}: the file is cut off; copy it again")


def _check_size(data: bytes, name: str) -> None:
    """Refuse, before it is unpacked, what the memory would not hold."""
    size = encoded_size(data)
    if size is not None and size[0] * size[1] > MOST_PIXELS:
        raise ImageError(
            f"{name}: {size[0]}x{size[1]} pixels; at most {MOST_PIXELS // 10**6} million can be read, "
            "cut it into fields of view or save it smaller"
        )


def _file_reader(file: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return file.read_bytes()
        except OSError as error:
            raise ImageError(f"{printable(str(file))}: cannot be read ({error.strerror})") from error

    return read


def _zip_members(path: Path) -> Iterator[ImageFile]:
    archive = open_zip(path)
    for name in sorted(archive.namelist()):
        if name.lower().endswith(SUFFIXES) and not name.startswith("__MACOSX/"):
            yield ImageFile(name, _member_reader(archive, name))


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip for reading.

    Raises:
        SourceError: the file is absent, cut off or no zip.
    """
    try:
        return zipfile.ZipFile(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # zipfile's own error and, from damaged tables, several others
        raise SourceError(f"{path}: not a complete zip file; copy or download it again") from error


def _member_reader(archive: zipfile.ZipFile, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return archive.read(name)
        except Exception as error:  # the decompressors' errors share no base class
            where = printable(str(archive.filename))
            raise ImageError(f"{name}: damaged inside {where} ({error}); copy the zip again") from error

    return read
