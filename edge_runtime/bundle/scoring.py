"""Cell crops in, one decision each out: an image, a folder or a zip."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import BATCH, Classifier
from edge_runtime.cells.preprocessing import resize_crop
from edge_runtime.decision.appearance import APPEARANCE
from edge_runtime.errors import ImageError
from edge_runtime.sources.images import SkippedFrame, decode_image, list_images


@dataclass(frozen=True)
class CellScore:
    """The decision for one crop, with all that led to it.

    Attributes:
        path: of the image; inside a zip, the member's name.
        label: the classifier's class, also where the cell was rejected.
        probabilities: per class, 0 to 1.
        confidences: M_l per layer.
        score: overall confidence M*, high = in-distribution.
        threshold: accepted at this score or above.
        margin: difference of the two largest logits.
        least_margin: accepted at this margin or above.
        stability: what smoothing the cell adds to its margin.
        least_stability: accepted at this stability or above.
        appearance: seven numbers by name (see `appearance.describe`); the bundle's manifest has their limits.
        wholeness: how far those of the outline are inside their limits; accepted at 0 or above.
        least_colour: accepted at this colour or above.
        least_texture: accepted at this texture or above.
        rejected: whether the label must not be relied on.
        reason: why it was rejected, else empty.
        provider: execution provider that computed it.
        bundle: title of the bundle that decided.
    """

    path: str
    label: str
    probabilities: dict[str, float]
    confidences: dict[str, float]
    score: float
    threshold: float
    margin: float
    least_margin: float
    stability: float
    least_stability: float
    appearance: dict[str, float]
    wholeness: float
    least_colour: float
    least_texture: float
    rejected: bool
    reason: str
    provider: str
    bundle: str


def score_images(path: Path, classifier: Classifier) -> Iterator[CellScore | SkippedFrame]:
    """Decide for the crops of a file, folder or zip; those that cannot be read are yielded as skipped.

    Raises:
        SourceError: there is nothing to read.
        ImageError: a single image that cannot be read.
    """
    files = list_images(path)
    size = classifier.bundle.manifest.input.size
    for start in range(0, len(files), BATCH):
        names: list[str] = []
        resized: list[NDArray[np.uint8]] = []
        for file in files[start : start + BATCH]:
            try:
                resized.append(resize_crop(decode_image(file.read(), file.name), size, file.name))
            except ImageError as error:
                if len(files) == 1:
                    raise
                yield SkippedFrame(file.name, str(error).removeprefix(f"{file.name}: "))
            else:
                names.append(file.name)
        yield from _scores(names, resized, classifier)


def _scores(
    names: list[str], resized: list[NDArray[np.uint8]], classifier: Classifier
) -> Iterator[CellScore]:
    manifest = classifier.bundle.manifest
    decisions = classifier.decide_resized(resized)
    for index, name in enumerate(names):
        yield CellScore(
            path=name,
            label=manifest.classes[decisions.label[index]],
            probabilities=dict(zip(manifest.classes, decisions.probabilities[index].tolist(), strict=True)),
            confidences=dict(
                zip(manifest.detector.layers, decisions.confidences[index].tolist(), strict=True)
            ),
            score=float(decisions.score[index]),
            threshold=manifest.detector.threshold,
            margin=float(decisions.margin[index]),
            least_margin=manifest.detector.least_margin,
            stability=float(decisions.stability[index]),
            least_stability=manifest.detector.least_stability,
            appearance=dict(zip(APPEARANCE, decisions.appearance[index].tolist(), strict=True)),
            wholeness=float(decisions.wholeness[index]),
            least_colour=manifest.detector.least_colour,
            least_texture=manifest.detector.least_texture,
            rejected=bool(decisions.rejected[index]),
            reason=decisions.reason(index),
            provider=classifier.provider,
            bundle=classifier.bundle.title,
        )
