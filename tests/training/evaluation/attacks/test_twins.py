"""The tests of the decision, as an attack sees them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from detectors import lenient
from torch import Tensor

from edge_runtime.decision import table
from edge_runtime.decision.appearance import APPEARANCE, OUTLINE, describe
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.decision.table import CellTest, Reason
from edge_runtime.errors import SourceError
from training.evaluation.attacks.objectives import Shared, all_of
from training.evaluation.attacks.problem import Objective, Problem, once
from training.evaluation.attacks.twins import (
    Attackable,
    colour_and_texture,
    contrast,
    look,
    twins,
    vivid,
    whole,
)
from training.evaluation.detectors.observed import in_eight_bit
from training.reference import FeatureModel, reference_evidence


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
    """A detector that about half of the cells pass, for this number alone."""
    middle = float(np.median(looks(cells)[:, APPEARANCE.index(name)]))
    if name != "contrast":
        return lenient(**{name: middle})
    low, high = (-99.0,) * (len(OUTLINE) - 1), (99.0,) * (len(OUTLINE) - 1)
    return replace(lenient(wholeness=0.01), outline_low=(*low, middle - 9), outline_high=(*high, middle))


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("contrast", whole),
        ("colour", lambda detector: vivid(detector, "colour")),
        ("texture", lambda detector: vivid(detector, "texture")),
    ],
)
def test_the_value_is_the_deployed_one_and_its_gradient_leads_there(
    cells: Tensor, name: str, objective: Callable[[Detector], Objective]
) -> None:
    detector = limited(cells, name)
    leaf = cells.clone().requires_grad_()
    excess = objective(detector)(leaf)
    low, high = detector.outline_low[4], detector.outline_high[4]
    measured = looks(cells)[:, APPEARANCE.index(name)]
    if name == "contrast":
        expected = 1 - np.abs(measured - (low + high) / 2) / ((high - low) / 2) - detector.limits["wholeness"]
    else:
        expected = measured - detector.limits[name]
    assert excess.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert 0 < (excess > 0).sum() < len(cells)
    (gradient,) = torch.autograd.grad(excess.sum(), leaf)
    step = gradient / gradient.abs().amax(dim=(1, 2, 3), keepdim=True) * 0.03 * (cells > 0)
    better, worse = ((cells + sign * step).clamp(1 / 255, 1) * (cells > 0) for sign in (1, -1))
    with torch.no_grad():
        assert (objective(detector)(better) > objective(detector)(worse)).all()


def of(model: Any, images: Tensor, epsilon: float = 0.0) -> tuple[Attackable, Evidence]:
    """What decides of the images by limits in the middle of each test's values, and their evidence."""
    pixels = in_eight_bit(images.permute(0, 2, 3, 1).numpy())
    features = FeatureModel(model.network, model.gaussians)
    seen = reference_evidence(features, pixels, epsilon)
    outline = seen.appearance[:, : len(OUTLINE)]
    low, high = tuple((outline.min(axis=0) - 0.1).tolist()), tuple((outline.max(axis=0) + 0.1).tolist())
    called = (int(seen.logits.argmax(axis=1)[0]),)  # so that certainty is asked of some of the images
    ranged = replace(model.detector, epsilon=epsilon, outline_low=low, outline_high=high, parasitized=called)
    measured = table.measure(seen, ranged)
    limits = {test.name: middle(test, found) for test, found in zip(table.TESTS, measured.T, strict=True)}
    return Attackable(features, replace(ranged, limits=limits)), seen


def middle(test: CellTest, found: np.ndarray) -> float:
    """Of the values of the cells that a test is for; its own limit where it is for none of them."""
    known = found[np.isfinite(found)]
    if len(known):
        return float(np.median(known))
    assert test.fixed is not None
    return test.fixed


@pytest.fixture(scope="module")
def ovals(model: Any) -> Tensor:
    """The model's images, cut to ovals of all sizes with black around them."""
    y, x = np.mgrid[:32, :32] - 15.5
    masks = [np.hypot(x, y * (1 + number / 10)) < 8 + number for number in range(8)]
    images: Tensor = model.images.clamp(min=1 / 255) * torch.from_numpy(np.stack(masks))[:, None]
    return images


