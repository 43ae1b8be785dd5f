"""Where each test of the decision draws its line: all together reject a given share of good cells.

Half of the calibration set says how strict each test is against the others, the other half, which nothing
else has used, where all of them together draw the line, by split conformal prediction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision import table
from edge_runtime.decision.appearance import OUTLINE
from edge_runtime.decision.conformal import conformal_limit
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.errors import CheckFailedError

Array = NDArray[np.float64]

# Share of cells on either side of the range of a number of the outline.
_TAIL = 0.01
# Cells that hold P. vivax are larger than any of an archive of P. falciparum.
SWOLLEN = 1.1


@dataclass(frozen=True)
class Strictness:
    """Puts the tests on one scale: how far from its median a cell lies, in units of what each may reject.

    Tests whose limit is fixed have no say in it, nor has a cell in a test that is not for it.

    Attributes:
        middle: [T], the median of each test's values; for a fixed limit, the limit.
        unit: [T], how far from it, towards the rejected side, each test's share of alpha begins; 0 for a
            fixed limit.
    """

    middle: Array
    unit: Array

    @classmethod
    def of(cls, values: Sequence[Array], alpha: float) -> "Strictness":
        """Measure on in-distribution cells.

        Args:
            values: [N] per test of the table, where N may differ.
            alpha: share of cells that all tests together may reject.

        Raises:
            CheckFailedError: a test that gives most cells the same value.
        """
        middle, unit = np.zeros(len(values)), np.zeros(len(values))
        for number, (test, found) in enumerate(zip(table.TESTS, values, strict=True)):
            if test.fixed is not None:
                middle[number] = test.fixed
                continue
            high = test.sign * found[~np.isinf(found)]
            middle[number] = test.sign * np.median(high)
            unit[number] = np.median(high) - np.quantile(high, alpha * test.share)
            if not unit[number] > 0:
                raise CheckFailedError(
                    f"the values of the test '{test.name}' do not differ on the validation cells; "
                    "train longer, or use more cells"
                )
        return cls(middle, unit)

    @classmethod
    def of_limits(cls, middle: Array, limits: Array) -> "Strictness":
        """The scale on which given limits [T] lie at -1: the deployed decision as one score."""
        return cls(middle, table.signs() * (middle - limits))

    def joint(self, values: Array) -> Array:
        """The worst of the calibrated tests of each cell, high = accept: [N, T] -> [N]."""
        scaled = self.unit > 0
        high = table.signs()[scaled] * (values - self.middle)[:, scaled]
        return np.asarray((high / self.unit[scaled]).min(axis=1))

    def without(self, name: str) -> "Strictness":
        """The same scale, on which one test has no say."""
        others = np.array([test.name != name for test in table.TESTS])
        return Strictness(self.middle, np.where(others, self.unit, 0.0))

    def limits(self, joint: float) -> dict[str, float]:
        """The limits by test that accept together what `joint` scores at this or above."""
        drawn = self.middle + table.signs() * joint * self.unit
        return {test.name: limit for test, limit in zip(table.TESTS, drawn.tolist(), strict=True)}


def shared_limits(detector: Detector, values: Array, alpha: float) -> Detector:
    """The detector with the limits of the tests that share in alpha, set by cells that others have measured.

    There are many of them, so the same cells say how strict each test is and where all draw the line.

    Args:
        detector: whose other limits are kept.
        values: float64 [N, T] of in-distribution cells, as networks of one recipe that never saw them
            measured them.
        alpha: share of them that all these tests together reject.

    Raises:
        CheckFailedError: too few cells, or values that do not differ.
    """
    strictness = Strictness.of(list(values.T), alpha)
    drawn = strictness.limits(conformal_limit(strictness.joint(values), alpha))
    shared = {test.name: drawn[test.name] for test in table.TESTS if test.fixed is None}
    return replace(detector, limits={**detector.limits, **shared})


def outline_range(appearance: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The range of each number of the outline that all but a few cells keep to: low [5] and high [5].

    Args:
        appearance: float64 [N, 7] of in-distribution cells, as `appearance.describe` gives them.

    Raises:
        CheckFailedError: outlines that are all the same.
    """
    low, high = np.quantile(appearance[:, : len(OUTLINE)], [_TAIL, 1 - _TAIL], axis=0)
    if not (low < high).all():
        raise CheckFailedError("the outlines of the validation cells do not differ; use more cells")
    return tuple(low.tolist()), tuple(high.tolist())


