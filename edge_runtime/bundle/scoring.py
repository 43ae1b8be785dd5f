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
from edge_runtime.errors import ImageError, SourceError
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.images import list_images
from edge_runtime.sources.items import SkippedFrame
from edge_runtime.sources.rows import rows_of_files


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


def score_images(
    path: str | Path, classifier: Classifier, sizes: Path | None = None
) -> Iterator[CellScore | SkippedFrame]:
    """Decide for the crops of a file, folder or zip; those that cannot be judged are yielded as skipped.

    Args:
        path: of the crops.
        classifier: what decides.
        sizes: CSV with the columns path and relative_size: a cell's diameter over that of its frame's typical
            cell. Cells that it does not list are judged without; None for all.

    Raises:
        SourceError: there is nothing to read, or the CSV is not what it should be.
        ImageError: a single image that cannot be read, or that shows a whole field.
    """
    files = list_images(path)
    size = classifier.bundle.manifest.input.size
    known = _relative_sizes(sizes, [file.name for file in files])
    for start in range(0, len(files), BATCH):
        names: list[str] = []
        resized: list[NDArray[np.uint8]] = []
        relative: list[float] = []
        for number, file in enumerate(files[start : start + BATCH], start):
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
                relative.append(known[number])
        yield from _scores(names, resized, np.array(relative, np.float64), classifier)


def _relative_sizes(sizes: Path | None, names: list[str]) -> NDArray[np.float64]:
    """The relative size of each file, NaN where it is not known: float64 [N]."""
    known = np.full(len(names), np.nan)
    listed = {} if sizes is None else rows_of_files(sizes, "relative_size", names)
    for number, row in listed.items():
        known[number] = _size(row.values["relative_size"], f"{sizes}, line {row.line}")
    return known


def _size(written: str, where: str) -> float:
    try:
        size = float(written)
    except ValueError:
        size = np.nan
    if not 0 < size < np.inf:
        raise SourceError(
            f"{where}: relative_size {written}; expected the cell's diameter over the typical cell's, "
            "such as 0.97"
        )
    return size


def _scores(
    names: list[str],
    resized: list[NDArray[np.uint8]],
    relative_size: NDArray[np.float64],
    classifier: Classifier,
) -> Iterator[CellScore]:
    manifest = classifier.bundle.manifest
    decisions = classifier.decide_resized(resized, relative_size)
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
