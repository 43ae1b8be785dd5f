from typing import Any

import pytest
import torch
from torch import Tensor

from edge_runtime.errors import SourceError
from training.evaluation.attacks.deepfool import deepfool
from training.evaluation.attacks.objectives import misclassified


def test_a_linear_boundary_is_reached_in_one_step(images: Tensor, affine: Any) -> None:
    found = deepfool(affine, images, steps=1)
    assert found.succeeded.all()
    assert torch.allclose(found.l2, 1.02 * affine.distance, rtol=1e-4)
    direction = (found.images - images)[3] / found.l2[3]
    assert torch.allclose(direction, affine.weight / affine.weight.norm(), atol=1e-4)


def test_under_a_mask_the_distance_is_that_within_it(images: Tensor, affine: Any) -> None:
    mask = torch.zeros(4, 1, 8, 8)
    mask[:, :, :4] = 1
    found = deepfool(affine, images, mask=mask)
    assert torch.equal(found.images[:, :, 4:], images[:, :, 4:])
    assert torch.allclose(found.l2, 1.02 * affine.height / affine.weight[:, :4].norm(), rtol=1e-4)


def test_a_curved_boundary_needs_steps_and_images_stop_on_their_own(images: Tensor) -> None:
    radius = torch.tensor([0.5, 1.0, 1.5, 2.0])
    start = images + 0.01 / 192**0.5

    def outside(x: Tensor) -> Tensor:
        return (x - start).flatten(1).square().sum(dim=1) - radius**2

    found = deepfool(outside, images)
    assert found.succeeded.all()
    # Straight out of the sphere, whose centre is 0.01 away; Newton's steps end within 2 % beyond it.
    assert (found.l2 > radius - 0.011).all()
    alone = deepfool(lambda x: outside(x.expand(4, -1, -1, -1))[:1], images[:1])
    assert torch.allclose(alone.images[0], found.images[0], atol=1e-5)


def test_at_white_it_goes_with_what_can_become_darker(affine: Any) -> None:
    white = torch.ones(4, 3, 8, 8)
    weight, height = affine.weight, affine.height
    found = deepfool(lambda x: ((x - 1) * weight).flatten(1).sum(dim=1) - height, white)
    assert found.succeeded.all()
    assert (found.images <= 1).all()
    assert (found.images[:, weight > 0] == 1).all()
    assert torch.allclose(found.l2, 1.02 * height / weight.clamp(max=0).norm(), rtol=1e-4)


def test_eight_bit_images_are_what_is_judged(images: Tensor, affine: Any) -> None:
    affine.height.fill_(0.02)  # 0.001 away, where one grey level is 0.004
    found = deepfool(affine, images, eight_bit=True)
    assert torch.equal(found.images, (found.images * 255).round() / 255)
    assert torch.equal(found.succeeded, affine(found.images) > 0)
    assert found.succeeded.all()
    assert (found.l2 > 2 * affine.distance).all()
    assert not deepfool(affine, images, eight_bit=True, steps=1).succeeded.any()


def test_images_that_succeed_already_come_back_unchanged(images: Tensor, affine: Any) -> None:
    affine.height[2] = -0.1
    found = deepfool(affine, images)
    assert torch.equal(found.images[2], images[2])
    assert found.succeeded.all()
    assert found.l2[2] == 0


def test_without_a_gradient_it_fails_and_says_so(images: Tensor) -> None:
    found = deepfool(lambda x: 0 * x.flatten(1).sum(dim=1) - 1, images, steps=3)
    assert not found.succeeded.any()
    assert torch.equal(found.images, images)
    found = deepfool(lambda x: x.flatten(1).sum(dim=1) * torch.nan, images, steps=3)
    assert not found.succeeded.any()
    assert torch.equal(found.images, images)


def test_it_fools_a_network(model: Any) -> None:
    objective = misclassified(model.network, model.labels)
    found = deepfool(objective, model.images)
    assert found.succeeded.all()
    assert torch.equal(model.network(found.images)[0].argmax(dim=1) != model.labels, found.succeeded)
    assert all(p.grad is None for p in model.network.parameters())


@pytest.mark.parametrize("setting", [{"steps": 0}, {"overshoot": -0.1}])
def test_settings_out_of_range_are_refused(setting: dict[str, float], images: Tensor, affine: Any) -> None:
    with pytest.raises(SourceError, match=next(iter(setting))):
        deepfool(affine, images, **setting)
