"""The only decision: one whole cell, in clear view, like the training cells, the classifier sure, of what?

All questions are needed. Features see what is no red cell, which the classifier is often sure of; the margin
sees what lies between the classes, whose features are ordinary; stability sees an answer that hangs on the
finest detail, as an attack's does; the outline sees what a segmentation that went wrong hands on, and colour
and texture what has faded, which none of them does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision.appearance import APPEARANCE, wholeness

Reason = Literal["", "not-one-cell", "faint", "far-from-training", "unstable", "ambiguous"]

# The outputs of the graph that the decision needs, as `Outputs` has them.
DECIDING = ("logits", "logits.smoothed", "confidences")

# How calibration divides alpha, the share of good cells that may be rejected, among the tests of features,
# margin, stability, outline, colour and texture. What the last three are for lies far off: they need little.
SHARES = (0.25, 0.25, 0.35, 0.1, 0.025, 0.025)
_COLOUR, _TEXTURE = APPEARANCE.index("colour"), APPEARANCE.index("texture")


@dataclass(frozen=True)
class Detector:
    """What calibration fitted; it stands in the manifest as data.

    The overall confidence is M* = sum_l weight_l M_l + bias, and a cell is in-distribution when
    M* >= threshold (the paper, section 2; high = in-distribution). It is accepted when, besides, its two
    largest logits are at least `least_margin` apart, smoothing takes no more than -`least_stability` off
    that, and the numbers of its appearance are within their limits.

    Attributes:
        layers: names of the feature layers, in the order of the graph's outputs.
        epsilon: magnitude of the input perturbation in [0, 1] units of the image (eq. 3); 0 is none.
        weights: one per layer, alpha_l.
        bias: added to the weighted sum.
        threshold: rho.
        least_margin: smallest difference of the two largest logits that is accepted.
        least_stability: smallest change of that difference by smoothing that is accepted.
        outline_low: smallest number of each kind in `appearance.OUTLINE` that is accepted.
        outline_high: largest number of each kind, greater than the smallest.
        least_colour: smallest colour that is accepted.
        least_texture: smallest texture that is accepted.
    """

    layers: tuple[str, ...]
    epsilon: float
    weights: tuple[float, ...]
    bias: float
    threshold: float
    least_margin: float
    least_stability: float
    outline_low: tuple[float, ...]
    outline_high: tuple[float, ...]
    least_colour: float
    least_texture: float

    def overall(self, confidences: NDArray[np.float64]) -> NDArray[np.float64]:
        """The overall confidence M* of confidences [N, L]: float64 [N]."""
        return np.asarray(confidences @ np.array(self.weights) + self.bias)


@dataclass(frozen=True)
class Outputs:
    """What a network says of N cells, as far as it decides.

    Attributes:
        logits: float32 [N, K].
        smoothed: float32 [N, K], the logits of the smoothed cells.
        confidences: float32 [N, L], the confidence scores M_l of eq. 4.
    """

    logits: NDArray[np.float32]
    smoothed: NDArray[np.float32]
    confidences: NDArray[np.float32]

    @classmethod
    def of(cls, named: Mapping[str, NDArray[np.generic]]) -> "Outputs":
        """Pick them from the graph's outputs by name."""
        return cls(*(np.asarray(named[name], np.float32) for name in DECIDING))


