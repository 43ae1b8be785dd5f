"""Margin, probability, energy and ODIN against closed forms and a slow implementation."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.evaluation.detectors.observed import Observed, observe
from training.evaluation.detectors.softmax import energy, margin, max_probability, odin
from training.networks import ResNet
from training.statistics import to_tensor

EPSILON = 0.01


def of_logits(logits: list[list[float]]) -> Observed:
    values = np.array(logits, np.float32)
    return Observed(np.zeros((len(logits), 2, 2, 3), np.uint8), {"logits": values}, ())


class Linear(nn.Module):
    """Logits that are linear in the image: everything about them is known."""

    layers = ("only",)

    def __init__(self, weights: NDArray[np.float64]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(weights))

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        logits = image.flatten(1) @ self.weights.T
        return logits, (logits,)


def test_margin_is_between_the_two_largest() -> None:
    found = margin(of_logits([[1.0, 4.0, 3.0], [-7.0, -2.0, -5.5], [2.0, 2.0, 0.0]]))
    assert found.tolist() == [1.0, 3.5, 0.0]
    assert found.dtype == np.float64


def test_margin_tells_apart_what_the_probability_does_not() -> None:
    observed = of_logits([[25.0, 0.0], [-30.0, 30.0], [0.0, 1.0]])
    assert max_probability(observed).tolist() == [1.0, 1.0, pytest.approx(1 / (1 + np.exp(-1)))]
    assert np.argsort(margin(observed)).tolist() == [2, 0, 1]


def test_probability_is_torchs() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (50, 3)).astype(np.float32)
    expected = torch.softmax(torch.from_numpy(logits), dim=1).max(dim=1).values.numpy()
    found = max_probability(of_logits(logits.tolist()))
    assert found == pytest.approx(expected, rel=1e-6)
    assert found.dtype == np.float64


def test_energy_of_equal_logits() -> None:
    assert energy(of_logits([[3.0, 3.0], [-900.0, 900.0]])) == pytest.approx([3 + np.log(2), 900])
    assert energy(of_logits([[3.0, 3.0]]), temperature=5.0) == pytest.approx([3 + 5 * np.log(2)])


def test_odin_without_perturbation_is_the_margin(network: ResNet, pixels: NDArray[np.uint8]) -> None:
    assert odin(network, pixels) == pytest.approx(margin(observe(network, pixels)), abs=1e-6)


def test_odin_ranks_alike_at_every_temperature(network: ResNet, pixels: NDArray[np.uint8]) -> None:
    cold = odin(network, pixels, 1.0, EPSILON)
    assert np.ptp(cold) > 0.1
    for temperature in (0.3, 10.0, 1000.0):
        warm = odin(network, pixels, temperature, EPSILON)
        assert np.argsort(warm).tolist() == np.argsort(cold).tolist()
        assert warm * temperature == pytest.approx(cold, rel=1e-9)


def test_odin_ranks_by_temperature_with_three_classes() -> None:
    rng = np.random.default_rng(1)
    three = Linear(rng.normal(0, 3, (3, 12))).double()
    images = rng.integers(0, 256, (60, 2, 2, 3), np.uint8)
    scores = [odin(three, images, temperature, 0.0) for temperature in (1.0, 1000.0)]  # type: ignore[arg-type]
    assert np.argsort(scores[0]).tolist() != np.argsort(scores[1]).tolist()
    with torch.inference_mode():
        warm = torch.softmax(three(to_tensor(images).double())[0] / 1000, dim=1).max(dim=1).values.numpy()
    assert scores[1] == pytest.approx(np.log(warm / (1 - warm)), rel=1e-9)


def test_odin_is_the_slow_implementation(network: ResNet, pixels: NDArray[np.uint8]) -> None:
    found = odin(network, pixels[:6], 1.0, EPSILON)
    for image, score in zip(to_tensor(pixels[:6]), found, strict=True):
        leaf = image[None].clone().requires_grad_()
        logits = network(leaf)[0][0]
        top = int(logits.argmax())
        (logits[top] - logits[1 - top]).backward()
        assert leaf.grad is not None
        with torch.no_grad():
            moved = network(torch.clip(leaf + EPSILON * torch.sign(leaf.grad), 0, 1))[0][0]
        assert score == pytest.approx(float((moved[0] - moved[1]).abs()), rel=1e-3, abs=1e-5)


def test_odin_moves_saturated_images() -> None:
    """The log-probability's gradient is 0 at a margin of 48."""
    weights = np.zeros((2, 12))
    weights[0, :6], weights[1, 6] = 40.0, 1.0
    grey = np.full((1, 2, 2, 3), 51, np.uint8)  # 0.2
    (found,) = odin(Linear(weights), grey, 1.0, EPSILON)  # type: ignore[arg-type]
    assert found == pytest.approx(6 * 40 * (0.2 + EPSILON) - (0.2 - EPSILON), rel=1e-6)


class Valley(nn.Module):
    """A margin of 5 and a gradient of 0 at a grey of 51; more, whichever way a pixel moves."""

    layers = ("only",)

    def __init__(self) -> None:
        super().__init__()
        self.bottom = nn.Parameter(torch.tensor(51.0) / 255)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        rise = (image - self.bottom).square().flatten(1).sum(dim=1)
        logits = torch.stack([5 + 1000 * rise, 0 * rise], dim=1)
        return logits, (logits,)


def test_odin_moves_nothing_without_a_gradient() -> None:
    grey = np.full((2, 2, 2, 3), 51, np.uint8)
    grey[1, 0, 0, 0] = 102
    found = odin(Valley(), grey, 1.0, EPSILON)  # type: ignore[arg-type]
    assert found == pytest.approx([5, 5 + 1000 * (0.2 + EPSILON) ** 2], rel=1e-6)


def test_odin_stays_inside_the_image() -> None:
    weights = np.stack([np.ones(12), np.zeros(12)])
    white = np.full((1, 2, 2, 3), 255, np.uint8)
    assert odin(Linear(weights), white, 1.0, 0.25) == pytest.approx([12.0])  # type: ignore[arg-type]
    assert odin(Linear(-weights), white * 0, 1.0, 0.25) == pytest.approx([0.0])  # type: ignore[arg-type]
