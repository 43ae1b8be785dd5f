"""The same attacks by an independent library, where it is installed: on one small smooth network."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.evaluation.attacks.carlini_wagner import carlini_wagner
from training.evaluation.attacks.deepfool import deepfool
from training.evaluation.attacks.gradient_sign import bim
from training.evaluation.attacks.objectives import misclassified

adv_lib = pytest.importorskip("adv_lib.attacks", exc_type=ImportError)


class Small(nn.Module):
    """Two layers with three classes, in the form of our networks: logits and features."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.Softplus(), nn.Flatten(), nn.Linear(8 * 49, 3))

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.body(images), ()


@pytest.fixture(scope="module")
def small() -> Any:
    network = Small().eval()
    images = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(6)) * 0.8 + 0.1
    return network, images, network(images)[0].argmax(dim=1)


def test_bim_is_theirs_value_for_value(small: Any) -> None:
    """Theirs hands back the last iterate that succeeded; one step too many makes it ours, the strongest."""
    network, images, labels = small
    epsilon = torch.full((24,), 0.05)
    theirs = adv_lib.pgd_linf(
        network.body,
        images,
        labels,
        epsilon,
        steps=6,
        random_init=False,
        loss_function="dl",
        absolute_step_size=0.01,
    )
    ours = bim(misclassified(network, labels), images, 0.05, steps=5, step=0.01)
    assert ours.succeeded.any()
    assert torch.allclose(ours.images[ours.succeeded], theirs[ours.succeeded], atol=1e-6)
    assert torch.equal(ours.succeeded, network.body(theirs).argmax(dim=1) != labels)


def test_deepfool_needs_no_longer_ways(small: Any) -> None:
    network, images, labels = small
    theirs = adv_lib.df(network.body, images, labels)
    assert (network.body(theirs).argmax(dim=1) != labels).all()
    ours = deepfool(misclassified(network, labels), images)
    assert ours.succeeded.all()
    assert ours.l2.median() <= 1.02 * (theirs - images).flatten(1).norm(dim=1).median()


def test_carlini_wagner_needs_no_longer_ways(small: Any) -> None:
    network, images, labels = small
    theirs = adv_lib.carlini_wagner_l2(
        network.body, images, labels, max_iterations=200, initial_const=0.1, binary_search_steps=6
    )
    assert (network.body(theirs).argmax(dim=1) != labels).all()
    ours = carlini_wagner(misclassified(network, labels), images, steps=200, price=0.1, searches=6)
    assert ours.succeeded.all()
    lengths = (theirs - images).flatten(1).norm(dim=1)
    assert ours.l2.median() == pytest.approx(lengths.median().item(), rel=0.02)
