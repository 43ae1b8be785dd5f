"""The table of tests: a cell is accepted if it passes every one of them.

All are needed. The size, where a frame tells what a typical cell's is, sees platelets, crumbs, white cells
and clumps, which a crop shows as large as any cell; features see what is no red cell, which the classifier is
often sure of; the margin sees what lies between the classes, whose features are ordinary, and certainty asks
more of a parasite than of its absence, for a healthy person has millions of cells; stability sees an answer
that hangs on the finest detail, as an attack's does; the outline sees what a segmentation error hands on, and
colour and texture what has faded, which none of the others does.

Calibration, manifest, JSON, slide record, report, model card, parity, recalibration and evaluation go through
this table. A further test is an entry here and its value (docs/how-to/add-a-test.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision import values
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence

Value = Callable[[Evidence, Detector], NDArray[np.float64]]
Side = Literal["at least", "at most"]


@dataclass(frozen=True)
class Reason:
    """Why a cell is rejected.

    Attributes:
        code: as JSON and the slide record have it.
        sentence: as a person reads it, after "rejected:".
        whole: whether the object may still be one whole cell; only such cells tell an unusual slide.
    """

    code: str
    sentence: str
    whole: bool = True


@dataclass(frozen=True)
class CellTest:
    """One test of a cell.

    Attributes:
        name: of its value.
        reason: why a cell that fails is rejected.
        value: evidence of N cells and a detector to float64 [N]; infinite, on the accepted side, for the
            cells that this test is not for.
        share: of the cells that calibration may reject, this test's part; 0 where the limit is fixed.
        fixed: the limit of a test that does not share in `alpha`; calibration may still set another one.
        side: where values are accepted, seen from the limit.
        seen_by: whose evidence it is. What the picture shows does not depend on the network, so there
            training cells count in calibration, too.
    """

    name: str
    reason: Reason
    value: Value
    share: float = 0.0
    fixed: float | None = None
    side: Side = "at least"
    seen_by: Literal["network", "picture"] = "network"

    @property
    def sign(self) -> int:
        """1 where large values are accepted, -1 where small ones are."""
        return 1 if self.side == "at least" else -1


SMALLER = Reason("smaller", "smaller than a red cell", whole=False)
LARGER = Reason("larger", "larger than a red cell", whole=False)
NOT_ONE_CELL = Reason("not-one-cell", "not one whole cell", whole=False)
FAINT = Reason("faint", "too little colour or contrast")
FAR = Reason("far-from-training", "unlike the training cells")
UNSTABLE = Reason("unstable", "of a class by the finest detail alone")
SUSPECT = Reason("suspect", "perhaps a parasite")

CONFIDENCE = "confidence"  # the test of M*: the one that a site's recalibration fits
CERTAINTY = "certainty"  # the test whose limit the cells of healthy patients set
SMALL, LARGE = "small", "large"  # the tests whose limits photographs of many cells set
SMALLEST, LARGEST = 0.55, 1.6  # of the typical cell's diameter: beyond them no red cell is found on frames

# Gravest first. What the tests of the picture are for lies far off: they need little of the share.
TESTS: tuple[CellTest, ...] = (
    CellTest(SMALL, SMALLER, values.least_size, fixed=SMALLEST, seen_by="picture"),
    CellTest(LARGE, LARGER, values.largest_size, fixed=LARGEST, side="at most", seen_by="picture"),
    CellTest("wholeness", NOT_ONE_CELL, values.wholeness, share=0.1, seen_by="picture"),
    CellTest("colour", FAINT, values.colour, share=0.045, seen_by="picture"),
    CellTest("texture", FAINT, values.texture, share=0.005, seen_by="picture"),
    CellTest(CONFIDENCE, FAR, values.confidence, share=0.25),
    CellTest("stability", UNSTABLE, values.stability, share=0.35),
    CellTest("margin", SUSPECT, values.margin, share=0.25),
    CellTest(CERTAINTY, SUSPECT, values.certainty, fixed=0.0),
)


def measure(evidence: Evidence, detector: Detector) -> NDArray[np.float64]:
    """The value of every test: float64 [N, T]."""
    columns = [test.value(evidence, detector) for test in TESTS]
    return np.column_stack(columns) if columns else np.zeros((len(evidence), 0))


def limits_of(detector: Detector) -> NDArray[np.float64]:
    """Where a detector draws each test's line: float64 [T]."""
    return np.array([detector.limits[test.name] for test in TESTS])


def signs() -> NDArray[np.int64]:
    """By what the values of each test are multiplied so that large ones are accepted: int64 [T]."""
    return np.array([test.sign for test in TESTS], np.int64)


def passes(measured: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether values [N, T] are on the accepted side of limits [T]: bool [N, T]; no number never is."""
    return np.asarray(measured * signs() >= limits * signs())
