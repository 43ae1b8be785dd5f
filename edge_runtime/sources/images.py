"""Images in: from a file, a folder or a zip to uint8 RGB arrays, refusing what cannot be trusted."""

import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import ImageError, SourceError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp")


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
