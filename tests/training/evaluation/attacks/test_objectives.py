from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.errors import SourceError
from training.evaluation.attacks.gradient_sign import bim
from training.evaluation.attacks.objectives import Shared, all_of, misclassified, sure, undetected
from training.evaluation.attacks.problem import Problem
from training.evaluation.attacks.twins import stable
from training.evaluation.detectors.observed import in_eight_bit
from training.reference import FeatureModel, reference_outputs


def deployed(model: Any, detector: Detector, images: Tensor) -> Decisions:
    scored = reference_outputs(FeatureModel(model.network, model.gaussians), images.clone(), detector.epsilon)
    pixels = in_eight_bit(images.permute(0, 2, 3, 1).numpy())
    said = {name: output.numpy() for name, output in scored.by_name().items()}
    return decide(detector, Evidence.of(said, pixels))


def limited(detector: Detector, **limits: float) -> Detector:
    """The detector with other limits of these tests."""
    return replace(detector, limits={**detector.limits, **limits})


def test_misclassified_is_the_margin_of_the_best_other_class(model: Any) -> None:
    logits = model.network(model.images)[0].detach()
    margins = misclassified(model.network, torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]))(model.images)
    for row, true, margin in zip(logits.tolist(), [0, 1, 2, 0, 1, 2, 0, 1], margins.tolist(), strict=True):
        others = [value for place, value in enumerate(row) if place != true]
        assert margin == pytest.approx(max(others) - row[true], abs=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.01])
def test_undetected_is_the_deployed_score_over_its_threshold(epsilon: float, model: Any) -> None:
    perturbing = replace(model.detector, epsilon=epsilon)
    score = deployed(model, perturbing, model.images).value("confidence")
    detector = limited(perturbing, confidence=float(sorted(score)[4]) - 1e-4)
    decided = deployed(model, detector, model.images)
    with torch.no_grad():
        excess = undetected(model.network, model.gaussians, detector)(model.images)
    expected = decided.value("confidence") - detector.limits["confidence"]
    assert excess.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    far = decided.failed_by("confidence")
    assert (excess > 0).tolist() == (~far).tolist()
    assert 0 < far.sum() < 8


def test_a_detector_of_some_layers_uses_those(model: Any) -> None:
    detector = replace(model.detector, layers=("layer3", "stem"), weights=(0.5, 0.25))
    scored = reference_outputs(FeatureModel(model.network, model.gaussians), model.images.clone(), 0)
    places = [model.network.layers.index(name) for name in detector.layers]
    expected = scored.confidences.double().numpy()[:, places] @ detector.weights + detector.bias
    excess = undetected(model.network, model.gaussians, detector)(model.images)
    assert excess.tolist() == pytest.approx((expected - detector.limits["confidence"]).tolist(), abs=1e-5)


def test_the_gradient_without_perturbation_is_the_scores(model: Any) -> None:
    objective = undetected(model.network, model.gaussians, model.detector)
    _, gradient = Problem(objective, model.images).linearise(model.images)
    step = 1e-3 * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    with torch.no_grad():
        slope = (objective(model.images + step) - objective(model.images - step)) / 2e-3
    assert slope.tolist() == pytest.approx(gradient.flatten(1).norm(dim=1).tolist(), rel=0.05)