NEVER_ASKED = {table.SMALL, table.LARGE}  # no frame is known where crops are attacked

# Its numbers differ from cell to cell, and it has no twin.
REDDEST = CellTest(
    "reddest",
    Reason("too-red", "too red in its middle"),
    lambda seen, _: np.array([crop[12:20, 12:20, 0].mean() for crop in seen.crops]),
    fixed=128.0,
    side="at most",
    seen_by="picture",
)


@pytest.mark.parametrize("tests", [table.TESTS, table.TESTS[::-1], (*table.TESTS, REDDEST)])
@pytest.mark.parametrize("epsilon", [0.0, 0.01])
def test_every_test_has_a_twin_of_its_own_value(
    model: Any,
    ovals: Tensor,
    epsilon: float,
    tests: tuple[CellTest, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "TESTS", tests)
    attackable, seen = of(model, ovals, epsilon)
    detector = attackable.detector
    made = twins(attackable)
    assert len(made) == len(tests)
    for test, twin in zip(tests, made, strict=True):
        with torch.no_grad():
            excess = twin(ovals).numpy()
        expected = test.sign * (test.value(seen, detector) - detector.limits[test.name])
        asked = np.isfinite(expected)
        assert asked.any() or test.name in NEVER_ASKED
        assert (excess[~asked] == np.inf).all(), test.name
        if asked.any():
            assert np.ptp(expected[asked]) > 1e-2, test.name
            assert excess[asked] == pytest.approx(
                expected[asked], abs=2e-5 * max(1.0, np.abs(expected[asked]).max())
            ), test.name


def test_an_attack_that_satisfies_every_twin_is_accepted(model: Any, ovals: Tensor) -> None:
    attackable, seen = of(model, ovals)
    with torch.no_grad():
        least = all_of(*twins(attackable))(ovals).numpy()
    measured = table.measure(seen, attackable.detector)
    limits = np.array([attackable.detector.limits[test.name] for test in table.TESTS])
    clear = np.abs(measured - limits).min(axis=1) > 1e-4
    assert ((least > 0) == table.passes(measured, limits).all(axis=1))[clear].all()


def test_every_test_that_has_a_twin_pulls_at_the_image(model: Any, ovals: Tensor) -> None:
    for test, twin in zip(table.TESTS, twins(of(model, ovals)[0]), strict=True):
        if test.name in NEVER_ASKED:
            continue
        excess, gradient = Problem(twin, ovals).linearise(ovals)
        asked = torch.isfinite(excess)
        assert asked.any(), test.name
        assert (gradient.abs().amax(dim=(1, 2, 3)) > 0)[asked].all(), test.name


def test_a_picture_test_without_a_twin_has_no_gradient_and_is_no_obstacle_to_the_others(
    model: Any, ovals: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "TESTS", (*table.TESTS, REDDEST))
    made = twins(of(model, ovals)[0])
    leaf = ovals.clone().requires_grad_()
    assert not made[-1](leaf).requires_grad
    _, gradient = Problem(all_of(*made, softness=0.1), ovals).linearise(ovals)
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).any()


def test_a_network_test_without_a_twin_is_refused_by_name(
    model: Any, ovals: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    attackable, _ = of(model, ovals)
    invented = CellTest("spread", Reason("odd", "odd in some way"), lambda seen, _: seen.logits[:, 0])
    monkeypatch.setattr(table, "TESTS", (*table.TESTS, invented))
    with pytest.raises(SourceError, match="the test 'spread' has no differentiable twin"):
        twins(attackable)


def test_twins_share_one_pass_of_the_network_and_one_look(model: Any, ovals: Tensor) -> None:
    attackable, _ = of(model, ovals)
    passes: list[int] = []
    handle = model.network.register_forward_hook(lambda *_: passes.append(1))
    try:
        together = all_of(*twins(attackable, Shared(model.network)))(ovals)
        assert len(passes) == 2  # of the images, and of the smoothed ones
        assert torch.equal(together, all_of(*twins(attackable))(ovals))
    finally:
        handle.remove()
