"""One source of labelled cells or several, each in whichever layout it has: one list of crops."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from edge_runtime.console import tell_skipped
from edge_runtime.errors import SourceError
from training.cells import archive, simulated
from training.cells.listing import CellFile, Listing, stamp_of


def list_sources(places: tuple[str, ...]) -> tuple[Listing, ...]:
    """The crops of one source or of several; what is found and not read is told.

    Args:
        places: as `CellSource.where`.

    Raises:
        SourceError: a source is absent, broken, in no layout that is known, or named twice.
    """
    listings = [_list_source(place) for place in places]
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
    )


def _numbered(listings: Iterable[Listing]) -> Iterator[CellFile]:
    for number, listing in enumerate(listings, start=1):
        for file in listing.files:
            yield replace(file, name=f"{number}/{file.name}")


def _list_source(place: str) -> Listing:
    if simulated.is_simulated(place):
        settings = simulated.parse(place)
        return Listing(str(settings), simulated.CLASSES, simulated.cells(settings), simulated.stamp(settings))
    files = archive.list_cells(Path(place))
    tell_skipped(archive.not_read(Path(place)))
    classes = tuple({file.label for file in files})
    return Listing(str(Path(place).resolve()), classes, files, stamp_of(files))
