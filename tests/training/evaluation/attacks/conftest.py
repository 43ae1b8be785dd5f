"""Images on the 8-bit grid, an affine objective with closed forms, and a small network and detector."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from detectors import lenient
from torch import Tensor, nn

from edge_runtime.decision.detector import Detector
from training.gaussians import LayerGaussian, Moments, fit_gaussian
from training.networks import ResNet, build_network


@dataclass(frozen=True)
class Affine:
    """f(x) = <w, x - x0> - height, per image: the two-class linear model, as its margin."""

    weight: Tensor
    start: Tensor
    height: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        return ((images - self.start) * self.weight).flatten(1).sum(dim=1) - self.height

    @property
    def distance(self) -> Tensor:
        return self.height / self.weight.norm()


@pytest.fixture
def images() -> Tensor:
    """Four grey images, far from black and white: float32 [4, 3, 8, 8]."""
    levels = torch.randint(100, 156, (4, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    return levels.float() / 255


@pytest.fixture
def affine(images: Tensor) -> Affine:
    weight = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(2))
    return Affine(weight, images, torch.tensor([0.5, 1.0, 2.0, 4.0]))


@dataclass(frozen=True)
class Model:
    network: ResNet
    gaussians: dict[str, LayerGaussian]
    detector: Detector
    images: Tensor
    labels: Tensor


@pytest.fixture(scope="session")
def model() -> Model:
    """The small network with random weights, and Gaussians of 64 cells of noise; of which eight are given."""
    torch.manual_seed(0)
    network = build_network("edge", 3).eval()
    for block in (m for m in network.modules() if isinstance(getattr(m, "bn2", None), nn.BatchNorm2d)):
        nn.init.constant_(block.bn2.weight, 0.5)  # 0 at first, and then the last layer sees one corner only
    levels = torch.randint(0, 256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(3))
    images = levels.float() / 255
    with torch.no_grad():
        logits, features = network(images)
    labels = logits.argmax(dim=1)
    fake = np.arange(64) % 3
    gaussians = {
        name: fit_gaussian(Moments.of(f.numpy(), fake, 3), name)
        for name, f in zip(network.layers, features, strict=True)
    }
    weights = (0.01, 0.03, 0.02, 0.01, 0.02)
    detector = lenient(network.layers, weights, 1.5, confidence=-3.0, stability=0.0, margin=0.5)
    return Model(network, gaussians, detector, images[:8], labels[:8])