@dataclass(frozen=True)
class Decisions:
    """What was decided for N cells.

    Attributes:
        label: int64 [N], index of the class with the largest logit.
        probabilities: float64 [N, K], softmax of the logits.
        confidences: float64 [N, L], M_l per layer.
        score: float64 [N], M*.
        margin: float64 [N], difference of the two largest logits.
        stability: float64 [N], by how much it grows once the cell is smoothed; mostly below 0.
        appearance: float64 [N, 7], see `appearance.describe`.
        wholeness: float64 [N], how far the outline is inside its limits; below 0 outside.
        far: bool [N], rejected for its features: M* below the threshold.
        ambiguous: bool [N], rejected for its margin.
        unstable: bool [N], rejected for its stability.
        not_one_cell: bool [N], rejected for its outline.
        faint: bool [N], rejected for want of colour or texture.
    """

    label: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    confidences: NDArray[np.float64]
    score: NDArray[np.float64]
    margin: NDArray[np.float64]
    stability: NDArray[np.float64]
    appearance: NDArray[np.float64]
    wholeness: NDArray[np.float64]
    far: NDArray[np.bool_]
    ambiguous: NDArray[np.bool_]
    unstable: NDArray[np.bool_]
    not_one_cell: NDArray[np.bool_]
    faint: NDArray[np.bool_]

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Whether the label must not be relied on: bool [N]."""
        return self.far | self.ambiguous | self.unstable | self.not_one_cell | self.faint

    def reason(self, index: int) -> Reason:
        """Why one cell was rejected, the graver reason first; empty if it was not."""
        if self.not_one_cell[index]:
            return "not-one-cell"
        if self.faint[index]:
            return "faint"
        if self.far[index]:
            return "far-from-training"
        if self.unstable[index]:
            return "unstable"
        return "ambiguous" if self.ambiguous[index] else ""


def decide(detector: Detector, said: Outputs, appearance: NDArray[np.float64]) -> Decisions:
    """Decide for a batch of cells, in float64.

    Args:
        detector: layer weights and thresholds.
        said: by the network, of N cells.
        appearance: float64 [N, 7], what `appearance.describe` measured on the resized crops.
    """
    return _judged(
        detector,
        label=said.logits.argmax(axis=1).astype(np.int64),
        probabilities=_softmax(said.logits.astype(np.float64)),
        confidences=said.confidences.astype(np.float64),
        margin=margins(said.logits),
        stability=stability(said.logits, said.smoothed),
        appearance=appearance,
    )


def decide_again(detector: Detector, decided: Decisions) -> Decisions:
    """What a detector decides of cells that another one of the same layers has decided of."""
    return _judged(
        detector,
        label=decided.label,
        probabilities=decided.probabilities,
        confidences=decided.confidences,
        margin=decided.margin,
        stability=decided.stability,
        appearance=decided.appearance,
    )


def _judged(
    detector: Detector,
    *,
    label: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    confidences: NDArray[np.float64],
    margin: NDArray[np.float64],
    stability: NDArray[np.float64],
    appearance: NDArray[np.float64],
) -> Decisions:
    score = detector.overall(confidences)
    inside = wholeness(appearance, detector.outline_low, detector.outline_high)
    return Decisions(
        label=label,
        probabilities=probabilities,
        confidences=confidences,
        score=score,
        margin=margin,
        stability=stability,
        appearance=appearance,
        wholeness=inside,
        # Not "score < threshold": a score that is no number must never be accepted.
        far=~(score >= detector.threshold),
        ambiguous=~(margin >= detector.least_margin),
        unstable=~(stability >= detector.least_stability),
        not_one_cell=~(inside >= 0),
        faint=~(vividness(detector, appearance) >= 0),
    )


def vividness(detector: Detector, appearance: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far colour and texture are above the least ones, the worse of both: [N, 7] -> float64 [N]."""
    colour, texture = appearance[:, _COLOUR], appearance[:, _TEXTURE]
    return np.minimum(colour - detector.least_colour, texture - detector.least_texture)


def margins(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Difference of the two largest logits, [N, K] -> float64 [N].

    It ranks cells as the largest probability does with two classes, but does not saturate at 1.
    """
    largest = np.sort(logits.astype(np.float64), axis=1)
    return np.asarray(largest[:, -1] - largest[:, -2])


def stability(logits: NDArray[np.floating], smoothed: NDArray[np.floating]) -> NDArray[np.float64]:
    """What smoothing adds to the margin of the class that was found, [N, K] twice -> float64 [N].

    Feature squeezing (Xu et al. 2018) with a blur as the squeezer: an attack adds up what is too fine to see,
    and smoothing takes most of it off again, and with it the margin.

    Args:
        logits: of the cells.
        smoothed: of the smoothed cells.
    """
    label = logits.argmax(axis=1)[:, None]
    after = smoothed.astype(np.float64)
    own = np.take_along_axis(after, label, axis=1)[:, 0]
    np.put_along_axis(after, label, -np.inf, axis=1)
    return np.asarray(own - after.max(axis=1) - margins(logits))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
