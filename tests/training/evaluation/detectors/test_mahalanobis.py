"""Mahalanobis scores against scipy, scikit-learn and the reference."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from training.evaluation.detectors.mahalanobis import (
    confidences,
    fit_class_agnostic,
    fit_class_conditional,
    fit_normalised,
    fit_relative,
    unit,
)
from training.evaluation.detectors.observed import Fit, Observed, observe
from training.gaussians import LayerGaussian
from training.networks import ResNet
from training.reference import FeatureModel, perturbed_outputs
from training.statistics import to_tensor

Draw = Callable[..., tuple[Observed, NDArray[np.int64]]]


@pytest.fixture(scope="module")
def gaussians(network: ResNet, pixels: NDArray[np.uint8]) -> dict[str, LayerGaussian]:
    made = {}
    for name, layer in zip(network.layers, observe(network, pixels).features, strict=True):
        means = np.stack([layer[::2].mean(axis=0), layer[1::2].mean(axis=0)]).astype(np.float64)
        made[name] = LayerGaussian(means, np.diag(1 / layer.std(axis=0)), np.ones(2), 0.0, 1.0)
    return made


@pytest.mark.parametrize("epsilon", [0.0, 0.01])
def test_confidences_are_the_references(
    network: ResNet, gaussians: dict[str, LayerGaussian], pixels: NDArray[np.uint8], epsilon: float
) -> None:
    found = confidences(FeatureModel(network, gaussians), pixels, epsilon)
    expected = perturbed_outputs(
        FeatureModel(network, gaussians), to_tensor(pixels), epsilon
    ).confidences.numpy()
    assert found.shape == (70, 5)
    assert found.dtype == np.float64
    assert found == pytest.approx(expected, rel=2e-2, abs=1e-3)  # signs flip where a gradient is nearly 0
    assert np.median(np.abs(found / expected - 1)) < 1e-4


def nearest_by_scipy(
    features: NDArray[np.float32], labels: NDArray[np.int64], seen: Observed, row: int, layer: int
) -> float:
    means = [features[labels == k].mean(axis=0, dtype=np.float64) for k in sorted(set(labels))]
    centred = np.concatenate([features[labels == k] - mean for k, mean in enumerate(means)])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(centred).covariance_)
    return min(mahalanobis(seen.features[layer][row], mean, precision) ** 2 for mean in means)


def test_class_conditional_is_scipys(draw: Draw) -> None:
    (train, labels), (seen, _) = draw(200, 0), draw(5, 1, 1.0)
    found = fit_class_conditional(train, labels)(seen)
    assert found.shape == (5, 2)
    for row in range(5):
        for layer in range(2):
            expected = nearest_by_scipy(train.features[layer], labels, seen, row, layer)
            assert found[row, layer] == pytest.approx(-expected, rel=1e-6)


def test_class_agnostic_is_scikit_learns(draw: Draw) -> None:
    (train, labels), (seen, _) = draw(200, 0), draw(40, 1, 1.0)
    found = fit_class_agnostic(train, labels)(seen)
    for layer in range(2):
        oracle = LedoitWolf().fit(train.features[layer].astype(np.float64))
        assert found[:, layer] == pytest.approx(-oracle.mahalanobis(seen.features[layer]), rel=1e-6)


def test_class_agnostic_needs_no_label(draw: Draw) -> None:
    (train, labels), (seen, _) = draw(200, 0), draw(40, 1)
    assert np.array_equal(
        fit_class_agnostic(train, labels)(seen), fit_class_agnostic(train, labels[::-1].copy())(seen)
    )


def test_relative_is_the_difference(draw: Draw) -> None:
    (train, labels), (seen, _) = draw(200, 0), draw(5, 1, 1.0)
    found = fit_relative(train, labels)(seen)
    for layer in range(2):
        oracle = LedoitWolf().fit(train.features[layer].astype(np.float64))
        background = oracle.mahalanobis(seen.features[layer])
        nearest = [nearest_by_scipy(train.features[layer], labels, seen, r, layer) for r in range(5)]
        assert found[:, layer] == pytest.approx(background - nearest, rel=1e-5, abs=1e-6)


def test_normalised_sees_directions_only(draw: Draw) -> None:
    (train, labels), (seen, _) = draw(200, 0), draw(5, 1, 1.0)
    found = fit_normalised(train, labels)(seen)
    longer = replace(seen, features=tuple(f * np.float32(8) for f in seen.features))
    assert fit_normalised(train, labels)(longer) == pytest.approx(found, rel=1e-5)
    scaled = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in train.features]
    of_unit = replace(
        seen, features=tuple(f / np.linalg.norm(f, axis=1, keepdims=True) for f in seen.features)
    )
    expected = nearest_by_scipy(scaled[1], labels, of_unit, 3, 1)
    assert found[3, 1] == pytest.approx(-expected, rel=1e-3)


def test_unit_features_have_length_1_or_0() -> None:
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6, 0.8], [0.0, 0.0]]


@pytest.mark.parametrize("fit", [fit_class_conditional, fit_class_agnostic, fit_normalised])
def test_far_cells_score_lower(draw: Draw, fit: Fit) -> None:
    (train, labels), (near, _), (far, _) = draw(300, 0), draw(100, 1), draw(100, 2, 25.0)
    score = fit(train, labels)
    assert (score(near).min(axis=0) > score(far).max(axis=0)).all()


def test_relative_scores_a_far_cluster_lower(draw: Draw) -> None:
    """In the mean: the two distances mostly cancel, which is how it misses what differs from all classes."""
    (train, labels), (near, _), (far, _) = draw(300, 0), draw(100, 1), draw(100, 2, 25.0)
    score = fit_relative(train, labels)
    assert (score(near).mean(axis=0) > score(far).mean(axis=0)).all()
