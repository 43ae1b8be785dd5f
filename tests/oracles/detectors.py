"""For tests that are about something else: limits that hold everything, and an answer that is steady."""

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision import Outputs

# Limits of the outline, low and high, least colour and least texture, as the last four fields of a Detector.
ANY = ((-1e6,) * 5, (1e6,) * 5, -1e6, -1e6)
# Below every steadiness.
UNSTEADIEST = -1e6


def inside(cells: int) -> NDArray[np.float64]:
    """The numbers of so many cells, all far inside of their limits: float64 [cells, 7]."""
    return np.zeros((cells, 7))


def steady(logits: NDArray[np.float32], confidences: NDArray[np.float32]) -> Outputs:
    """What a network says of cells that softening does not change."""
    return Outputs(logits, logits, confidences)
