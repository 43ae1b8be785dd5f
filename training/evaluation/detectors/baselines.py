"""Trivial scores of the pixels, which a method must beat to earn a claim. Each is float64 [N], high = ID.

Cells are those pixels that are not exactly black: outside the cell an input is black. An image without any
counts as one black pixel.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from training.evaluation.detectors.observed import Array, Labels, Observed, Score
from training.gaussians import Moments, fit_gaussian

_Image = NDArray[np.uint8]
_CORNER = 16  # a corner's square is this part of the side
_SMALL = 16  # side in pixels of what the forest sees


def colourfulness(observed: Observed) -> Array:
    """Negative greyness: mean over the cell of largest less smallest channel, 0 (grey) to 255."""
    return _per_image(observed, lambda image: float(np.ptp(_cell(image), axis=1).mean()))


def dark_corners(observed: Observed) -> Array:
    """Negative mean brightness of the four corners, each a square of 1/16 of the side: -255 to 0 (black)."""

    def score(image: _Image) -> float:
        side = max(len(image) // _CORNER, 1)
        ends = np.r_[0:side, -side:0]
        return -float(image[np.ix_(ends, ends)].mean())

    return _per_image(observed, score)


def black_background(observed: Observed) -> Array:
    """Negative share of pixels outside the inscribed circle that are not black: -1 to 0.

    Cells are round and cropped tightly, so hardly a pixel of theirs lies there; a perturbation of the whole
    frame, or a white background, fills it.
    """
    centred = np.arange(observed.pixels.shape[1]) - (observed.pixels.shape[1] - 1) / 2
    outside = np.hypot(centred[:, None], centred[None]) > observed.pixels.shape[1] / 2
    return _per_image(observed, lambda image: -float(image[outside].any(axis=1).mean()))


def sharpness(observed: Observed) -> Array:
    """Variance of the Laplacian of the grey cell without its rim, >= 0: low where out of focus."""
    return _per_image(observed, _laplacian_variance)


def fit_usual_sharpness(train: Observed, labels: Labels) -> Score:
    """Minus the distance of log(1 + sharpness) from its median over training cells; no label is used.

    Two-sided, as blur makes it low and noise, an adversary's too, high; in logarithms, so that half and
    twice the sharpness are equally far.
    """
    del labels
    median = np.median(np.log1p(sharpness(train)))
    return lambda observed: -np.abs(np.log1p(sharpness(observed)) - median)


def fit_colour(train: Observed, labels: Labels) -> Score:
    """Minus the squared Mahalanobis distance of the cell's mean and deviation of R, G and B: <= 0.

    One Gaussian in 6 dimensions, shrunk as those of the features are. No label is used.
    """
    colours = _colours(train)
    gaussian = fit_gaussian(Moments.of(colours, np.zeros_like(labels), 1), "colour")
    return lambda observed: -gaussian.distances(_colours(observed))[:, 0]


def fit_forest(train: Observed, labels: Labels, trees: int = 100, seed: int = 0) -> Score:
    """Largest class probability of a random forest on crops of 16x16 pixels, 1/K to 1.

    Trees are grown to pure leaves, so it is a multiple of 1 / trees and ties abound; metrics must share them
    out fairly.
    """
    forest = RandomForestClassifier(trees, random_state=seed)
    forest.fit(_small(train), labels)
    return lambda observed: np.asarray(forest.predict_proba(_small(observed)).max(axis=1), np.float64)


def _per_image(observed: Observed, score: Callable[[_Image], float]) -> Array:
    return np.array([score(image) for image in observed.pixels], np.float64)


def _cell(image: _Image) -> _Image:
    """The pixels [P, 3] of the cell, P at least 1."""
    found = image[image.any(axis=2)]
    return found if len(found) else np.zeros((1, 3), np.uint8)


def _laplacian_variance(image: _Image) -> float:
    # The step to the black background would drown what is inside: only pixels amid the cell count. Where the
    # cell touches the frame OpenCV mirrors it, which makes no step.
    mask = np.asarray(image.any(axis=2), np.uint8)
    inside = np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8))) > 0
    edges = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F)
    return float(edges[inside].var()) if inside.any() else 0.0


def _colours(observed: Observed) -> Array:
    """Mean and standard deviation of R, G and B over the cell: [N, 6]."""
    cells = [_cell(image) for image in observed.pixels]
    return np.array([np.r_[cell.mean(axis=0), cell.std(axis=0)] for cell in cells])


def _small(observed: Observed) -> Array:
    size = (_SMALL, _SMALL)
    crops = [cv2.resize(image, size, interpolation=cv2.INTER_AREA).ravel() for image in observed.pixels]
    return np.array(crops, np.float64)
