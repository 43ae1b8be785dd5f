"""What lies in a folder, at any depth: each file once, and nothing that could block whoever opens it."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.errors import ImageError
from edge_runtime.sources.containers import HEAD
from edge_runtime.sources.inventory import Entry
from edge_runtime.sources.names import SUFFIXES, in_order, left_by_system, printable, suffix_of

# Of one encoded image; the largest that can be decoded has a third of it as pixels.
MOST_BYTES = 1_500_000_000
NO_FILE = "a pipe, socket or device and no file; save the pictures as files first"


def folder_entries(folder: Path) -> list[Entry]:
    """The entries of a folder; of a hidden folder only itself.

    A link to a file is followed, and a file that is reached twice is read once. A link to a folder, an
    unreadable folder, a pipe or a device are entries with a problem.
    """
    found = sorted(_walk(folder), key=lambda file: (file.link, in_order(file.entry.parts)))
    seen: dict[tuple[int, int], str] = {}
    entries = []
    for file in found:
        entry, status = file.entry, file.status
        image = suffix_of(entry.parts[-1]) in SUFFIXES and not any(map(left_by_system, entry.parts))
        # Some file systems number nothing; and only of a link or a file with two names can there be another.
        if image and status and status.st_ino and not entry.problem:
            key = status.st_dev, status.st_ino
            if key in seen and (file.link or status.st_nlink > 1):
                entry = replace(entry, problem=f"the same file as {seen[key]}, which is read already")
            seen.setdefault(key, entry.name)
        entries.append(entry)
    return entries


@dataclass(frozen=True)
class _Found:
    entry: Entry
    status: os.stat_result | None = None
    link: bool = False


def _walk(folder: Path) -> Iterator[_Found]:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            inside = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            if here == folder:
                raise
            yield _Found(_entry(folder, here, f"a folder that cannot be read ({error.strerror})"))
            continue
        for item in inside:
            path = here / item.name
            if item.is_dir(follow_symlinks=False) and not left_by_system(item.name):
                waiting.append(path)
            else:
                yield _file(folder, path, item)


def _file(folder: Path, path: Path, item: os.DirEntry[str]) -> _Found:
    link = item.is_symlink()
    try:
        status = path.stat()
    except OSError as error:
        problem = "a link that leads nowhere" if link else f"cannot be read ({error.strerror})"
        return _Found(_entry(folder, path, problem), link=link)
    problem = ""
    if stat.S_ISDIR(status.st_mode):
        problem = "a link to a folder; read that folder by itself" if link else ""
    elif not stat.S_ISREG(status.st_mode):
        problem = NO_FILE
    return _Found(_entry(folder, path, problem), status, link)


def _entry(folder: Path, path: Path, problem: str) -> Entry:
    return Entry(
        path.relative_to(folder).parts, printable(str(path)), file_reader(path), _head_reader(path), problem
    )


def file_reader(file: Path) -> Callable[[], bytes]:
    """What reads a file; it raises ImageError if that cannot be done."""
    name = printable(str(file))

    def read() -> bytes:
        try:
            if file.stat().st_size > MOST_BYTES:
                raise ImageError(
                    f"{name}: {file.stat().st_size} bytes, too large for an image; save it smaller"
                )
            return file.read_bytes()
        except OSError as error:
            raise ImageError(f"{name}: cannot be read ({error.strerror})") from error
        except MemoryError as error:
            raise ImageError(f"{name}: too large for the memory of this device; save it smaller") from error

    return read


def _head_reader(file: Path) -> Callable[[], bytes]:
    def head() -> bytes:
        try:
            with file.open("rb") as opened:
                return opened.read(HEAD)
        except OSError:  # it is named by its suffix, or as one of a kind
            return b""

    return head
