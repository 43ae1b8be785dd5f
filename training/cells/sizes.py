"""How large labelled crops are, each against the other crops of its photograph."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST = 10  # crops of a photograph; of fewer the middle one need be no typical cell
_NUMBERED = "_cell_"  # as the archive names crops: the photograph, and the number of the cell


def relative_sizes(names: Sequence[str], areas: NDArray[np.int64]) -> NDArray[np.float64]:
    """Diameters over the median diameter of the crops that were cut from the same photograph.

    A photograph is what stands before "_cell_" in the file's name.

    Args:
        names: of N crops.
        areas: int64 [N], their pixels that are not black.

    Returns:
        float64 [N]; NaN where the name tells no photograph, or fewer than FEWEST crops are of it.
    """
    diameters, sizes = np.sqrt(areas.astype(np.float64)), np.full(len(areas), np.nan)
    photographs = np.array([name.rpartition(_NUMBERED)[0].rpartition("/")[2] for name in names], np.str_)
    found, which, counts = np.unique(photographs, return_inverse=True, return_counts=True)
    for number in np.flatnonzero((counts >= FEWEST) & (found != "")):
        crops = which == number
        sizes[crops] = diameters[crops] / np.median(diameters[crops])
    return sizes
