"""What a finished run does outside its test cells: under a changed light, and with what is no red cell."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.crops import read_crops
from edge_runtime.console import tell_skipped
from edge_runtime.decision.decide import Decisions
from edge_runtime.sources.images import ImageFile, list_images
from training import distributed
from training.cells.source import CellSource
from training.run import add_metrics, load_split
from training.trained import load_trained

Crops = NDArray[np.uint8]

MOST_CELLS = (
    1000  # test cells per change: a share is then known to 3 points, and VGG-19 still ends in an hour
)

# Factors on red, green and blue: what a weaker lamp, another white balance or a longer exposure do.
_LIGHTS = {
    "30 % dimmer light": (0.7, 0.7, 0.7),
    "10 % brighter light": (1.1, 1.1, 1.1),
    "warm cast": (1.0, 0.93, 0.8),
    "cool cast": (0.85, 0.95, 1.0),
}
_DEFOCUS = "slight defocus"
_DEFOCUS_SIGMA = 1.0  # pixels of the network's input


@dataclass(frozen=True)
class Change:
    """What became of cells under a change.

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


def changed(crops: Crops) -> Mapping[str, Crops]:
    """The same crops under each change, black outside the cell as before: uint8 [N, size, size, 3] RGB."""
    lit = {
        name: np.clip(np.rint(crops * np.array(factors, np.float32)), 0, 255).astype(np.uint8)
        for name, factors in _LIGHTS.items()
    }
    blurred = [
        np.where(crop.any(axis=2, keepdims=True), cv2.GaussianBlur(crop, (0, 0), _DEFOCUS_SIGMA), np.uint8(0))
        for crop in crops
    ]
    return {**lit, _DEFOCUS: np.stack(blurred)}


def measure_changes(folder: Path, source: CellSource) -> dict[str, Change]:
    """Judge test cells under every change, and note the figures in run.json.

    Raises:
        SourceError: the run is not fitted or calibrated, or its cells have changed.
    """
    trained = load_trained(folder, distributed.device())
    cells, split = load_split(trained.info, source)
    chosen = np.random.default_rng(trained.info.config.seed).permutation(split.test)[:MOST_CELLS]
    labels = cells.labels[chosen]
    found = {
        name: _change(trained.decide(crops), labels)
        for name, crops in changed(np.ascontiguousarray(cells.images[chosen])).items()
    }
    add_metrics(folder, changes={name: vars(change) for name, change in found.items()})
    return found


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
            found[kind] = _ood(trained.decide(crops), refused=len(skipped))
    add_metrics(folder, ood={kind: vars(figures) for kind, figures in found.items()})
    return found


def files_by_kind(source: str) -> dict[str, list[ImageFile]]:
    """The images of a folder or zip by kind, sorted: the folder an image lies in, without the source's own.

    Raises:
        SourceError: there are none.
    """
    kinds: defaultdict[str, list[ImageFile]] = defaultdict(list)
    for file in list_images(source):
        path = PurePosixPath(file.name)
        inside = path.relative_to(source) if path.is_relative_to(source) else path
        kinds["/".join(inside.parts[:-1]) or "images"].append(file)
    return dict(sorted(kinds.items()))


def _change(decisions: Decisions, labels: NDArray[np.int64]) -> Change:
    right, accepted = decisions.label == labels, ~decisions.rejected
    return Change(
        cells=len(labels),
        accepted=float(accepted.mean()),
        accuracy=float(right.mean()),
        accuracy_of_accepted=float(right[accepted].mean()) if accepted.any() else float("nan"),
    )


def _ood(decisions: Decisions, *, refused: int) -> OodFigures:
    return OodFigures(
        images=len(decisions.label),
        refused=refused,
        rejected=float(decisions.rejected.mean()),
        parasitized=float((decisions.label == 1).mean()),
    )
