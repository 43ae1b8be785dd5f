"""What a finished run does outside its test cells: under everyday corruptions, with what is no red cell."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.crops import read_crops
from edge_runtime.console import tell_skipped
from edge_runtime.decision.decide import Decisions
from edge_runtime.decision.detector import Detector
from edge_runtime.simulator.corruptions import corrupt_by
from edge_runtime.sources.images import list_images
from edge_runtime.sources.items import ImageFile, SkippedFrame
from training import distributed
from training.cells.source import CellSet, CellSource
from training.run import add_metrics, load_split
from training.trained import TrainedDetector, load_trained

Crops = NDArray[np.uint8]

# Test cells per corruption: a share is then known to 3 points, and VGG-19 still ends in an hour.
MOST_CELLS = 1000

# What every microscope does on some day: which corruption, and how strong.
EVERYDAY: Mapping[str, tuple[str, float]] = {
    "30 % dimmer light": ("dimmer light", 0.3),
    "10 % brighter light": ("brighter light", 0.1),
    "warm cast": ("warm cast", 0.2),
    "cool cast": ("cool cast", 0.15),
    "slight defocus": ("defocus", 2.0),
}


@dataclass(frozen=True)
class CorruptionFigures:
    """What became of cells under a corruption.

    Attributes:
        cells: number of test cells.
        accepted: share accepted.
        accuracy: share with the right class, rejected or not.
        accuracy_of_accepted: share of the accepted with the right class.
    """

    cells: int
    accepted: float
    accuracy: float
    accuracy_of_accepted: float


@dataclass(frozen=True)
class OodFigures:
    """What became of images of one kind that are no red cells.

    Attributes:
        images: number judged.
        refused: number that the runtime does not judge at all (grey, broken or too small).
        rejected: share rejected.
        parasitized: share that the classifier called parasitized, rejected or not.
    """

    images: int
    refused: int
    rejected: float
    parasitized: float


def measure_corruptions(folder: Path, source: CellSource) -> dict[str, CorruptionFigures]:
    """Judge test cells under every corruption of EVERYDAY, and note the figures in run.json.

    Raises:
        SourceError: the run is not fitted or calibrated, or its cells have changed.
    """
    trained = load_trained(folder, distributed.device())
    cells, split = load_split(trained.info, source)
    chosen = np.random.default_rng(trained.info.config.seed).permutation(split.test)[:MOST_CELLS]
    found = {name: count([outcome]) for name, outcome in corrupted(trained, cells, chosen).items()}
    add_metrics(folder, corruptions={name: vars(figures) for name, figures in found.items()})
    return found


@dataclass(frozen=True)
class Outcome:
    """What became of N cells: bool [N] each, whether the class is right, and whether it is accepted."""

    right: NDArray[np.bool_]
    accepted: NDArray[np.bool_]


def corrupted(trained: TrainedDetector, cells: CellSet, chosen: NDArray[np.int64]) -> dict[str, Outcome]:
    """What a detector decides of the chosen cells under every corruption of EVERYDAY."""
    crops, labels = np.ascontiguousarray(cells.images[chosen]), cells.labels[chosen]
    found = {}
    for name, (corruption, strength) in EVERYDAY.items():
        decisions = trained.decide(corrupt_by(crops, corruption, strength))
        found[name] = Outcome(decisions.label == labels, ~decisions.rejected)
    return found


def count(outcomes: Sequence[Outcome]) -> CorruptionFigures:
    """The figures of cells that may have been decided by several detectors."""
    right, accepted = (
        np.concatenate([getattr(of, name) for of in outcomes]) for name in ("right", "accepted")
    )
    return CorruptionFigures(
        cells=len(right),
        accepted=float(accepted.mean()),
        accuracy=float(right.mean()),
        accuracy_of_accepted=float(right[accepted].mean()) if accepted.any() else float("nan"),
    )


def measure_ood(folder: Path, ood: str) -> dict[str, OodFigures]:
    """Judge images that are no red cells, and note the figures in run.json.

    Args:
        folder: the run folder.
        ood: a folder or zip of images; the folder an image lies in names its kind.

    Raises:
        SourceError: there is nothing to judge, or the run is not fitted or calibrated.
    """
    trained = load_trained(folder, distributed.device())
    found = {}
    for kind, files in files_by_kind(ood).items():
        crops, skipped = read_crops(files, trained.info.input.size)
        tell_skipped(skipped)
        if len(crops):
            found[kind] = _ood(trained.decide(crops), trained.detector, refused=len(skipped))
    add_metrics(folder, ood={kind: vars(figures) for kind, figures in found.items()})
    return found


def files_by_kind(source: str) -> dict[str, list[ImageFile]]:
    """The images of a folder or zip by kind, sorted: the folder an image lies in, without the source's own.

    What else lies there is named on standard error.

    Raises:
        SourceError: there are none.
    """
    kinds: defaultdict[str, list[ImageFile]] = defaultdict(list)
    for file in list_images(source):
        if file.left_out:
            tell_skipped([SkippedFrame(file.name, file.left_out)])
            continue
        path = PurePosixPath(file.name)
        inside = path.relative_to(source) if path.is_relative_to(source) else path
        kinds["/".join(inside.parts[:-1]) or "images"].append(file)
    return dict(sorted(kinds.items()))


def _ood(decisions: Decisions, detector: Detector, *, refused: int) -> OodFigures:
    return OodFigures(
        images=len(decisions.label),
        refused=refused,
        rejected=float(decisions.rejected.mean()),
        parasitized=float(detector.infected(decisions.label).mean()),
    )
