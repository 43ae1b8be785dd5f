"""Equations 2 to 4 against a slow implementation, image by image with explicit inverse covariances."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from detectors import lenient
from numpy.typing import NDArray
from smoothing import smoothed
from torch import Tensor, nn

from edge_runtime.decision.appearance import describe
from edge_runtime.decision.detector import Detector
from training.cells.source import CellSet
from training.gaussians import LayerGaussian
from training.networks import ResNet
from training.reference import (
    FeatureModel,
    Reference,
    asked_gradient,
    perturbed_outputs,
    plain_outputs,
    reference_decisions,
    reference_evidence,
    reference_outputs,
    smooth,
)
from training.run import load_model, load_run
from training.statistics import as_images

SIDE, EPSILON = 33, 0.01
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A network in float64, and per layer the means and covariance that the oracle uses."""

    network: ResNet
    gaussians: dict[str, LayerGaussian]
    means: dict[str, Array]
    covariances: dict[str, Array]

    @property
    def features(self) -> FeatureModel:
        return FeatureModel(self.network, self.gaussians)


def gaussian_from(means: Array, covariance: Array, *, relative: bool = False) -> LayerGaussian:
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    return LayerGaussian(means, whitening, np.ones(len(means)), 0.0, 1.0, relative)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Three images of which the edges are black and some pixels white, where clamping matters."""
    found = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    found[:, :, :4] = 0.0
    found[:, :, -4:] = 1.0
    return found


@pytest.fixture(scope="module", params=[True, False], ids=["relative activations", "as they are"])
def model(images: Tensor, request: pytest.FixtureRequest) -> Model:
    torch.manual_seed(0)
    network = ResNet((4, 5, 6, 7), 2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # away from what makes every block its shortcut
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    network = network.double().eval()
    rng = np.random.default_rng(0)
    means, covariances = {}, {}
    with torch.no_grad():
        _, features = network(images.double())
    for name, raw in zip(network.layers, features, strict=True):
        feature = raw / (raw.mean(dim=1, keepdim=True) + 1e-6) if request.param else raw
        channels = feature.shape[1]
        centre = feature.mean(dim=0).numpy()
        # Two classes near the features, so that images differ in which is nearest.
        means[name] = centre + rng.normal(size=(2, channels)) * feature.std(dim=0).numpy()
        factor = rng.normal(size=(channels, 2 * channels))
        covariances[name] = factor @ factor.T / channels
    gaussians = {
        name: gaussian_from(means[name], covariances[name], relative=request.param) for name in network.layers
    }
    return Model(network, gaussians, means, covariances)


def slow_distances(model: Model, image: Tensor, layer: str) -> Tensor:
    """d_c = (f - mu_c)^T S^-1 (f - mu_c) of one image [3, H, W], for every class."""
    number = model.network.layers.index(layer)
    feature = model.network(image[None])[1][number][0]
    if model.gaussians[layer].relative:
        feature = feature / (feature.mean() + 1e-6)
    precision = torch.from_numpy(np.linalg.inv(model.covariances[layer]))
    means = torch.from_numpy(model.means[layer])
    return torch.stack([torch.dot(feature - mean, torch.mv(precision, feature - mean)) for mean in means])


def slow_scores(model: Model, image: Tensor, layer: str, epsilon: float) -> tuple[Tensor, Tensor, float]:
    """Of one image: gradient of the distance to the nearest class, the perturbed image, confidence."""
    leaf = image.double().requires_grad_()
    distances = slow_distances(model, leaf, layer)
    nearest = int(distances.argmin())
    distances[nearest].backward()
    assert leaf.grad is not None
    with torch.no_grad():
        perturbed = torch.clip(leaf + epsilon * torch.sign(-leaf.grad), 0.0, 1.0)
        confidence = float((-slow_distances(model, perturbed, layer)).max())
    return leaf.grad, perturbed, confidence


@pytest.fixture(scope="module")
def scored(model: Model, images: Tensor) -> Reference:
    return perturbed_outputs(model.features, images, EPSILON)


def test_scores_are_those_of_the_slow_implementation(model: Model, images: Tensor, scored: Reference) -> None:
    nearest = set()
    for row, image in enumerate(images):
        for column, layer in enumerate(model.network.layers):
            gradient, perturbed, confidence = slow_scores(model, image, layer, EPSILON)
            with torch.no_grad():
                distances = slow_distances(model, image.double(), layer)
            nearest.add(int(distances.argmin()))
            assert torch.allclose(scored.distances[row, column], distances, rtol=1e-9)
            assert torch.allclose(scored.gradients[row, column], gradient, rtol=1e-6, atol=1e-12)
            assert torch.equal(scored.perturbed[row, column], perturbed)
            assert scored.confidences[row, column].item() == pytest.approx(confidence, rel=1e-9)
    assert nearest == {0, 1}


def test_gradients_are_those_of_finite_differences(model: Model, images: Tensor, scored: Reference) -> None:
    step, image = 1e-6, images[0].double()
    for column, layer in enumerate(model.network.layers):
        for y, x in ((10, 10), (16, 20)):
            shifted = image.clone()
            shifted[1, y, x] += step
            with torch.no_grad():
                before = slow_distances(model, image, layer).min()
                change = (slow_distances(model, shifted, layer).min() - before) / step
            expected = scored.gradients[0, column, 1, y, x].item()
            assert change.item() == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_what_is_asked_for_alone_is_the_gradient_of_eq_3(
    model: Model, images: Tensor, scored: Reference
) -> None:
    layers = len(model.network.layers)
    for column in range(layers):
        asked = torch.zeros(len(images), 2 + layers)
        asked[:, 2 + column] = 1
        found = asked_gradient(model.features, images, asked)
        assert torch.allclose(found, scored.gradients[:, column], rtol=1e-9, atol=1e-12)


def test_cells_are_asked_one_by_one(model: Model, images: Tensor) -> None:
    asked = torch.randn(
        len(images), 2 + len(model.network.layers), generator=torch.Generator().manual_seed(0)
    )
    together = asked_gradient(model.features, images, asked)
    alone = asked_gradient(model.features, images[1:2], asked[1:2])
    assert torch.allclose(together[1:2], alone, rtol=1e-6, atol=1e-9)
    doubled = asked_gradient(model.features, images, 2 * asked)
    assert torch.allclose(doubled, 2 * together, rtol=1e-6, atol=1e-9)


def test_perturbed_images_stay_images(images: Tensor, scored: Reference) -> None:
    change = (scored.perturbed - images[:, None].double()).abs()
    assert change.max().item() == pytest.approx(EPSILON)
    assert scored.perturbed.min() >= 0
    assert scored.perturbed.max() <= 1


def test_small_perturbation_raises_confidence(model: Model, images: Tensor) -> None:
    found = perturbed_outputs(model.features, images, 1e-6)
    assert (found.confidences > -found.distances.min(dim=2).values).all()


def test_confidences_need_no_gradient_afterwards(scored: Reference) -> None:
    assert not scored.confidences.requires_grad
    assert not any(answer.requires_grad for answer in scored.answers.values())


def test_epsilon_0_is_the_plain_score(model: Model, images: Tensor) -> None:
    perturbed = perturbed_outputs(model.features, images, 0.0)
    plain = plain_outputs(model.features, images)
    assert torch.equal(perturbed.perturbed, images[:, None].double().expand_as(perturbed.perturbed))
    expected = plain.by_name()
    assert set(expected) == {"logits", "logits.smoothed", "distances", "confidences"}
    for name, value in perturbed.by_name().items():
        assert torch.allclose(value, expected[name], rtol=1e-12)
    for one, other in zip(perturbed.features, plain.features, strict=True):
        assert torch.allclose(one, other, rtol=1e-12)
    assert torch.equal(plain.confidences, -plain.distances.min(dim=2).values)


def disc(radius: float) -> Tensor:
    """Whether a pixel is of a round cell that the image holds, or cuts off: bool [SIDE, SIDE]."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    return torch.from_numpy(np.hypot(x, y) <= radius)


