from typing import Any

import pytest
import torch
from torch import Tensor

from edge_runtime.errors import SourceError
from training.evaluation.attacks.gradient_sign import bim, fgsm, pgd
from training.evaluation.attacks.objectives import misclassified
from training.evaluation.attacks.problem import foreground


def test_fgsm_is_one_step_along_the_sign(images: Tensor, affine: Any) -> None:
    found = fgsm(affine, images, 0.05)
    expected = images + 0.05 * affine.weight.sign()
    assert torch.equal(found.images, expected)
    reach = 0.05 * affine.weight.abs().sum()
    assert found.succeeded.tolist() == (reach > affine.height).tolist() == [True, True, True, True]
    assert torch.allclose(found.linf, torch.tensor(0.05), atol=1e-6)
    assert torch.allclose(found.l2, torch.tensor(0.05 * 192**0.5), rtol=1e-5)


def test_bim_and_pgd_reach_the_corner_of_the_cube(images: Tensor, affine: Any) -> None:
    corner = images + 0.05 * affine.weight.sign()
    for found in (
        bim(affine, images, 0.05, steps=12, step=0.01),
        pgd(affine, images, 0.05, steps=12, step=0.01),
    ):
        assert torch.allclose(found.images, corner, atol=1e-6)


def test_it_stops_at_black_and_white(affine: Any, images: Tensor) -> None:
    found = bim(affine, images, 1.0, steps=10)
    assert torch.equal(found.images, (affine.weight > 0).float().expand(4, 3, 8, 8))


def test_success_grows_with_epsilon_and_is_complete_in_the_end(model: Any) -> None:
    objective = misclassified(model.network, model.labels)
    shares = [
        bim(objective, model.images, e, steps=5).succeeded.sum().item() for e in (0.0, 0.002, 0.02, 0.3)
    ]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == len(model.images)


def test_no_step_is_taken_where_nothing_may_change() -> None:
    asked: list[Tensor] = []

    def objective(images: Tensor) -> Tensor:
        asked.append(images)
        return images.flatten(1).sum(dim=1) - 1e9

    images = torch.full((2, 3, 8, 8), 100 / 255)
    found = bim(objective, images, 0.9 / 255, steps=40, eight_bit=True)
    assert torch.equal(found.images, images)
    assert not found.succeeded.any()
    assert len(asked) == 1


def test_eight_bit_images_stay_on_the_grid_within_epsilon_and_mask(model: Any) -> None:
    images = model.images.clone()
    images[:, :, :10] = 0
    mask = foreground(images)
    objective = misclassified(model.network, model.network(images)[0].argmax(dim=1))
    for epsilon in (2 / 255, 12.75 / 255):
        found = bim(objective, images, epsilon, steps=4, mask=mask, eight_bit=True)
        levels = found.images * 255
        assert torch.equal(found.images, levels.round() / 255)
        assert (found.linf <= epsilon + 1e-6).all()
        assert (found.images[:, :, :10] == 0).all()
        assert torch.equal(found.succeeded, objective(found.images) > 0)
    assert found.succeeded.any()


def test_a_success_that_rounding_undoes_is_none(images: Tensor, affine: Any) -> None:
    # Less than half a level: enough for floats, and nothing for an 8-bit image.
    affine.height.fill_(1e-3)
    assert fgsm(affine, images, 0.4 / 255).succeeded.all()
    rounded = fgsm(affine, images, 0.4 / 255, eight_bit=True)
    assert not rounded.succeeded.any()
    assert torch.equal(rounded.images, images)


def test_images_that_succeed_already_come_back_unchanged(images: Tensor, affine: Any) -> None:
    affine.height[1] = -1
    for found in (fgsm(affine, images, 0.05), bim(affine, images, 0.05), pgd(affine, images, 0.05, steps=3)):
        assert torch.equal(found.images[1], images[1])
        assert found.succeeded[1]
        assert found.l2[1] == 0
        assert (found.l2[[0, 2, 3]] > 0).all()


def test_the_strongest_iterate_is_kept(images: Tensor) -> None:
    """An objective with a peak one step away: the last iterate has long left it."""

    def peak(x: Tensor) -> Tensor:
        return 0.002 - (x - images - 0.01).abs().flatten(1).amax(dim=1)

    found = bim(peak, images, 0.05, steps=4, step=0.01)
    assert found.succeeded.all()
    assert torch.allclose(found.linf, torch.tensor(0.01), atol=1e-6)


def test_restarts_find_what_one_start_does_not_and_the_seed_repeats_them(images: Tensor) -> None:
    """A flat objective with one hill on either side: only a start close enough has a gradient."""

    def hills(x: Tensor) -> Tensor:
        first = (x - images)[:, 0, 0, 0]
        return torch.relu(first - 0.025).mul(100) - 1.5 + 0 * x.flatten(1).sum(dim=1)

    def count(restarts: int, seed: int) -> int:
        found = pgd(hills, images, 0.05, steps=5, restarts=restarts, seed=seed)
        return int(found.succeeded.sum())

    assert count(1, 0) < 4
    assert count(20, 0) == 4
    one, two = (pgd(hills, images, 0.05, steps=5, restarts=2, seed=7) for _ in range(2))
    assert torch.equal(one.images, two.images)


def test_the_network_is_left_as_it_was(model: Any) -> None:
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    state = torch.get_rng_state()
    pgd(misclassified(model.network, model.labels), model.images, 0.01, steps=2, restarts=2)
    assert all(p.grad is None for p in model.network.parameters())
    assert not model.network.training
    assert all(torch.equal(before[k], v) for k, v in model.network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("setting", [{"steps": 0}, {"step": -0.1}, {"restarts": 0}])
def test_settings_out_of_range_are_refused(setting: dict[str, float], images: Tensor, affine: Any) -> None:
    with pytest.raises(SourceError, match=next(iter(setting))):
        pgd(affine, images, 0.1, **setting)
