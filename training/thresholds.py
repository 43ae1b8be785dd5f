"""Where each test of the decision draws its line: all together reject a given share of good cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision import SHARES
from edge_runtime.errors import CheckFailedError
from edge_runtime.outline import wholeness

Array = NDArray[np.float64]

# Share of cells on either side of what is the range of an outline's number; its limits are scaled from that.
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
        middle: [3], medians of score, margin and wholeness.
        unit: [3], how far below it each test's share of alpha begins.
    """

    middle: Array
    unit: Array

    @classmethod
    def of(cls, tests: Array, alpha: float) -> "Strictness":
        """Measure on in-distribution cells: [N, 3], score, margin and wholeness.

        Raises:
            CheckFailedError: a test that gives most cells the same value.
        """
        middle = np.median(tests, axis=0)
        shares = zip(tests.T, SHARES, strict=True)
        low = np.array([np.quantile(test, alpha * share) for test, share in shares])
        if not (middle > low).all():
            raise CheckFailedError(
                "the scores, margins or outlines of the validation cells do not differ; train longer"
            )
        return cls(middle, middle - low)

    def joint(self, tests: Array) -> Array:
        """The worst of the tests of each cell, high = accept: [N, 3] -> [N]."""
        return np.asarray(((tests - self.middle) / self.unit).min(axis=1))

    def thresholds(self, joint: float) -> tuple[float, float, float]:
        """The thresholds that accept together what `joint` scores at this or above, in the tests' order."""
        score, margin, whole = (self.middle + joint * self.unit).tolist()
        return score, margin, whole


@dataclass(frozen=True)
class OutlineRange:
    """The range of each number of `outline.OUTLINE` that all but a few cells keep to.

    Attributes:
        low: float64 [5].
        high: float64 [5].
    """

    low: Array
    high: Array

    @classmethod
    def of(cls, outlines: Array) -> "OutlineRange":
        """Measure on in-distribution cells [N, 5].

        Raises:
            CheckFailedError: outlines that are all the same.
        """
        low, high = np.quantile(outlines, [_TAIL, 1 - _TAIL], axis=0)
        if not (low < high).all():
            raise CheckFailedError("the outlines of the validation cells do not differ; use more cells")
        return cls(low, high)

    def wholeness(self, outlines: Array) -> Array:
        """See `outline.wholeness`: [N, 5] -> [N]."""
        return wholeness(outlines, self.low.tolist(), self.high.tolist())

    def limits(self, least: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The low and high limits within which lies what has at least this wholeness."""
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2 * (1 - least)
        return tuple((middle - half).tolist()), tuple((middle + half).tolist())
