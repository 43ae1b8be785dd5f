"""What each test looks at, on numbers that can be checked by hand."""

from dataclasses import replace

import numpy as np
import pytest
from detectors import evidence, lenient

from edge_runtime.decision import values
from edge_runtime.decision.values import margins, within


def f32(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def stability(logits: np.ndarray, smoothed: np.ndarray) -> np.ndarray:
    seen = evidence(logits, np.zeros((len(logits), 1)), smoothed=smoothed)
    return values.stability(seen, lenient())


def test_the_margin_is_what_parts_the_two_largest_logits() -> None:
    three = f32([5, -1, 4.5], [-3, -3, 7])
    assert margins(three).tolist() == [0.5, 10.0]
    # Where the softmax has long saturated, margins still differ.
    assert margins(f32([60, 0], [0, 70])).tolist() == [60.0, 70.0]


def test_the_margin_is_how_much_surer_one_side_is_than_the_other() -> None:
    seen = evidence(f32([5, 1], [2, 4.5]), np.zeros((2, 1)))
    assert values.margin(seen, lenient()).tolist() == [4.0, 2.5]
    # With three classes, two of which count as parasitized, it matters little which of the two it is.
    three = f32([0, 3, 3], [5, 0, 0])
    odds = [3 + np.log(2), 5 - np.log(2)]
    detector = replace(lenient(), parasitized=(1, 2))
    assert values.margin(evidence(three, np.zeros((2, 1))), detector) == pytest.approx(odds)


def test_certainty_is_for_cells_that_are_called_parasitized_alone() -> None:
    seen = evidence(f32([5, 1], [2, 4.5]), np.zeros((2, 1)))
    assert values.certainty(seen, lenient()).tolist() == [np.inf, 2.5]
    # Called by its largest logit, even where all that is not parasitized is surer together.
    three = f32([2, 2, 2.5])
    detector = replace(lenient(), parasitized=(2,))
    assert values.certainty(evidence(three, np.zeros((1, 1))), detector) == pytest.approx(0.5 - np.log(2))


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


def test_wholeness_is_that_of_the_worst_number() -> None:
    low, high = np.array([0.0, -1.0, 0.0, 0.0, 10.0]), np.array([1.0, 1.0, 4.0, 2.0, 20.0])
    middle = [0.5, 0.0, 2.0, 1.0, 15.0]
    at_limit, outside = [1.0, *middle[1:]], [*middle[:4], 22.5]
    looks = np.array([[*outline, 99.0, -99.0] for outline in (middle, at_limit, outside)])
    assert within(looks, low, high).tolist() == [1.0, 0.0, -0.5]


def test_wholeness_is_measured_in_the_detectors_range() -> None:
    looks = np.array([[0.0] * 5 + [9.0, 9.0], [0.0, 3.0, 0.0, 0.0, 0.0, 9.0, 9.0]])
    seen = evidence(np.zeros((2, 2)), np.zeros((2, 1)), appearance=looks)
    assert values.wholeness(seen, lenient(outline=(-2.0, 2.0))).tolist() == [1.0, -0.5]


def test_colour_and_texture_are_the_last_numbers_of_the_picture() -> None:
    seen = evidence(np.zeros((1, 2)), np.zeros((1, 1)), appearance=np.arange(7.0)[None])
    assert values.colour(seen, lenient()).tolist() == [5.0]
    assert values.texture(seen, lenient()).tolist() == [6.0]
