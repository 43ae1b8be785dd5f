"""The cells a run works on, as they are asked for and as they are loaded."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.errors import SourceError
from training.cells.cache import FORMAT, Cached, cached
from training.cells.classes import order_classes
from training.cells.layouts import list_sources, together
from training.cells.rereading import reread_labels
from training.cells.sizes import relative_sizes


@dataclass(frozen=True)
class CellSet:
    """Labelled cells, ready as network input.

    Attributes:
        images: uint8 [N, size, size, 3] RGB, memory-mapped, read-only.
        labels: int64 [N], indices into `classes`.
        reread: int64 [N], the second reading's labels; the first one's where nobody read again.
        patients: N names of patients; "" where nobody knows.
        names: N names, unique.
        classes: names of the K classes, in the order of the logits, those that are not parasitized first.
        parasitized: which of them count as parasitized.
        relative_size: float64 [N], diameters over that of their photograph's typical cell; NaN where that is
            not known (see `relative_sizes`).
        digest: sha256 over names and file contents.
        sources: what was asked for, absolute where it is a path.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    reread: NDArray[np.int64]
    patients: tuple[str, ...]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    parasitized: tuple[str, ...]
    relative_size: NDArray[np.float64]
    digest: str
    sources: tuple[str, ...]

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.names)

    @property
    def source(self) -> str:
        """What was asked for, as errors call it."""
        return " + ".join(self.sources)

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """Bool [K]: the class counts as parasitized."""
        return np.array([name in self.parasitized for name in self.classes])

    @cached_property
    def infected(self) -> NDArray[np.bool_]:
        """Bool [N]: the label is of a class that counts as parasitized."""
        return np.asarray(self.counted[self.labels])

    @cached_property
    def agreed(self) -> NDArray[np.bool_]:
        """Bool [N]: both readings give the same label, or there was one only."""
        return np.asarray(self.labels == self.reread)

    @cached_property
    def healthy(self) -> NDArray[np.bool_]:
        """Bool [N]: cells of patients that are known, and of whom no cell is parasitized by its label."""
        patients = np.array(self.patients)
        return np.asarray((patients != "") & ~np.isin(patients, np.unique(patients[self.infected])))

    @property
    def labels_digest(self) -> str:
        """Sha256 over what is said of the cells: classes, patients, and the labels of both readings."""
        said = zip(self.names, self.labels, self.reread, self.patients, strict=True)
        lines = [f"{name}\t{label}\t{again}\t{patient}" for name, label, again, patient in said]
        heads = [" ".join(self.classes), " ".join(self.parasitized)]
        return hashlib.sha256("\n".join(heads + lines).encode()).hexdigest()


def default_cache() -> Path:
    """The folder of the cache: $CELLGATE_CACHE, else "cellgate" below the user's cache folder."""
    if "CELLGATE_CACHE" in os.environ:
        return Path(os.environ["CELLGATE_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cellgate"


@dataclass(frozen=True)
class CellSource:
    """Where cells are read, what is said of them, and where they are kept once they are decoded.

    Attributes:
        where: places of cells (see `list_sources`); empty for where a run says that its cells are.
        cache: folder of the cache; `default_cache()` if None.
        reread: a CSV with a second reading's labels (see `reread_labels`); None if there was none.
        parasitized: the classes that count as parasitized; empty for those that are called so.
        patients: a regular expression whose one group is the patient in the name of a file; None for the
            archive's own names, or for nobody knows.
    """

    where: tuple[str, ...] = ()
    cache: Path | None = None
    reread: Path | None = None
    parasitized: tuple[str, ...] = ()
    patients: str | None = None

    def or_else(self, other: "CellSource") -> "CellSource":
        """The same, with another's answers for what was left out."""
        own = {name: value for name, value in vars(self).items() if value}
        return replace(other, **own)

    def load(self, spec: InputSpec) -> CellSet:
        """Load the cells, decoding them only when the cache does not hold them yet.

        Args:
            spec: what the network is fed.

        Raises:
            SourceError: no source was named, it is absent, broken or in another layout, or its classes
                cannot be told.
            ImageError: one of its images cannot be used; the message names it.
            StorageError: the cache is damaged.
        """
        if not self.where:
            raise SourceError("no cells were named; give an archive, a folder or 'simulated' with --cells")
        listings = list_sources(self.where, self.patients)
        listing = together(listings)
        classes, parasitized = order_classes(listing.classes, self.parasitized, listing.source)
        for label, place in listing.rereads.items():
            if label not in classes:
                raise SourceError(
                    f"{place}: reread as '{label}', which is no class; expected one of {', '.join(classes)}"
                )
        key = hashlib.sha256(f"{FORMAT} {asdict(spec)} {listing.stamp}".encode()).hexdigest()[:20]
        found = cached((self.cache or default_cache()) / key, listing.files, spec)
        labels, reread = _labels(found, classes)
        if self.reread is not None:
            reread = reread_labels(self.reread, found.names, classes, reread)
        return CellSet(
            images=found.images,
            labels=labels,
            reread=reread,
            patients=found.patients,
            names=found.names,
            classes=classes,
            parasitized=parasitized,
            relative_size=relative_sizes(found.names, found.areas),
            digest=found.digest,
            sources=tuple(one.source for one in listings),
        )


def cell_source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what its cells are, which it takes as one `source`."""

    @click.option(
        "--cells",
        "where",
        multiple=True,
        help="Folder or zip of class folders (as the NIH archive), CSV path,label[,patient][,reread], COCO "
        "file, or 'simulated'; several sources are used together.",
    )
    @click.option(
        "--reread", type=click.Path(path_type=Path), help="CSV path,reread_label: a second reading's labels."
    )
    @click.option(
        "--parasitized", multiple=True, help="Class that counts as parasitized, if its name does not tell."
    )
    @click.option(
        "--patient-pattern",
        help="Where a file's name has the patient, as '^([A-Z]+[0-9]+)_'; as in the archive if left out.",
    )
    @click.option("--cache", type=click.Path(path_type=Path), help="Folder for decoded cells.")
    @wraps(command)
    def with_source(
        *,
        where: tuple[str, ...],
        reread: Path | None,
        parasitized: tuple[str, ...],
        patient_pattern: str | None,
        cache: Path | None,
        **others: Any,  # noqa: ANN401 - as click calls it
    ) -> Any:  # noqa: ANN401 - as click calls it
        return command(source=CellSource(where, cache, reread, parasitized, patient_pattern), **others)

    return with_source


def _labels(found: Cached, classes: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both readings' labels, int64 [N] each; the first one's where nobody read again."""
    index = {name: number for number, name in enumerate(classes)}
    again = (second or first for first, second in zip(found.labels, found.rereads, strict=True))
    return np.array([index[name] for name in found.labels], np.int64), np.array(
        [index[name] for name in again], np.int64
    )
