"""Cell crops in, one decision each out: an image, a folder or a zip."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import BATCH, Classifier
from edge_runtime.cells.crops import refuse_field
from edge_runtime.cells.preprocessing import resize_crop
from edge_runtime.decision import table
from edge_runtime.decision.appearance import APPEARANCE
from edge_runtime.errors import ImageError
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.images import list_images
from edge_runtime.sources.items import SkippedFrame


@dataclass(frozen=True)
class CellScore:
    """The decision for one crop, with all that led to it.

    Attributes:
        path: of the image; inside a zip, the member's name.
        label: the classifier's class, also where the cell was rejected.
        probabilities: per class, 0 to 1.
        confidences: M_l per layer.
        values: what each test that is for such a cell looked at, by name (see `decision.table`).
        limits: where each test draws its line, by name.
        appearance: the numbers of the picture by name (see `appearance.describe`).
        rejected: whether the label must not be relied on.
        reason: the gravest reason why it was rejected, else empty.
        reasons: all of them, the gravest first.
        provider: execution provider that computed it.
        bundle: title of the bundle that decided.
    """

    path: str
    label: str
    probabilities: dict[str, float]
    confidences: dict[str, float]
    values: dict[str, float]
    limits: dict[str, float]
    appearance: dict[str, float]
    rejected: bool
    reason: str
    reasons: list[str]
    provider: str
    bundle: str


def score_images(path: str | Path, classifier: Classifier) -> Iterator[CellScore | SkippedFrame]:
    """Decide for the crops of a file, folder or zip; those that cannot be judged are yielded as skipped.

    Raises:
        SourceError: there is nothing to read.
        ImageError: a single image that cannot be read, or that shows a whole field.
    """
    files = list_images(path)
    size = classifier.bundle.manifest.input.size
    for start in range(0, len(files), BATCH):
        names: list[str] = []
        resized: list[NDArray[np.uint8]] = []
        for file in files[start : start + BATCH]:
            try:
                image = decode_image(file.read(), file.name)
                refuse_field(image, file.name)
                resized.append(resize_crop(image, size, file.name))
            except ImageError as error:
                if len(files) == 1:
                    raise
                yield SkippedFrame.of(file.name, error)
            else:
                names.append(file.name)
        yield from _scores(names, resized, classifier)


def _scores(
    names: list[str], resized: list[NDArray[np.uint8]], classifier: Classifier
) -> Iterator[CellScore]:
    manifest = classifier.bundle.manifest
    decisions = classifier.decide_resized(resized)
    limits = dict(zip((test.name for test in table.TESTS), decisions.limits.tolist(), strict=True))
    for index, name in enumerate(names):
        yield CellScore(
            path=name,
            label=manifest.classes[decisions.label[index]],
            probabilities=dict(zip(manifest.classes, decisions.probabilities[index].tolist(), strict=True)),
            confidences=dict(
                zip(manifest.detector.layers, decisions.confidences[index].tolist(), strict=True)
            ),
            values=decisions.values_of(index),
            limits=limits,
            appearance=dict(zip(APPEARANCE, decisions.appearance[index].tolist(), strict=True)),
            rejected=bool(decisions.rejected[index]),
            reason=decisions.reason(index),
            reasons=decisions.reasons(index),
            provider=classifier.provider,
            bundle=classifier.bundle.title,
        )
