"""Where each test of the decision draws its line: all together reject a given share of good cells."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision.appearance import OUTLINE, wholeness
from edge_runtime.decision.decide import SHARES, Detector
from edge_runtime.errors import CheckFailedError

Array = NDArray[np.float64]

# Share of cells on either side of the range of a number of the outline; its limits are scaled from that.
_TAIL = 0.01


def conformal_threshold(scores: Array, alpha: float) -> float:
    """The threshold that rejects a new in-distribution cell with probability at most alpha.

    Split conformal prediction: the k-th smallest of n scores with k = floor((n + 1) alpha); a new
    exchangeable score falls below it with probability at most alpha.

    Raises:
        CheckFailedError: fewer than 1 / alpha - 1 scores.
    """
    rank = int(np.floor((len(scores) + 1) * alpha))
    if rank < 1:
        needed = int(np.ceil(1 / alpha)) - 1
        raise CheckFailedError(
            f"{len(scores)} validation cells cannot set a threshold; at least {needed} are needed"
        )
    return float(np.sort(scores)[rank - 1])


@dataclass(frozen=True)
class Strictness:
    """Puts the tests on one scale: how far below its median a cell lies, in units of what each may reject.

    Attributes:
        middle: [6], medians of score, margin, stability, wholeness, colour and texture.
        unit: [6], how far below it each test's share of alpha begins.
    """

    middle: Array
    unit: Array

    @classmethod
    def of(cls, tests: Iterable[Array], alpha: float) -> "Strictness":
        """Measure on in-distribution cells.

        Args:
            tests: score, margin, stability, wholeness, colour and texture, [N] each, where N may differ.
            alpha: share of cells that all tests together may reject.

        Raises:
            CheckFailedError: a test that gives most cells the same value.
        """
        measured = [
            (np.median(test), np.quantile(test, alpha * share))
            for test, share in zip(tests, SHARES, strict=True)
        ]
        middle, low = np.array(measured).T
        if not (middle > low).all():
            raise CheckFailedError(
                "the scores, margins or looks of the validation cells do not differ; train longer"
            )
        return cls(middle, middle - low)

    def joint(self, tests: Array) -> Array:
        """The worst of the tests of each cell, high = accept: [N, 6] -> [N]."""
        return np.asarray(((tests - self.middle) / self.unit).min(axis=1))

    def thresholds(self, joint: float) -> tuple[float, ...]:
        """The six thresholds that accept together what `joint` scores at this or above."""
        return tuple((self.middle + joint * self.unit).tolist())


@dataclass(frozen=True)
class OutlineRange:
    """The range of each number of `appearance.OUTLINE` that all but a few cells keep to.

    Attributes:
        low: float64 [5].
        high: float64 [5].
    """

    low: Array
    high: Array

    @classmethod
    def of_detector(cls, detector: Detector) -> "OutlineRange":
        """The limits that a detector asks for."""
        return cls(np.array(detector.outline_low), np.array(detector.outline_high))

    @classmethod
    def of(cls, appearance: Array) -> "OutlineRange":
        """Measure on in-distribution cells [N, 7], as `appearance.describe` gives them.

        Raises:
            CheckFailedError: outlines that are all the same.
        """
        low, high = np.quantile(appearance[:, : len(OUTLINE)], [_TAIL, 1 - _TAIL], axis=0)
        if not (low < high).all():
            raise CheckFailedError("the outlines of the validation cells do not differ; use more cells")
        return cls(low, high)

    def wholeness(self, appearance: Array) -> Array:
        """See `appearance.wholeness`: [N, 7] -> [N]."""
        return wholeness(appearance, self.low.tolist(), self.high.tolist())

    def looks(self, appearance: Array) -> Array:
        """The tests of the picture, wholeness, colour and texture: [N, 7] -> [N, 3]."""
        return np.column_stack([self.wholeness(appearance), appearance[:, len(OUTLINE) :]])

    def limits(self, least: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The low and high limits within which lies what has at least this wholeness."""
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2 * (1 - least)
        return tuple((middle - half).tolist()), tuple((middle + half).tolist())
