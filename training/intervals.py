"""95 % intervals of shares of cells: cells of one patient resemble each other, so patients are drawn."""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95


def over_patients(
    hits: NDArray[np.bool_], patients: NDArray[np.str_], *, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of a share, drawing whole patients with replacement.

    Args:
        hits: bool [N], what the share counts.
        patients: [N], the patient of each cell.
        seed: of the drawing.

    Returns:
        Lower and upper bound, 0 to 1; nan without cells. With one patient nothing can be said of others:
        the bounds are 0 and 1.
    """
    if not hits.size:
        return float("nan"), float("nan")
    unique, index = np.unique(patients, return_inverse=True)
    if len(unique) == 1:
        return 0.0, 1.0
    right = np.bincount(index, weights=hits)
    cells = np.bincount(index)
    drawn = np.random.default_rng(seed).integers(len(unique), size=(RESAMPLES, len(unique)))
    shares = right[drawn].sum(axis=1) / cells[drawn].sum(axis=1)
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
