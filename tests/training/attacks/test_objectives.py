from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from detectors import summed
from torch import Tensor

from edge_runtime.appearance import describe
from edge_runtime.decision import Decisions, Detector, Nearness, View, decide
from edge_runtime.errors import SourceError
from training.attacks.gradient_sign import bim
from training.attacks.objectives import Shared, all_of, each_view, misclassified, sure, undetected
from training.attacks.problem import Problem
from training.detection.observed import in_eight_bit
from training.reference import score_at


def deployed(model: Any, detector: Detector, images: Tensor) -> Decisions:
    scored = score_at(model.network, model.gaussians, images.clone(), detector.epsilon)
    pixels = in_eight_bit(images.permute(0, 2, 3, 1).numpy())
    return decide(detector, scored.logits.numpy(), scored.confidences.numpy(), describe(pixels))


def test_misclassified_is_the_margin_of_the_best_other_class(model: Any) -> None:
    logits = model.network(model.images)[0].detach()
    margins = misclassified(model.network, torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]))(model.images)
    for row, true, margin in zip(logits.tolist(), [0, 1, 2, 0, 1, 2, 0, 1], margins.tolist(), strict=True):
        others = [value for place, value in enumerate(row) if place != true]
        assert margin == pytest.approx(max(others) - row[true], abs=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.01])
def test_undetected_is_the_deployed_score_over_its_threshold(epsilon: float, model: Any) -> None:
    score = deployed(model, replace(model.detector, epsilon=epsilon), model.images).score
    detector = replace(model.detector, epsilon=epsilon, threshold=float(sorted(score)[4]) - 1e-4)
    decided = deployed(model, detector, model.images)
    with torch.no_grad():
        excess = undetected(model.network, model.gaussians, detector)(model.images)
    assert excess.tolist() == pytest.approx((decided.score - detector.threshold).tolist(), abs=1e-5)
    assert (excess > 0).tolist() == (~decided.far).tolist()
    assert 0 < decided.far.sum() < 8


def test_undetected_is_the_least_of_several_views(model: Any) -> None:
    views = (
        View((0.5, 0.0, 0.0, 0.25, 0.0), 0.0, 0.25),
        View((0.0, 0.0, 0.5, 0.5, 0.0), 1.5, 0.75),
        View((0.0, 0.0, 0.0, 0.0, 1.0), 0.0, 0.0),
    )
    confidences = deployed(model, model.detector, model.images).confidences
    centre, spread = (tuple(of(axis=0).tolist()) for of in (confidences.mean, confidences.std))
    detector = replace(model.detector, nearness=Nearness(centre, spread, views))
    decided = deployed(model, detector, model.images)
    excess = undetected(model.network, model.gaussians, detector)(model.images)
    assert excess.tolist() == pytest.approx((decided.score - detector.threshold).tolist(), abs=1e-4)
    each = [
        replace(detector, nearness=Nearness(centre, spread, (view,))).nearness.score(
            decided.confidences, decided.margin
        )
        for view in views
    ]
    assert set(np.argmin(each, axis=0)) == {0, 1, 2}  # so that every view decides somewhere
    apart = all_of(*each_view(model.network, model.gaussians, detector))
    assert apart(model.images).tolist() == pytest.approx(excess.tolist(), abs=1e-5)


def test_a_detector_of_some_layers_uses_those(model: Any) -> None:
    detector = replace(model.detector, layers=("layer3", "stem"), nearness=summed(0.5, 0.25, bias=1.5))
    scored = score_at(model.network, model.gaussians, model.images.clone(), 0)
    places = [model.network.layers.index(name) for name in detector.layers]
    expected = scored.confidences.double().numpy()[:, places] @ [0.5, 0.25] + 1.5
    excess = undetected(model.network, model.gaussians, detector)(model.images)
    assert excess.tolist() == pytest.approx((expected - detector.threshold).tolist(), abs=1e-5)


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
    scored = score_at(model.network, model.gaussians, model.images.clone(), 0.01)
    expected = torch.zeros_like(model.images)
    for number, name in enumerate(detector.layers):
        weight = model.detector.nearness.views[0].weights[number]
        alone = replace(model.detector, layers=(name,), nearness=summed(weight))
        shifted = scored.perturbed[:, number]
        objective = undetected(model.network, model.gaussians, alone)
        expected += Problem(objective, shifted).linearise(shifted)[1]
    assert torch.allclose(found, expected, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize("epsilon", [0.0, 0.01])
def test_the_adaptive_attack_succeeds_only_where_the_class_is_wrong_and_accepted(
    epsilon: float, model: Any
) -> None:
    start = deployed(model, replace(model.detector, epsilon=epsilon), model.images).score
    detector = replace(model.detector, epsilon=epsilon, threshold=float(sorted(start)[3]))
    wrong = misclassified(model.network, model.labels)
    accepted = undetected(model.network, model.gaussians, detector)
    found = bim(all_of(wrong, accepted, scales=(0.5, 2.0)), model.images, 0.05, steps=8, eight_bit=True)
    decided = deployed(model, detector, found.images)
    assert found.succeeded.any()
    assert (decided.label != model.labels.numpy())[found.succeeded.numpy()].all()
    assert not decided.far[found.succeeded.numpy()].any()


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
    finally:
        model.network.eval()


def test_sure_is_the_deployed_margin_over_the_least_one(model: Any) -> None:
    margin = deployed(model, model.detector, model.images).margin
    detector = replace(model.detector, least_margin=float(sorted(margin)[3]) + 1e-4)
    decided = deployed(model, detector, model.images)
    with torch.no_grad():
        excess = sure(model.network, detector)(model.images)
    assert excess.tolist() == pytest.approx((decided.margin - detector.least_margin).tolist(), abs=1e-5)
    assert (excess > 0).tolist() == (~decided.unsure).tolist()
    assert 0 < decided.unsure.sum() < len(model.images)


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
            misclassified(shared, labels), undetected(shared, gaussians, detector), sure(shared, detector)
        )
        leaf = images.clone().requires_grad_()
        value = together(leaf)
        assert len(runs) == 1
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        runs.clear()
        apart = all_of(
            misclassified(network, labels), undetected(network, gaussians, detector), sure(network, detector)
        )
        again = images.clone().requires_grad_()
        expected = apart(again)
        assert len(runs) == 3
    finally:
        handle.remove()
    assert torch.equal(value, expected)
    assert torch.allclose(gradient, torch.autograd.grad(expected.sum(), again)[0])
    assert torch.equal(shared(images)[0], shared(images)[0])
