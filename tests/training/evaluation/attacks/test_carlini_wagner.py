from typing import Any

import pytest
import torch
from torch import Tensor

from edge_runtime.errors import SourceError
from training.evaluation.attacks.carlini_wagner import carlini_wagner
from training.evaluation.attacks.objectives import misclassified


def test_it_finds_the_nearest_point_of_a_linear_boundary(images: Tensor, affine: Any) -> None:
    found = carlini_wagner(affine, images, steps=120, searches=8, price=0.01, learning_rate=0.003)
    assert found.succeeded.all()
    assert (found.l2 >= affine.distance * (1 - 1e-4)).all()
    assert (found.l2 <= affine.distance * 1.02).all()


def test_kappa_asks_for_more(images: Tensor, affine: Any) -> None:
    found = carlini_wagner(affine, images, kappa=1.0, steps=150, searches=8)
    assert found.succeeded.all()
    assert (affine(found.images) > 1).all()
    assert (found.l2 <= (affine.height + 1) / affine.weight.norm() * 1.03).all()


def test_the_price_is_searched_per_image(images: Tensor, affine: Any) -> None:
    """In one batch and alone, the same result, though the boundaries differ eightfold."""
    together = carlini_wagner(affine, images, steps=40, searches=6)
    weight, start, height = affine.weight, images[3:], affine.height[3:]
    alone = carlini_wagner(
        lambda x: ((x - start) * weight).flatten(1).sum(dim=1) - height, start, steps=40, searches=6
    )
    assert torch.allclose(alone.images[0], together.images[3], atol=1e-5)


def test_black_pixels_can_change(affine: Any) -> None:
    black = torch.zeros(1, 3, 8, 8)

    def brighter(x: Tensor) -> Tensor:
        return x.flatten(1).mean(dim=1) - 0.01

    found = carlini_wagner(brighter, black, steps=300, searches=3, price=1000.0, learning_rate=0.05)
    assert found.succeeded.all()
    assert found.linf > 0.009


def test_mask_and_grid_hold_and_success_is_that_of_the_rounded_image(images: Tensor, affine: Any) -> None:
    mask = torch.zeros(4, 1, 8, 8)
    mask[:, :, :4] = 1
    found = carlini_wagner(affine, images, steps=60, searches=6, mask=mask, eight_bit=True)
    assert torch.equal(found.images, (found.images * 255).round() / 255)
    assert torch.equal(found.images[:, :, 4:], images[:, :, 4:])
    assert found.succeeded.any()
    assert torch.equal(found.succeeded, affine(found.images) > 0)


def test_the_unreachable_comes_back_as_it_was(images: Tensor, affine: Any) -> None:
    affine.height[0] = 1e6
    affine.height[1] = -1
    found = carlini_wagner(affine, images, steps=20, searches=4)
    assert found.succeeded.tolist()[:2] == [False, True]
    assert torch.equal(found.images[:2], images[:2])


def test_it_fools_a_network_and_leaves_it_as_it_was(model: Any) -> None:
    objective = misclassified(model.network, model.labels)
    found = carlini_wagner(objective, model.images, steps=30, searches=4, price=0.1)
    assert found.succeeded.all()
    assert (objective(found.images) > 0).all()
    assert (found.images >= 0).all()
    assert (found.images <= 1).all()
    assert all(p.grad is None for p in model.network.parameters())


@pytest.mark.parametrize(
    "setting", [{"steps": 0}, {"kappa": -1}, {"searches": 0}, {"price": 0}, {"learning_rate": 0}]
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], images: Tensor, affine: Any) -> None:
    with pytest.raises(SourceError, match=next(iter(setting))):
        carlini_wagner(affine, images, **setting)
