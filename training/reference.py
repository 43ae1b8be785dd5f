"""The PyTorch reference of the paper's equations 2 to 4, written for clarity.

Everything else is compared with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edge_runtime.cells.preprocessing import to_input
from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import OUTPUTS, Evidence
from training.gaussians import SILENCE, LayerGaussian
from training.networks import Network

# The blur of `smooth` along each axis: binomial.
SMOOTHING = (0.25, 0.5, 0.25)

# Cells per forward pass; fixed, so that results do not depend on how many processes share the blocks.
BLOCK = 64


@dataclass(frozen=True)
class Reference:
    """What the reference says of N cells with L layers and K classes.

    Attributes:
        answers: what the classifier answers, by the names of the graph's outputs, [N, K] each.
        features: per layer [N, C_l], of the unperturbed image.
        distances: [N, L, K], squared Mahalanobis distances of the unperturbed image.
        gradients: [N, L, 3, H, W], per layer that of the distance to the nearest class.
        perturbed: [N, L, 3, H, W], per layer the perturbed image (eq. 3).
        confidences: [N, L], M_l (eq. 4), from the perturbed images.
    """

    answers: Mapping[str, Tensor]
    features: tuple[Tensor, ...]
    distances: Tensor
    gradients: Tensor
    perturbed: Tensor
    confidences: Tensor

    def by_name(self) -> dict[str, Tensor]:
        """What is one tensor, under the names of the graph's outputs."""
        return {**self.answers, "distances": self.distances, "confidences": self.confidences}


class Layer:
    """One layer's Gaussian as tensors of the network's own type and device."""

    def __init__(self, gaussian: LayerGaussian, like: Tensor) -> None:
        self.means = torch.from_numpy(gaussian.means).to(like)
        self.whitening = torch.from_numpy(gaussian.whitening).to(like)
        self.relative = gaussian.relative

    def distances(self, features: Tensor) -> Tensor:
        """(f - mu_c)^T S^-1 (f - mu_c) for every class c, of relative activations: [N, C] -> [N, K]."""
        if self.relative:
            features = features / (features.mean(dim=1, keepdim=True) + SILENCE)
        difference = features[:, None, :] - self.means[None, :, :]
        return (difference @ self.whitening.T).square().sum(dim=2)


@dataclass(frozen=True)
class FeatureModel:
    """A network with the Gaussian statistics of its features.

    Attributes:
        network: in evaluation mode; its parameters' type (float32 or float64) decides the arithmetic.
        gaussians: per layer of the network.
    """

    network: Network
    gaussians: Mapping[str, LayerGaussian]

    @property
    def parameter(self) -> Tensor:
        """Any parameter of the network: what it is fed must be like it in type and device."""
        return next(self.network.parameters())

    def tensors(self) -> list[Layer]:
        """Every layer's Gaussian as tensors, in order."""
        return [Layer(self.gaussians[name], self.parameter) for name in self.network.layers]


def smooth(images: Tensor) -> Tensor:
    """Blur images [N, 3, H, W] slightly: every pixel of the cell becomes the mean of those around it.

    The mean is over the cell alone, weighted by SMOOTHING; what is exactly black stays so. Detail too fine to
    see goes; what makes a parasite stays.
    """
    cell = (images.amax(dim=1, keepdim=True) > 0).to(images)
    return _blurred(images) / _blurred(cell).clamp(min=min(SMOOTHING) ** 2) * cell


def _blurred(images: Tensor) -> Tensor:
    """Sums weighted by SMOOTHING along both axes, black beyond the border; Conv2d takes ten times as long."""
    first, middle, last = SMOOTHING
    rows = F.pad(images, (0, 0, 1, 1))
    images = first * rows[:, :, :-2] + middle * rows[:, :, 1:-1] + last * rows[:, :, 2:]
    columns = F.pad(images, (1, 1))
    return first * columns[..., :-2] + middle * columns[..., 1:-1] + last * columns[..., 2:]


