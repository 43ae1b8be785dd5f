"""The only decision: confidences per layer to a score, and the score to an answer or a rejection."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Reason = Literal["", "far-from-training"]


@dataclass(frozen=True)
class Detector:
    """What calibration fitted; it stands in the manifest as data.

    The overall confidence is M* = sum_l weight_l M_l + bias, and a cell is in-distribution when
    M* >= threshold (the paper, section 2; high = in-distribution).

    Attributes:
        layers: names of the feature layers, in the order of the graph's outputs.
        epsilon: magnitude of the input perturbation in [0, 1] units of the image (eq. 3); 0 is none.
        weights: one per layer, alpha_l.
        bias: added to the weighted sum.
        threshold: rho.
    """

    layers: tuple[str, ...]
    epsilon: float
    weights: tuple[float, ...]
    bias: float
    threshold: float


@dataclass(frozen=True)
class Decisions:
    """What was decided for N cells.

    Attributes:
        label: int64 [N], index of the class with the largest logit.
        probabilities: float64 [N, K], softmax of the logits.
        confidences: float64 [N, L], M_l per layer.
        score: float64 [N], M*.
        rejected: bool [N].
    """

    label: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    confidences: NDArray[np.float64]
    score: NDArray[np.float64]
    rejected: NDArray[np.bool_]

    def reason(self, index: int) -> Reason:
        """Why one cell was rejected; empty if it was not."""
        return "far-from-training" if self.rejected[index] else ""


def decide(detector: Detector, logits: NDArray[np.float32], confidences: NDArray[np.float32]) -> Decisions:
    """Decide for a batch of cells, in float64.

    Args:
        detector: layer weights and threshold.
        logits: float32 [N, K].
        confidences: float32 [N, L], the confidence scores M_l of eq. 4.
    """
    confidences64 = confidences.astype(np.float64)
    score = confidences64 @ np.array(detector.weights) + detector.bias
    return Decisions(
        label=logits.argmax(axis=1).astype(np.int64),
        probabilities=_softmax(logits.astype(np.float64)),
        confidences=confidences64,
        score=score,
        # Not "score < threshold": a score that is no number must never be accepted.
        rejected=~(score >= detector.threshold),
    )


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
