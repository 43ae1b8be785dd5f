"""How differences are measured, on numbers that can be checked by hand."""

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.bundle.parity import (
    EXACT_LIMIT,
    SCORE_LIMIT,
    Check,
    all_passed,
    decision_flips,
    relative_error,
    relative_error_each,
    sign_disagreement,
    value_checks,
)
from edge_runtime.decision import table
from edge_runtime.decision.decide import Decisions


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


LIMITS = {"confidence": 2.0, "margin": 1.0}  # of all others 0


def decisions(labels: list[int], *, torn: tuple[float, ...] = (3.0,) * 4, **values: list[float]) -> Decisions:
    """Of four cells: by how much the logits differ, and the values of tests, where those left out are 5."""
    columns = [values.get(test.name, [5.0] * 4) for test in table.TESTS]
    towards = np.array([[1.0, math.exp(-difference)] for difference in torn])
    return Decisions(
        label=np.array(labels),
        probabilities=towards / towards.sum(axis=1, keepdims=True),
        confidences=np.zeros((4, 1)),
        appearance=np.zeros((4, 7)),
        values=np.column_stack(columns),
        limits=np.array([LIMITS.get(test.name, 0.0 if test.sign > 0 else 10.0) for test in table.TESTS]),
    )


def flipped(theirs: Decisions, labels: list[int], **cells: Collection[int]) -> Decisions:
    """The same cells with these labels, of which some have another answer of a test, far from its limit."""
    values = theirs.values.copy()
    for column, test in enumerate(table.TESTS):
        for cell in cells.get(test.name, ()):
            values[cell, column] = 9.0 if theirs.failed[cell, column] else -9.0
    return replace(theirs, label=np.array(labels), values=values)


# A confidence at its limit, a margin at its limit, and one so small that the class could be the other.
THEIRS = decisions(
    [0, 0, 0, 1],
    torn=(3.0, 1.004, 0.004, 3.0),
    confidence=[2.004, 5.0, 5.0, 5.0],
    margin=[3.0, 1.004, 0.004, 3.0],
)


def test_the_reference_rejects_what_is_torn_between_the_classes_alone() -> None:
    assert THEIRS.rejected.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("labels", "far", "ambiguous", "expected"),
    [
        pytest.param([0, 0, 0, 1], [], [], (0, 0), id="the same"),
        pytest.param([0, 0, 0, 1], [0], [], (0, 1), id="confidence at the limit"),
        pytest.param([0, 0, 0, 1], [1], [], (1, 0), id="confidence far from it"),
        pytest.param([0, 0, 0, 1], [], [1], (0, 1), id="margin at the limit"),
        pytest.param([0, 0, 0, 1], [], [0], (1, 0), id="margin far from it"),
        pytest.param([0, 0, 0, 1], [], [2], (1, 0), id="margin far from it, accepted instead of rejected"),
        pytest.param([0, 0, 1, 1], [], [], (0, 1), id="torn between classes"),
        pytest.param([1, 0, 0, 1], [], [], (1, 0), id="class, with a borderline confidence"),
        pytest.param([0, 0, 0, 1], [2], [], (1, 0), id="far, with torn classes"),
        pytest.param([1, 0, 0, 1], [0], [], (1, 0), id="one excused, one not"),
        pytest.param([0, 0, 1, 1], [0], [1], (0, 3), id="three borderline ones"),
        pytest.param([1, 1, 0, 0], [0, 1, 2, 3], [], (4, 0), id="all"),
    ],
)
def test_only_a_borderline_cell_may_be_decided_otherwise(
    labels: list[int], far: list[int], ambiguous: list[int], expected: tuple[int, int]
) -> None:
    ours = flipped(THEIRS, labels, confidence=far, margin=ambiguous)
    assert decision_flips(ours, THEIRS, tolerance=0.005) == expected


@pytest.mark.parametrize("test", ["wholeness", "colour", "texture", "stability"])
@pytest.mark.parametrize(("theirs", "expected"), [(0.004, (0, 1)), (0.4, (1, 0))])
def test_every_test_may_be_judged_otherwise_at_its_limit_alone(
    test: str, theirs: float, expected: tuple[int, int]
) -> None:
    ours, reference = (decisions([0] * 4, **{test: [first, 1.0, 1.0, 1.0]}) for first in (-0.004, theirs))
    assert decision_flips(ours, reference, tolerance=0.005) == expected


def test_what_is_near_is_relative_to_a_large_value() -> None:
    ours, reference = (decisions([0] * 4, colour=[first, 1.0, 1.0, 1.0]) for first in (999.0, 1001.0))
    limits = np.array([1000.0 if test.name == "colour" else 0.0 for test in table.TESTS])
    ours, reference = (replace(one, limits=limits) for one in (ours, reference))
    assert decision_flips(ours, reference, tolerance=0.005) == (0, 1)
    assert decision_flips(ours, reference, tolerance=0.0005) == (1, 0)


def test_a_reference_without_a_number_excuses_nothing() -> None:
    ours, reference = (decisions([0] * 4, stability=[first, 1.0, 1.0, 1.0]) for first in (1.0, math.nan))
    assert decision_flips(ours, reference, tolerance=0.005) == (1, 0)


def test_a_class_of_no_probability_at_all_is_far_from_the_other() -> None:
    """As softmax leaves it where the logits differ by a thousand."""
    theirs = replace(THEIRS, probabilities=np.array([[1.0, 0.0]] * 4))
    assert decision_flips(flipped(theirs, [1, 0, 0, 1]), theirs, tolerance=0.005) == (1, 0)


def test_the_values_of_every_test_are_checked_by_its_name() -> None:
    checks = value_checks(THEIRS, THEIRS, "frame: ")
    assert [(check.name, check.limit) for check in checks] == [
        (f"frame: value of {test.name}", SCORE_LIMIT if test.name == "confidence" else EXACT_LIMIT)
        for test in table.TESTS
    ]
    assert all(check.value == 0 for check in checks)


@pytest.mark.parametrize("test", table.TESTS, ids=lambda test: test.name)
@pytest.mark.parametrize("wrong", [0.5, math.nan])
def test_a_value_that_differs_is_told_by_its_test(test: table.CellTest, wrong: float) -> None:
    values = [5.0, 5.0, 5.0, 5.0 + wrong]
    ours = decisions([0] * 4, **{test.name: values})
    found = value_checks(ours, decisions([0] * 4))
    assert [check.name for check in found if not check.passed] == [f"value of {test.name}"]
