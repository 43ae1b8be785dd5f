"""How far two sets of outputs may differ, and how the difference is measured."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision.decide import Decisions, Detector, vividness

# Limits on relative differences between float32 implementations. Both compute the same sums in another order;
# what they disagree on by more than this is a defect.
EXACT_LIMIT = 5e-5  # logits, features, distances
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


def decision_flips(
    ours: Decisions, theirs: Decisions, detector: Detector, tolerance: float
) -> tuple[int, int]:
    """Decisions that differ in class, or in any test: (beyond the tolerance, borderline ones within it).

    A difference is borderline if what decided it in the reference lies within `tolerance` (relative to its
    size, at least 1) of where the decision changes: the score near its threshold, the margin near the
    least one, or near 0 for the class, the stability near the least one, the wholeness near 0, colour and
    texture near the least ones.
    """
    differences = (
        (ours.label != theirs.label, theirs.margin, 0.0),
        (ours.far != theirs.far, theirs.score, detector.threshold),
        (ours.ambiguous != theirs.ambiguous, theirs.margin, detector.least_margin),
        (ours.unstable != theirs.unstable, theirs.stability, detector.least_stability),
        (ours.not_one_cell != theirs.not_one_cell, theirs.wholeness, 0.0),
        (ours.faint != theirs.faint, vividness(detector, theirs.appearance), 0.0),
    )
    differs = np.zeros(len(theirs.label), bool)
    beyond = np.zeros(len(theirs.label), bool)
    for differing, value, limit in differences:
        near = np.abs(value - limit) <= tolerance * np.maximum(np.abs(value), 1)
        differs |= differing
        beyond |= differing & ~near
    return int(beyond.sum()), int((differs & ~beyond).sum())


def all_passed(checks: Iterable[Check]) -> bool:
    """Whether every check keeps to its limit."""
    return all(check.passed for check in checks)
