"""The only decision: which class, and whether the answer may be relied on."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision import table
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence


@dataclass(frozen=True)
class Decisions:
    """What was decided for N cells by T tests, in the order of `table.TESTS`.

    Attributes:
        label: int64 [N], index of the class with the largest logit.
        probabilities: float64 [N, K], softmax of the logits.
        confidences: float64 [N, L], M_l per layer.
        appearance: float64 [N, 7], the numbers of the picture (see `appearance.describe`).
        values: float64 [N, T], what each test looked at; infinite where a test is not for the cell.
        limits: float64 [T], where each test draws its line.
    """

    label: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    confidences: NDArray[np.float64]
    appearance: NDArray[np.float64]
    values: NDArray[np.float64]
    limits: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.label)

    @cached_property  # asked cell by cell
    def failed(self) -> NDArray[np.bool_]:
        """Which tests each cell fails: bool [N, T]."""
        return ~table.passes(self.values, self.limits)

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Whether the label must not be relied on: bool [N]."""
        return np.asarray(self.failed.any(axis=1))

    def value(self, name: str) -> NDArray[np.float64]:
        """The values of one test by its name: float64 [N]."""
        return self.values[:, _column(name)]

    def failed_by(self, name: str) -> NDArray[np.bool_]:
        """Which cells fail one test: bool [N]."""
        return self.failed[:, _column(name)]

    def values_of(self, index: int) -> dict[str, float]:
        """What the tests that are for one cell looked at, by name."""
        named = zip((test.name for test in table.TESTS), self.values[index].tolist(), strict=True)
        return {name: value for name, value in named if not math.isinf(value)}

    def reasons(self, index: int) -> list[str]:
        """Codes of all reasons why one cell is rejected, the gravest first; empty if it is accepted."""
        failed = np.flatnonzero(self.failed[index])
        return list(dict.fromkeys(table.TESTS[number].reason.code for number in failed))

    def reason(self, index: int) -> str:
        """The gravest reason why one cell is rejected; empty if it is accepted."""
        return next(iter(self.reasons(index)), "")


def decide(detector: Detector, evidence: Evidence) -> Decisions:
    """Decide for a batch of cells, in float64.

    Args:
        detector: layer weights and limits.
        evidence: of N cells.
    """
    return Decisions(
        label=evidence.logits.argmax(axis=1).astype(np.int64),
        probabilities=_softmax(evidence.logits.astype(np.float64)),
        confidences=evidence.confidences.astype(np.float64),
        appearance=evidence.appearance,
        values=table.measure(evidence, detector),
        limits=table.limits_of(detector),
    )


def _column(name: str) -> int:
    return [test.name for test in table.TESTS].index(name)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
