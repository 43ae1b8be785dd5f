"""The tests of the picture, as an attack sees them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from training.evaluation.attacks.appearance import colour_and_texture, contrast, look, vivid, whole

from edge_runtime.decision.appearance import APPEARANCE, describe
from edge_runtime.decision.decide import Detector
from training.evaluation.attacks.problem import Objective, once
from training.evaluation.detectors.observed import in_eight_bit


@pytest.fixture(scope="module")
def cells() -> Tensor:
    """Eight blurred discs in colour, black around them: float32 [8, 3, 41, 41] on the 8-bit grid."""
    y, x = np.mgrid[:41, :41] - 20.0
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (8, 3, 41, 41)) * np.linspace(1, 12, 8).reshape(8, 1, 1, 1)
    hue = rng.uniform(90, 210, (8, 3, 1, 1))
    levels = np.where(np.hypot(x, y) <= 18, np.clip(np.rint(hue + noise - 0.05 * x * y), 1, 255), 0)
    return torch.from_numpy(levels).float() / 255


def looks(images: Tensor) -> np.ndarray:
    return look(images).numbers


def test_what_is_differentiated_is_what_the_device_measures(cells: Tensor) -> None:
    found = look(cells)
    measured = describe(in_eight_bit(cells.permute(0, 2, 3, 1).numpy()))
    assert found.numbers.tolist() == measured.tolist()
    assert contrast(cells, found).tolist() == pytest.approx(
        measured[:, 4].tolist(), abs=0.02
    )  # of whole greys
    assert colour_and_texture(cells, found).numpy() == pytest.approx(measured[:, 5:], abs=1e-3)


def test_images_are_measured_once_for_all_objectives(cells: Tensor) -> None:
    seen = once(look)
    assert seen(cells) is seen(cells)
    others = cells.flip(0)
    assert seen(others).numbers.tolist() == looks(others).tolist()
    assert seen(cells).numbers.tolist() == looks(cells).tolist()


def test_flat_and_black_images_have_finite_gradients() -> None:
    images = torch.stack([torch.zeros(3, 9, 9), torch.full((3, 9, 9), 0.5)]).requires_grad_()
    found = look(images)
    (contrast(images, found) + colour_and_texture(images, found).sum(dim=1)).sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()


def limited(cells: Tensor, name: str) -> Detector:
    """A detector that half of the cells pass, for this number alone."""
    low, high = np.full(7, -99.0), np.full(5, 99.0)
    at, middle = APPEARANCE.index(name), float(np.median(looks(cells)[:, APPEARANCE.index(name)]))
    if name == "contrast":
        low[at], high[at] = middle - 9, middle
    else:
        low[at] = middle
    limits = tuple(low[:5].tolist()), tuple(high.tolist()), *low[5:].tolist()
    return Detector(("stem",), 0.0, (1.0,), 0.0, 0.0, 0.0, 0.0, *limits)


@pytest.mark.parametrize(("name", "objective"), [("contrast", whole), ("colour", vivid), ("texture", vivid)])
def test_the_value_is_the_deployed_one_and_its_gradient_leads_there(
    cells: Tensor, name: str, objective: Callable[[Detector], Objective]
) -> None:
    detector = limited(cells, name)
    leaf = cells.clone().requires_grad_()
    excess = objective(detector)(leaf)
    low, high = detector.outline_low[4], detector.outline_high[4]
    measured = looks(cells)[:, APPEARANCE.index(name)]
    if name == "contrast":
        expected = 1 - np.abs(measured - (low + high) / 2) / ((high - low) / 2)
    else:
        expected = measured - getattr(detector, f"least_{name}")
    assert excess.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert 0 < (excess > 0).sum() < len(cells)
    (gradient,) = torch.autograd.grad(excess.sum(), leaf)
    step = gradient / gradient.abs().amax(dim=(1, 2, 3), keepdim=True) * 0.03 * (cells > 0)
    better, worse = ((cells + sign * step).clamp(1 / 255, 1) * (cells > 0) for sign in (1, -1))
    with torch.no_grad():
        assert (objective(detector)(better) > objective(detector)(worse)).all()
