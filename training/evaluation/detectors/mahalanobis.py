"""Mahalanobis scores per layer: the paper's, and its rivals made of the same features.

Every score is float64 [N, L], high = ID: minus a squared distance, or (the relative one)
a difference of two.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from training.evaluation.detectors.observed import Array, Images, Labels, Observed, Score, as_input, by_layer
from training.gaussians import LayerGaussian, Moments, fit_gaussian
from training.reference import BLOCK, FeatureModel, reference_outputs

_Features = NDArray[np.float32] | Array


def confidences(model: FeatureModel, images: Images, epsilon: float) -> Array:
    """The paper's confidences M_l (eq. 4) [N, L], by the reference, with every layer's own perturbation.

    Args:
        model: network and statistics of the run.
        images: [N, S, S, 3] RGB, as Observed has them.
        epsilon: magnitude of the perturbation, in units of the image in [0, 1].
    """
    blocks = []
    for start in range(0, len(images), BLOCK):
        tensor = as_input(images[start : start + BLOCK])
        blocks.append(reference_outputs(model, tensor, epsilon).confidences.detach().cpu())
    return torch.cat(blocks).numpy().astype(np.float64)


def fit_class_conditional(train: Observed, labels: Labels) -> Score:
    """A mean per class and one tied covariance (Lee et al. 2018, eq. 1 and 2), of the cells as they are.

    The run's own statistics are those of augmented cells; this one shares its cells with the rivals below.
    """
    return class_conditional(_gaussians(train, labels, classes=train.logits.shape[1]))


def class_conditional(gaussians: Sequence[LayerGaussian]) -> Score:
    """The confidences of eq. 4 without perturbation, by Gaussians in the order of the layers."""
    return _each_layer(gaussians, lambda gaussian, f: -gaussian.distances(f).min(axis=1))


def fit_class_agnostic(train: Observed, labels: Labels) -> Score:
    """One mean and one covariance for all cells (Kamoi & Kobayashi 2020, the marginal Mahalanobis distance).

    The covariance is shrunk as Ledoit & Wolf (2004) derive. No label is used.
    """
    fitted = _gaussians(train, np.zeros_like(labels), classes=1)
    return _each_layer(fitted, lambda gaussian, f: -gaussian.distances(f)[:, 0])


def fit_relative(train: Observed, labels: Labels) -> Score:
    """Distance to the nearest class, less that to all cells (Ren et al. 2021: RMD)."""
    conditional, agnostic = fit_class_conditional(train, labels), fit_class_agnostic(train, labels)
    return lambda observed: conditional(observed) - agnostic(observed)


def fit_normalised(train: Observed, labels: Labels) -> Score:
    """Mahalanobis++ (Mueller & Hein 2025): `fit_class_conditional` of features scaled to length 1."""
    conditional = fit_class_conditional(_with_unit_features(train), labels)
    return lambda observed: conditional(_with_unit_features(observed))


def unit(features: _Features) -> Array:
    """Features [N, C] scaled to length 1, float64; those of length 0 stay 0."""
    wide = np.asarray(features, np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(length > 0, length, 1.0)


def _with_unit_features(observed: Observed) -> Observed:
    scaled = tuple(unit(layer).astype(np.float32) for layer in observed.features)
    return replace(observed, features=scaled)


def _gaussians(train: Observed, labels: Labels, *, classes: int) -> list[LayerGaussian]:
    return [
        fit_gaussian(Moments.of(layer, labels, classes), f"layer {number}")
        for number, layer in enumerate(train.features)
    ]


def _each_layer(fitted: Sequence[LayerGaussian], score: Callable[[LayerGaussian, _Features], Array]) -> Score:
    def scores(observed: Observed) -> Array:
        return by_layer([score(g, f) for g, f in zip(fitted, observed.features, strict=True)])

    return scores