def test_the_gradient_with_perturbation_is_taken_at_the_perturbed_images(model: Any) -> None:
    """BPDA: the sum over layers of each layer's gradient at its own perturbed image."""
    detector = replace(model.detector, epsilon=0.01)
    _, found = Problem(undetected(model.network, model.gaussians, detector), model.images).linearise(
        model.images
    )
    scored = reference_outputs(FeatureModel(model.network, model.gaussians), model.images.clone(), 0.01)
    expected = torch.zeros_like(model.images)
    for number, name in enumerate(detector.layers):
        alone = replace(model.detector, layers=(name,), weights=(detector.weights[number],))
        shifted = scored.perturbed[:, number]
        objective = undetected(model.network, model.gaussians, alone)
        expected += Problem(objective, shifted).linearise(shifted)[1]
    assert torch.allclose(found, expected, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("epsilon", [0.0, 0.01])
def test_the_adaptive_attack_succeeds_only_where_the_class_is_wrong_and_accepted(
    epsilon: float, model: Any
) -> None:
    perturbing = replace(model.detector, epsilon=epsilon)
    start = deployed(model, perturbing, model.images).value("confidence")
    detector = limited(perturbing, confidence=float(sorted(start)[3]))
    wrong = misclassified(model.network, model.labels)
    accepted = undetected(model.network, model.gaussians, detector)
    found = bim(all_of(wrong, accepted, scales=(0.5, 2.0)), model.images, 0.05, steps=8, eight_bit=True)
    decided = deployed(model, detector, found.images)
    assert found.succeeded.any()
    assert (decided.label != model.labels.numpy())[found.succeeded.numpy()].all()
    assert not decided.failed_by("confidence")[found.succeeded.numpy()].any()


def test_all_of_is_the_least_in_units_of_the_scales(images: Tensor) -> None:
    one = all_of(lambda x: x[:, 0, 0, 0] * 0 + 4, lambda x: x[:, 0, 0, 0] * 0 + 3, scales=(2, 1))
    assert one(images).tolist() == [2, 2, 2, 2]
    three = all_of(*(lambda x, v=v: x[:, 0, 0, 0] * 0 + v for v in (1.0, -1.0, 2.0)))
    assert three(images).tolist() == [-1, -1, -1, -1]


@pytest.mark.parametrize("scales", [(1,), (1, 0), (1, -1)])
def test_scales_that_cannot_be_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(SourceError, match="scale above 0"):
        all_of(lambda x: x, lambda x: x, scales=scales)
    with pytest.raises(SourceError, match="at least one"):
        all_of()


def test_networks_labels_and_layers_that_do_not_fit_are_refused(model: Any) -> None:
    with pytest.raises(SourceError, match=r"give integers \[N\]"):
        misclassified(model.network, torch.zeros(8))
    with pytest.raises(SourceError, match="3 labels for 8 images"):
        misclassified(model.network, torch.tensor([0, 1, 2]))(model.images)
    with pytest.raises(SourceError, match="a class below 3"):
        misclassified(model.network, torch.full((8,), 3))(model.images)
    with pytest.raises(SourceError, match="layer9"):
        undetected(model.network, model.gaussians, replace(model.detector, layers=("stem", "layer9")))
    model.network.train()
    try:
        with pytest.raises(SourceError, match="training mode"):
            misclassified(model.network, model.labels)
        with pytest.raises(SourceError, match="training mode"):
            stable(model.network, model.detector)
    finally:
        model.network.eval()


def test_sure_is_the_deployed_margin_over_its_limit(model: Any) -> None:
    margin = deployed(model, model.detector, model.images).value("margin")
    detector = limited(model.detector, margin=float(sorted(margin)[3]) + 1e-4)
    decided = deployed(model, detector, model.images)
    with torch.no_grad():
        excess = sure(model.network, detector)(model.images)
    expected = decided.value("margin") - detector.limits["margin"]
    assert excess.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    ambiguous = decided.failed_by("margin")
    assert (excess > 0).tolist() == (~ambiguous).tolist()
    assert 0 < ambiguous.sum() < len(model.images)


def test_stable_is_the_deployed_stability_over_its_limit(model: Any) -> None:
    stability = deployed(model, model.detector, model.images).value("stability")
    assert np.ptp(stability) > 1e-2
    detector = limited(model.detector, stability=float(sorted(stability)[3]) + 1e-4)
    decided = deployed(model, detector, model.images)
    with torch.no_grad():
        excess = stable(model.network, detector)(model.images)
    expected = decided.value("stability") - detector.limits["stability"]
    assert excess.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    unstable = decided.failed_by("stability")
    assert (excess > 0).tolist() == (~unstable).tolist()
    assert unstable.sum() == 4


def test_the_gradient_of_stability_is_that_of_a_finite_difference(model: Any) -> None:
    """In float64, on cells with black around them: through the smoothed image as well as the image itself."""
    network, images = deepcopy(model.network).double(), model.images.double()
    images[:, :, :5], images[:, :, :, 27:] = 0, 0
    objective = stable(network, model.detector)
    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(leaf).sum(), leaf)
    generator = torch.Generator().manual_seed(4)
    # What is black is no part of the cell and must stay so.
    step = 1e-7 * torch.randn(images.shape, generator=generator, dtype=torch.float64) * (images > 0)
    with torch.no_grad():
        change = objective(images + step) - objective(images - step)
    promised = 2 * (gradient * step).flatten(1).sum(dim=1)
    assert change.tolist() == pytest.approx(promised.tolist(), rel=1e-3)
    assert gradient.flatten(1).norm(dim=1).min() > 0


def test_a_soft_minimum_is_never_above_the_true_one_and_moves_all() -> None:
    images = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    terms = [lambda x, c=c: x[:, c].mean(dim=(1, 2)) - 0.5 for c in range(3)]
    hard, soft = all_of(*terms)(images), all_of(*terms, softness=0.1)(images)
    assert (soft <= hard).all()
    assert soft.tolist() == pytest.approx((hard - 0.1 * torch.tensor(3.0).log()).tolist(), abs=0.11)
    assert all_of(*terms, softness=1e-4)(images).tolist() == pytest.approx(hard.tolist(), abs=1e-3)
    (gradient,) = torch.autograd.grad(soft.sum(), images)
    assert (gradient.abs().amax(dim=(2, 3)) > 0).all()


def test_a_shared_network_runs_once_for_all_objectives(model: Any) -> None:
    network, gaussians, detector, images = model.network, model.gaussians, model.detector, model.images
    labels = torch.zeros(len(images), dtype=torch.int64)
    runs = []
    handle = network.register_forward_hook(lambda *_: runs.append(1))
    try:
        shared = Shared(network)
        together = all_of(
            misclassified(shared, labels),
            undetected(shared, gaussians, detector),
            sure(shared, detector),
            stable(shared, detector),
            softness=0.1,
        )
        leaf = images.clone().requires_grad_()
        value = together(leaf)
        assert len(runs) == 2  # of the images, and of the smoothed ones
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        runs.clear()
        apart = all_of(
            misclassified(network, labels),
            undetected(network, gaussians, detector),
            sure(network, detector),
            stable(network, detector),
            softness=0.1,
        )
        again = images.clone().requires_grad_()
        expected = apart(again)
        assert len(runs) == 5
    finally:
        handle.remove()
    assert torch.equal(value, expected)
    (apart_gradient,) = torch.autograd.grad(expected.sum(), again)
    assert torch.allclose(gradient, apart_gradient, rtol=1e-4, atol=1e-6)
    assert torch.equal(shared(images)[0], shared(images)[0])
