"""95 % intervals of shares of cells: cells of one patient resemble each other, so patients are drawn."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import betabinom, binomtest

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


def of_share(hits: int, total: int) -> tuple[float, float]:
    """The exact interval of a share of things that are independent of each other (Clopper and Pearson 1934).

    Returns:
        Lower and upper bound, 0 to 1; nan of nothing.
    """
    if not total:
        return float("nan"), float("nan")
    interval = binomtest(hits, total).proportion_ci(LEVEL, method="exact")
    return float(interval.low), float(interval.high)


def patient_correlation(hits: NDArray[np.bool_], patients: NDArray[np.str_]) -> float:
    """How alike the cells of one patient are: the intra-class correlation of a share.

    The analysis-of-variance estimator for binary data (Fleiss, Statistical Methods for Rates and Proportions,
    chapter on clustered data; Ridout et al. 1999): 0 where patients differ no more than chance would have it.

    Args:
        hits: bool [N], what the share counts.
        patients: [N], the patient of each cell.

    Returns:
        0 to 1; 0 where nothing can be said: with fewer than two patients, or one cell each.
    """
    _, index = np.unique(patients, return_inverse=True)
    cells = np.bincount(index).astype(np.float64)
    count, total = len(cells), float(cells.sum())
    if count < 2 or total <= count:
        return 0.0
    shares = np.bincount(index, weights=hits) / cells
    between = float((cells * (shares - hits.mean()) ** 2).sum()) / (count - 1)
    within = float((cells * shares * (1 - shares)).sum()) / (total - count)
    size = (total - float((cells**2).sum()) / total) / (count - 1)  # of a patient, corrected for unequal ones
    spread = between + (size - 1) * within
    return min(1.0, max(0.0, (between - within) / spread)) if spread > 0 else 0.0


def beta_binomial_correlation(hits: NDArray[np.bool_], patients: NDArray[np.str_]) -> float:
    """How alike the cells of one patient are, of a share that may be close to 0 or 1.

    The maximum-likelihood estimate of the beta-binomial distribution (Skellam 1948) of the hits per patient,
    whose correlation is 1 / (a + b + 1). Of rare hits `patient_correlation` says little.

    Args:
        hits: bool [N], what the share counts.
        patients: [N], the patient of each cell.

    Returns:
        0 to below 1; 0 where nothing can be said: fewer than two patients, or no hit, or nothing but hits.
    """
    unique, index = np.unique(patients, return_inverse=True)
    if len(unique) < 2 or hits.all() or not hits.any():
        return 0.0
    of, cells = np.bincount(index, weights=hits), np.bincount(index)

    def unlikely(logits: NDArray[np.float64]) -> float:
        mean, correlation = 1 / (1 + np.exp(-logits))
        both = (1 - correlation) / correlation
        return -float(betabinom.logpmf(of, cells, mean * both, (1 - mean) * both).sum())

    share = hits.mean()
    starts = [(np.log(share / (1 - share)), start) for start in (-5.0, -2.0)]
    bounds = [(-15.0, 15.0), (-12.0, 5.0)]
    best = min(
        (minimize(unlikely, start, bounds=bounds, method="L-BFGS-B") for start in starts), key=lambda f: f.fun
    )
    return float(1 / (1 + np.exp(-best.x[1])))
