"""The cells a run works on, decoded once into a memory-mapped cache of network inputs."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.crops import decode_crop
from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.console import tell_skipped
from edge_runtime.errors import SourceError, StorageError
from training.cells import archive, simulated
from training.cells.archive import CellFile

_FORMAT = 1  # of the cache folder


@dataclass(frozen=True)
class CellSet:
    """Labelled cells, ready as network input.

    Attributes:
        images: uint8 [N, size, size, 3] RGB, memory-mapped, read-only.
        labels: int64 [N], indices into `archive.CLASSES`.
        patients: N patient prefixes.
        names: N names, unique.
        digest: sha256 over names and file contents.
        source: what was asked for, absolute where it is a path.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    patients: tuple[str, ...]
    names: tuple[str, ...]
    digest: str
    source: str

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.names)


def default_cache() -> Path:
    """The folder of the cache: $CELLGATE_CACHE, else "cellgate" below the user's cache folder."""
    if "CELLGATE_CACHE" in os.environ:
        return Path(os.environ["CELLGATE_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cellgate"


@dataclass(frozen=True)
class CellSource:
    """Where cells are read, and where they are kept once they are decoded.

    Attributes:
        where: a zip or folder in the official NIH layout, or "simulated" with its settings
            (see `simulated.parse`); None for where a run says that its cells are.
        cache: folder of the cache; `default_cache()` if None.
    """

    where: str | None = None
    cache: Path | None = None

    def or_else(self, where: str) -> "CellSource":
        """The same, with this place for one that was left out."""
        return self if self.where is not None else replace(self, where=where)

    def load(self, spec: InputSpec) -> CellSet:
        """Load the cells, decoding them only when the cache does not hold them yet.

        Args:
            spec: what the network is fed.

        Raises:
            SourceError: no source was named, or it is absent, broken or in another layout.
            ImageError: one of its images cannot be used; the message names it.
            StorageError: the cache is damaged.
        """
        if self.where is None:
            raise SourceError("no cells were named; give an archive, a folder or 'simulated' with --cells")
        source, files, stamp = cell_files(self.where)
        key = hashlib.sha256(f"{_FORMAT} {asdict(spec)} {stamp}".encode()).hexdigest()[:20]
        folder = (self.cache or default_cache()) / key
        if not (folder / "cells.json").exists():
            _fill(folder, files, spec)
        return _open(folder, spec, source)


def cell_source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --cells and --cache, which it takes as one `source`."""

    @click.option("--cells", "where", help="NIH archive as zip or folder, or 'simulated'.")
    @click.option("--cache", type=click.Path(path_type=Path), help="Folder for decoded cells.")
    @wraps(command)
    def with_source(*, where: str | None, cache: Path | None, **others: Any) -> Any:  # noqa: ANN401 - as click calls it
        return command(source=CellSource(where, cache), **others)

    return with_source


def cell_files(source: str) -> tuple[str, Iterable[CellFile], str]:
    """The labelled crops behind a source, not yet decoded.

    Args:
        source: as `CellSource.where`.

    Returns:
        The source in full (absolute, or with all settings), its crops, and a stamp that changes with them.

    Raises:
        SourceError: the source is absent, broken or in another layout.
    """
    if simulated.is_simulated(source):
        settings = simulated.parse(source)
        return str(settings), simulated.cells(settings), simulated.stamp(settings)
    files = archive.list_cells(Path(source))
    tell_skipped(archive.not_read(Path(source)))
    return str(Path(source).resolve()), files, archive.stamp_of(files)


def _fill(folder: Path, files: Iterable[CellFile], spec: InputSpec) -> None:
    """Write beside the final folder, then rename it: an interrupted run leaves no half cache."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a process of the same number that was killed
    unfinished.mkdir(parents=True)
    rows = []
    try:
        with (unfinished / "images.u8").open("wb") as images:
            with click.progressbar(files, label="reading cells", file=sys.stderr) as bar:
                for file in bar:
                    data = file.read()
                    images.write(decode_crop(data, file.name, spec.size).tobytes())
                    rows.append([file.name, file.label, file.patient, hashlib.sha256(data).hexdigest()])
        (unfinished / "cells.json").write_text(json.dumps(rows))
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _open(folder: Path, spec: InputSpec, source: str) -> CellSet:
    try:
        rows = json.loads((folder / "cells.json").read_text())
        names, labels, patients, hashes = zip(*rows, strict=True)
        shape = (len(rows), spec.size, spec.size, 3)
        images = np.memmap(folder / "images.u8", np.uint8, "r", shape=shape)
    except (OSError, ValueError) as error:
        raise StorageError(f"{folder}: a damaged cache of cells ({error}); remove this folder") from error
    contents = "\n".join(f"{name} {sha}" for name, sha in zip(names, hashes, strict=True))
    return CellSet(
        images=images,
        labels=np.array(labels, np.int64),
        patients=patients,
        names=names,
        digest=hashlib.sha256(contents.encode()).hexdigest(),
        source=source,
    )
