"""The cache of decoded cells: a folder with all images as network input, and what is said of each."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import InputSpec, resize_crop
from edge_runtime.errors import ImageError, StorageError
from edge_runtime.sources.decoding import decode_image
from training.cells.listing import CellFile

FORMAT = 3  # of the cache folder
_NAMED = 5  # of the images that cannot be used


@dataclass(frozen=True)
class Cached:
    """What a cache holds of N cells.

    Attributes:
        images: uint8 [N, size, size, 3] RGB, memory-mapped, read-only.
        names: of the cells.
        labels: names of their classes.
        patients: "" where unknown.
        rereads: the second reading's classes; "" where nobody read again.
        areas: int64 [N], pixels of each crop as it was read that are not black.
        digest: sha256 over names and file contents.
    """

    images: NDArray[np.uint8]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    patients: tuple[str, ...]
    rereads: tuple[str, ...]
    areas: NDArray[np.int64]
    digest: str


def cached(folder: Path, files: Iterable[CellFile], spec: InputSpec) -> Cached:
    """The cells in a folder of the cache, filled from the files if it is not there yet.

    Raises:
        ImageError: one of the images cannot be used; the message names it.
        StorageError: the cache is damaged.
    """
    if not (folder / "cells.json").exists():
        _fill(folder, files, spec)
    return _open(folder, spec)


def _fill(folder: Path, files: Iterable[CellFile], spec: InputSpec) -> None:
    """Write beside the final folder, then rename it: an interrupted run leaves no half cache."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a process of the same number that was killed
    unfinished.mkdir(parents=True)
    rows: list[list[str | int]] = []
    refused: list[ImageError] = []
    try:
        with (unfinished / "images.u8").open("wb") as images:
            with click.progressbar(files, label="reading cells", file=sys.stderr) as bar:
                for file in bar:
                    try:
                        data = file.read()
                        crop = decode_image(data, file.name)
                        images.write(resize_crop(crop, spec.size, file.name).tobytes())
                    except ImageError as error:
                        refused.append(error)
                        continue
                    area, sha = int(np.count_nonzero(crop.any(axis=2))), hashlib.sha256(data).hexdigest()
                    rows.append([file.name, file.label, file.patient, file.reread, area, sha])
        if refused:
            raise _all_of(refused, len(refused) + len(rows))
        (unfinished / "cells.json").write_text(json.dumps(rows))
        _put(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _put(made: Path, folder: Path) -> None:
    """Rename into place; where another process was faster, its folder stays, for it may be open already."""
    try:
        made.rename(folder)
    except OSError:
        if not (folder / "cells.json").exists():  # what is in the way is no cache
            shutil.rmtree(folder)
            made.rename(folder)


def _all_of(refused: Sequence[ImageError], images: int) -> ImageError:
    """One error for all, so that nobody has to find them one by one."""
    if len(refused) == 1:
        return refused[0]
    named = "; ".join(map(str, refused[:_NAMED]))
    more = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
    return ImageError(f"{len(refused)} of {images} images cannot be used: {named}{more}; mend or remove them")


def _open(folder: Path, spec: InputSpec) -> Cached:
    try:
        rows = json.loads((folder / "cells.json").read_text())
        names, labels, patients, rereads, areas, hashes = zip(*rows, strict=True) if rows else ((),) * 6
        shape = (len(rows), spec.size, spec.size, 3)
        images = np.memmap(folder / "images.u8", np.uint8, "r", shape=shape)
    except (OSError, ValueError) as error:
        raise StorageError(f"{folder}: a damaged cache of cells ({error}); remove this folder") from error
    contents = "\n".join(f"{name} {sha}" for name, sha in zip(names, hashes, strict=True))
    digest = hashlib.sha256(contents.encode()).hexdigest()
    return Cached(images, names, labels, patients, rereads, np.array(areas, np.int64), digest)
