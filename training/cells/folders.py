"""Crops in class folders, in a folder or a zip; the NIH archive is one: cell_images/Parasitized/….png."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_runtime.errors import SourceError
from edge_runtime.sources.folders import folder_entries
from edge_runtime.sources.inventory import Entry, inventory
from edge_runtime.sources.items import SkippedFrame
from edge_runtime.sources.names import SUFFIXES, left_by_system, printable, suffix_of
from edge_runtime.sources.zips import zip_entries
from training.cells.archive import patients_of
from training.cells.classes import class_name
from training.cells.listing import CellFile, Listing, stamp_of

_EXPECTED = (
    "expected a folder of crops for each class, as cells/uninfected/1.png and cells/parasitized/2.png; "
    "or give the CSV or the COCO file that lists the images"
)


def list_folders(path: Path, pattern: str | None = None) -> Listing:
    """The crops of a folder or zip; the folder that a crop lies in names its class.

    A folder that holds other folders of images is none of a class: what lies in it itself is not read. The
    name of a cell is that of its class folder and its own, so a copy in another place counts once.

    Args:
        path: a folder, searched to any depth, or a zip.
        pattern: see `patients_of`.

    Raises:
        SourceError: the zip is broken, there are no class folders, two crops of one name are not the same,
            or the names do not tell patients as they should.
    """
    entries = folder_entries(path) if path.is_dir() else zip_entries(path)
    images = [entry for entry in entries if _is_image(entry)]
    holders = {entry.parts[:-1] for entry in images}
    above = {folder[:depth] for folder in holders for depth in range(len(folder))} | {()}
    crops = _once(path, [entry for entry in images if entry.parts[:-1] not in above])
    if not crops:
        raise SourceError(f"{printable(str(path))}: no class folders; {_EXPECTED}")
    patients = patients_of([entry.parts[-1] for entry in crops.values()], pattern, str(path))
    files = [
        CellFile(name, class_name(entry.parts[-2]), patient, _stamp(path, entry), entry.read)
        for (name, entry), patient in zip(crops.items(), patients, strict=True)
    ]
    return Listing(
        source=str(path.resolve()),
        classes=tuple({file.label for file in files}),
        files=files,
        stamp=stamp_of(files),
        skipped=_skipped(path, entries, [entry for entry in images if entry.parts[:-1] in above]),
    )


def _is_image(entry: Entry) -> bool:
    """Whether an entry is an image that can be read; deleted files and the shadows of macOS are none."""
    hidden = any(map(left_by_system, entry.parts))
    return not hidden and not entry.problem and suffix_of(entry.parts[-1]) in SUFFIXES


def _once(path: Path, entries: Sequence[Entry]) -> dict[str, Entry]:
    """The crops by name, sorted. One published copy of the archive holds every crop twice."""
    named: dict[str, Entry] = {}
    for entry in entries:
        name = printable("/".join(entry.parts[-2:]))
        first = named.setdefault(name, entry)
        if first is not entry and first.read() != entry.read():
            raise SourceError(f"{path}: holds two different files named {name}; rename or remove one of them")
    return {name: named[name] for name in sorted(named)}


def _stamp(path: Path, entry: Entry) -> str:
    status = (path.joinpath(*entry.parts) if path.is_dir() else path).stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def _skipped(path: Path, entries: Sequence[Entry], strays: Sequence[Entry]) -> tuple[SkippedFrame, ...]:
    """What was found and is no crop, each image by its name."""
    reason = "lies beside class folders and in none; move it into one"
    beside = {id(entry) for entry in strays}
    left = [replace(entry, problem=reason) if id(entry) in beside else entry for entry in entries]
    found = inventory(left, printable(str(path)))
    return tuple(SkippedFrame(file.name, file.left_out) for file in found if file.left_out)
