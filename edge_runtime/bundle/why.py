"""Why-maps: which pixels of a cell speak for a parasite, or for its rejection.

Integrated gradients (Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks", eq. 1), on
the way from the cell without any pattern, all of it in its median colour, to the cell as it is.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import BATCH, GRADIENT, Classifier
from edge_runtime.cells.preprocessing import to_input
from edge_runtime.decision import table
from edge_runtime.decision.decide import Decisions
from edge_runtime.decision.detector import Detector

Images = NDArray[np.float32]

# Chosen on other simulated slides than those of docs/experiments/2026-11-28-maps.md.
STEPS = 8  # points of the way at which the gradient is taken
_SMOOTHING = 1.0  # pixels, sigma: neighbouring pixels' gradients have alternating signs
_FAINT = 0.2  # of a map's highest value: what is less is noise of the gradient, spread over the whole cell
_INSIDE = 0.9  # of a map's mass lies in the ring that is drawn
_CLEAR = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))  # the ring does not cover what it shows


def why_maps(classifier: Classifier, resized: NDArray[np.uint8], decisions: Decisions) -> NDArray[np.float32]:
    """The share of each decision that each pixel carries.

    A cell that is too far from the training cells is explained by its distance, any other by the odds that
    it is parasitized. There is nothing to explain in a cell that is accepted as uninfected, nor in one that
    is rejected for its size, outline or stain alone: then the whole picture decides.

    Args:
        classifier: that decided.
        resized: uint8 [N, size, size, 3] RGB, as `Classifier.decide_resized` takes them.
        decisions: what it decided of them.

    Returns:
        float32 [N, size, size], 0 or more, with sum 1, or all 0 where there is nothing to explain.

    Raises:
        ProviderError: the graph could not be run.
    """
    maps = np.zeros(np.shape(resized)[:3], np.float32)
    asked = asked_by(decisions, classifier.bundle.manifest.detector)
    told = np.flatnonzero(asked.any(axis=1))
    for start in range(0, len(told), BATCH):
        some = told[start : start + BATCH]
        maps[some] = _mapped(_integrated(classifier, np.asarray(resized)[some], asked[some]))
    return maps


def drawn(crop: NDArray[np.uint8], why: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A crop with a white ring, edged in black, around what its map points at.

    Args:
        crop: uint8 [size, size, 3] RGB.
        why: float32 [size, size], its map; where it is all 0, nothing is drawn.

    Returns:
        uint8 [size, size, 3] RGB.
    """
    picture = crop.copy()
    if not why.any():
        return picture
    ordered = np.sort(why.ravel())[::-1]
    least = ordered[np.searchsorted(np.cumsum(ordered), _INSIDE * ordered.sum())]
    region = cv2.dilate((why >= least).astype(np.uint8), _CLEAR)
    rings, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.drawContours(picture, rings, -1, colour, width)
    return picture


def asked_by(decisions: Decisions, detector: Detector) -> NDArray[np.float32]:
    """What is asked of the graph's gradient, for N cells with K classes and L layers.

    Args:
        decisions: of N cells.
        detector: that decided.

    Returns:
        float32 [N, K + L], as `Classifier.run` takes it; all 0 where there is nothing to explain.
    """
    by_network = [test.name for test in table.TESTS if test.seen_by == "network"]
    doubted = np.any([decisions.failed_by(name) for name in by_network], axis=0)
    called = detector.infected(decisions.label) & ~decisions.rejected
    far = decisions.failed_by(table.CONFIDENCE)[:, None]
    cells, classes = decisions.probabilities.shape
    distances = of_distance(cells, classes, detector.weights)
    asked = np.where(far, distances, of_odds(decisions.probabilities, detector))
    return np.asarray(asked * (doubted | called)[:, None], np.float32)


def of_odds(probabilities: NDArray[np.float64], detector: Detector) -> NDArray[np.float32]:
    """What asks for the gradient of the log-odds of a parasite: [N, K] to [N, K + L].

    See `values.log_odds`: its slope by a logit is the class's share of the probability of its side.
    """
    infected = detector.infected(np.arange(probabilities.shape[1]))
    above_0 = np.maximum(probabilities, np.finfo(np.float64).tiny)
    shares = [np.where(side, above_0, 0) for side in (infected, ~infected)]
    slopes = [share / share.sum(axis=1, keepdims=True) for share in shares]
    nothing = np.zeros((len(probabilities), len(detector.layers)))
    return np.concatenate([slopes[0] - slopes[1], nothing], axis=1).astype(np.float32)


def of_distance(cells: int, classes: int, weights: Sequence[float]) -> NDArray[np.float32]:
    """What asks for the gradient of the layers' weighted distances: float32 [cells, K + L]."""
    row = np.concatenate([np.zeros(classes), weights])
    return np.tile(row.astype(np.float32), (cells, 1))


def in_turn(cells: int, classes: int, detector: Detector) -> NDArray[np.float32]:
    """What a comparison asks: of one cell the odds, of the next the distances: float32 [cells, K + L].

    All layers weigh the same: a site's recalibration changes the detector's weights, and not the graph.
    """
    odds = of_odds(np.full((cells, classes), 1 / classes), detector)
    distances = of_distance(cells, classes, np.ones(len(detector.layers)).tolist())
    odd = (np.arange(cells) % 2 == 1)[:, None]
    return np.asarray(np.where(odd, distances, odds), np.float32)


def _integrated(classifier: Classifier, crops: NDArray[np.uint8], asked: NDArray[np.float32]) -> Images:
    """Integrated gradients, summed over the colours: float32 [N, size, size].

    Sundararajan et al. 2017, eq. 1: (x - x') times the mean gradient on the straight way from x' to x.
    """
    end, start = to_input(crops), to_input(np.stack([_plain(crop) for crop in crops]))
    way = end - start
    total = np.zeros_like(end)
    for step in range(STEPS):
        images = start + np.float32((step + 0.5) / STEPS) * way
        total += classifier.run(images, [GRADIENT], asked=asked)[GRADIENT]
    return np.asarray((way * total / STEPS).sum(axis=1), np.float32)


def _plain(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The cell in its median colour, black outside."""
    cell = crop.max(axis=2) > 0
    middle = np.median(crop[cell], axis=0) if cell.any() else np.zeros(3)
    return np.asarray(cell[..., None] * middle, np.uint8)


def _mapped(attributions: Images) -> Images:
    """What speaks for the decision, without the faint; each map's sum is 1, or 0."""
    maps = np.stack([cv2.GaussianBlur(one, (0, 0), _SMOOTHING) for one in attributions])
    highest = maps.max(axis=(1, 2), keepdims=True, initial=0)
    maps = np.where((maps > 0) & (maps >= _FAINT * highest), maps, 0)
    sums = maps.sum(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(maps, sums, out=np.zeros_like(maps), where=sums > 0), np.float32)
