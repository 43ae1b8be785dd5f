"""Rates that a bundle was measured to have, with two doubts: few cells were seen, and patients differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import SourceError
from edge_runtime.statistics.beta import log_beta

# Correlations that are tried: from patients who do not differ to those who have nothing else in common.
_CORRELATIONS = [1 / (1 + math.exp(-logit / 10)) for logit in range(-120, 51)]

Towards = Literal["low", "high"]


@dataclass(frozen=True)
class MeasuredRate:
    """A share of cells, as it was measured on several patients.

    Attributes:
        hits: number of cells that the share counts.
        cells: number of cells it was measured on; 0 where it was not.
        correlation: of a beta-binomial distribution, between the cells of one patient, 0 to below 1.
        patients: number of patients whose cells these are.
        counts: hits and cells of each patient; empty where only the sums are known.
    """

    hits: int
    cells: int
    correlation: float
    patients: int
    counts: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of_patients(cls, hits: Sequence[int], cells: Sequence[int]) -> "MeasuredRate":
        """Count patients, and estimate how alike the cells of one are.

        The maximum-likelihood correlation of the beta-binomial distribution (Skellam, Journal of the Royal
        Statistical Society B 10, 1948, 257-261), whose mean is the share itself; 0 where nothing can be said.

        Args:
            hits: cells that count, per patient.
            cells: of how many cells, per patient; patients without any are left out.
        """
        counted = [(hit, of) for hit, of in zip(hits, cells, strict=True) if of]
        total, every = sum(hit for hit, _ in counted), sum(of for _, of in counted)
        correlation = 0.0
        if len(counted) > 1 and 0 < total < every:
            correlation = max(
                _CORRELATIONS, key=lambda one: _log_likelihood(counted, total / every, (1 - one) / one)
            )
        return cls(total, every, correlation, len(counted), tuple(counted))

    @classmethod
    def noted(cls, plain: dict[str, Any]) -> "MeasuredRate":
        """The rate that JSON keeps: with lists for tuples and, in older files, the sums alone."""
        return cls(**plain | {"counts": tuple(map(tuple, plain.get("counts", ())))})

    def __post_init__(self) -> None:
        """Refuse counts that cannot be.

        Raises:
            SourceError: naming them.
        """
        sums = self.hits, self.cells, self.patients
        of_patients = *(sum(each) for each in zip(*self.counts, strict=True)), len(self.counts)
        if not (
            0 <= self.hits <= self.cells
            and 0 <= self.correlation < 1
            and self.patients >= 0
            and (not self.counts or of_patients == sums)
            and all(0 <= hits <= cells for hits, cells in self.counts)
        ):
            raise SourceError(
                f"{self.hits} of {self.cells} cells of {self.patients} patients, correlation "
                f"{self.correlation}: no such rate can be measured"
            )

    @property
    def share(self) -> float:
        """The share itself, 0 to 1; no number of no cells."""
        return self.hits / self.cells if self.cells else float("nan")

    @property
    def worth(self) -> float:
        """By how many independent cells the mean over patients is known as well (Kish's effective size)."""
        of_one = self.cells / self.patients if self.patients else 0.0
        return self.cells / (1 + max(of_one - 1, 0.0) * self.correlation)

    def means(self, towards: Towards, rng: np.random.Generator, draws: int) -> NDArray[np.float64]:
        """Draw from the confidence distribution of the mean over patients, its lower or upper one.

        Those of Clopper and Pearson's interval, which lies between their quantiles (Bayer, Fay and Graubard
        2022, arXiv 2205.13494).

        Returns:
            float64 [draws].
        """
        if not self.cells:
            return np.full(draws, 0.0 if towards == "low" else 1.0)
        scale = self.worth / self.cells
        hits, misses = self.hits * scale, (self.cells - self.hits) * scale
        if towards == "low":
            return rng.beta(hits, misses + 1, draws) if hits > 0 else np.zeros(draws)
        return rng.beta(hits + 1, misses, draws) if misses > 0 else np.ones(draws)

    def of_a_patient(self, towards: Towards, rng: np.random.Generator, draws: int) -> NDArray[np.float64]:
        """Draw the rate of a further patient.

        A mean is drawn as above, and a beta distribution of patients lies about it. The further patient is
        like one of the N measured ones, each with probability 1 / (N + 1), whose rate then follows from that
        distribution and from this patient's own cells; or else like none of them, and only it is known. This
        is the urn of Blackwell and MacQueen (Annals of Statistics 1, 1973, 353-355), with which a few
        patients far from the others keep their weight; a beta distribution alone has shorter tails.

        Returns:
            float64 [draws].
        """
        means = self.means(towards, rng, draws)
        if self.correlation == 0:
            return means
        both = (1 - self.correlation) / self.correlation
        like = np.array([*self.counts, (0, 0)], np.float64)[rng.integers(len(self.counts) + 1, size=draws)]
        hits, misses = means * both + like[:, 0], (1 - means) * both + like[:, 1] - like[:, 0]
        # A beta distribution needs both its numbers above 0; at these bounds it is a point in any case.
        return rng.beta(np.maximum(hits, 1e-9), np.maximum(misses, 1e-9))


UNKNOWN = MeasuredRate(0, 0, 0.0, 0)  # not measured: anything is possible


def _log_likelihood(counted: Sequence[tuple[int, int]], mean: float, both: float) -> float:
    """Of beta-binomial counts (hits, cells), but for what does not depend on `both` = a + b."""
    a, b = mean * both, (1 - mean) * both
    return sum(log_beta(hit + a, of - hit + b) for hit, of in counted) - len(counted) * log_beta(a, b)
