"""How far two sets of outputs may differ, and how the difference is measured."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision import table
from edge_runtime.decision.decide import Decisions
from edge_runtime.decision.values import margins

# Limits on relative differences between float32 implementations. Both compute the same sums in another order;
# what they disagree on by more than this is a defect.
EXACT_LIMIT = 5e-5  # logits, features
# Distances divide by small variances: features of the default bundle's stem that agree to 3e-7 on two
# processors give distances that differ by 7e-5.
DISTANCE_LIMIT = 1e-4
SCORE_LIMIT = 5e-3  # scores after the perturbation: a flipped sign moves a pixel by 2 epsilon
SIGN_LIMIT = 1e-3  # share of the gradient's signs that differ

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Check:
    """One measured difference and its limit.

    Attributes:
        name: what was compared.
        value: the largest difference found.
        limit: the largest one that passes.
    """

    name: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the value keeps to its limit; a value that is no number does not."""
        return self.value <= self.limit

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{'ok  ' if self.passed else 'FAIL'} {self.name:<34} {self.value:9.2e}  (limit {self.limit:.0e})"
        )


def relative_error(ours: Array, theirs: Array) -> float:
    """Largest |ours_i - theirs_i| / max(|theirs_i|, 1) over examples i, with Euclidean norms: [N, ...]."""
    if ours.shape != theirs.shape:
        return float("inf")
    if len(theirs) == 0:
        return 0.0
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    norm = np.linalg.norm(np.asarray(theirs, np.float64).reshape(len(theirs), -1), axis=1)
    worst = np.linalg.norm(difference.reshape(len(theirs), -1), axis=1) / np.maximum(norm, 1)
    return float(worst.max())


def relative_error_each(ours: Array, theirs: Array) -> float:
    """Largest |ours - theirs| / max(|theirs|, 1) over all elements; for values of unlike magnitude."""
    if ours.shape != theirs.shape:
        return float("inf")
    difference = np.abs(np.asarray(ours, np.float64) - theirs)
    return float((difference / np.maximum(np.abs(theirs), 1)).max(initial=0))


def sign_disagreement(ours: Array, theirs: Array) -> float:
    """Share of elements whose signs differ, over all elements."""
    return float((np.sign(ours) != np.sign(theirs)).mean())


def decision_flips(ours: Decisions, theirs: Decisions, tolerance: float) -> tuple[int, int]:
    """Decisions that differ in class, or in any test: (beyond the tolerance, borderline ones within it).

    A difference is borderline if what decided it in the reference lies within `tolerance` (relative to its
    size, at least 1) of where the decision changes: a test's value near its limit, and for the class a
    difference of the two largest logits near 0.

    Args:
        ours: of N cells.
        theirs: of the same cells, by the reference.
        tolerance: relative.
    """
    other_class = ours.label != theirs.label
    flipped = ours.failed != theirs.failed
    with np.errstate(divide="ignore"):  # a probability of 0 is infinitely far from any other
        near_class = margins(np.log(theirs.probabilities)) <= tolerance
    near = _near(theirs.values, theirs.limits, tolerance)
    # Between two classes it also depends on rounding which of the tests is for the cell.
    near |= near_class[:, None] & (np.isinf(ours.values) | np.isinf(theirs.values))
    beyond = (other_class & ~near_class) | (flipped & ~near).any(axis=1)
    differs = other_class | flipped.any(axis=1)
    return int(beyond.sum()), int((differs & ~beyond).sum())


def value_checks(ours: Decisions, theirs: Decisions, prefix: str = "") -> list[Check]:
    """One check per test: how far the values that it looked at differ, of the same N cells.

    Cells that a test is not for, by either, do not count here: `decision_flips` counts their classes.
    """
    checks = []
    for test in table.TESTS:
        both = [said.value(test.name) for said in (ours, theirs)]
        meant = ~np.isinf(both).any(axis=0)
        checks.append(
            Check(
                f"{prefix}value of {test.name}",
                relative_error_each(both[0][meant], both[1][meant]),
                SCORE_LIMIT if test.name == table.CONFIDENCE else EXACT_LIMIT,
            )
        )
    return checks


def _near(values: Array, limits: Array, tolerance: float) -> NDArray[np.bool_]:
    return np.asarray(np.abs(values - limits) <= tolerance * np.maximum(np.abs(values), 1))


def all_passed(checks: Iterable[Check]) -> bool:
    """Whether every check keeps to its limit."""
    return all(check.passed for check in checks)
