"""Boxes on a frame: how far two of them agree, and which of many is meant by one."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from edge_runtime.cells.preprocessing import Box

# A found cell counts as the true one from this intersection over union of their boxes on.
MATCH_IOU = 0.5


class Boxed(Protocol):
    """Anything that has a place on a frame."""

    @property
    def box(self) -> Box:
        """(x, y, width, height) in pixels."""


AnyBoxed = TypeVar("AnyBoxed", bound=Boxed)


def box_iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def best_match(box: Box, candidates: Iterable[AnyBoxed]) -> AnyBoxed | None:
    """The candidate whose box overlaps a box best; None if none does by MATCH_IOU or more."""
    best = max(candidates, key=lambda candidate: box_iou(box, candidate.box), default=None)
    return best if best is not None and box_iou(box, best.box) >= MATCH_IOU else None
