"""The one decision, on numbers that can be checked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from detectors import evidence, lenient
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.evidence import OUTPUTS, Evidence

LIMITS = {"wholeness": 0.0, "confidence": -3.0, "stability": -0.5, "margin": 0.75}
DETECTOR = lenient(("stem", "layer1"), (0.5, 2.0), 1.0, **LIMITS)


def judged(logits: np.ndarray, confidences: np.ndarray) -> Decisions:
    """Of cells whose looks are all in order, and that smoothing does not change."""
    return decide(DETECTOR, evidence(logits, confidences))


def f32(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def failed(decisions: Decisions, *names: str) -> list[bool]:
    """Of the first cell."""
    return [bool(decisions.failed_by(name)[0]) for name in names]


def test_the_confidence_is_the_weighted_sum_of_the_layers_plus_the_bias() -> None:
    decisions = judged(f32([0, 1], [2, 1]), f32([-2, -1], [-4, -1.5]))
    assert decisions.value("confidence").tolist() == [-2.0, -4.0]
    assert decisions.values.dtype == np.float64
    assert decisions.confidences.tolist() == [[-2.0, -1.0], [-4.0, -1.5]]


def test_a_confidence_at_the_limit_is_accepted_and_just_below_is_not() -> None:
    below = np.nextafter(np.float32(-8), np.float32(-9))
    decisions = judged(f32([0, 1], [0, 1]), f32([-8, 0], [below, 0]))
    assert decisions.rejected.tolist() == [False, True]
    assert [decisions.reason(0), decisions.reason(1)] == ["", "far-from-training"]


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_a_confidence_that_is_no_number_is_rejected(broken: float) -> None:
    decisions = judged(f32([0, 1]), f32([broken, 0]))
    assert decisions.rejected.tolist() == [True]
    assert decisions.reason(0) == "far-from-training"


@pytest.mark.parametrize("name", ["confidence", "margin", "stability"])
def test_a_limit_that_is_no_number_rejects_everything(name: str) -> None:
    detector = lenient(**{name: math.nan})
    assert decide(detector, evidence(f32([0, 1]), f32([5]))).rejected.all()


def test_a_margin_at_the_limit_is_accepted_and_just_below_is_not() -> None:
    below = np.nextafter(np.float32(0.75), np.float32(0))
    decisions = judged(f32([0.75, 0], [0, below]), f32(*[[0, 0]] * 2))
    assert decisions.rejected.tolist() == [False, True]
    assert [decisions.reason(0), decisions.reason(1)] == ["", "suspect"]
    assert not decisions.failed_by("confidence").any()


def test_a_stability_at_the_limit_is_accepted_and_just_below_is_not() -> None:
    below = np.nextafter(np.float32(1.5), np.float32(0))
    seen = evidence(f32([0, 2], [0, 2]), f32(*[[0, 0]] * 2), smoothed=f32([0, 1.5], [0, below]))
    decisions = decide(DETECTOR, seen)
    assert decisions.rejected.tolist() == decisions.failed_by("stability").tolist() == [False, True]
    assert [decisions.reason(0), decisions.reason(1)] == ["", "unstable"]


@pytest.mark.parametrize("smoothed", [[math.nan, 0], [0, math.nan], [math.nan] * 2, [math.inf] * 2])
def test_smoothed_logits_that_are_no_numbers_are_rejected(smoothed: list[float]) -> None:
    with np.errstate(invalid="ignore"):
        decisions = decide(DETECTOR, evidence(f32([0, 9]), f32([0, 0]), smoothed=f32(smoothed)))
    assert decisions.rejected.tolist() == [True]
    assert decisions.reason(0) == "unstable"


# Far, unstable and ambiguous at once.
WRONG_THROUGHOUT = evidence(f32([0, 0.5]), f32([-99, -99]), smoothed=f32([0.5, 0]))
WRONG = ["far-from-training", "unstable", "suspect"]


def test_of_several_reasons_the_graver_one_is_told_first() -> None:
    near = f32([0, 0])
    decisions = decide(DETECTOR, WRONG_THROUGHOUT)
    assert failed(decisions, "confidence", "stability", "margin") == [True] * 3
    assert decisions.reason(0) == "far-from-training"
    assert decisions.reasons(0) == WRONG
    assert decide(DETECTOR, replace(WRONG_THROUGHOUT, confidences=near)).reason(0) == "unstable"
    assert judged(WRONG_THROUGHOUT.logits, near).reason(0) == "suspect"


def test_a_cell_that_is_accepted_has_no_reason() -> None:
    decisions = judged(f32([0, 1], [0, 0]), f32([0, 0], [0, 0]))
    assert (decisions.reason(0), decisions.reasons(0)) == ("", [])
    assert (decisions.reason(1), decisions.reasons(1)) == ("suspect", ["suspect"])


def test_outputs_are_picked_by_name() -> None:
    named = {name: np.full((2, 2), number, np.float64) for number, name in enumerate(OUTPUTS)}
    crops = np.zeros((2, 8, 8, 3), np.uint8)
    seen = Evidence.of(named | {"distances": np.zeros(5)}, crops)
    assert (seen.logits == 0).all()
    assert (seen.smoothed == 1).all()
    assert (seen.confidences == 2).all()
    assert {part.dtype for part in (seen.logits, seen.smoothed, seen.confidences)} == {np.dtype(np.float32)}
    assert seen.appearance.shape == (2, 7)
    assert seen.crops is crops
    assert OUTPUTS == ("logits", "logits.smoothed", "confidences")


def test_numbers_of_the_picture_that_are_there_are_not_measured_again() -> None:
    named = {name: np.zeros((1, 2)) for name in OUTPUTS}
    appearance = np.arange(7.0)[None]
    assert Evidence.of(named, np.zeros((1, 8, 8, 3), np.uint8), appearance).appearance is appearance


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(
    ("value", "kept"), [(-1.0, True), (3.0, True), (-1.01, False), (3.01, False), (math.nan, False)]
)
def test_every_number_of_the_outline_has_its_range(number: int, value: float, kept: bool) -> None:
    appearance = np.full((1, 7), 1.0)
    appearance[0, number] = value
    detector = lenient(outline=(-1.0, 3.0), wholeness=0.0)
    decisions = decide(detector, evidence(f32([0, 1]), f32([0]), appearance=appearance))
    assert decisions.rejected.tolist() == [not kept]
    assert decisions.reason(0) == ("" if kept else "not-one-cell")
    assert decisions.value("wholeness")[0] == pytest.approx(1 - abs(value - 1) / 2, nan_ok=True)


@pytest.mark.parametrize(("number", "name"), [(5, "colour"), (6, "texture")])
@pytest.mark.parametrize(("value", "kept"), [(1e6, True), (-1.0, True), (-1.01, False), (math.nan, False)])
def test_colour_and_texture_have_a_limit(number: int, name: str, value: float, kept: bool) -> None:
    appearance = np.full((1, 7), 1.0)
    appearance[0, number] = value
    detector = lenient(colour=-1.0, texture=-1.0)
    decisions = decide(detector, evidence(f32([0, 1]), f32([0]), appearance=appearance))
    assert decisions.rejected.tolist() == decisions.failed_by(name).tolist() == [not kept]
    assert decisions.reason(0) == ("" if kept else "faint")
    assert decisions.value(name)[0] == pytest.approx(value, nan_ok=True)


def test_a_faint_cell_is_told_to_be_faint_whatever_its_features() -> None:
    appearance = np.zeros((1, 7))
    appearance[0, 5] = -2e6
    decisions = decide(DETECTOR, replace(WRONG_THROUGHOUT, appearance=appearance))
    assert failed(decisions, "confidence", "stability", "margin", "colour") == [True] * 4
    assert decisions.reason(0) == "faint"
    assert decisions.reasons(0) == ["faint", *WRONG]


def test_what_is_not_one_cell_is_told_before_anything_else() -> None:
    decisions = decide(DETECTOR, replace(WRONG_THROUGHOUT, appearance=np.full((1, 7), 2.5)))
    assert failed(decisions, "confidence", "stability", "margin", "wholeness") == [True] * 4
    assert decisions.reason(0) == "not-one-cell"
    assert decisions.reasons(0) == ["not-one-cell", *WRONG]


@pytest.mark.parametrize("broken", [math.nan, -math.inf, math.inf])
def test_logits_that_are_no_numbers_are_rejected(broken: float) -> None:
    with np.errstate(invalid="ignore"):
        decisions = judged(f32([broken, broken]), f32([0, 0]))
    assert decisions.rejected.tolist() == [True]
    assert failed(decisions, "confidence", "stability", "margin") == [False, True, True]


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    decisions = judged(f32([math.log(3), 0], [1000, 0], [-1000, -1000]), f32(*[[0, 0]] * 3))
    np.testing.assert_allclose(decisions.probabilities, [[0.75, 0.25], [1, 0], [0.5, 0.5]], rtol=1e-7)


def test_the_label_is_the_largest_logit_whether_rejected_or_not() -> None:
    decisions = judged(f32([3, -1], [-1, 3]), f32([-99, -99], [0, 0]))
    assert decisions.label.tolist() == [0, 1]
    assert decisions.rejected.tolist() == [True, False]


def test_no_cells_give_no_decisions() -> None:
    decisions = judged(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32))
    assert decisions.label.shape == decisions.value("confidence").shape == decisions.rejected.shape == (0,)
    assert decisions.probabilities.shape == (0, 2)
    assert decisions.values.shape == decisions.failed.shape == (0, len(decisions.limits))
    assert len(decisions) == 0


@given(
    st.lists(st.floats(-1e6, 0, width=32), min_size=1, max_size=20),
    st.floats(-1e6, 1e6),
)
def test_rejected_is_exactly_what_lies_below_the_limit(confidences: list[float], limit: float) -> None:
    seen = evidence(np.zeros((len(confidences), 2)), f32(*[[value] for value in confidences]))
    decisions = decide(lenient(confidence=limit), seen)
    assert decisions.rejected.tolist() == [value < limit for value in confidences]


def test_another_detector_judges_the_same_evidence_by_its_own_weights_and_limits() -> None:
    logits, confidences = f32([0, 1], [2, 1], [0, 0.5]), f32([-2, -1], [-4, -1.5], [-1, -1])
    seen = evidence(logits, confidences, smoothed=f32([0, 1], [1.75, 1], [0, 0.625]))
    limits = {"confidence": -2.0, "margin": 0.25, "stability": 0.125}
    first, other = decide(DETECTOR, seen), decide(lenient(DETECTOR.layers, (1.0, 0.5), 1.0, **limits), seen)
    assert first.value("confidence").tolist() == [-2.0, -4.0, -1.5]
    assert other.value("confidence").tolist() == [-1.5, -3.75, -0.5]
    assert [first.failed_by(name).tolist() for name in limits] == [
        [False, True, False],
        [False, False, True],
        [False, False, False],
    ]
    assert [other.failed_by(name).tolist() for name in limits] == [
        [False, True, False],
        [False, False, False],
        [True, True, False],
    ]