@pytest.mark.parametrize("radius", [1, 11, 18, 99])
def test_a_cell_of_one_colour_stays_as_it_is_up_to_its_rim(radius: float) -> None:
    colour = torch.tensor([0.9, 0.4, 0.0], dtype=torch.float64)[:, None, None]
    cell = (disc(radius) * colour)[None]
    assert torch.allclose(smooth(cell), cell, rtol=1e-12, atol=0)


def test_black_stays_exactly_black(images: Tensor) -> None:
    found = smooth(images * disc(12))
    assert ((found > 0).any(dim=1) == disc(12)[None] & (images > 0).any(dim=1)).all()
    assert (smooth(torch.zeros(1, 3, 5, 5)) == 0).all()


def test_smoothing_is_that_of_the_slow_implementation() -> None:
    rng = np.random.default_rng(6)
    crops = rng.integers(0, 256, (4, 3, 21, 24)) / 255 * (rng.random((4, 1, 21, 24)) < 0.7)
    expected = np.stack([smoothed(crop) for crop in crops])
    found = smooth(torch.from_numpy(crops))
    assert found.dtype == torch.float64
    assert found.numpy() == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert smooth(torch.from_numpy(crops).float()).numpy() == pytest.approx(expected, abs=1e-6)


def test_what_is_finest_goes_and_what_is_large_stays() -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    board, halves = (
        torch.from_numpy(np.tile(pattern, (1, 3, 1, 1)))
        for pattern in (0.5 + 0.1 * (-1.0) ** (x + y), 0.5 + 0.1 * (x < SIDE // 2))
    )
    assert (smooth(board)[..., 1:-1, 1:-1] - 0.5).abs().max() < 1e-9
    changed = ((smooth(halves) - halves).abs() > 1e-9)[0, 0].any(dim=0)
    assert changed.nonzero().ravel().tolist() == [SIDE // 2 - 1, SIDE // 2]


def test_smoothed_logits_are_those_of_the_smoothed_images(
    model: Model, images: Tensor, scored: Reference
) -> None:
    with torch.no_grad():
        slow = torch.from_numpy(np.stack([smoothed(image.double().numpy()) for image in images]))
        expected = model.network(slow)[0]
    found = scored.answers["logits.smoothed"]
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert (found - scored.answers["logits"]).abs().max() > 1e-3


def test_scores_do_not_depend_on_the_batch(model: Model, images: Tensor, scored: Reference) -> None:
    for row in range(len(images)):
        alone = perturbed_outputs(model.features, images[row : row + 1], EPSILON)
        assert torch.allclose(alone.confidences[0], scored.confidences[row], rtol=1e-9)
        for name, answer in alone.answers.items():
            assert torch.allclose(answer[0], scored.answers[name][row], rtol=1e-9)


class Linear(nn.Module):
    """A network of which everything is known: one layer, f = A x."""

    layers = ("only",)

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        feature = image.flatten(1) @ self.matrix.T
        return feature[:, :2], (feature,)


def test_closed_form_on_a_linear_network() -> None:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(3, 12))
    means = rng.normal(size=(2, 3)) * 5
    factor = rng.normal(size=(3, 6))
    covariance = factor @ factor.T
    precision = np.linalg.inv(covariance)
    images = rng.uniform(0.3, 0.7, size=(8, 3, 2, 2))  # so far from 0 and 1 that nothing is clamped
    found = perturbed_outputs(
        FeatureModel(Linear(torch.from_numpy(matrix)), {"only": gaussian_from(means, covariance)}),  # type: ignore[arg-type]
        torch.from_numpy(images),
        EPSILON,
    )
    for row, image in enumerate(images):
        offsets = matrix @ image.ravel() - means
        distances = np.einsum("kc,cd,kd->k", offsets, precision, offsets)
        gradient = 2 * matrix.T @ precision @ offsets[distances.argmin()]
        sign = np.sign(gradient)
        # d(x - eps s) = d(x) - eps |g|_1 + eps^2 s^T A^T S^-1 A s
        moved = distances.min() - EPSILON * np.abs(gradient).sum()
        moved += EPSILON**2 * sign @ matrix.T @ precision @ matrix @ sign
        assert found.distances[row, 0].numpy() == pytest.approx(distances)
        assert found.gradients[row, 0].numpy().ravel() == pytest.approx(gradient)
        assert found.confidences[row, 0].item() == pytest.approx(-moved)


def detector(epsilon: float, threshold: float) -> Detector:
    layers = ("stem", "layer1", "layer2", "layer3", "layer4")
    return lenient(layers, (1.0, 0.5, 0.0, 2.0, 0.25), 3.0, epsilon=epsilon, confidence=threshold)


@pytest.mark.parametrize("epsilon", [0.0, EPSILON])
def test_decisions_follow_the_scores(model: Model, epsilon: float) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (70, SIDE, SIDE, 3), np.uint8)
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))
    expected = reference_outputs(model.features, images, epsilon)
    scores = expected.confidences.numpy() @ [1.0, 0.5, 0.0, 2.0, 0.25] + 3.0
    threshold = float(np.median(scores))
    found = reference_decisions(model.features, detector(epsilon, threshold), pixels)
    assert found.value("confidence") == pytest.approx(scores, rel=1e-5)
    logits, smoothed_logits = (expected.answers[name] for name in ("logits", "logits.smoothed"))
    assert found.label.tolist() == logits.argmax(dim=1).tolist()
    before, after = (np.diff(part.numpy(), axis=1)[:, 0] for part in (logits, smoothed_logits))
    assert found.value("stability") == pytest.approx(np.sign(before) * (after - before), rel=1e-4, abs=1e-5)
    clear = np.abs(scores - threshold) > 1e-3
    assert clear.sum() > 60
    assert (found.rejected == (scores < threshold))[clear].all()


def test_only_a_perturbation_costs_gradients(model: Model, images: Tensor) -> None:
    assert reference_outputs(model.features, images, 0.0).gradients.shape[1] == 0
    assert reference_outputs(model.features, images, EPSILON).gradients.shape[1] == 5


@pytest.mark.parametrize("epsilon", [0.0, 0.002])
def test_evidence_is_the_references(calibrated: Path, cells: CellSet, epsilon: float) -> None:
    model = load_model(calibrated, load_run(calibrated))
    chosen = np.arange(70)  # more than a block
    found = reference_evidence(model, cells.images[chosen], epsilon)
    expected = reference_outputs(model, as_images(cells, chosen), epsilon)
    for ours, name in (
        (found.logits, "logits"),
        (found.smoothed, "logits.smoothed"),
        (found.confidences, "confidences"),
    ):
        assert ours.dtype == np.float32
        assert ours == pytest.approx(expected.by_name()[name].numpy(), rel=1e-3, abs=1e-4)
    assert np.array_equal(found.crops, cells.images[chosen])
    assert np.array_equal(found.appearance, describe(cells.images[chosen]))