def answers(network: Network, images: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
    """What the classifier answers that decides, by the graph's names, and the features of every layer.

    Args:
        network: in evaluation mode.
        images: [N, 3, H, W] RGB in [0, 1], of its type and on its device.
    """
    logits, features = network(images)
    with torch.no_grad():  # a gradient is that of the features
        smoothed, _ = network(smooth(images))
    return {"logits": logits, "logits.smoothed": smoothed}, features


def reference_outputs(model: FeatureModel, images: Tensor, epsilon: float) -> Reference:
    """What the reference says of a batch of images, by the cheaper of the two ways.

    Args:
        model: network and statistics.
        images: [N, 3, H, W] RGB in [0, 1].
        epsilon: magnitude of the perturbation, in units of the image; without one there are no gradients.
    """
    return plain_outputs(model, images) if epsilon == 0 else perturbed_outputs(model, images, epsilon)


def perturbed_outputs(model: FeatureModel, images: Tensor, epsilon: float) -> Reference:
    """The same with every layer's own perturbed image, as in the paper, and all gradients."""
    # Two copies of the input would share no graph, so one forward pass serves all layers' gradients.
    inputs = images.to(model.parameter).detach().requires_grad_()
    answered, features = answers(model.network, inputs)
    distances, gradients, perturbed, confidences = [], [], [], []
    for number, layer in enumerate(model.tensors()):
        distance = layer.distances(features[number])
        nearest = distance.min(dim=1).values  # eq. 2: the distance to the nearest class
        (gradient,) = torch.autograd.grad(nearest.sum(), inputs, retain_graph=True)
        shifted = (inputs.detach() - epsilon * gradient.sign()).clamp(0, 1)  # eq. 3
        with torch.no_grad():
            _, again = model.network(shifted)
            confidence = -layer.distances(again[number]).min(dim=1).values  # eq. 4
        distances.append(distance.detach())
        gradients.append(gradient)
        perturbed.append(shifted)
        confidences.append(confidence)
    return Reference(
        answers={name: answer.detach() for name, answer in answered.items()},
        features=tuple(f.detach() for f in features),
        distances=torch.stack(distances, dim=1),
        gradients=torch.stack(gradients, dim=1),
        perturbed=torch.stack(perturbed, dim=1),
        confidences=torch.stack(confidences, dim=1),
    )


def asked_gradient(model: FeatureModel, images: Tensor, asked: Tensor) -> Tensor:
    """Gradient by the image of a weighted sum of logits and distances: [N, 3, H, W].

    Args:
        model: network and statistics.
        images: [N, 3, H, W] RGB in [0, 1].
        asked: [N, K + L], of each cell the weights of its logits and of its layers' distances to the nearest
            class.
    """
    inputs = images.to(model.parameter).detach().requires_grad_()
    logits, features = model.network(inputs)
    nearest = [layer.distances(f).amin(dim=1) for layer, f in zip(model.tensors(), features, strict=True)]
    summed = (torch.column_stack([logits, *nearest]) * asked.to(logits)).sum()
    return torch.autograd.grad(summed, inputs)[0]


@torch.inference_mode()
def plain_outputs(model: FeatureModel, images: Tensor) -> Reference:
    """The same without perturbation (epsilon 0), in one forward pass; gradients and perturbed are empty."""
    images = images.to(model.parameter)
    answered, features = answers(model.network, images)
    distances = torch.stack(
        [layer.distances(f) for layer, f in zip(model.tensors(), features, strict=True)], dim=1
    )
    nothing = images.new_zeros((len(images), 0, *images.shape[1:]))
    confidences = -distances.min(dim=2).values
    return Reference(answered, features, distances, nothing, nothing, confidences)


def reference_evidence(model: FeatureModel, crops: NDArray[np.uint8], epsilon: float) -> Evidence:
    """What speaks for and against cells by the reference, in blocks.

    Args:
        model: network and statistics.
        crops: uint8 [N, size, size, 3] RGB, resized.
        epsilon: magnitude of the perturbation, in units of the image.
    """
    blocks = torch.split(torch.from_numpy(to_input(crops)), BLOCK)
    said = [reference_outputs(model, block, epsilon).by_name() for block in blocks]
    outputs = {name: torch.cat([block[name] for block in said]).float().cpu().numpy() for name in OUTPUTS}
    return Evidence.of(outputs, crops)


def reference_decisions(model: FeatureModel, detector: Detector, crops: NDArray[np.uint8]) -> Decisions:
    """What the device must decide: the reference's evidence, through the runtime's own decision.

    Args:
        model: network and statistics.
        detector: layer weights, epsilon and limits.
        crops: uint8 [N, size, size, 3] RGB, resized.
    """
    return decide(detector, reference_evidence(model, crops, detector.epsilon))
