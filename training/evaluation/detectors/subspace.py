"""Scores of the directions in which training features hardly vary: residual and ViM.

Every score is float64 [N, L], high = ID.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import CheckFailedError
from training.evaluation.detectors.observed import Array, Labels, Observed, Score, by_layer
from training.evaluation.detectors.softmax import energy

# Wang et al. keep 1000 of 2048 channels, and 512 of 768 and more: about half.
PRINCIPAL = 0.5


@dataclass(frozen=True)
class NullSpace:
    """What is orthogonal to the principal subspace of one layer's features.

    Attributes:
        centre: [C], mean of the training features.
        directions: [C, D], orthonormal.
    """

    centre: Array
    directions: Array

    def residual(self, features: NDArray[np.floating]) -> Array:
        """Length of the features' part in this space: [N, C] -> [N], >= 0."""
        return np.asarray(np.linalg.norm((features - self.centre) @ self.directions, axis=1))


def fit_null_space(features: NDArray[np.floating], principal: float = PRINCIPAL) -> NullSpace:
    """The directions of least variance of features [N, C].

    Args:
        features: of training cells.
        principal: share of the dimensions that belong to the principal subspace, above 0 and below 1; at
            least one dimension is left on either side.
    """
    wide = np.asarray(features, np.float64)
    centre, channels = wide.mean(axis=0), wide.shape[1]
    kept = min(max(round(principal * channels), 1), channels - 1)
    _, vectors = np.linalg.eigh((wide - centre).T @ (wide - centre))  # least variance first
    return NullSpace(centre, vectors[:, : channels - kept])


def fit_residual(train: Observed, labels: Labels, principal: float = PRINCIPAL) -> Score:
    """Minus the length of the residual (Wang et al. 2022, section 4). No label is used.

    The origin is the mean of the training features: the paper's, which makes the bias of the last linear
    layer vanish, exists for the last layer alone.
    """
    del labels
    spaces = [fit_null_space(layer, principal) for layer in train.features]
    return lambda observed: -_residuals(spaces, observed)


def fit_vim(train: Observed, labels: Labels, principal: float = PRINCIPAL) -> Score:
    """ViM (Wang et al. 2022, section 4): energy less the residual scaled to the size of a logit.

    No label is used. The published score is the probability of the residual as one more logit, v:
    e^v / (sum e^z + e^v). Energy less v ranks as that does (high = ID), and does not saturate. With L layers
    it is made once for every layer.

    Raises:
        CheckFailedError: the largest logits of training cells are not positive in the mean, or a layer's
            residuals are all 0; the scale is their ratio.
    """
    del labels
    spaces = [fit_null_space(layer, principal) for layer in train.features]
    largest = float(train.logits.max(axis=1).mean(dtype=np.float64))
    typical = _residuals(spaces, train).mean(axis=0)
    if largest <= 0 or (typical <= 0).any():
        raise CheckFailedError(
            f"mean largest logit {largest:.3g}, mean residual {typical.min():.3g}; ViM needs both above 0"
        )
    scale = largest / typical
    return lambda observed: energy(observed)[:, None] - scale * _residuals(spaces, observed)


def _residuals(spaces: list[NullSpace], observed: Observed) -> Array:
    return by_layer([s.residual(f) for s, f in zip(spaces, observed.features, strict=True)])
