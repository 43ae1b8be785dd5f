"""One source of labelled cells or several, each in whichever layout it has: one list of crops."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from edge_runtime.console import tell_skipped
from edge_runtime.errors import SourceError
from edge_runtime.sources.names import printable, suffix_of
from training.cells import simulated
from training.cells.coco import list_coco
from training.cells.folders import list_folders
from training.cells.listing import CellFile, Listing
from training.cells.table import list_table

_LAYOUTS = (
    "a folder or zip of class folders (the NIH archive is one), a CSV path,label[,patient][,reread], a COCO "
    "file, or 'simulated'"
)


def list_sources(places: tuple[str, ...], pattern: str | None = None) -> tuple[Listing, ...]:
    """The crops of one source or of several; what is found and not read is told.

    Args:
        places: of each a folder or zip of class folders (the NIH archive is one), a CSV of crops, a COCO file
            of boxes on frames, or "simulated" with its settings (see `simulated.parse`).
        pattern: how to read the patient from the names of files (see `patients_of`).

    Raises:
        SourceError: a source is absent, broken, in no layout that is known, or named twice.
    """
    listings = [_list_source(place, pattern) for place in places]
    sources = [listing.source for listing in listings]
    for source in sources:
        if sources.count(source) > 1:
            raise SourceError(f"{source}: named twice; name each source of cells once")
    return tuple(listings)


def together(listings: tuple[Listing, ...]) -> Listing:
    """Several sources as one; then the name of each cell begins with the number of its source."""
    if len(listings) == 1:
        return listings[0]
    stamps = "\n".join(listing.stamp for listing in listings)
    return Listing(
        source=" + ".join(listing.source for listing in listings),
        classes=tuple(sorted({name for listing in listings for name in listing.classes})),
        files=_numbered(listings),
        stamp=hashlib.sha256(stamps.encode()).hexdigest(),
        rereads={label: place for listing in listings for label, place in listing.rereads.items()},
    )


def _numbered(listings: Iterable[Listing]) -> Iterator[CellFile]:
    for number, listing in enumerate(listings, start=1):
        for file in listing.files:
            yield replace(file, name=f"{number}/{file.name}")


def _list_source(place: str, pattern: str | None) -> Listing:
    if simulated.is_simulated(place):
        settings = simulated.parse(place)
        return Listing(str(settings), simulated.CLASSES, simulated.cells(settings), simulated.stamp(settings))
    path = Path(place)
    if not path.exists():
        raise SourceError(f"{printable(place)}: no such file or folder; give {_LAYOUTS}")
    readers = {".csv": list_table, ".json": list_coco, ".zip": list_folders}
    reader = list_folders if path.is_dir() else readers.get(suffix_of(path.name))
    if reader is None:
        raise SourceError(f"{printable(place)}: neither a folder nor .zip, .csv or .json; give {_LAYOUTS}")
    listing = reader(path, pattern)
    tell_skipped(listing.skipped)
    return listing
