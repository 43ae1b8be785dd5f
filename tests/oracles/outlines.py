"""Outlines for tests that are about something else: limits that hold everything, and numbers inside."""

import numpy as np
from numpy.typing import NDArray

ANY_LOW, ANY_HIGH = (-1e6,) * 5, (1e6,) * 5


def inside(cells: int) -> NDArray[np.float64]:
    """The five numbers of so many cells, all in the middle of their limits: float64 [cells, 5]."""
    return np.zeros((cells, len(ANY_LOW)))
