"""What a zip holds: each member by its place in the zip, as two may have one name."""

import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from edge_runtime.errors import ImageError, SourceError
from edge_runtime.sources.containers import HEAD
from edge_runtime.sources.folders import MOST_BYTES
from edge_runtime.sources.inventory import Entry
from edge_runtime.sources.names import printable


def zip_entries(path: Path) -> list[Entry]:
    """The members of a zip; what is encrypted or a link has a problem.

    Raises:
        SourceError: see `open_zip`.
    """
    archive = open_zip(path)
    entries: list[Entry] = []
    seen: Counter[str] = Counter()
    for info in archive.infolist():
        parts = tuple(part for part in re.split(r"[/\\]", info.filename) if part not in ("", ".", ".."))
        if info.is_dir() or not parts:
            continue
        seen[info.filename] += 1
        name = printable(info.filename)
        if seen[info.filename] > 1:
            name += f" (number {seen[info.filename]} of this name)"
        reader = _member_reader(archive, info, name)
        entries.append(Entry(parts, name, reader, _head_reader(archive, info), _problem(info)))
    return entries


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


def _problem(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 1:
        return "encrypted; unpack the zip with its password and read the folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "a link inside a zip; put the file itself there"
    if info.file_size > MOST_BYTES:
        return f"{info.file_size} bytes, too large for an image; save it smaller"
    return ""


def _member_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return archive.read(info)
        except MemoryError as error:
            raise ImageError(f"{name}: too large for the memory of this device; save it smaller") from error
        except Exception as error:  # the decompressors' errors share no base class
            where = printable(str(archive.filename))
            raise ImageError(f"{name}: damaged inside {where} ({error}); copy the zip again") from error

    return read


def _head_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def head() -> bytes:
        try:
            with archive.open(info) as opened:
                return opened.read(HEAD)
        except Exception:  # noqa: BLE001 - as above; it is named by its suffix, or as one of a kind
            return b""

    return head
