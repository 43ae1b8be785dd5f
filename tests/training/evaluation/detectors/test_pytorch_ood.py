"""Scores against those of pytorch-ood (Kirchheim et al. 2022): its are high for anomalies.

Its covariances are neither shrunk nor divided by the number of cells, so distances are compared up to that
factor, and on so many and so benign cells that Ledoit-Wolf hardly shrinks.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision_operators import declare_operators

from training.evaluation.detectors.mahalanobis import fit_class_conditional, fit_relative
from training.evaluation.detectors.neighbours import fit_nearest
from training.evaluation.detectors.observed import Observed
from training.evaluation.detectors.softmax import energy, odin
from training.evaluation.detectors.subspace import fit_vim
from training.networks import ResNet
from training.statistics import to_tensor

declare_operators()
detectors = pytest.importorskip(
    "pytorch_ood.detector",
    reason="pytorch-ood is not installed; pip install --group oracles --constraint constraints.txt",
)
Draw = Callable[..., tuple[Observed, NDArray[np.int64]]]


def last(observed: Observed) -> Tensor:
    return torch.from_numpy(observed.features[-1])


def benign(cells: int, seed: int) -> tuple[Observed, NDArray[np.int64]]:
    """One layer with a covariance that is neither diagonal nor ill-conditioned."""
    rng, labels = np.random.default_rng(seed), np.arange(cells) % 2
    mixing = np.eye(9) + 0.1 * np.random.default_rng(9).normal(size=(9, 9))
    features = (rng.normal(size=(cells, 9)) @ mixing + np.outer(labels, np.arange(9) / 4)).astype(np.float32)
    images, logits = np.zeros((cells, 2, 2, 3), np.uint8), np.zeros((cells, 2), np.float32)
    return Observed(images, {"logits": logits}, (features,)), labels


def test_mahalanobis() -> None:
    (train, labels), (seen, _) = benign(20_000, 0), benign(50, 1)
    theirs = detectors.Mahalanobis(None).fit_features(last(train), torch.from_numpy(labels))
    expected = theirs.predict_features(last(seen)).numpy() * 2 * len(train)
    found = fit_class_conditional(train, labels)(seen)[:, -1]
    assert found == pytest.approx(-expected, rel=5e-3)


def test_relative_mahalanobis() -> None:
    (train, labels), (seen, _) = benign(20_000, 0), benign(50, 1)
    theirs = detectors.RMD(None).fit_features(last(train), torch.from_numpy(labels))
    expected = theirs.predict_features(last(seen)).numpy() * len(train)
    found = fit_relative(train, labels)(seen)[:, -1]
    assert found == pytest.approx(-expected, rel=5e-3, abs=5e-2)


def test_vim(draw: Draw) -> None:
    """With the last layer's origin, -W^+ b, at the mean of the features, as ours has it."""
    (train, labels), (seen, _) = draw(500, 0), draw(50, 1, 1.0)
    weights = torch.from_numpy(np.random.default_rng(3).normal(size=(2, 9))).float()
    bias = torch.tensor([1.0, -2.0])
    shift = (-torch.linalg.pinv(weights) @ bias).numpy() - train.features[-1].mean(axis=0)

    def with_head(observed: Observed) -> Observed:
        moved = (observed.features[-1] + shift).astype(np.float32)
        return replace(
            observed, answers={"logits": moved @ weights.numpy().T + bias.numpy()}, features=(moved,)
        )

    theirs = detectors.ViM(None, d=4, w=weights, b=bias)
    theirs.fit_features(last(with_head(train)), torch.from_numpy(labels))
    expected = theirs.predict_features(last(with_head(seen))).numpy()
    found = fit_vim(with_head(train), labels, principal=4 / 9)(with_head(seen))[:, 0]
    assert found == pytest.approx(-expected, rel=1e-3, abs=1e-3)


def test_nearest_neighbours(draw: Draw) -> None:
    (train, labels), (seen, _) = draw(300, 0), draw(50, 1, 1.0)
    theirs = detectors.KNN(None, k=7).fit_features(last(train), torch.from_numpy(labels))
    expected = theirs.predict_features(last(seen)).numpy()
    assert fit_nearest(train, labels, k=7)(seen)[:, -1] == pytest.approx(-expected, rel=1e-3)


def test_energy(draw: Draw) -> None:
    seen, _ = draw(50, 1)
    expected = detectors.EnergyBased.score(torch.from_numpy(seen.logits)).numpy()
    assert energy(seen) == pytest.approx(-expected, rel=1e-5)


def test_odin(network: ResNet, pixels: NDArray[np.uint8]) -> None:
    """On pixels away from black and white: it does not clamp."""
    images = pixels // 2 + np.uint8(64)
    theirs = detectors.ODIN(lambda batch: network(batch)[0], eps=0.01, temperature=10.0)
    expected = -theirs.predict(to_tensor(images)).detach().numpy()
    found = 1 / (1 + np.exp(-odin(network, images, 10.0, 0.01)))
    assert found == pytest.approx(expected, rel=1e-4)
    assert np.ptp(found) > 100 * 1e-4
