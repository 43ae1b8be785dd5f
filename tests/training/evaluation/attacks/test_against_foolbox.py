"""The same attacks by an independent library, Foolbox (Rauber et al. 2020), on one small smooth network."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.evaluation.attacks.carlini_wagner import carlini_wagner
from training.evaluation.attacks.deepfool import deepfool
from training.evaluation.attacks.gradient_sign import bim, fgsm
from training.evaluation.attacks.objectives import misclassified

_ABSENT = "not installed; pip install --group oracles --constraint constraints.txt"
foolbox = pytest.importorskip("foolbox", reason=f"foolbox is {_ABSENT}")
eagerpy = pytest.importorskip("eagerpy", reason=f"eagerpy is {_ABSENT}")


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


@pytest.fixture(scope="module")
def theirs(small: Any) -> Any:
    """The network as Foolbox takes it."""
    return foolbox.PyTorchModel(small[0].body, bounds=(0, 1), device="cpu")


def climbing(labels: Tensor, steps: int, step: float) -> Any:
    """Theirs up the lead of another class, as ours; by itself it climbs the cross-entropy."""

    class Climb(foolbox.attacks.LinfBasicIterativeAttack):  # type: ignore[misc, name-defined]
        def get_loss_fn(self, model: Any, _labels: Any) -> Any:
            def lead(images: Any) -> Any:
                logits = model(images).raw
                own = logits.gather(1, labels[:, None])[:, 0]
                others = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
                return eagerpy.astensor((others - own).sum())

            return lead

    return Climb(abs_stepsize=step, steps=steps, random_start=False)


def test_fgsm_is_theirs_value_for_value(small: Any, theirs: Any) -> None:
    network, images, labels = small
    expected = climbing(labels, 1, 0.05).run(theirs, images, labels, epsilon=0.05)
    found = fgsm(misclassified(network, labels), images, 0.05)
    assert 0 < found.succeeded.sum() < len(images)
    assert torch.allclose(found.images, expected, atol=1e-6)
    assert torch.equal(found.succeeded, network.body(expected).argmax(dim=1) != labels)


def test_bim_is_theirs_value_for_value(small: Any, theirs: Any) -> None:
    """While every step climbs: theirs hands back the last iterate, ours the strongest."""
    network, images, labels = small
    expected = climbing(labels, 5, 0.01).run(theirs, images, labels, epsilon=0.04)
    found = bim(misclassified(network, labels), images, 0.04, steps=5, step=0.01)
    assert 0 < found.succeeded.sum() < len(images)
    assert torch.allclose(found.images, expected, atol=1e-6)
    assert torch.equal(found.succeeded, network.body(expected).argmax(dim=1) != labels)


def test_deepfool_goes_as_far(small: Any, theirs: Any) -> None:
    """Up to the ten-thousandth that theirs adds to every step."""
    network, images, labels = small
    attack = foolbox.attacks.L2DeepFoolAttack(steps=50, overshoot=0.02)
    expected = attack.run(theirs, images, labels)
    assert (network.body(expected).argmax(dim=1) != labels).all()
    found = deepfool(misclassified(network, labels), images)
    assert found.succeeded.all()
    assert torch.allclose(found.l2, (expected - images).flatten(1).norm(dim=1), rtol=1e-3)


def test_carlini_wagner_goes_as_far(small: Any, theirs: Any) -> None:
    network, images, labels = small
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        steps=200, stepsize=0.01, initial_const=0.1, binary_search_steps=6, abort_early=False
    )
    expected = attack.run(theirs, images, labels)
    assert (network.body(expected).argmax(dim=1) != labels).all()
    found = carlini_wagner(misclassified(network, labels), images, steps=200, price=0.1, searches=6)
    assert found.succeeded.all()
    assert torch.allclose(found.l2, (expected - images).flatten(1).norm(dim=1), rtol=1e-2)
