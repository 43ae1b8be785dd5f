"""The sets of images that scores are measured on, each with the patients behind it.

In-distribution are test cells. Everything else is made of other test cells' pixels, or read from archives
that the caller names; nothing here has been seen by training or calibration.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.crops import read_crops
from edge_runtime.cells.preprocessing import resize_crop
from edge_runtime.console import tell_skipped
from edge_runtime.errors import ImageError
from edge_runtime.simulator.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from edge_runtime.sources.items import ImageFile
from training.cells.simulated import Simulation, anomalies
from training.evaluation.detectors.observed import Images, in_eight_bit
from training.evaluation.segmentation_errors import SEGMENTATION_ERRORS, SegmentationError
from training.robustness import files_by_kind

Crops = NDArray[np.uint8]
Group = Literal["cells", "paper", "ood", "segmentation", "corruptions", "attacks"]

_SIMULATED_SEED = 77_000  # slides that no training and no other test draws


@dataclass(frozen=True)
class ImageSet:
    """Images of one kind.

    Attributes:
        name: of the set.
        group: what kind of set it is.
        images: uint8 [N, size, size, 3] RGB; float32 in [0, 1] after an attack in floats.
        patients: [N], whom each image is of; its own name where nobody is known.
        labels: int64 [N], true classes; -1 where there is none.
        attempts: images that an attack was tried on; N elsewhere.
    """

    name: str
    group: Group
    images: Images
    patients: NDArray[np.str_]
    labels: NDArray[np.int64]
    attempts: int

    @property
    def pixels(self) -> Crops:
        """The images in 8 bit: uint8 [N, size, size, 3] RGB."""
        return in_eight_bit(self.images)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)


@dataclass(frozen=True)
class Job:
    """A set that is yet to be made.

    Attributes:
        name: of the set.
        group: what kind of set it is.
        make: makes it.
    """

    name: str
    group: Group
    make: Callable[[], ImageSet]


def image_set(
    name: str,
    group: Group,
    images: Crops,
    patients: NDArray[np.str_] | None = None,
    labels: NDArray[np.int64] | None = None,
) -> ImageSet:
    """A set without attacks; where nobody is known, each image stands for itself."""
    whom = np.array([f"image {number}" for number in range(len(images))]) if patients is None else patients
    known = np.full(len(images), -1) if labels is None else labels
    return ImageSet(name, group, images, whom, known, len(images))


def paper_jobs(cells: ImageSet, published: str | None, limit: int) -> Iterator[Job]:
    """The paper's second malaria set, made anew of test cells, and as published where it is at hand.

    Half of the published images are one and the same blank; here each image counts once.
    """

    def anew() -> ImageSet:
        made = np.stack([_binary(crop) for crop in cells.pixels])
        unique = _unique(made)
        return image_set("binary, made anew", "paper", made[unique], cells.patients[unique])

    def as_published(source: str) -> ImageSet:
        files = _spread([file for _, files in _folders(source) for file in files], limit)
        crops = np.stack([_without_checks(file, cells.images.shape[1]) for file in files])
        return image_set("binary, as published", "paper", crops[_unique(crops)])

    yield Job("binary, made anew", "paper", anew)
    if published is not None:
        yield Job("binary, as published", "paper", lambda: as_published(published))


def _binary(crop: Crops) -> Crops:
    """As the paper's notebook makes its second set: black to white, blurred, grey, two levels."""
    white = np.where(crop.any(axis=2, keepdims=True), crop, np.uint8(255))
    grey = cv2.cvtColor(cv2.GaussianBlur(white, (5, 5), 0), cv2.COLOR_RGB2GRAY)
    _, two_levels = cv2.threshold(grey, 127, 255, cv2.THRESH_BINARY)
    return np.repeat(two_levels[..., None], 3, axis=2).astype(np.uint8)


def _unique(crops: Crops) -> NDArray[np.int64]:
    _, first = np.unique(crops.reshape(len(crops), -1), axis=0, return_index=True)
    return np.sort(first)


def ood_jobs(source: str | None, limit: int, size: int) -> Iterator[Job]:
    """What is no red cell: by folder of an archive, and the simulator's white cells, platelets and debris."""

    def of_folder(kind: str, files: list[ImageFile]) -> ImageSet:
        return image_set(kind, "ood", _read(files, limit, size))

    def simulated() -> ImageSet:
        made = anomalies(Simulation(slides=max(1, limit // 20), fields=1, seed=_SIMULATED_SEED))
        crops = []
        for kind, crop in made:
            with suppress(ImageError):  # a speck that the runtime would not judge either
                crops.append(resize_crop(crop, size, kind))
        crops = crops[:limit]
        return image_set("simulated OOD", "ood", np.stack(crops))

    for kind, files in _folders(source) if source is not None else ():
        yield Job(kind, "ood", partial(of_folder, kind, files))
    yield Job("simulated OOD", "ood", simulated)


def segmentation_jobs(cells: ImageSet) -> Iterator[Job]:
    """Errors of a segmentation, made of test cells."""
    for name, error in SEGMENTATION_ERRORS.items():

        def made(name: str = name, error: SegmentationError = error) -> ImageSet:
            return image_set(name, "segmentation", error(cells.pixels), cells.patients)

        yield Job(name, "segmentation", made)


def corruption_jobs(cells: ImageSet, *, seed: int) -> Iterator[Job]:
    """Every corruption at every severity, of test cells."""
    for corruption in CORRUPTIONS:
        for severity in SEVERITIES:
            name = f"{corruption} {severity}"

            def made(name: str = name, corruption: str = corruption, severity: int = severity) -> ImageSet:
                images = corrupt(cells.pixels, corruption, severity, seed=seed)
                return replace(cells, name=name, group="corruptions", images=images)

            yield Job(name, "corruptions", made)


def _folders(source: str) -> list[tuple[str, list[ImageFile]]]:
    """The files of an archive by the upper two folders they lie in, below a folder that holds everything."""
    kinds = files_by_kind(source)
    shared = len({kind.split("/")[0] for kind in kinds}) == 1 and len(kinds) > 1
    folders: defaultdict[str, list[ImageFile]] = defaultdict(list)
    for kind, files in kinds.items():
        folders["/".join(kind.split("/")[shared:][:2])] += files
    return sorted(folders.items())


def _read(files: list[ImageFile], limit: int, size: int) -> Crops:
    """At most `limit` crops; those that the runtime refuses to judge are named and left out."""
    crops, skipped = read_crops(_spread(files, limit), size)
    tell_skipped(skipped)
    return crops


def _spread(files: list[ImageFile], limit: int) -> list[ImageFile]:
    """At most so many files, evenly spread."""
    places = np.unique(np.linspace(0, len(files) - 1, min(limit, len(files))).astype(int))
    return [files[place] for place in places]


def _without_checks(file: ImageFile, size: int) -> Crops:
    """An image as the paper's network saw it: the runtime would refuse a grey one before any network."""
    pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise ImageError(f"{file.name}: not an image that can be decoded; copy the archive again")
    return cast("Crops", cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA))
