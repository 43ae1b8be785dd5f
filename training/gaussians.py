"""Class-conditional Gaussian statistics with a tied covariance (Lee et al. 2018, eq. 1; the paper, eq. 1).

Everything is float64. The sufficient statistics are sums over cells, so they stream over batches and add up
across processes; the Ledoit-Wolf shrinkage comes from the same sums, through fourth moments.
"""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import CheckFailedError, SourceError
from edge_runtime.storage import whole_file

Array = NDArray[np.float64]

# Features are float32: a variance below this share of their square is rounding, as are distances through a
# covariance of a condition above the other.
_LEAST_VARIANCE = 1e-12
_LARGEST_CONDITION = 1e12
# Added to the mean activation that relative features are divided by: a layer can be silent.
SILENCE = 1e-6


@dataclass(frozen=True)
class Moments:
    """Sums over the cells of each class, for one layer with C channels and K classes.

    Attributes:
        count: [K], number of cells.
        first: [K, C], sum of f.
        second: [K, C, C], sum of f f^T.
        third: [K, C], sum of |f|^2 f.
        fourth: [K], sum of |f|^4.
    """

    count: Array
    first: Array
    second: Array
    third: Array
    fourth: Array

    @classmethod
    def of(cls, features: NDArray[np.floating], labels: NDArray[np.int64], classes: int) -> "Moments":
        """Sums over one batch: features [N, C], labels [N] in 0..classes-1."""
        f = np.asarray(features, np.float64)
        one_hot = np.eye(classes)[labels]
        square = (f * f).sum(axis=1)
        return cls(
            count=one_hot.sum(axis=0),
            first=one_hot.T @ f,
            second=np.stack([(f * one_hot[:, k : k + 1]).T @ f for k in range(classes)]),
            third=one_hot.T @ (square[:, None] * f),
            fourth=one_hot.T @ (square * square),
        )

    def __add__(self, other: "Moments") -> "Moments":
        """Sums over both sets of cells."""
        pairs = zip(self.arrays(), other.arrays(), strict=True)
        return Moments(*(a + b for a, b in pairs))

    def arrays(self) -> tuple[Array, ...]:
        """The five sums, in the order of the fields."""
        return self.count, self.first, self.second, self.third, self.fourth


@dataclass(frozen=True)
class LayerGaussian:
    """One Gaussian per class, with one covariance for all, for one layer.

    Attributes:
        means: float64 [K, C], mu_c.
        whitening: float64 [C, C], W with W^T W = S^-1, so that d^2 = |W (f - mu)|^2: lower triangular, but
            for relative activations, where it also takes off the mean of f - mu.
        counts: float64 [K], cells per class.
        shrinkage: share of the identity in the shrunk covariance, 0 to 1.
        condition: condition number of the shrunk covariance.
        relative: whether it is that of `relative_activations`, which distances then take first.
    """

    means: Array
    whitening: Array
    counts: Array
    shrinkage: float
    condition: float
    relative: bool = False

    def distances(self, features: NDArray[np.floating]) -> Array:
        """Squared Mahalanobis distance to every class: [N, C] -> float64 [N, K]."""
        f = np.asarray(features, np.float64)
        if self.relative:
            f = relative_activations(f)
        white = (f - self.means.mean(axis=0)) @ self.whitening.T
        centres = (self.means - self.means.mean(axis=0)) @ self.whitening.T
        return np.asarray(((white[:, None] - centres[None]) ** 2).sum(axis=2))


def relative_activations(features: NDArray[np.floating]) -> Array:
    """Each channel's activation as a multiple of the mean over channels: [N, C] to float64 [N, C].

    How strongly a layer answers varies with light, stain and confidence more than which channels do; that is
    taken off here, as Mahalanobis++ (Mueller & Hein 2025) does with the Euclidean length. Features are means
    of rectified activations, so they are at least 0.
    """
    f = np.asarray(features, np.float64)
    return np.asarray(f / (f.mean(axis=1, keepdims=True) + SILENCE))


