"""Scores of the logits alone: the softmax baseline, energy and ODIN. Each is float64 [N], high = ID."""

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from edge_runtime.decision.values import margins
from training.evaluation.detectors.observed import Array, Images, Observed, as_input
from training.networks import Network
from training.reference import BLOCK


def margin(observed: Observed) -> Array:
    """Difference of the two largest logits, >= 0: how the softmax baseline is ranked here.

    With two classes the largest probability is 1 / (1 + exp(-margin)), so the order is that of Hendrycks &
    Gimpel (2017), without the ties that float32 makes where that probability rounds to 1.
    """
    return margins(observed.logits)


def max_probability(observed: Observed) -> Array:
    """The largest softmax probability in float32, 1/K to 1, as published code has it.

    From Hendrycks & Gimpel (2017). It is exactly 1 for every margin above about 17; metrics must share such
    ties out fairly.
    """
    shifted = np.exp(observed.logits - observed.logits.max(axis=1, keepdims=True), dtype=np.float32)
    return np.asarray(1 / shifted.sum(axis=1), np.float64)


def energy(observed: Observed, temperature: float = 1.0) -> Array:
    """T logsumexp(logits / T), the negative energy of Liu et al. (2020), eq. 4."""
    scaled = observed.logits.astype(np.float64) / temperature
    return np.asarray(temperature * logsumexp(scaled, axis=1))


def odin(network: Network, images: Images, temperature: float = 1.0, epsilon: float = 0.0) -> Array:
    """ODIN (Liang et al. 2018, eq. 1 and 2), as the log-odds of the predicted class at a temperature.

    Log-odds and largest probability rank alike, and the log-odds do not saturate; so the perturbation
    follows the gradient of T times the log-odds instead of that of a log-probability, which is 0 where the
    probability rounds to 1. A gradient of 0 changes nothing, and the perturbed image stays in [0, 1].

    With two classes the log-odds at T are the margin over T and the gradient is that of the margin, so
    neither the perturbed image nor the ranking depends on T: it is there for three classes and more.

    Args:
        network: in evaluation mode.
        images: [N, S, S, 3] RGB, as Observed has them.
        temperature: T > 0.
        epsilon: magnitude of the perturbation, in units of the image in [0, 1]; 0 for none.
    """
    parameter = next(network.parameters())
    scores = []
    for start in range(0, len(images), BLOCK):
        inputs = as_input(images[start : start + BLOCK]).to(parameter)
        if epsilon:
            inputs = _towards_prediction(network, inputs, temperature, epsilon)
        with torch.inference_mode():
            scores.append(_scaled_log_odds(network(inputs)[0], temperature) / temperature)
    return torch.cat(scores).cpu().numpy().astype(np.float64)


def _towards_prediction(network: Network, inputs: Tensor, temperature: float, epsilon: float) -> Tensor:
    leaf = inputs.requires_grad_()
    (gradient,) = torch.autograd.grad(_scaled_log_odds(network(leaf)[0], temperature).sum(), leaf)
    return (leaf.detach() + epsilon * gradient.sign()).clamp(0, 1)


def _scaled_log_odds(logits: Tensor, temperature: float) -> Tensor:
    """T log(p / (1 - p)) of the predicted class: logits [N, K] to [N]; the margin where K is 2."""
    wide = logits.double()  # T (z / T) is then z again, once rounded to float32
    top = wide.max(dim=1, keepdim=True)
    others = wide.scatter(1, top.indices, -torch.inf)
    rest = temperature * torch.logsumexp(others / temperature, dim=1)
    return top.values[:, 0] - rest
