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
    (logits, features), (smoothed, _) = network(images), network(smooth(images))
    return {"logits": logits, "logits.smoothed": smoothed}, features


def score_images(
    network: Network,
    gaussians: Mapping[str, LayerGaussian],
    images: Tensor,
    epsilon: float,
) -> Reference:
    """Score a batch of images, every layer with its own perturbed image as in the paper.

    Args:
        network: in evaluation mode; its parameters' type (float32 or float64) decides the arithmetic.
        gaussians: per layer of the network.
        images: [N, 3, H, W] RGB in [0, 1].
        epsilon: magnitude of the perturbation, in units of the image.
    """
    parameter = next(network.parameters())
    layers = [Layer(gaussians[name], parameter) for name in network.layers]
    # Two copies of the input would share no graph, so one forward pass serves all layers' gradients.
    inputs = images.to(parameter).detach().requires_grad_()
    answered, features = answers(network, inputs)
    distances, gradients, perturbed, confidences = [], [], [], []
    for number, layer in enumerate(layers):
        distance = layer.distances(features[number])
        nearest = distance.min(dim=1).values  # eq. 2: the distance to the nearest class
        (gradient,) = torch.autograd.grad(nearest.sum(), inputs, retain_graph=True)
        shifted = (inputs.detach() - epsilon * gradient.sign()).clamp(0, 1)  # eq. 3
        with torch.no_grad():
            _, again = network(shifted)
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


@torch.inference_mode()
def score_plain(network: Network, gaussians: Mapping[str, LayerGaussian], images: Tensor) -> Reference:
    """The same without perturbation (epsilon 0), in one forward pass; gradients and perturbed are empty."""
    parameter = next(network.parameters())
    images = images.to(parameter)
    answered, features = answers(network, images)
    distances = torch.stack(
        [
            Layer(gaussians[name], parameter).distances(f)
            for name, f in zip(network.layers, features, strict=True)
        ],
        dim=1,
    )
    nothing = images.new_zeros((len(images), 0, *images.shape[1:]))
    confidences = -distances.min(dim=2).values
    return Reference(answered, features, distances, nothing, nothing, confidences)


def reference_decisions(
    network: Network,
    gaussians: Mapping[str, LayerGaussian],
    detector: Detector,
    images: NDArray[np.uint8],
) -> Decisions:
    """What the device must decide: the reference's scores, through the runtime's own decision.

    Args:
        network: in evaluation mode.
        gaussians: per layer of the network.
        detector: layer weights, epsilon and threshold.
        images: uint8 [N, size, size, 3] RGB, resized crops.
    """
    return decide(detector, reference_evidence(network, gaussians, images, detector.epsilon))


def reference_evidence(
    network: Network,
    gaussians: Mapping[str, LayerGaussian],
    images: NDArray[np.uint8],
    epsilon: float,
) -> Evidence:
    """What speaks for and against cells by the reference, scored in blocks.

    Args:
        network: in evaluation mode.
        gaussians: per layer of the network.
        images: uint8 [N, size, size, 3] RGB, resized crops.
        epsilon: magnitude of the perturbation, in units of the image.
    """
    blocks = torch.split(torch.from_numpy(to_input(images)), BLOCK)
    scored = [score_at(network, gaussians, block, epsilon).by_name() for block in blocks]
    outputs = {name: torch.cat([block[name] for block in scored]).float().cpu().numpy() for name in OUTPUTS}
    return Evidence.of(outputs, images)


def score_at(
    network: Network, gaussians: Mapping[str, LayerGaussian], images: Tensor, epsilon: float
) -> Reference:
    """`score_images`, or the much cheaper `score_plain` where there is no perturbation."""
    if epsilon == 0:
        return score_plain(network, gaussians, images)
    return score_images(network, gaussians, images, epsilon)
