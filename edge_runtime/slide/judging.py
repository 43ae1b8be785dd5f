"""One frame judged: the gates first, and only where it passes them its cells."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.cells.cutting import CutCell, NotCut, NotCutReason, cut_found, known_typical
from edge_runtime.cells.preprocessing import Box, resize_crop
from edge_runtime.cells.segmentation import segmentation
from edge_runtime.decision.decide import Decisions
from edge_runtime.decision.table import SMALL
from edge_runtime.errors import SourceError
from edge_runtime.fields import gates
from edge_runtime.fields.view import view
from edge_runtime.record.readings import CellReading, Status

WhyNot = Callable[[Box], NotCutReason | None]


@dataclass(frozen=True)
class JudgedFrame:
    """What is said of one frame.

    Attributes:
        values: what each gate looked at, by name.
        reason: the gravest reason why its cells do not count; empty if they do.
        cells: what was found in it; none if they do not count.
    """

    values: Mapping[str, float]
    reason: str
    cells: tuple[CellReading, ...]


def read_field(
    frame: NDArray[np.uint8], classifier: Classifier, *, why_not: WhyNot = lambda _: None
) -> JudgedFrame:
    """Judge one frame, and if it passes the gates, find and judge its cells.

    Args:
        frame: uint8 [H, W, 3] RGB.
        classifier: what decides.
        why_not: of a cell's box, why that cell must not be judged here; None if it may be.
    """
    manifest = classifier.bundle.manifest
    found = segmentation(frame)
    values = gates.measure(view(frame, found))
    stops = gates.stopped_by(values, manifest.gates)
    if stops:
        return JudgedFrame(values, stops[0].reason, ())
    refused = {cell.box: why for cell in found.cells if (why := why_not(cell.box)) is not None}
    cut, not_cut = cut_found(
        frame,
        [cell for cell in found.cells if cell.box not in refused],
        manifest.input.size,
        typical=known_typical(found),
    )
    not_cut += [NotCut(box, why) for box, why in refused.items()]
    left = (not_judged(cell.box, cell.reason) for cell in not_cut)
    return JudgedFrame(values, "", (*judge(cut, classifier), *left))


def judge(cut: Sequence[CutCell], classifier: Classifier) -> list[CellReading]:
    """Judge the cells of one frame."""
    decisions, manifest = decide_cut(cut, classifier), classifier.bundle.manifest
    return [_reading(cell, decisions, index, manifest) for index, cell in enumerate(cut)]


def decide_cut(cut: Sequence[CutCell], classifier: Classifier) -> Decisions:
    """What a classifier decides of the cells of one frame."""
    sizes = np.array([cell.relative_size for cell in cut], np.float64)
    return classifier.decide_resized([cell.resized for cell in cut], sizes)


def cut_again(cell: CellReading, size: int) -> CutCell:
    """A judged cell of a record, as it was cut out of its frame.

    Args:
        cell: of a record.
        size: side of the network's input.

    Raises:
        SourceError: its crop cannot be decoded.
    """
    pixels = cv2.imdecode(np.frombuffer(cell.crop, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise SourceError(f"a crop of the record cannot be decoded, at {cell.box}; copy the record again")
    crop = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return CutCell(cell.box, crop, resize_crop(crop, size), cell.values.get(SMALL, math.nan))


def not_judged(box: Box, why: NotCutReason) -> CellReading:
    """A cell that was seen, and is not judged."""
    return CellReading(box, "not-judged", why, "", float("nan"), {}, (), b"")


def _reading(cell: CutCell, decisions: Decisions, index: int, manifest: Manifest) -> CellReading:
    label = int(decisions.label[index])
    accepted: Status = "parasitized" if label in manifest.detector.parasitized else "uninfected"
    rejected = bool(decisions.rejected[index])
    return CellReading(
        box=cell.box,
        status="rejected" if rejected else accepted,
        reason=decisions.reason(index),
        label=manifest.classes[label],
        probability=float(decisions.probabilities[index, label]),
        values=decisions.values_of(index),
        confidences=tuple(decisions.confidences[index].tolist()),
        crop=_png(cell.crop),
    )


def _png(crop: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1].tobytes()
