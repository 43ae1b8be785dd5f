"""The values that the tests look at, one function each: evidence of N cells in, float64 [N] out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision.appearance import APPEARANCE, OUTLINE
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence

Array = NDArray[np.float64]


def wholeness(evidence: Evidence, detector: Detector) -> Array:
    """How far inside its range the worst number of the outline lies: 1 in the middle, 0 at an end of it."""
    return within(evidence.appearance, np.array(detector.outline_low), np.array(detector.outline_high))


def within(appearance: Array, low: Array, high: Array) -> Array:
    """`wholeness` of numbers of the picture [N, 7] in ranges from low [5] to high [5]: float64 [N]."""
    middle, half = (high + low) / 2, (high - low) / 2
    return np.asarray((1 - np.abs(appearance[:, : len(OUTLINE)] - middle) / half).min(axis=1))


def colour(evidence: Evidence, _: Detector) -> Array:
    """How strong the stain is (see `appearance.describe`)."""
    return evidence.appearance[:, APPEARANCE.index("colour")]


def texture(evidence: Evidence, _: Detector) -> Array:
    """How much pattern is left in the light (see `appearance.describe`)."""
    return evidence.appearance[:, APPEARANCE.index("texture")]


def least_size(evidence: Evidence, _: Detector) -> Array:
    """The size relative to the frame's typical cell; infinite where no frame is known."""
    return np.where(np.isnan(evidence.relative_size), np.inf, evidence.relative_size)


def largest_size(evidence: Evidence, _: Detector) -> Array:
    """The same, minus infinity where no frame is known."""
    return np.where(np.isnan(evidence.relative_size), -np.inf, evidence.relative_size)


def confidence(evidence: Evidence, detector: Detector) -> Array:
    """The overall confidence M*, high = in-distribution."""
    return detector.overall(evidence.confidences)


def margin(evidence: Evidence, detector: Detector) -> Array:
    """How much surer the classifier is of what it answers than of the other: a parasite, or none."""
    return np.abs(log_odds(evidence.logits, detector.parasitized))


def certainty(evidence: Evidence, detector: Detector) -> Array:
    """The margin of cells that are called parasitized; infinite for all others, which it is not for."""
    infected = detector.infected(evidence.logits.argmax(axis=1))
    return np.where(infected, log_odds(evidence.logits, detector.parasitized), np.inf)


def stability(evidence: Evidence, _: Detector) -> Array:
    """What smoothing adds to the margin of the class that was found; mostly below 0.

    Feature squeezing (Xu et al. 2018) with a blur as the squeezer: an attack adds up what is too fine to see,
    and smoothing takes most of it off again, and with it the margin.
    """
    label = evidence.logits.argmax(axis=1)[:, None]
    after = evidence.smoothed.astype(np.float64)
    own = np.take_along_axis(after, label, axis=1)[:, 0]
    np.put_along_axis(after, label, -np.inf, axis=1)
    return np.asarray(own - after.max(axis=1) - margins(evidence.logits))


def log_odds(logits: NDArray[np.floating], parasitized: Sequence[int]) -> Array:
    """Logarithm of the odds that a cell is parasitized, [N, K] -> float64 [N].

    With two classes it is the difference of their logits. It does not saturate, as a probability does at 1.

    Args:
        logits: of N cells and K classes.
        parasitized: indices of the classes that count as parasitized: one at least, and not all.
    """
    counted = np.isin(np.arange(logits.shape[1]), parasitized)
    of = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # what is no number stays none, and fails the test
        return np.asarray(
            np.logaddexp.reduce(of[:, counted], axis=1) - np.logaddexp.reduce(of[:, ~counted], axis=1)
        )


def margins(logits: NDArray[np.floating]) -> Array:
    """Difference of the two largest logits, [N, K] -> float64 [N].

    It ranks cells as the largest probability does with two classes, but does not saturate at 1.
    """
    largest = np.sort(logits.astype(np.float64), axis=1)
    return np.asarray(largest[:, -1] - largest[:, -2])
