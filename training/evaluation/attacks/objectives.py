"""What an attack can want: another class, acceptance by the detector, or several things at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from edge_runtime.decision.detector import Detector
from edge_runtime.decision.table import CERTAINTY
from edge_runtime.errors import SourceError
from training.evaluation.attacks.problem import Objective, once
from training.gaussians import LayerGaussian
from training.networks import Network, Output
from training.reference import Layer


class Shared:
    """A network that several objectives ask about the same images, one after the other: it runs once for all.

    In place of the network in `misclassified`, `undetected` and `sure`, under one `all_of`.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.layers = network.layers
        self._answer: Callable[[Tensor], Output] = once(network)

    @property
    def training(self) -> bool:
        """Whether the network is in training mode."""
        return self.network.training

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Those of the network."""
        return self.network.parameters()

    def __call__(self, images: Tensor) -> Output:
        """What the network says of these images; of the very same tensor, what it said last time."""
        return self._answer(images)


Asked = Network | Shared


def misclassified(network: Asked, labels: Tensor) -> Objective:
    """The largest logit of another class less that of the true class (Carlini & Wagner 2017, f_6).

    Args:
        network: in evaluation mode.
        labels: integers [N], the true classes of the images the objective will be asked about.
    """
    check_network(network)
    if labels.dim() != 1 or labels.is_floating_point():
        raise SourceError(f"labels are {labels.dtype} {list(labels.shape)}; give integers [N]")

    def margin(images: Tensor) -> Tensor:
        logits, _ = network(images)
        if len(labels) != len(images) or not bool(((labels >= 0) & (labels < logits.shape[1])).all()):
            raise SourceError(
                f"{len(labels)} labels for {len(images)} images; give each a class below {logits.shape[1]}"
            )
        return -lead(logits, labels.to(images.device, torch.int64))

    return margin


def undetected(network: Asked, gaussians: Mapping[str, LayerGaussian], detector: Detector) -> Objective:
    """The deployed score less its threshold, M* - rho: an image is accepted where it is greater than 0.

    With the detector's epsilon 0 this is differentiable as it stands. Otherwise each layer's perturbed image
    (eq. 3 of the paper) is computed anew, and its gradient is passed on to the image as it is: the step along
    the sign, and its clipping, count as the identity (BPDA, Athalye et al. 2018, section 4.1).

    Args:
        network: in evaluation mode.
        gaussians: per layer of the detector.
        detector: layer weights, epsilon and threshold.
    """
    check_network(network)
    missing = [n for n in detector.layers if n not in network.layers or n not in gaussians]
    if missing:
        raise SourceError(f"no Gaussian or no feature for {', '.join(missing)}; fit the detector's layers")
    parameter = next(network.parameters())
    layers = [Layer(gaussians[name], parameter) for name in detector.layers]
    places = [network.layers.index(name) for name in detector.layers]
    weights = torch.tensor(detector.weights, dtype=torch.float64, device=parameter.device)

    def nearest(images: Tensor) -> list[Tensor]:
        _, features = network(images)
        return [layer.distances(features[p]).amin(dim=1) for layer, p in zip(layers, places, strict=True)]

    def excess(images: Tensor) -> Tensor:
        if detector.epsilon == 0:
            distances = nearest(images)
        else:
            distances = [
                nearest(shifted)[number]
                for number, shifted in enumerate(_perturbed(nearest, images, detector.epsilon))
            ]
        confidences = -torch.stack(distances, dim=1)
        # As the device: the sum over layers in float64. The difference is small enough for float32.
        score = confidences.double() @ weights + detector.bias
        return (score - detector.limits["confidence"]).to(images.dtype)

    return excess


def sure(network: Asked, detector: Detector) -> Objective:
    """The margin less its limit: an image passes the test where it is greater than 0.

    Args:
        network: in evaluation mode.
        detector: the limits, and which classes count as parasitized.
    """
    check_network(network)

    def excess(images: Tensor) -> Tensor:
        logits, _ = network(images)
        return _log_odds(logits, detector).abs() - detector.limits["margin"]

    return excess


def certain(network: Asked, detector: Detector) -> Objective:
    """The certainty less its limit: above 0 where an image passes; infinite where it is called uninfected.

    Args:
        network: in evaluation mode.
        detector: the limits, and which classes count as parasitized.
    """
    check_network(network)

    def excess(images: Tensor) -> Tensor:
        logits, _ = network(images)
        infected = torch.isin(logits.argmax(dim=1), _parasitized(logits, detector))
        return torch.where(infected, _log_odds(logits, detector) - detector.limits[CERTAINTY], torch.inf)

    return excess


def _log_odds(logits: Tensor, detector: Detector) -> Tensor:
    """`values.log_odds`, differentiable: [N, K] to [N]."""
    counted = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
    counted[_parasitized(logits, detector)] = True
    return logits[:, counted].logsumexp(dim=1) - logits[:, ~counted].logsumexp(dim=1)


def _parasitized(logits: Tensor, detector: Detector) -> Tensor:
    return torch.tensor(detector.parasitized, device=logits.device)


def all_of(*objectives: Objective, scales: Sequence[float] | None = None, softness: float = 0.0) -> Objective:
    """Succeeds only where every objective does: the least of them, each divided by its scale.

    Args:
        objectives: at least one.
        scales: one per objective, greater than 0, what counts as much of it (such as its spread over cells):
            the attack works on whichever is furthest behind. All 1 if None.
        softness: above 0, a smooth minimum -s log sum exp(-value / s) instead, which is never above the true
            one: steps along the gradient then serve all objectives at once, and do not swing between them.
    """
    divisors = [1.0] * len(objectives) if scales is None else list(scales)
    if not objectives or len(divisors) != len(objectives) or not all(s > 0 for s in divisors):
        raise SourceError(
            f"{len(objectives)} objectives with scales {divisors}; give at least one, each a scale above 0"
        )

    def least(images: Tensor) -> Tensor:
        values = torch.stack([o(images) / s for o, s in zip(objectives, divisors, strict=True)], dim=1)
        if softness > 0:
            return -softness * torch.logsumexp(-values / softness, dim=1)
        return values.amin(dim=1)

    return least


def lead(logits: Tensor, label: Tensor) -> Tensor:
    """By how much a class leads the best of the others: [N, K] and its number [N] to [N]."""
    others = logits.scatter(1, label[:, None], -torch.inf)
    return logits.gather(1, label[:, None])[:, 0] - others.amax(dim=1)


def _perturbed(nearest: Callable[[Tensor], list[Tensor]], images: Tensor, epsilon: float) -> Iterator[Tensor]:
    """Per layer the perturbed image (eq. 3), whose gradient is passed on to the image unchanged."""
    leaf = images.detach().requires_grad_()
    with torch.enable_grad():  # also where the caller wants no gradient: the image itself depends on this one
        distances = nearest(leaf)
        gradients = [torch.autograd.grad(d.sum(), leaf, retain_graph=True)[0] for d in distances]
    for gradient in gradients:
        shifted = (leaf.detach() - epsilon * gradient.sign()).clamp(0, 1)
        # Exactly the device's image, plus a zero that carries the gradient.
        yield shifted + (images - images.detach())


def check_network(network: Asked) -> None:
    """Refuse a network in training mode, which would not answer as the device does."""
    if network.training:
        raise SourceError("the network is in training mode; call eval() first, as the device decides with it")
