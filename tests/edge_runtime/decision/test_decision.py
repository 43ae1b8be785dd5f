"""The one decision, on numbers that can be checked by hand."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from detectors import ANY, UNMOST_STABLE, inside, stable
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.decision.decide import (
    DECIDING,
    Decisions,
    Detector,
    Outputs,
    decide,
    decide_again,
    margins,
    stability,
    vividness,
)

DETECTOR = Detector(
    ("stem", "layer1"),
    epsilon=0.0,
    weights=(0.5, 2.0),
    bias=1.0,
    threshold=-3.0,
    least_margin=0.75,
    least_stability=-0.5,
    outline_low=ANY[0],
    outline_high=ANY[1],
    least_colour=ANY[2],
    least_texture=ANY[3],
)


def only_features(threshold: float) -> Detector:
    """One layer, and any margin will do."""
    return Detector(("stem",), 0.0, (1.0,), 0.0, threshold, 0.0, UNMOST_STABLE, *ANY)


def judged(detector: Detector, logits: np.ndarray, confidences: np.ndarray) -> Decisions:
    """Of cells whose looks are all in order, and that smoothing does not change."""
    return decide(detector, stable(logits, confidences), inside(len(logits)))


def f32(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_score_is_the_weighted_sum_of_the_layers_plus_the_bias() -> None:
    decisions = judged(DETECTOR, f32([0, 1], [2, 1]), f32([-2, -1], [-4, -1.5]))
    assert decisions.score.tolist() == [-2.0, -4.0]
    assert decisions.score.dtype == np.float64
    assert decisions.confidences.tolist() == [[-2.0, -1.0], [-4.0, -1.5]]


def test_a_score_at_the_threshold_is_accepted_and_just_below_is_not() -> None:
    below = np.nextafter(np.float32(-8), np.float32(-9))
    decisions = judged(DETECTOR, f32([0, 1], [0, 1]), f32([-8, 0], [below, 0]))
    assert decisions.rejected.tolist() == [False, True]
    assert [decisions.reason(0), decisions.reason(1)] == ["", "far-from-training"]


@pytest.mark.parametrize("broken", [math.nan, -math.inf])
def test_a_score_that_is_no_number_is_rejected(broken: float) -> None:
    decisions = judged(DETECTOR, f32([0, 1]), f32([broken, 0]))
    assert decisions.rejected.tolist() == [True]
    assert decisions.reason(0) == "far-from-training"


def test_a_threshold_that_is_no_number_rejects_everything() -> None:
    assert judged(only_features(math.nan), f32([0, 1]), f32([5])).rejected.all()
    for limit in ("least_margin", "least_stability"):
        assert judged(replace(DETECTOR, **{limit: math.nan}), f32([0, 1]), f32([0, 0])).rejected.all()


def test_the_margin_is_what_parts_the_two_largest_logits() -> None:
    three = f32([5, -1, 4.5], [-3, -3, 7])
    assert margins(three).tolist() == [0.5, 10.0]
    # Where the softmax has long saturated, margins still differ.
    assert margins(f32([60, 0], [0, 70])).tolist() == [60.0, 70.0]


def test_a_margin_at_the_least_one_is_accepted_and_just_below_is_not() -> None:
    below = np.nextafter(np.float32(0.75), np.float32(0))
    decisions = judged(DETECTOR, f32([0.75, 0], [0, below]), f32(*[[0, 0]] * 2))
    assert decisions.rejected.tolist() == [False, True]
    assert [decisions.reason(0), decisions.reason(1)] == ["", "ambiguous"]
    assert not decisions.far.any()


def test_stability_is_what_smoothing_adds_to_the_margin_of_the_class_that_was_found() -> None:
    logits, smoothed = f32([3, 1], [1, 4], [0, 2]), f32([2.5, 1], [1, 4.5], [3, 2])
    # Margins of 2, 3 and 2; of the same classes, smoothed, 1.5, 3.5 and, of a class that lost, -1.
    assert stability(logits, smoothed).tolist() == [-0.5, 0.5, -3.0]
    assert stability(logits, smoothed).dtype == np.float64
    assert stability(logits, logits).tolist() == [0.0, 0.0, 0.0]


def test_with_three_classes_the_best_of_the_others_may_be_another_one_afterwards() -> None:
    logits = f32([5, 4, 1], [0, 2, 7], [-1, -2, -3])
    smoothed = f32([5, 1, 3], [6, 0, 5.5], [-9, -4, -8])
    # 5 - 4 = 1 and 5 - 3 = 2; 7 - 2 = 5 and 5.5 - 6 = -0.5; -1 - -2 = 1 and -9 - -4 = -5.
    assert stability(logits, smoothed).tolist() == [1.0, -5.5, -6.0]
    assert smoothed.tolist() == [[5, 1, 3], [6, 0, 5.5], [-9, -4, -8]]  # not written into


def test_a_stability_at_the_least_one_is_accepted_and_just_below_is_not() -> None:
    below = np.nextafter(np.float32(1.5), np.float32(0))
    said = Outputs(f32([0, 2], [0, 2]), f32([0, 1.5], [0, below]), f32(*[[0, 0]] * 2))
    decisions = decide(DETECTOR, said, inside(2))
    assert decisions.rejected.tolist() == decisions.unstable.tolist() == [False, True]
    assert [decisions.reason(0), decisions.reason(1)] == ["", "unstable"]


@pytest.mark.parametrize("smoothed", [[math.nan, 0], [0, math.nan], [math.nan] * 2, [math.inf] * 2])
def test_smoothed_logits_that_are_no_numbers_are_rejected(smoothed: list[float]) -> None:
    with np.errstate(invalid="ignore"):
        decisions = decide(DETECTOR, Outputs(f32([0, 9]), f32(smoothed), f32([0, 0])), inside(1))
    assert decisions.rejected.tolist() == [True]
    assert decisions.reason(0) == "unstable"


# Far, unstable and ambiguous at once.
WRONG_THROUGHOUT = Outputs(f32([0, 0.5]), f32([0.5, 0]), f32([-99, -99]))


def test_of_several_reasons_the_graver_one_is_told() -> None:
    everything, near = WRONG_THROUGHOUT, f32([0, 0])
    decisions = decide(DETECTOR, everything, inside(1))
    assert (decisions.far[0], decisions.unstable[0], decisions.ambiguous[0]) == (True, True, True)
    assert decisions.reason(0) == "far-from-training"
    assert decide(DETECTOR, replace(everything, confidences=near), inside(1)).reason(0) == "unstable"
    assert judged(DETECTOR, everything.logits, near).reason(0) == "ambiguous"


def test_outputs_are_picked_by_name() -> None:
    named = {name: np.full((2, 2), number, np.float64) for number, name in enumerate(DECIDING)}
    said = Outputs.of(named | {"distances": np.zeros(5)})
    assert (said.logits == 0).all()
    assert (said.smoothed == 1).all()
    assert (said.confidences == 2).all()
    assert {getattr(said, field.name).dtype for field in fields(said)} == {np.dtype(np.float32)}
    assert DECIDING == ("logits", "logits.smoothed", "confidences")


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(
    ("value", "kept"), [(-1.0, True), (3.0, True), (-1.01, False), (3.01, False), (math.nan, False)]
)
def test_every_number_of_the_outline_has_its_limits(number: int, value: float, kept: bool) -> None:
    detector = replace(DETECTOR, outline_low=(-1.0,) * 5, outline_high=(3.0,) * 5)
    appearance = np.full((1, 7), 1.0)
    appearance[0, number] = value
    decisions = decide(detector, stable(f32([0, 1]), f32([0, 0])), appearance)
    assert decisions.rejected.tolist() == [not kept]
    assert decisions.reason(0) == ("" if kept else "not-one-cell")
    assert decisions.wholeness[0] == pytest.approx(1 - abs(value - 1) / 2, nan_ok=True)


@pytest.mark.parametrize("number", [5, 6])
@pytest.mark.parametrize(("value", "kept"), [(1e6, True), (-1.0, True), (-1.01, False), (math.nan, False)])
def test_colour_and_texture_have_a_least_value(number: int, value: float, kept: bool) -> None:
    appearance = np.full((1, 7), 1.0)
    appearance[0, number] = value
    detector = replace(DETECTOR, least_colour=-1.0, least_texture=-1.0)
    decisions = decide(detector, stable(f32([0, 1]), f32([0, 0])), appearance)
    assert decisions.rejected.tolist() == [not kept]
    assert decisions.reason(0) == ("" if kept else "faint")
    assert vividness(detector, appearance)[0] == pytest.approx(min(value + 1, 2.0), nan_ok=True)


def test_a_faint_cell_is_told_to_be_faint_whatever_its_features() -> None:
    appearance = np.zeros((1, 7))
    appearance[0, 5] = -2e6
    decisions = decide(DETECTOR, WRONG_THROUGHOUT, appearance)
    assert (decisions.far[0], decisions.unstable[0], decisions.ambiguous[0]) == (True, True, True)
    assert decisions.faint[0]
    assert decisions.reason(0) == "faint"


def test_what_is_not_one_cell_is_told_before_anything_else() -> None:
    decisions = decide(DETECTOR, WRONG_THROUGHOUT, np.full((1, 7), 2e6))
    assert (decisions.far[0], decisions.unstable[0], decisions.ambiguous[0]) == (True, True, True)
    assert decisions.not_one_cell[0]
    assert decisions.reason(0) == "not-one-cell"


@pytest.mark.parametrize("broken", [math.nan, -math.inf, math.inf])
def test_logits_that_are_no_numbers_are_rejected(broken: float) -> None:
    with np.errstate(invalid="ignore"):
        decisions = judged(DETECTOR, f32([broken, broken]), f32([0, 0]))
    assert decisions.rejected.tolist() == [True]
    assert (decisions.far[0], decisions.unstable[0], decisions.ambiguous[0]) == (False, True, True)


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    decisions = judged(DETECTOR, f32([math.log(3), 0], [1000, 0], [-1000, -1000]), f32(*[[0, 0]] * 3))
    np.testing.assert_allclose(decisions.probabilities, [[0.75, 0.25], [1, 0], [0.5, 0.5]], rtol=1e-7)


def test_the_label_is_the_largest_logit_whether_rejected_or_not() -> None:
    decisions = judged(DETECTOR, f32([3, -1], [-1, 3]), f32([-99, -99], [0, 0]))
    assert decisions.label.tolist() == [0, 1]
    assert decisions.rejected.tolist() == [True, False]


def test_no_cells_give_no_decisions() -> None:
    decisions = judged(DETECTOR, np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32))
    assert decisions.label.shape == decisions.score.shape == decisions.rejected.shape == (0,)
    assert decisions.probabilities.shape == (0, 2)


@given(
    st.lists(st.floats(-1e6, 0, width=32), min_size=1, max_size=20),
    st.floats(-1e6, 1e6),
)
def test_rejected_is_exactly_what_scores_below_the_threshold(scores: list[float], threshold: float) -> None:
    decisions = judged(
        only_features(threshold), np.zeros((len(scores), 2), np.float32), f32(*[[s] for s in scores])
    )
    assert decisions.rejected.tolist() == [score < threshold for score in scores]


def test_deciding_again_is_what_the_other_detector_would_have_decided() -> None:
    logits, confidences = f32([0, 1], [2, 1], [0, 0.5]), f32([-2, -1], [-4, -1.5], [-1, -1])
    said = Outputs(logits, f32([0, 1], [1.75, 1], [0, 0.625]), confidences)
    limits = {"threshold": -2.0, "least_margin": 0.25, "least_stability": 0.125}
    other = replace(DETECTOR, weights=(1.0, 0.5), **limits)
    again, at_once = (
        decide_again(other, decide(DETECTOR, said, inside(3))),
        decide(other, said, inside(3)),
    )
    assert at_once.unstable.tolist() == [True, True, False]
    for field in fields(Decisions):
        assert np.array_equal(getattr(again, field.name), getattr(at_once, field.name))
