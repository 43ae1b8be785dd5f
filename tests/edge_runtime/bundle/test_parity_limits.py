"""How differences are measured, on numbers that can be checked by hand."""

import math

import numpy as np
import pytest
from detectors import ANY, inside

from edge_runtime.bundle.parity import (
    Check,
    all_passed,
    decision_flips,
    relative_error,
    relative_error_each,
    sign_disagreement,
)
from edge_runtime.decision.decide import Decisions, Detector


def test_relative_error_is_the_worst_examples_distance_over_its_length() -> None:
    theirs = np.array([[3.0, 4.0], [0.1, 0.0]])
    # Lengths 5 and 0.1, the latter counted as 1; differences 1 and 0.3.
    assert relative_error(theirs + np.array([[1.0, 0.0], [0.0, 0.3]]), theirs) == pytest.approx(0.3)
    assert relative_error(theirs + np.array([[2.0, 0.0], [0.0, 0.3]]), theirs) == pytest.approx(0.4)


def test_relative_error_each_takes_every_element_by_its_own_size() -> None:
    theirs = np.array([[1000.0, 2.0]])
    assert relative_error_each(theirs + np.array([[1.0, 0.1]]), theirs) == pytest.approx(0.05)


def test_another_shape_is_infinitely_far() -> None:
    assert relative_error(np.zeros((2, 3)), np.zeros((2, 4))) == math.inf
    assert relative_error_each(np.zeros((2, 3)), np.zeros((3, 2))) == math.inf


def test_nothing_differs_from_nothing() -> None:
    assert relative_error(np.zeros((0, 3)), np.zeros((0, 3))) == 0
    assert relative_error_each(np.zeros((0, 3)), np.zeros((0, 3))) == 0


def test_a_value_that_is_no_number_never_passes() -> None:
    broken = np.array([[math.nan, 1.0]])
    for error in (relative_error(broken, np.ones((1, 2))), relative_error_each(broken, np.ones((1, 2)))):
        assert not Check("x", error, 1.0).passed


def test_signs_are_counted_and_zero_is_a_sign_of_its_own() -> None:
    assert sign_disagreement(np.array([1.0, -2.0, 0.0, 5.0]), np.array([1, -1, 1, -1])) == 0.5


def test_a_check_passes_up_to_its_limit() -> None:
    assert Check("at", 0.1, 0.1).passed
    assert not Check("over", 0.11, 0.1).passed
    assert str(Check("over", 0.11, 0.1)).startswith("FAIL over")
    assert str(Check("at", 0.1, 0.1)).startswith("ok   at")
    assert all_passed([Check("at", 0.1, 0.1)])
    assert not all_passed([Check("at", 0.1, 0.1), Check("over", 0.11, 0.1)])


def decisions(
    labels: list[int],
    far: list[bool],
    ambiguous: list[bool],
    score: list[float],
    margin: list[float],
    wholeness: tuple[float, ...] = (1.0,) * 4,
    colour: tuple[float, ...] = (1.0,) * 4,
    stability: tuple[float, ...] = (1.0,) * 4,
) -> Decisions:
    return Decisions(
        label=np.array(labels),
        probabilities=np.full((len(labels), 2), 0.5),
        confidences=np.zeros((len(labels), 1)),
        score=np.array(score),
        margin=np.array(margin),
        stability=np.array(stability),
        appearance=np.column_stack([inside(len(labels))[:, :5], colour, np.ones(len(labels))]),
        wholeness=np.array(wholeness),
        far=np.array(far),
        ambiguous=np.array(ambiguous),
        unstable=np.array(stability) < 0,
        not_one_cell=np.array(wholeness) < 0,
        faint=np.array(colour) < 0,
    )


NONE = [False] * 4
DETECTOR = Detector(("stem",), 0.0, (1.0,), 0.0, 2.0, 1.0, 0.0, *ANY[:2], least_colour=0.0, least_texture=0.0)
# A score at its threshold, a margin at the least one, and one so small that the class could be the other.
THEIRS = decisions([0, 0, 0, 1], NONE, NONE, [2.004, 5.0, 5.0, 5.0], [3.0, 1.004, 0.004, 3.0])


@pytest.mark.parametrize(
    ("labels", "far", "ambiguous", "expected"),
    [
        pytest.param([0, 0, 0, 1], NONE, NONE, (0, 0), id="the same"),
        pytest.param([0, 0, 0, 1], [True, False, False, False], NONE, (0, 1), id="score at the threshold"),
        pytest.param([0, 0, 0, 1], [False, True, False, False], NONE, (1, 0), id="score far from it"),
        pytest.param([0, 0, 0, 1], NONE, [False, True, False, False], (0, 1), id="margin at the least"),
        pytest.param([0, 0, 0, 1], NONE, [True, False, False, False], (1, 0), id="margin far from it"),
        pytest.param([0, 0, 1, 1], NONE, NONE, (0, 1), id="torn between classes"),
        pytest.param([1, 0, 0, 1], NONE, NONE, (1, 0), id="class, with a borderline score"),
        pytest.param([0, 0, 0, 1], [False, False, True, False], NONE, (1, 0), id="far, with torn classes"),
        pytest.param([1, 0, 0, 1], [True, False, False, False], NONE, (1, 0), id="one excused, one not"),
        pytest.param([1, 1, 0, 0], [True] * 4, NONE, (4, 0), id="all"),
    ],
)
def test_only_a_borderline_cell_may_be_decided_otherwise(
    labels: list[int], far: list[bool], ambiguous: list[bool], expected: tuple[int, int]
) -> None:
    ours = decisions(labels, far, ambiguous, [0.0] * 4, [0.5] * 4)
    assert decision_flips(ours, THEIRS, DETECTOR, tolerance=0.005) == expected


@pytest.mark.parametrize("test", ["wholeness", "colour", "stability"])
@pytest.mark.parametrize(("theirs", "expected"), [(0.004, (0, 1)), (0.4, (1, 0))])
def test_a_look_or_a_stability_at_its_limit_may_be_judged_otherwise(
    test: str, theirs: float, expected: tuple[int, int]
) -> None:
    one, other = (
        decisions([0] * 4, NONE, NONE, [5.0] * 4, [3.0] * 4, **{test: (first, 1.0, 1.0, 1.0)})
        for first in (-0.004, theirs)
    )
    assert decision_flips(one, other, DETECTOR, tolerance=0.005) == expected
