"""Fitting the fusion of the layers and the thresholds of all tests on validation cells.

One half of the validation cells fits the weights of the layers (and, with a known anomaly, epsilon), and how
strict the tests of the network's outputs are; the other half, which nothing else has used, sets the
thresholds by split conformal prediction, so that all tests together reject the share asked for. What a crop
looks like does not depend on the network: there training cells count, too, for a few patients are no range of
stains. How sure of a parasite the network must be is set apart from all that, by cells that hold none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score

from edge_runtime.cells.crops import read_crops
from edge_runtime.cells.preprocessing import InputSpec, resize_crop
from edge_runtime.console import tell_skipped
from edge_runtime.decision.decide import decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.decision.limits import certainty_limit, fit_limits, size_limits
from edge_runtime.decision.table import CERTAINTY
from edge_runtime.decision.values import log_odds
from edge_runtime.errors import SourceError
from edge_runtime.sources.images import list_images
from training import distributed
from training.calibration_file import Calibration, save_calibration
from training.cells import simulated
from training.cells.source import CellSet, CellSource
from training.cells.splits import calibration_halves
from training.intervals import patient_correlation
from training.reference import FeatureModel, reference_evidence
from training.run import load_model, load_run, load_split

Array = NDArray[np.float64]

# Lee et al.'s magnitudes in units of the image; those below half a grey level are left out.
EPSILONS = (0.0, 0.002, 0.005, 0.01)
# Layers that count where no anomaly is known: the first one sees stain and light above all; why:
# docs/decisions/all-layers-but-the-first.md.
DEEPEST = 4
REJECTED = 0.05  # share of in-distribution cells that may be rejected
_FEWEST_ANOMALIES = 10
_HOW_ALONE = f"{{}}; weights: mean of the standardised confidences of the deepest {DEEPEST} layers"
_HOW_AGAINST = "epsilon and weights: logistic regression with the best AUROC against the known anomaly"
_HOW_LIMITED = "; thresholds: each test its share, split conformal on cells used for nothing else"
_HOW_SIZED = "; sizes: of {} cells in photographs of many at most 1 in {:.0f} lies beyond either limit"
_HOW_CERTAIN = "; certainty: of {} {} at most 1 in {:.0f} is called parasitized"
# Share of cells without a parasite that may be called parasitized: a healthy person has five million cells in
# a microlitre.
FALSE_POSITIVES = 3 / 1000
WRONG_SIZES = 1 / 1000  # share of red cells that may lie below the smallest size, and above the largest


@dataclass(frozen=True)
class KnownAnomaly:
    """What the layers are fitted against where an anomaly is known, as in the paper.

    Attributes:
        name: where its images come from.
        crops: uint8 [M, size, size, 3] RGB.
    """

    name: str
    crops: NDArray[np.uint8]


@dataclass(frozen=True)
class Fusion:
    """Weights of the layers and a bias: M* = confidences @ weights + bias."""

    weights: Array
    bias: float

    def score(self, confidences: Array) -> Array:
        """[N, L] -> [N]."""
        return np.asarray(confidences @ self.weights + self.bias)


def z_sum(confidences: Array, deepest: int | None = None) -> Fusion:
    """Mean over layers of the confidences, each standardised on in-distribution cells [N, L].

    Args:
        confidences: of in-distribution cells.
        deepest: how many layers, from the deepest up, have a weight; the others' is 0. All of them if None.
    """
    count = confidences.shape[1]
    used = np.arange(count) >= count - min(deepest or count, count)
    mean, deviation = confidences.mean(axis=0), confidences.std(axis=0)
    weights = np.where(used, 1 / (deviation * used.sum()), 0.0)
    return Fusion(weights, float(-(weights * mean).sum()))


def logistic(confidences: Array, anomalous: Array) -> Fusion:
    """Logistic regression between in-distribution cells and an anomaly, on standardised confidences.

    Args:
        confidences: [N, L] of in-distribution cells.
        anomalous: [M, L] of the anomaly.
    """
    both = np.concatenate([confidences, anomalous])
    mean, deviation = both.mean(axis=0), both.std(axis=0)
    labels = np.concatenate([np.ones(len(confidences)), np.zeros(len(anomalous))])
    model = LogisticRegressionCV(
        Cs=10, cv=5, l1_ratios=(0.0,), scoring="roc_auc", use_legacy_attributes=False
    )
    model.fit((both - mean) / deviation, labels)
    weights = model.coef_[0] / deviation
    return Fusion(weights, float(model.intercept_[0] - (weights * mean).sum()))


def calibrate(
    model: FeatureModel,
    cells: CellSet,
    halves: tuple[NDArray[np.int64], NDArray[np.int64]],
    training: NDArray[np.int64],
    *,
    anomaly: KnownAnomaly | None = None,
    epsilon: float | None = None,
    alpha: float = REJECTED,
) -> Calibration:
    """Fit fusion, epsilon and the limits of all tests.

    Args:
        model: the network and the statistics of its features.
        cells: the cells of the run.
        halves: validation cells for the fusion, and for the limits.
        training: cells that count for the tests of the picture, beside those of the first half.
        anomaly: what is known to be none of the cells; None for the mode "none".
        epsilon: the magnitude to use; if None it is chosen with a known anomaly, and 0 without.
        alpha: share of in-distribution cells to reject.

    Raises:
        CheckFailedError: too few cells, or outputs that do not differ.
    """
    fusing, limiting = (np.ascontiguousarray(cells.images[half]) for half in halves)
    known, auroc, chosen = None, None, epsilon or 0.0
    how = _HOW_ALONE.format("epsilon given" if epsilon else "no perturbation")
    if anomaly is not None:
        chosen, known, auroc = _against(model, fusing, anomaly.crops, epsilon)
        how = _HOW_AGAINST
    how += _HOW_LIMITED
    evidence = [reference_evidence(model, crops, chosen) for crops in (fusing, limiting)]
    fusion = known or z_sum(evidence[0].confidences.astype(np.float64), DEEPEST)
    weights = tuple(fusion.weights.tolist())
    counted = tuple(np.flatnonzero(cells.counted).tolist())
    unlimited = Detector(model.network.layers, chosen, weights, fusion.bias, (), (), {}, counted)
    pictures = Evidence.of_pictures(cells.images[training])
    detector, rejected = fit_limits(unlimited, (evidence[0], evidence[1]), pictures, alpha)
    sizes = cells.relative_size[np.concatenate([training, halves[0]])]
    if sized := size_limits(sizes, WRONG_SIZES):
        detector = replace(detector, limits={**detector.limits, **sized})
        how += _HOW_SIZED.format(int((~np.isnan(sizes)).sum()), 1 / WRONG_SIZES)
    detector, certain = _certain(detector, evidence, cells, np.concatenate(halves))
    patients = np.array(cells.patients)[np.concatenate(halves)]
    return Calibration(
        detector=detector,
        mode="none" if anomaly is None else "known",
        anomaly="" if anomaly is None else anomaly.name,
        alpha=alpha,
        fusion_cells=len(halves[0]),
        anomaly_cells=0 if anomaly is None else len(anomaly.crops),
        threshold_cells=len(halves[1]),
        # A few patients can look wholly alike, which no test of a slide could work with.
        correlation=min(patient_correlation(rejected, patients), 0.99),
        how=how + certain,
        auroc=auroc,
    )


def _certain(
    detector: Detector, evidence: Sequence[Evidence], cells: CellSet, chosen: NDArray[np.int64]
) -> tuple[Detector, str]:
    """The detector with the limit of the certainty, from validation cells; and how it was set, in words.

    Cells of healthy patients set it; where they are too few to show the rate, all without a parasite do.
    """
    accepted = ~np.concatenate([decide(detector, of).rejected for of in evidence])
    without, healthy = accepted & ~cells.infected[chosen], accepted & cells.healthy[chosen]
    enough = shows_rate(int(healthy.sum()))
    named, among = ("cells of healthy patients", healthy) if enough else ("cells without a parasite", without)
    odds = np.concatenate([log_odds(of.logits, detector.parasitized) for of in evidence])[among]
    return with_certainty(detector, odds), _HOW_CERTAIN.format(len(odds), named, 1 / FALSE_POSITIVES)


def shows_rate(cells: int) -> bool:
    """Whether so many cells without a parasite can show that no more than FALSE_POSITIVES are called so."""
    return cells >= 1 / FALSE_POSITIVES - 1


def with_certainty(detector: Detector, odds: Array) -> Detector:
    """The detector with the limit of the certainty set by the log-odds of cells without a parasite [N]."""
    limit = certainty_limit(odds, FALSE_POSITIVES)
    return replace(detector, limits={**detector.limits, CERTAINTY: limit})


def _against(
    model: FeatureModel,
    images: NDArray[np.uint8],
    anomalous: NDArray[np.uint8],
    epsilon: float | None,
) -> tuple[float, Fusion, float]:
    """The epsilon, fusion and AUROC that tell a known anomaly best."""
    best: tuple[float, Fusion, float] | None = None
    for candidate in EPSILONS if epsilon is None else (epsilon,):
        normal, strange = (
            reference_evidence(model, crops, candidate).confidences.astype(np.float64)
            for crops in (images, anomalous)
        )
        fusion = logistic(normal, strange)
        scores = np.concatenate([fusion.score(normal), fusion.score(strange)])
        labels = np.concatenate([np.ones(len(normal)), np.zeros(len(strange))])
        auroc = float(roc_auc_score(labels, scores))
        if best is None or auroc > best[2]:
            best = (candidate, fusion, auroc)
    assert best is not None
    return best


def calibrate_run(
    folder: Path,
    source: CellSource,
    *,
    anomaly: KnownAnomaly | None = None,
    epsilon: float | None = None,
    alpha: float = REJECTED,
) -> Calibration:
    """Calibrate a fitted run and write calibration.json.

    Args:
        folder: the run folder.
        source: where the run's cells are now, if they were moved.
        anomaly: see `known_anomaly`; None for the mode "none".
        epsilon: see `calibrate`.
        alpha: share of in-distribution cells that may be rejected.
    """
    info = load_run(folder)
    cells, split = load_split(info, source)
    halves = calibration_halves(split.validation, cells.labels, seed=info.config.seed)
    model = load_model(folder, info, distributed.device())
    made = calibrate(model, cells, halves, split.train, anomaly=anomaly, epsilon=epsilon, alpha=alpha)
    save_calibration(folder, made)
    return made


def known_anomaly(source: str, spec: InputSpec) -> KnownAnomaly:
    """Read the images of an anomaly.

    Args:
        source: a file, folder or zip of images, or "simulated" for what is no red cell on simulated films.
        spec: what the network is fed.

    Raises:
        SourceError: too few images.
    """
    if simulated.is_simulated(source):
        made = simulated.anomalies(simulated.parse(source))
        crops = [resize_crop(crop, spec.size, kind) for kind, crop in made]
    else:
        read, skipped = read_crops(list_images(source), spec.size)
        crops = list(read)
        tell_skipped(skipped)
    if len(crops) < _FEWEST_ANOMALIES:
        raise SourceError(
            f"{source}: {len(crops)} images; at least {_FEWEST_ANOMALIES} are needed to fit against"
        )
    return KnownAnomaly(source, np.stack(crops))
