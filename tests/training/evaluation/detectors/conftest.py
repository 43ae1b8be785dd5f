"""Cells of two classes as a network might see them, and a small network."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from training.evaluation.detectors.observed import Observed
from training.networks import ResNet

SIDE, WIDTHS = 33, (6, 9)
Draw = Callable[..., tuple[Observed, NDArray[np.int64]]]


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Draw N cells whose features are two correlated Gaussians per layer, moved by `away`."""
    mixing = [np.random.default_rng(c).normal(size=(c, c)) / np.sqrt(c) for c in WIDTHS]

    def make(cells: int, seed: int, away: float = 0.0) -> tuple[Observed, NDArray[np.int64]]:
        rng = np.random.default_rng(seed)
        labels = np.arange(cells) % 2
        features = []
        for matrix in mixing:
            noise = rng.normal(size=(cells, len(matrix))) @ matrix
            features.append(noise + 2.0 * labels[:, None] + 4.0 + away * (-1.0) ** np.arange(len(matrix)))
        logits = rng.normal(0, 1, (cells, 2)) + 3.0 * np.eye(2)[labels]
        images = rng.integers(0, 256, (cells, SIDE, SIDE, 3), np.uint8)
        as_float = tuple(layer.astype(np.float32) for layer in features)
        logits = logits.astype(np.float32)
        return Observed(images, {"logits": logits, "logits.smoothed": logits}, as_float), labels

    return make


@pytest.fixture(scope="session")
def network() -> ResNet:
    """An untrained network in evaluation mode, whose blocks do something and whose logits are moderate."""
    torch.manual_seed(0)
    made = ResNet((4, 5, 6, 7), 2)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return made.eval()


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint8]:
    """70 random images, more than a block of them, with black and white edges where clamping matters."""
    images = np.random.default_rng(5).integers(0, 256, (70, SIDE, SIDE, 3), np.uint8)
    images[:, :4], images[:, -4:] = 0, 255
    return images
