"""The only decision: one whole cell, in clear view, like the training cells, the classifier sure, of what?

All questions are needed. Features see what is no red cell, which the classifier is often sure of; the margin
sees what lies between the classes, whose features are ordinary; the outline sees what a segmentation that
went wrong hands on, and colour and texture what has faded, which neither of them does.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.appearance import APPEARANCE, wholeness

Reason = Literal["", "not-one-cell", "faint", "far-from-training", "unsure"]

# How calibration divides alpha, the share of good cells that may be rejected, among the tests of features,
# margin, outline, colour and texture. What the last three are for lies far off any limit: they need little.
SHARES = (0.425, 0.425, 0.1, 0.025, 0.025)
_COLOUR, _TEXTURE = APPEARANCE.index("colour"), APPEARANCE.index("texture")


@dataclass(frozen=True)
class View:
    """One weighing of the layers: sum_l weight_l z_l - slope * margin + bias, high = in-distribution.

    Attributes:
        weights: one per layer.
        slope: how much nearer the features must be for every unit of the margin; 0 in the paper.
        bias: added to the sum.
    """

    weights: tuple[float, ...]
    slope: float
    bias: float


@dataclass(frozen=True)
class Nearness:
    """How near the features are to those of training cells: the overall confidence M*.

    M* is the least of the views of z_l = (M_l - centre_l) / spread_l. A single view without slope is the
    paper's sum_l alpha_l M_l (section 2), with alpha_l = weight_l / spread_l and another zero point.

    Attributes:
        centre: the usual confidence of each layer.
        spread: how much it varies, above 0.
        views: at least one, all on one scale.
    """

    centre: tuple[float, ...]
    spread: tuple[float, ...]
    views: tuple[View, ...]

    def arrays(self) -> tuple[NDArray[np.float64], ...]:
        """Centre [L], spread [L], weights [V, L], slopes [V] and biases [V] of the V views, float64."""
        views = self.views
        of_views = [[v.weights for v in views], [v.slope for v in views], [v.bias for v in views]]
        return tuple(np.array(values, np.float64) for values in (self.centre, self.spread, *of_views))

    def score(self, confidences: NDArray[np.float64], margin: NDArray[np.float64]) -> NDArray[np.float64]:
        """M* of confidences [N, L] and margins [N]: float64 [N]."""
        centre, spread, weights, slopes, biases = self.arrays()
        sums = ((confidences - centre) / spread) @ weights.T - margin[:, None] * slopes + biases
        return np.asarray(sums.min(axis=1))


@dataclass(frozen=True)
class Detector:
    """What calibration fitted; it stands in the manifest as data.

    A cell is in-distribution when its overall confidence M* >= threshold (the paper, section 2; high =
    in-distribution). It is accepted when, besides, its two largest logits are at least `least_margin` apart,
    and the numbers of its appearance within their limits.

    Attributes:
        layers: names of the feature layers, in the order of the graph's outputs.
        epsilon: magnitude of the input perturbation in [0, 1] units of the image (eq. 3); 0 is none.
        nearness: of the layers' confidences, M*.
        threshold: rho.
        least_margin: smallest difference of the two largest logits that is accepted.
        outline_low: smallest number of each kind in `appearance.OUTLINE` that is accepted.
        outline_high: largest number of each kind, greater than the smallest.
        least_colour: smallest colour that is accepted.
        least_texture: smallest texture that is accepted.
    """

    layers: tuple[str, ...]
    epsilon: float
    nearness: Nearness
    threshold: float
    least_margin: float
    outline_low: tuple[float, ...]
    outline_high: tuple[float, ...]
    least_colour: float
    least_texture: float


@dataclass(frozen=True)
class Decisions:
    """What was decided for N cells.

    Attributes:
        label: int64 [N], index of the class with the largest logit.
        probabilities: float64 [N, K], softmax of the logits.
        confidences: float64 [N, L], M_l per layer.
        score: float64 [N], M*.
        margin: float64 [N], difference of the two largest logits.
        appearance: float64 [N, 7], see `appearance.describe`.
        wholeness: float64 [N], how far the outline is inside its limits; below 0 outside.
        far: bool [N], rejected for its features: M* below the threshold.
        unsure: bool [N], rejected for its margin.
        not_one_cell: bool [N], rejected for its outline.
        faint: bool [N], rejected for want of colour or texture.
    """

    label: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    confidences: NDArray[np.float64]
    score: NDArray[np.float64]
    margin: NDArray[np.float64]
    appearance: NDArray[np.float64]
    wholeness: NDArray[np.float64]
    far: NDArray[np.bool_]
    unsure: NDArray[np.bool_]
    not_one_cell: NDArray[np.bool_]
    faint: NDArray[np.bool_]

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Whether the label must not be relied on: bool [N]."""
        return self.far | self.unsure | self.not_one_cell | self.faint

    def reason(self, index: int) -> Reason:
        """Why one cell was rejected, the graver reason first; empty if it was not."""
        if self.not_one_cell[index]:
            return "not-one-cell"
        if self.faint[index]:
            return "faint"
        if self.far[index]:
            return "far-from-training"
        return "unsure" if self.unsure[index] else ""


def decide(
    detector: Detector,
    logits: NDArray[np.float32],
    confidences: NDArray[np.float32],
    appearance: NDArray[np.float64],
) -> Decisions:
    """Decide for a batch of cells, in float64.

    Args:
        detector: layer weights and thresholds.
        logits: float32 [N, K].
        confidences: float32 [N, L], the confidence scores M_l of eq. 4.
        appearance: float64 [N, 7], what `appearance.describe` measured on the resized crops.
    """
    return _judged(
        detector,
        label=logits.argmax(axis=1).astype(np.int64),
        probabilities=_softmax(logits.astype(np.float64)),
        confidences=confidences.astype(np.float64),
        margin=margins(logits),
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
        appearance=decided.appearance,
    )


def _judged(
    detector: Detector,
    *,
    label: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    confidences: NDArray[np.float64],
    margin: NDArray[np.float64],
    appearance: NDArray[np.float64],
) -> Decisions:
    score = detector.nearness.score(confidences, margin)
    inside = wholeness(appearance, detector.outline_low, detector.outline_high)
    return Decisions(
        label=label,
        probabilities=probabilities,
        confidences=confidences,
        score=score,
        margin=margin,
        appearance=appearance,
        wholeness=inside,
        # Not "score < threshold": a score that is no number must never be accepted.
        far=~(score >= detector.threshold),
        unsure=~(margin >= detector.least_margin),
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


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
