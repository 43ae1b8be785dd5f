"""Looks for tests that are about something else: limits that hold everything, and numbers inside."""

import numpy as np
from numpy.typing import NDArray

# Limits of the outline, low and high, least colour and least texture, as the last four fields of a Detector.
ANY = ((-1e6,) * 5, (1e6,) * 5, -1e6, -1e6)


def inside(cells: int) -> NDArray[np.float64]:
    """The numbers of so many cells, all far inside of their limits: float64 [cells, 7]."""
    return np.zeros((cells, 7))
