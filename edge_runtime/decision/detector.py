"""What calibration fitted: the fusion of the layers and the limit of every test. Data, not code."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detector:
    """What a bundle decides by; it stands in the manifest.

    The overall confidence is M* = sum_l weight_l M_l + bias (the paper, section 2; high = in-distribution).

    Attributes:
        layers: names of the feature layers, in the order of the graph's outputs.
        epsilon: magnitude of the input perturbation in [0, 1] units of the image (eq. 3); 0 is none.
        weights: one per layer, alpha_l.
        bias: added to the weighted sum.
        outline_low: of each number in `appearance.OUTLINE`, the low end of the range of ordinary cells.
        outline_high: the high end, greater than the low one.
        limits: where each test of `table.TESTS` draws its line, by the test's name; "confidence" is rho.
        parasitized: indices of the classes that count as parasitized.
    """

    layers: tuple[str, ...]
    epsilon: float
    weights: tuple[float, ...]
    bias: float
    outline_low: tuple[float, ...]
    outline_high: tuple[float, ...]
    limits: Mapping[str, float]
    parasitized: tuple[int, ...] = (1,)

    def infected(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which labels [N] count as parasitized: bool [N]."""
        return np.isin(labels, self.parasitized)

    def overall(self, confidences: NDArray[np.floating]) -> NDArray[np.float64]:
        """The overall confidence M* of confidences [N, L]: float64 [N]."""
        return np.asarray(confidences.astype(np.float64) @ np.array(self.weights) + self.bias)