def certainty_limit(odds: Array, rate: float) -> float:
    """How sure of a parasite the classifier must be, so that few cells without one are called parasitized.

    Split conformal prediction, seen from the other side: a further cell like these reaches the limit with a
    probability of at most `rate`. Fewer than 1 / rate - 1 cells show no such rate: the limit then lies above
    them all.

    Args:
        odds: float64 [N], log-odds of a parasite in cells without one (see `values.log_odds`).
        rate: of cells, between 0 and 1.

    Raises:
        CheckFailedError: no cells.
    """
    if not len(odds):
        raise CheckFailedError(
            "no cells without a parasite, by which to say how sure of one the answer must be"
        )
    allowed = int(np.floor((len(odds) + 1) * rate))
    highest = np.sort(odds)[::-1][max(allowed - 1, 0)]
    # Just above it: the cell itself must not pass.
    return max(0.0, float(np.nextafter(highest, np.inf)))


def size_limits(sizes: Array, rate: float) -> dict[str, float]:
    """Where the tests of the size draw their lines, by name: split conformal prediction on either side.

    They are never more lenient than the table's own, whatever the photographs' crops are. The upper one is
    drawn SWOLLEN times as far out.

    Args:
        sizes: float64 [N], relative sizes of red cells; NaN where not known.
        rate: share of red cells that may lie beyond either limit.

    Returns:
        Empty where fewer than 1 / rate - 1 sizes are known: the table's limits hold.
    """
    known = sizes[~np.isnan(sizes)]
    if len(known) < 1 / rate - 1:
        return {}
    return {
        table.SMALL: max(table.SMALLEST, conformal_limit(known, rate)),
        table.LARGE: min(table.LARGEST, -SWOLLEN * conformal_limit(-known, rate)),
    }


def with_pictures(values: Array, pictures: Evidence, detector: Detector) -> list[Array]:
    """The values of each test [N, T] as columns; tests of the picture see the pictures, too."""
    return [
        np.concatenate([column, test.value(pictures, detector)]) if test.seen_by == "picture" else column
        for test, column in zip(table.TESTS, values.T, strict=True)
    ]


def fit_limits(
    unlimited: Detector, halves: tuple[Evidence, Evidence], pictures: Evidence, alpha: float
) -> tuple[Detector, NDArray[np.bool_]]:
    """Fit the ranges of the outline and the limit of every test to in-distribution cells.

    Args:
        unlimited: the fusion of the layers; its outline and limits are replaced.
        halves: of the calibration set.
        pictures: further cells, which count for the tests of the picture alone (see `CellTest.seen_by`).
        alpha: share of in-distribution cells that all calibrated tests together may reject.

    Returns:
        The detector, and which cells of both halves, one after the other, its calibrated tests reject.

    Raises:
        CheckFailedError: too few cells, or values that do not differ.
    """
    low, high = outline_range(np.concatenate([halves[0].appearance, pictures.appearance]))
    ranged = replace(unlimited, outline_low=low, outline_high=high)
    values = [table.measure(half, ranged) for half in halves]
    strictness = Strictness.of(with_pictures(values[0], pictures, ranged), alpha)
    joint = conformal_limit(strictness.joint(values[1]), alpha)
    rejected = strictness.joint(np.concatenate(values)) < joint
    return replace(ranged, limits=strictness.limits(joint)), rejected
