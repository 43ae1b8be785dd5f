"""What every reader of labelled cells makes: a list of crops, not yet decoded, that says what they are."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class CellFile:
    """One labelled crop.

    Attributes:
        name: unique in its source; the same wherever the source lies.
        label: name of its class, in small letters (see `classes.class_name`).
        patient: whom it was taken from; "" where nobody knows.
        stamp: changes whenever the file does (size and checksum or modification time).
        read: returns the encoded bytes.
        reread: the class that a second reading gave it, in small letters; "" where nobody read again.
        place: where the label stands, for errors: "cells.csv, line 7"; "" if in the name.
    """

    name: str
    label: str
    patient: str
    stamp: str
    read: Callable[[], bytes]
    reread: str = ""
    place: str = ""


@dataclass(frozen=True)
class Listing:
    """The crops of one source.

    Attributes:
        source: in full: an absolute path, or the simulator with all its settings.
        classes: all that its cells may have, in small letters, in any order.
        files: the crops; those that must be cut out of frames first come as they are cut.
        stamp: changes when any crop, label or patient does, or what cuts the crops.
    """

    source: str
    classes: tuple[str, ...]
    files: Iterable[CellFile]
    stamp: str


def stamp_of(files: Iterable[CellFile]) -> str:
    """A hash that changes when any crop, its label or its patient changes, without reading the crops."""
    lines = "\n".join(f"{f.name}\t{f.label}\t{f.patient}\t{f.reread}\t{f.stamp}" for f in files)
    return hashlib.sha256(lines.encode()).hexdigest()
