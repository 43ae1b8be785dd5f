"""Local intrinsic dimensionality of the features (Ma et al. 2018), with its sign changed.

Every score is float64 [N, L], high = ID.
"""

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import CheckFailedError
from training.evaluation.detectors.neighbours import Bank, bank_members
from training.evaluation.detectors.observed import Array, Labels, Observed, Score, by_layer

# Distances below this share of the k-th are taken as this share, so that duplicates have a logarithm.
_LEAST_SHARE = 1e-6
_LARGEST = 1e6  # the estimate where all k neighbours are equally far


def dimension(distances: Array) -> Array:
    """Maximum-likelihood estimate from the distances of k neighbours, ascending: [N, k] -> [N], 0 to 1e6.

    Minus one over the mean of log(r_i / r_k) (Ma et al. 2018, eq. 4). Where even the k-th distance is 0 there
    are only duplicates, which have dimension 0.
    """
    furthest = distances[:, -1:]
    shares = np.divide(distances, furthest, out=np.full_like(distances, _LEAST_SHARE), where=furthest > 0)
    mean = -np.log(np.maximum(shares, _LEAST_SHARE)).mean(axis=1)
    estimate = 1 / np.maximum(mean, 1 / _LARGEST)
    return np.where(furthest[:, 0] > 0, estimate, 0.0)


def fit_lid(train: Observed, labels: Labels, k: int = 20, largest: int = 1000) -> Score:
    """Minus the dimension around a cell, of its k nearest in a fixed bank of training cells.

    No label is used. This is what a device could compute. Cells to be scored must not stand in the bank: a
    cell would be its own neighbour.

    Args:
        train: training cells.
        labels: not used.
        k: neighbours.
        largest: cells in the bank at most, drawn with a fixed seed.
    """
    del labels
    members = train.take(bank_members(len(train), largest))
    banks = [Bank(layer) for layer in members.features]

    def scores(observed: Observed) -> Array:
        layers = zip(banks, observed.features, strict=True)
        return by_layer([-dimension(bank.distances(layer, k)) for bank, layer in layers])

    return scores


def twin_batch_lid(tested: Observed, twins: Observed, k: int = 20, batch: int = 100) -> Array:
    """Minus the dimension as the paper has it, which a device cannot compute: [N, L].

    Every minibatch is compared with its clean twins, and the nearest neighbour is dropped: for a clean cell
    that is itself, and for an adversarial one mostly the cell it was made from.

    Args:
        tested: N cells: clean, noisy or adversarial.
        twins: the N clean cells that they were made from, in the same order.
        k: neighbours, after the one that is dropped.
        batch: cells in a minibatch; what would be left over is shared out among the others.

    Raises:
        CheckFailedError: numbers of cells differ, or fewer than k + 1 in a minibatch.
    """
    if len(tested) != len(twins):
        raise CheckFailedError(f"{len(tested)} cells and {len(twins)} twins; every cell needs its own")
    parts = np.array_split(np.arange(len(tested)), max(len(tested) // batch, 1))
    return np.concatenate([_against_twins(tested.take(p), twins.take(p), k) for p in parts])


def _against_twins(tested: Observed, twins: Observed, k: int) -> Array:
    def layer_scores(features: NDArray[np.float32], clean: NDArray[np.float32]) -> Array:
        return -dimension(Bank(clean).distances(features, k + 1)[:, 1:])

    layers = zip(tested.features, twins.features, strict=True)
    return by_layer([layer_scores(*layer) for layer in layers])
