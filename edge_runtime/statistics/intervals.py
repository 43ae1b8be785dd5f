"""Intervals of a share of cells: of what was counted, of what is true, and the worst that is possible."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import SourceError
from edge_runtime.statistics.beta import beta_quantile
from edge_runtime.statistics.rates import MeasuredRate

LEVEL = 0.95
DRAWS = 20_000  # the bounds then differ by some hundredth of their distance from draw to draw
_SEED = 0  # a reading of the same counts states the same numbers


@dataclass(frozen=True)
class Interval:
    """A share and its bounds, 0 to 1 each.

    Attributes:
        low: lower bound.
        high: upper bound.
    """

    low: float
    high: float


def clopper_pearson(count: int, of: int, level: float = LEVEL) -> Interval:
    """The exact interval of a share of independent cells (Clopper and Pearson, Biometrika 26, 1934, 404-413).

    Args:
        count: cells that are counted.
        of: number of cells, at least 1.
        level: coverage, between 0 and 1.

    Raises:
        SourceError: counts that cannot be.
    """
    _check(count, of)
    beyond = (1 - level) / 2
    return Interval(
        low=beta_quantile(beyond, count, of - count + 1) if count else 0.0,
        high=beta_quantile(1 - beyond, count + 1, of - count) if count < of else 1.0,
    )


def corrected(share: float, sensitivity: float, false_positives: float) -> float:
    """The true share behind an apparent one (Rogan and Gladen, American Journal of Epidemiology 107, 1978).

    Returns:
        0 to 1; no number where parasitized cells are not called so more often than others.
    """
    told = sensitivity - false_positives
    return float(np.clip((share - false_positives) / told, 0, 1)) if told > 0 else float("nan")


def melded(
    count: int,
    of: int,
    sensitivity: MeasuredRate,
    false_positives: MeasuredRate,
    *,
    dispersion: float = 1.0,
    level: float = LEVEL,
) -> Interval:
    """The interval of the true share of parasitized cells on a slide of a patient nobody has measured.

    Three doubts are melded (Bayer, Fay and Graubard 2022, arXiv 2205.13494): how many cells were counted, how
    well both rates are known, and how much they differ between patients.

    Args:
        count: cells called parasitized.
        of: cells judged, at least 1.
        sensitivity: share of parasitized cells called so.
        false_positives: share of other cells called so.
        dispersion: variance between fields in units of that of chance, at least 1 (see `fields.dispersion`).
        level: coverage, between 0 and 1.

    Raises:
        SourceError: counts that cannot be.
    """
    _check(count, of)
    if dispersion < 1:
        raise SourceError(f"dispersion is {dispersion}; give a number of at least 1")
    rng = np.random.default_rng(_SEED)
    hits, misses = count / dispersion, (of - count) / dispersion
    least = rng.beta(hits, misses + 1, DRAWS) if hits else np.zeros(DRAWS)
    most = rng.beta(hits + 1, misses, DRAWS) if misses else np.ones(DRAWS)
    low = _true(
        least,
        sensitivity.of_a_patient("high", rng, DRAWS),
        false_positives.of_a_patient("high", rng, DRAWS),
        undecided=0.0,
    )
    high = _true(
        most,
        sensitivity.of_a_patient("low", rng, DRAWS),
        false_positives.of_a_patient("low", rng, DRAWS),
        undecided=1.0,
    )
    beyond = (1 - level) / 2
    return Interval(float(np.quantile(low, beyond)), float(np.quantile(high, 1 - beyond)))


def worst_case(parasitized: int, uninfected: int, rejected: int) -> Interval:
    """The share of parasitized cells if none of the rejected ones held a parasite, and if all of them did.

    No interval of confidence: it says nothing of wrong calls.

    Raises:
        SourceError: no cells.
    """
    every = parasitized + uninfected + rejected
    _check(parasitized, every)
    return Interval(parasitized / every, (parasitized + rejected) / every)


def _true(
    seen: NDArray[np.float64],
    sensitivity: NDArray[np.float64],
    false_positives: NDArray[np.float64],
    *,
    undecided: float,
) -> NDArray[np.float64]:
    told = sensitivity - false_positives
    found = (seen - false_positives) / np.where(told > 0, told, 1.0)
    return np.asarray(np.clip(np.where(told > 0, found, undecided), 0.0, 1.0))


def _check(count: int, of: int) -> None:
    if not (0 <= count <= of and of > 0):
        raise SourceError(f"{count} of {of} cells; give a number of at least 1 cell, and a count within it")
