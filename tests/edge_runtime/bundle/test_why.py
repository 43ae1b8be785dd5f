"""Why-maps: what they add up to, where they point, and which cells have none."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.classifier import GRADIENT, Classifier
from edge_runtime.bundle.why import _integrated, _plain, asked_by, drawn, in_turn, of_odds, why_maps
from edge_runtime.cells.preprocessing import resize_crop, to_input
from edge_runtime.decision import table
from edge_runtime.decision.decide import Decisions
from edge_runtime.decision.values import log_odds
from edge_runtime.errors import ProviderError


@pytest.fixture(scope="module")
def resized(classifier: Classifier, crops: list[np.ndarray]) -> np.ndarray:
    size = classifier.bundle.manifest.input.size
    return np.stack([resize_crop(crop, size) for crop in crops[:12]])


def decided(decisions: Decisions, *failed: str, label: int) -> Decisions:
    """The decisions, as if every cell had this label and failed just these tests."""
    names = [test.name for test in table.TESTS]
    values = np.tile(decisions.limits, (len(decisions), 1))
    for name in failed:
        values[:, names.index(name)] -= table.TESTS[names.index(name)].sign
    return replace(decisions, label=np.full(len(decisions), label), values=values)


@pytest.fixture(scope="module")
def decisions(classifier: Classifier, resized: np.ndarray) -> Decisions:
    return classifier.decide_resized(resized)


def test_a_map_is_a_share_of_the_decision(
    classifier: Classifier, resized: np.ndarray, decisions: Decisions
) -> None:
    suspect = decided(decisions, table.CERTAINTY, label=1)
    maps = why_maps(classifier, resized, suspect)
    assert (maps.shape, maps.dtype) == (resized.shape[:3], np.float32)
    assert maps.min() == 0
    sums = maps.sum(axis=(1, 2))
    assert ((np.abs(sums - 1) < 1e-5) | (sums == 0)).all()
    assert (sums > 0).mean() > 0.8
    cell = resized.max(axis=3) > 0
    near = np.stack([cv2.dilate(one.astype(np.uint8), np.ones((9, 9))) for one in cell])
    assert not maps[near == 0].any()


def test_each_cell_has_its_own_map(classifier: Classifier, resized: np.ndarray, decisions: Decisions) -> None:
    called = decided(decisions, label=1)
    alone = [why_maps(classifier, resized[n : n + 1], _row(called, n))[0] for n in range(3)]
    np.testing.assert_allclose(why_maps(classifier, resized, called)[:3], alone, atol=1e-4)


def _row(decisions: Decisions, number: int) -> Decisions:
    names = ("label", "probabilities", "confidences", "appearance", "values")
    return replace(decisions, **{name: getattr(decisions, name)[number : number + 1] for name in names})


@pytest.mark.parametrize("failed", [[], ["wholeness"], ["small", "colour"]])
def test_what_the_network_does_not_decide_has_no_map(
    classifier: Classifier, resized: np.ndarray, decisions: Decisions, failed: list[str]
) -> None:
    assert not why_maps(classifier, resized, decided(decisions, *failed, label=0)).any()


def test_no_cells_have_no_maps(classifier: Classifier, resized: np.ndarray) -> None:
    assert why_maps(classifier, resized[:0], classifier.decide_resized(resized[:0])).shape[0] == 0


def test_what_is_asked(classifier: Classifier, decisions: Decisions) -> None:
    """The odds of a parasite, or the weighted distances where the cell is too far."""
    detector = classifier.bundle.manifest.detector
    odds = [-1.0, 1.0, *[0.0] * len(detector.layers)]
    for failed in ([table.CERTAINTY], ["stability"], ["margin", "wholeness"]):
        asked = asked_by(decided(decisions, *failed, label=0), detector)
        np.testing.assert_allclose(asked, [odds] * len(decisions))
    asked = asked_by(decided(decisions, table.CONFIDENCE, "margin", label=1), detector)
    np.testing.assert_allclose(asked, [[0.0, 0.0, *detector.weights]] * len(decisions), rtol=1e-6)


def test_of_several_classes_the_odds_slope_as_the_logits_have_them(classifier: Classifier) -> None:
    detector = replace(classifier.bundle.manifest.detector, parasitized=(1, 3))
    logits = np.random.default_rng(0).normal(0, 2, (6, 4))
    powers = np.exp(logits)
    asked = of_odds(powers / powers.sum(axis=1, keepdims=True), detector)
    for k, step in enumerate(1e-5 * np.eye(4)):
        change = log_odds(logits + step, (1, 3)) - log_odds(logits - step, (1, 3))
        np.testing.assert_allclose(asked[:, k], change / 2e-5, atol=1e-5)


def test_probabilities_of_0_are_no_hindrance(classifier: Classifier) -> None:
    asked = of_odds(np.array([[1.0, 0.0], [0.0, 1.0]]), classifier.bundle.manifest.detector)
    np.testing.assert_array_equal(asked[:, :2], [[-1, 1], [-1, 1]])


def test_the_gradient_is_that_of_what_is_asked(classifier: Classifier, resized: np.ndarray) -> None:
    """A step along it changes the sum by what it promises."""
    manifest = classifier.bundle.manifest
    noise = np.random.default_rng(0).uniform(0.005, 0.03, to_input(resized).shape)
    image = (to_input(resized) + noise).clip(0, 1).astype(np.float32)  # no ties of the pooling
    asked = in_turn(len(image), len(manifest.classes), manifest.detector)
    gradient = classifier.run(image, [GRADIENT], asked=asked)[GRADIENT]
    step = (2e-5 * gradient / np.abs(gradient).max(axis=(1, 2, 3), keepdims=True)).astype(np.float32)
    sums = []
    for sign in (1, -1):
        out = classifier.run(image + sign * step, ["logits", "distances"], epsilon=0.0)
        parts = np.concatenate([out["logits"], out["distances"].min(axis=2)], axis=1)
        sums.append((parts.astype(np.float64) * asked).sum(axis=1))
    promised = 2 * (gradient * step).sum(axis=(1, 2, 3))
    # As far as no rectifier is crossed on the way.
    np.testing.assert_allclose(sums[0] - sums[1], promised, rtol=0.1)


def test_attributions_add_up_to_what_the_pattern_changes(
    classifier: Classifier, resized: np.ndarray, decisions: Decisions
) -> None:
    """Completeness, proposition 1 of Sundararajan et al. 2017, as well as so few steps can."""
    detector = classifier.bundle.manifest.detector
    asked = of_odds(decisions.probabilities, detector)
    found = _integrated(classifier, resized, asked).sum(axis=(1, 2))
    plain = np.stack([_plain(crop) for crop in resized])
    logits = [classifier.run(to_input(images), ["logits"])["logits"] for images in (resized, plain)]
    expected = log_odds(logits[0], detector.parasitized) - log_odds(logits[1], detector.parasitized)
    assert np.corrcoef(found, expected)[0, 1] > 0.9


def test_nothing_asked_is_nothing_computed(classifier: Classifier, resized: np.ndarray) -> None:
    out = classifier.run(to_input(resized), ["logits", GRADIENT])
    assert (len(out["logits"]), len(out[GRADIENT])) == (len(resized), 0)


def test_as_many_are_asked_as_there_are_cells(classifier: Classifier, resized: np.ndarray) -> None:
    asked = np.ones((2, 2 + len(classifier.bundle.manifest.detector.layers)), np.float32)
    with pytest.raises(ProviderError, match="could not run the graph"):
        classifier.run(to_input(resized[:3]), [GRADIENT], asked=asked)


def test_the_ring_goes_around_what_the_map_points_at(resized: np.ndarray) -> None:
    crop, size = resized[0], len(resized[0])
    why = np.zeros((size, size), np.float32)
    why[30:35, 20:26] = 1 / 30
    picture = drawn(crop, why)
    np.testing.assert_array_equal(picture[30:35, 20:26], crop[30:35, 20:26])
    changed = np.argwhere((picture != crop).any(axis=2))
    assert (changed.min(axis=0) >= (24, 14)).all()
    assert (changed.max(axis=0) <= (40, 31)).all()
    ring = picture[24:41, 14:32].reshape(-1, 3).tolist()
    assert [255, 255, 255] in ring
    assert [0, 0, 0] in ring


def test_without_a_map_no_ring(resized: np.ndarray) -> None:
    before = resized[0].copy()
    np.testing.assert_array_equal(drawn(resized[0], np.zeros(resized[0].shape[:2], np.float32)), before)
    drawn(resized[0], np.full(resized[0].shape[:2], 1e-4, np.float32))
    np.testing.assert_array_equal(resized[0], before)
