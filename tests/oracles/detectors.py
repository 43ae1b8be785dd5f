"""For tests that are about something else: limits that hold everything, and an answer that is stable."""

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision.decide import Outputs

# Limits of the outline, low and high, least colour and least texture, as the last four fields of a Detector.
ANY = ((-1e6,) * 5, (1e6,) * 5, -1e6, -1e6)
# Below every stability.
UNMOST_STABLE = -1e6


def inside(cells: int) -> NDArray[np.float64]:
    """The numbers of so many cells, all far inside of their limits: float64 [cells, 7]."""
    return np.zeros((cells, 7))


def stable(logits: NDArray[np.float32], confidences: NDArray[np.float32]) -> Outputs:
    """What a network says of cells that smoothing does not change."""
    return Outputs(logits, logits, confidences)
