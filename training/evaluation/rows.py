"""One line of a table: how one detector separates one set of images, with what it needs to be believed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import CheckFailedError
from training.evaluation.metrics import TPR, Separation, separation
from training.intervals import LEVEL

Array = NDArray[np.floating]

RESAMPLES = 1000
UNSUPERVISED, OTHER_ANOMALY, PAPER_PROTOCOL = "unsupervised", "other anomaly", "paper protocol"
NO_FUSION = "-"
ROUNDING = 5e-5 + 1e-9  # of a share printed in per cent with two decimals


@dataclass(frozen=True)
class Row:
    """One detector on one set of images.

    Attributes:
        images: name of the set.
        group: what kind of set it is.
        detector: name of the score.
        mode: what its fusion has seen: UNSUPERVISED no anomaly, OTHER_ANOMALY one of another kind,
            PAPER_PROTOCOL this very anomaly; NO_FUSION where there is nothing to fuse.
        inside: number of in-distribution test images.
        outside: number of images of the set.
        separation: the figures.
        auroc_interval: 95 % bounds of the AUROC, drawing patients.
        kept: share of the in-distribution images accepted at the detector's threshold: the limits of the run
            for the shipped one, one set on validation cells for all others.
        refused: share of the set rejected at that threshold.
    """

    images: str
    group: str
    detector: str
    mode: str
    inside: int
    outside: int
    separation: Separation
    auroc_interval: tuple[float, float]
    kept: float
    refused: float

    @property
    def prevalence(self) -> float:
        """Share of in-distribution images, on which both areas under precision and recall depend."""
        return self.inside / (self.inside + self.outside)

    @property
    def title(self) -> str:
        """As a column is headed."""
        return heading(self.detector, self.mode)

    def as_json(self) -> dict[str, object]:
        """Every field, and the prevalence."""
        return {**asdict(self), "prevalence": self.prevalence}


def heading(detector: str, mode: str) -> str:
    """How a column of the tables is headed: the detector, with the mode of its fusion if there is one."""
    return detector if mode == NO_FUSION else f"{detector} [{mode}]"


def check_possible(name: str, figures: Separation | Mapping[str, float], rounding: float = 0.0) -> None:
    """Refuse figures that no score can have.

    With TNR taken at a TPR of at least 95 %: that point alone makes the detection accuracy at least
    (0.95 + TNR) / 2; thresholds with that TPR give at most (1 + TNR) / 2, all others at most 0.975; and the
    point of largest detection accuracy makes the AUROC at least 2 * accuracy - 1.

    Args:
        name: of the row, for the message.
        figures: `tnr`, `auroc` and `detection_accuracy`, 0 to 1.
        rounding: by how much each figure may have been rounded.

    Raises:
        CheckFailedError: with the bound that is broken.
    """
    raw = asdict(figures) if isinstance(figures, Separation) else figures
    tnr, auroc, accuracy = raw["tnr"], raw["auroc"], raw["detection_accuracy"]
    slack = 2 * rounding + 1e-12
    for holds, bound in (
        (all(0 <= value <= 1 for value in (tnr, auroc, accuracy)), "every figure lies between 0 and 1"),
        (accuracy >= 0.5 - slack, "a detection accuracy below one half is that of the score turned round"),
        (accuracy >= (TPR + tnr) / 2 - slack, f"detection accuracy must be at least {(TPR + tnr) / 2:.4f}"),
        (
            accuracy <= max((1 + TPR) / 2, (1 + tnr) / 2) + slack,
            f"detection accuracy can be at most {max((1 + TPR) / 2, (1 + tnr) / 2):.4f}",
        ),
        (auroc >= 2 * accuracy - 1 - slack, f"AUROC must be at least {2 * accuracy - 1:.4f}"),
    ):
        if not holds:
            raise CheckFailedError(
                f"{name}: TNR {tnr:.4f}, AUROC {auroc:.4f}, detection accuracy {accuracy:.4f} cannot all be "
                f"right: {bound}; look for a fault in how they were computed"
            )


def measure(
    scores: tuple[Array, Array],
    patients: tuple[NDArray[np.str_], NDArray[np.str_]],
    threshold: float,
    *,
    images: str,
    group: str,
    detector: str,
    mode: str,
) -> Row:
    """Make a row, and refuse to if it is impossible.

    Args:
        scores: [N] of in-distribution test images, and [M] of the set; high = in-distribution.
        patients: whom each image is of.
        threshold: accepted at this score or above.
        images: see Row.
        group: see Row.
        detector: see Row.
        mode: see Row.
    """
    inside, outside = scores
    found = separation(inside, outside)
    check_possible(f"{detector} on {images}", found)
    return Row(
        images=images,
        group=group,
        detector=detector,
        mode=mode,
        inside=len(inside),
        outside=len(outside),
        separation=found,
        auroc_interval=auroc_interval(scores, patients),
        kept=float((inside >= threshold).mean()),
        refused=float((~(outside >= threshold)).mean()),
    )


def auroc_interval(
    scores: tuple[Array, Array], patients: tuple[NDArray[np.str_], NDArray[np.str_]], *, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of the AUROC, drawing whole patients on both sides.

    The AUROC is a mean over pairs of images, so pairs are counted once per pair of patients, and a resample
    only weighs those counts.
    """
    inside, outside = scores
    known, of_known = np.unique(patients[0], return_inverse=True)
    others, of_others = np.unique(patients[1], return_inverse=True)
    wins = np.zeros((len(known), len(others)))
    for patient in range(len(known)):
        mine = np.sort(inside[of_known == patient])
        below = np.searchsorted(mine, outside, side="left")
        upto = np.searchsorted(mine, outside, side="right")
        higher = len(mine) - (below + upto) / 2  # of this patient's images; half where equal
        wins[patient] = np.bincount(of_others, weights=higher, minlength=len(others))
    pairs = np.outer(np.bincount(of_known), np.bincount(of_others))
    rng = np.random.default_rng(seed)
    drawn = [
        rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
        for count in wins.shape
    ]
    won, all_pairs = (np.einsum("rp,pq,rq->r", drawn[0], m, drawn[1], optimize=True) for m in (wins, pairs))
    low, high = np.quantile(won / all_pairs, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
