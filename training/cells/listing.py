"""What every reader of labelled cells makes: a list of crops, not yet decoded, that says what they are."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.sources.items import SkippedFrame


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
    """

    name: str
    label: str
    patient: str
    stamp: str
    read: Callable[[], bytes]
    reread: str = ""


@dataclass(frozen=True)
class Listing:
    """The crops of one source.

    Attributes:
        source: in full: an absolute path, or the simulator with all its settings.
        classes: all that its cells may have, in small letters, in any order.
        files: the crops; those that must be cut out of frames first come as they are cut.
        stamp: changes when any crop, label or patient does, or what cuts the crops.
        skipped: what was found and is not read.
        rereads: the classes that a second reading gave, each with the first place where it stands.
    """

    source: str
    classes: tuple[str, ...]
    files: Iterable[CellFile]
    stamp: str
    skipped: tuple[SkippedFrame, ...] = ()
    rereads: Mapping[str, str] = field(default_factory=dict)


def stamp_of(files: Iterable[CellFile]) -> str:
    """A hash that changes when any crop, its label or its patient changes, without reading the crops."""
    lines = "\n".join(f"{f.name}\t{f.label}\t{f.patient}\t{f.reread}\t{f.stamp}" for f in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def as_png(crop: NDArray[np.uint8]) -> bytes:
    """A crop that was cut out of a frame, encoded as if it had been a file: uint8 [h, w, 3] RGB."""
    return cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1].tobytes()
