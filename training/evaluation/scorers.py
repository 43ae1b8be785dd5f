"""The scores that are compared: the shipped one, the paper's systems, rivals, and trivial ones.

The shipped one keeps the limits of the run: what it rejects here is what a device rejects. Every other scorer
is fitted on training cells, fused on one half of the validation cells and given its threshold on the other
half.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision import table
from edge_runtime.decision.conformal import conformal_limit
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.limits import Strictness
from training.calibration import DEEPEST
from training.evaluation.detectors import baselines, fusion, lid, mahalanobis, neighbours, softmax, subspace
from training.evaluation.detectors.observed import Array, Observed, Score
from training.evaluation.rows import NO_FUSION, OTHER_ANOMALY, UNSUPERVISED, heading
from training.reference import FeatureModel
from training.trained import TrainedDetector

ODIN_TEMPERATURE, ODIN_EPSILON = 1000.0, 0.002  # half a grey level, as Lee et al. choose most often
EPSILON = 0.002  # at which the perturbation of eq. 3 is measured beside none
FOREST = "random forest"
OWN = "relative activations"  # the family of the shipped detector
_AT_THE_LIMITS = -1.0  # where the deployed decision, as a score, begins to reject (see `shipped`)
FUSED = (OWN, "Mahalanobis", "LID")  # families that are also fused on a known anomaly, as in the paper


@dataclass(frozen=True)
class Scorer:
    """One column of the tables.

    Attributes:
        name: of the score.
        mode: what its fusion has seen (see `rows.Row`).
        score: [N], high = in-distribution.
        threshold: accepted at this or above.
        slow: whether it costs much more than a forward pass; left out where sets are many.
    """

    name: str
    mode: str
    score: Score
    threshold: float
    slow: bool = False

    @property
    def title(self) -> str:
        """As a column is headed."""
        return heading(self.name, self.mode)


@dataclass(frozen=True)
class Family:
    """Scores per layer, which a fusion makes one of.

    Attributes:
        name: of the family.
        layers: observed outputs to [N, L], high = in-distribution.
        slow: whether it needs gradients.
    """

    name: str
    layers: Score
    slow: bool = False


@dataclass(frozen=True)
class Fitted:
    """What scorers are fitted on, observed.

    Attributes:
        train: augmented training cells.
        labels: their classes.
        fuse: the half of the validation cells that fits fusions.
        limit: the other half, which sets thresholds.
        known: an anomaly made of the first half, for the mode OTHER_ANOMALY; None if too few could be made.
        alpha: share of the in-distribution cells that a threshold may reject.
        detector: of the run.
    """

    train: Observed
    labels: NDArray[np.int64]
    fuse: Observed
    limit: Observed
    known: Observed | None
    alpha: float
    detector: Detector


def families(model: FeatureModel, on: Fitted) -> tuple[Family, ...]:
    """All scores that come per layer."""
    rivals = (
        ("Mahalanobis", mahalanobis.fit_class_conditional),
        ("class-agnostic", mahalanobis.fit_class_agnostic),
        ("relative Mahalanobis", mahalanobis.fit_relative),
        ("Mahalanobis++", mahalanobis.fit_normalised),
        ("residual", subspace.fit_residual),
        ("nearest neighbours", neighbours.fit_nearest),
        ("LID", lid.fit_lid),
    )
    return (
        Family(OWN, mahalanobis.class_conditional([model.gaussians[name] for name in model.network.layers])),
        Family(
            f"{OWN}, epsilon {EPSILON:g}",
            lambda seen: mahalanobis.confidences(model, seen.images, EPSILON),
            slow=True,
        ),
        *(Family(name, fit(on.train, on.labels)) for name, fit in rivals),
    )


def scorers(trained: TrainedDetector, layered: Sequence[Family], on: Fitted) -> list[Scorer]:
    """Every scorer that does not depend on the set it is tested on.

    Args:
        trained: the run.
        layered: what `families` gives, the run's own Gaussians first.
        on: what to fit on.
    """

    def limited(name: str, mode: str, score: Score, *, slow: bool = False) -> Scorer:
        return Scorer(name, mode, score, conformal_limit(score(on.limit), on.alpha), slow)

    own, by_name = layered[0], {family.name: family for family in layered}
    made = [Scorer("shipped", UNSUPERVISED, shipped(own.layers, trained.detector, on), _AT_THE_LIMITS)]
    for family in layered:
        fused = fusion.fit_z_sum(family.layers(on.fuse))
        made.append(limited(family.name, UNSUPERVISED, _fused(family, fused), slow=family.slow))
        if family.name in FUSED[:2] and on.known is not None:
            against = fusion.fit_against(family.layers(on.fuse), [family.layers(on.known)])
            made.append(limited(family.name, OTHER_ANOMALY, _fused(family, against)))
    for name in FUSED[:2]:
        deepest = fusion.fit_z_sum(by_name[name].layers(on.fuse), DEEPEST)
        made.append(limited(f"{name}, deepest {DEEPEST}", UNSUPERVISED, _fused(by_name[name], deepest)))
    confident = own.layers(on.fuse)
    made.append(limited("worst branch", UNSUPERVISED, _fused(own, fusion.fit_branch_minimum(confident))))
    made.append(limited("Fisher's p-values", UNSUPERVISED, _fused(own, fusion.fit_fisher(confident))))
    paper = by_name["Mahalanobis"]
    made.append(limited("Mahalanobis, deepest layer", NO_FUSION, lambda seen: paper.layers(seen)[:, -1]))
    vim = subspace.fit_vim(on.train, on.labels)
    # Of the deepest layer, as published.
    made.append(limited("ViM", NO_FUSION, lambda seen: vim(seen)[:, -1]))
    made.append(limited("softmax margin", NO_FUSION, softmax.margin))
    made.append(limited("energy", NO_FUSION, softmax.energy))
    odin = partial(softmax.odin, trained.network, temperature=ODIN_TEMPERATURE, epsilon=ODIN_EPSILON)
    made.append(limited("ODIN", NO_FUSION, lambda seen: odin(seen.images), slow=True))
    for name, score in _trivial(on):
        made.append(limited(name, NO_FUSION, score, slow=name == FOREST))
    return made


def shipped(confidences: Score, detector: Detector, on: Fitted) -> Score:
    """The deployed decision as one score: the worst of its tests, -1 at its limit and 0 at the median.

    Without the perturbation of eq. 3, which the shipped detector does not have.
    """
    limits = table.limits_of(detector)

    def values(seen: Observed) -> Array:
        return table.measure(seen.evidence(confidences(seen)), detector)

    # A test that is for some cells has no finite value for others; one that is for none of these has no say.
    middle = limits.copy()
    for number, found in enumerate(values(on.fuse).T):
        if np.isfinite(found).any():
            middle[number] = np.median(found[np.isfinite(found)])
    strictness = Strictness.of_limits(middle, limits)
    return lambda seen: strictness.joint(values(seen))


def answer_values(seen: Observed, detector: Detector) -> dict[str, Array]:
    """What the tests of the answer look at that are for every cell, by name: float64 [N] each."""
    evidence = seen.evidence(np.zeros((len(seen), len(detector.layers))))
    return {
        test.name: test.value(evidence, detector)
        for test in table.TESTS
        if test.seen_by == "network" and test.name not in {table.CONFIDENCE, table.CERTAINTY}
    }


def _fused(family: Family, fused: fusion.Fused) -> Score:
    return lambda seen: fused(family.layers(seen))


def _trivial(on: Fitted) -> Iterator[tuple[str, Score]]:
    yield "colourfulness", baselines.colourfulness
    yield "dark corners", baselines.dark_corners
    yield "black background", baselines.black_background
    yield "usual sharpness", baselines.fit_usual_sharpness(on.train, on.labels)
    yield "usual colour", baselines.fit_colour(on.train, on.labels)
    yield FOREST, baselines.fit_forest(on.train, on.labels)