def fit_gaussian(moments: Moments, layer: str, *, relative: bool = False) -> LayerGaussian:
    """Class means and the tied covariance, shrunk as Ledoit & Wolf (2004) derive.

    Args:
        moments: of the features; of their relative activations if `relative`.
        layer: its name, for messages.
        relative: see LayerGaussian.

    Raises:
        CheckFailedError: a class without cells, or features that do not vary, or that are no numbers.
    """
    if (moments.count < 2).any():
        raise CheckFailedError(f"{layer}: a class has fewer than 2 cells; use more cells")
    total = moments.count.sum()
    means = moments.first / moments.count[:, None]
    covariance = _centred_second(moments, means) / total
    channels = len(covariance)
    variance = np.trace(covariance) / channels
    if not np.isfinite(variance):
        raise CheckFailedError(f"{layer}: features that are no numbers; use a lower learning rate")
    if variance <= _LEAST_VARIANCE * np.trace(moments.second.sum(axis=0)) / (total * channels):
        raise CheckFailedError(f"{layer}: the features are the same for every cell; train longer")
    # sum_i |x_i - mu|^4 / n - |S|^2 estimates n times the error of S (Ledoit & Wolf 2004, lemma 3.4).
    spread = (covariance**2).sum()
    error = (_centred_fourth(moments, means) / total - spread) / total
    excess = spread - channels * variance**2  # 0 where the covariance is a multiple of the identity already
    shrinkage = float(np.clip(error / excess, 0, 1)) if excess > 0 else 0.0
    shrunk = (1 - shrinkage) * covariance + shrinkage * variance * np.eye(channels)
    condition = float(np.linalg.cond(shrunk))
    if not condition < _LARGEST_CONDITION:
        raise CheckFailedError(f"{layer}: the covariance has condition {condition:.0e}; use more cells")
    whitening = np.tril(np.linalg.inv(np.linalg.cholesky(shrunk)))
    if relative:
        # They add up to the same for every cell: along that direction there is nothing but rounding, which
        # the inverse of its tiny variance would blow up in float32.
        whitening = whitening - whitening.mean(axis=1, keepdims=True)
    return LayerGaussian(
        means=means,
        whitening=whitening,
        counts=moments.count,
        shrinkage=shrinkage,
        condition=condition,
        relative=relative,
    )


def _centred_second(moments: Moments, means: Array) -> Array:
    outer = np.einsum("k,kc,kd->cd", moments.count, means, means)
    return np.asarray(moments.second.sum(axis=0) - outer)


def _centred_fourth(moments: Moments, means: Array) -> float:
    """Sum over all cells of |f - mu|^4, expanded into the sums we have."""
    m2 = (means**2).sum(axis=1)
    trace = np.trace(moments.second, axis1=1, axis2=2)
    projected = np.einsum("kc,kcd,kd->k", means, moments.second, means)
    along = (moments.first * means).sum(axis=1)
    third = (moments.third * means).sum(axis=1)
    sums = (
        moments.fourth + 4 * projected + moments.count * m2**2 - 4 * third + 2 * m2 * trace - 4 * m2 * along
    )
    return float(sums.sum())


def save_gaussians(path: Path, layers: Iterable[tuple[str, LayerGaussian]]) -> None:
    """Write the statistics of every layer to an npz file (no pickle)."""
    arrays: dict[str, NDArray[np.generic]] = {}
    names = []
    for name, gaussian in layers:
        names.append(name)
        arrays[f"{name}.means"] = gaussian.means
        arrays[f"{name}.whitening"] = gaussian.whitening
        arrays[f"{name}.counts"] = gaussian.counts
        arrays[f"{name}.shrinkage"] = np.array(gaussian.shrinkage)
        arrays[f"{name}.condition"] = np.array(gaussian.condition)
        arrays[f"{name}.relative"] = np.array(gaussian.relative)
    with whole_file(path) as file:
        np.savez(file, layers=np.array(names), allow_pickle=False, **arrays)


def load_gaussians(path: Path) -> dict[str, LayerGaussian]:
    """Read what `save_gaussians` wrote, in the order of the layers.

    Raises:
        SourceError: the file is absent or no such npz.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {
                str(name): LayerGaussian(
                    means=stored[f"{name}.means"],
                    whitening=stored[f"{name}.whitening"],
                    counts=stored[f"{name}.counts"],
                    shrinkage=float(stored[f"{name}.shrinkage"]),
                    condition=float(stored[f"{name}.condition"]),
                    relative=bool(stored[f"{name}.relative"]),
                )
                for name in stored["layers"]
            }
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path}: no Gaussian statistics ({error}); run fit again with --resume") from error
