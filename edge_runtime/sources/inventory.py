"""Everything found among images: what is read, what is named with the reason, what is told as a kind."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge_runtime.sources.items import ImageFile
from edge_runtime.sources.names import SUFFIXES, in_order, left_by_system, no_image_because, suffix_of


@dataclass(frozen=True)
class Entry:
    """Something found in a folder or zip.

    Attributes:
        parts: the folders it lies in and its name, below the folder or zip.
        name: as shown to people.
        read: returns its bytes; raises ImageError if they cannot be read.
        head: returns its first bytes; b"" where they cannot be read.
        problem: why it cannot be read, if that is known.
    """

    parts: tuple[str, ...]
    name: str
    read: Callable[[], bytes]
    head: Callable[[], bytes]
    problem: str = ""


def inventory(entries: Iterable[Entry], where: str) -> list[ImageFile]:
    """All entries, in the order of their names; those that are told as a kind stand at the end.

    Args:
        entries: of a folder or zip.
        where: how that is shown to people.
    """
    found: list[ImageFile] = []
    system: set[tuple[str, ...]] = set()
    other: list[str] = []
    for entry in sorted(entries, key=lambda entry: in_order(entry.parts)):
        hidden = next((n for n, part in enumerate(entry.parts, start=1) if left_by_system(part)), 0)
        suffix = suffix_of(entry.parts[-1])
        if hidden:
            system.add(entry.parts[:hidden])
        elif entry.problem:
            found.append(ImageFile.not_read(entry.name, entry.problem))
        elif suffix in SUFFIXES:
            found.append(ImageFile(entry.name, entry.read))
        elif reason := no_image_because(suffix, entry.head()):
            found.append(ImageFile.not_read(entry.name, reason))
        else:
            other.append(suffix or "no suffix")
    if system:
        names = _some({parts[-1] for parts in system})
        reason = f"hidden, deleted, thumbnails or a system's own ({names})"
        found.append(ImageFile.not_read(f"{where} ({_count(len(system), 'entry', 'entries')})", reason))
    if other:
        reason = f"no image ({_some(set(other))})"
        found.append(
            ImageFile.not_read(f"{where} ({_count(len(other), 'other file', 'other files')})", reason)
        )
    return found


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _some(names: set[str]) -> str:
    first = sorted(names)[:5]
    return ", ".join(first) + (" …" if len(names) > len(first) else "")
