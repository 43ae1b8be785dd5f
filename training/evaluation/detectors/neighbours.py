"""Scores by the nearest training features. The bank they are sought in is fixed, as a device's would be."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from edge_runtime.errors import CheckFailedError
from training.evaluation.detectors.mahalanobis import unit
from training.evaluation.detectors.observed import Array, Labels, Observed, Score, by_layer

LARGEST_BANK = 5000
_QUERIES = 256  # at a time, so that their differences from all neighbours fit into memory


class Bank:
    """Features of one layer among which neighbours are sought: float [B, C]."""

    def __init__(self, features: NDArray[np.floating]) -> None:
        self.points = np.asarray(features, np.float64)
        self._index = NearestNeighbors(algorithm="brute").fit(self.points)

    def distances(self, queries: NDArray[np.floating], k: int) -> Array:
        """Euclidean distances to the k nearest, ascending: [N, C] -> [N, k].

        Raises:
            CheckFailedError: fewer than k points.
        """
        if len(self.points) < k:
            raise CheckFailedError(f"{len(self.points)} features in the bank; {k} neighbours need more cells")
        wide = np.asarray(queries, np.float64)
        blocks = [self._block(wide[i : i + _QUERIES], k) for i in range(0, len(wide), _QUERIES)]
        return np.concatenate(blocks)

    def _block(self, queries: Array, k: int) -> Array:
        nearest = self._index.kneighbors(queries, k, return_distance=False)
        # The search expands |a - b|^2 and so leaves rounding where two points are equal; differences do not.
        return np.sort(np.linalg.norm(queries[:, None] - self.points[nearest], axis=2), axis=1)


def bank_members(cells: int, largest: int, seed: int = 0) -> NDArray[np.int64]:
    """Numbers of the training cells in a bank: all, or `largest` drawn from all without replacement."""
    if cells <= largest:
        return np.arange(cells)
    return np.sort(np.random.default_rng(seed).choice(cells, largest, replace=False))


def fit_nearest(train: Observed, labels: Labels, k: int = 50, largest: int = LARGEST_BANK) -> Score:
    """Minus the distance to the k-th nearest training cell (Sun et al. 2022, section 3): [N, L], -2 to 0.

    Features are scaled to length 1, as there. No label is used.

    Args:
        train: training cells.
        labels: not used.
        k: which neighbour.
        largest: cells in the bank at most, drawn with a fixed seed.
    """
    del labels
    members = train.take(bank_members(len(train), largest))
    banks = [Bank(unit(layer)) for layer in members.features]

    def scores(observed: Observed) -> Array:
        layers = zip(banks, observed.features, strict=True)
        return by_layer([-bank.distances(unit(layer), k)[:, -1] for bank, layer in layers])

    return scores
