"""The table of tests: its order, its shares, and how a value is held against a limit."""

import math
from dataclasses import replace

import numpy as np
import pytest
from detectors import any_limits, evidence, lenient

from edge_runtime.decision import table
from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.table import CellTest, Reason

NAMES = [test.name for test in table.TESTS]
ODD = Reason("odd", "odd in some way")


def decisions(values: list[list[float]], limits: list[float]) -> Decisions:
    """Of N cells, from values [N, T] and limits [T]."""
    cells = len(values)
    return Decisions(
        label=np.zeros(cells, np.int64),
        probabilities=np.full((cells, 2), 0.5),
        confidences=np.zeros((cells, 1)),
        appearance=np.zeros((cells, 7)),
        values=np.array(values),
        limits=np.array(limits),
    )


def failing(*names: str) -> Decisions:
    """One cell that fails these tests, where all limits are 0."""
    values = [-test.sign if test.name in names else test.sign for test in table.TESTS]
    return decisions([[float(value) for value in values]], [0.0] * len(NAMES))


def the_crops_first_pixel(red: float) -> CellTest:
    """A test of "at most" that looks at the crops."""
    return CellTest(
        "first pixel",
        ODD,
        lambda seen, _: np.array([float(crop[0, 0, 0]) for crop in seen.crops]),
        fixed=red,
        side="at most",
        seen_by="picture",
    )


def test_the_gravest_stands_first() -> None:
    assert [(test.name, test.reason.code) for test in table.TESTS] == [
        ("small", "smaller"),
        ("large", "larger"),
        ("wholeness", "not-one-cell"),
        ("colour", "faint"),
        ("texture", "faint"),
        ("confidence", "far-from-training"),
        ("stability", "unstable"),
        ("margin", "suspect"),
        ("certainty", "suspect"),
    ]


def test_a_name_is_that_of_one_test_and_a_code_that_of_one_reason() -> None:
    assert len(set(NAMES)) == len(NAMES)
    reasons = {test.reason for test in table.TESTS}
    assert len({reason.code for reason in reasons}) == len(reasons)
    assert len({reason.sentence for reason in reasons}) == len(reasons)


def test_the_shares_of_the_rejected_sum_to_all() -> None:
    assert sum(test.share for test in table.TESTS) == pytest.approx(1)


def test_a_test_has_a_share_or_a_fixed_limit() -> None:
    assert all((test.share > 0) == (test.fixed is None) for test in table.TESTS)


def test_only_what_is_no_whole_cell_does_not_speak_for_an_unusual_slide() -> None:
    assert [test.name for test in table.TESTS if not test.reason.whole] == ["small", "large", "wholeness"]


def test_the_test_that_recalibration_fits_is_in_the_table() -> None:
    assert NAMES.count(table.CONFIDENCE) == 1


def test_what_the_picture_shows_does_not_depend_on_the_network() -> None:
    looks = np.arange(14.0).reshape(2, 7)
    one, other = (
        evidence(np.full((2, 2), number), np.full((2, 1), number), appearance=looks) for number in (1, 2)
    )
    for test in table.TESTS:
        if test.seen_by == "picture":
            assert test.value(one, lenient()).tolist() == test.value(other, lenient()).tolist()


def test_every_value_is_one_column() -> None:
    appearance = np.zeros((3, 7))
    appearance[:, 5:] = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    sizes = np.array([0.5, np.nan, 2.0])
    seen = evidence(
        np.array([[0, 1], [0, 2], [3, 0]]),
        np.array([[7], [8], [9]]),
        appearance=appearance,
        relative_size=sizes,
    )
    measured = table.measure(seen, lenient())
    assert measured.dtype == np.float64
    assert dict(zip(NAMES, measured.T.tolist(), strict=True)) == {
        "small": [0.5, math.inf, 2.0],
        "large": [0.5, -math.inf, 2.0],
        "wholeness": [1.0, 1.0, 1.0],
        "colour": [1.0, 3.0, 5.0],
        "texture": [2.0, 4.0, 6.0],
        "confidence": [7.0, 8.0, 9.0],
        "stability": [0.0, 0.0, 0.0],
        "margin": [1.0, 2.0, 3.0],
        "certainty": [1.0, 2.0, math.inf],
    }
    assert decide(lenient(), seen).values.tolist() == measured.tolist()


def test_limits_are_in_the_order_of_the_table_whatever_that_of_the_detector() -> None:
    limits = {name: float(number) for number, name in enumerate(NAMES)}
    shuffled = replace(lenient(), limits=dict(reversed(limits.items())))
    assert decide(shuffled, evidence(np.zeros((1, 2)), np.zeros((1, 1)))).limits.tolist() == [
        *map(float, range(len(NAMES)))
    ]


@pytest.mark.parametrize("column", range(len(NAMES)), ids=NAMES)
def test_a_value_is_accepted_at_its_limit_and_above(column: int) -> None:
    signs = table.signs()
    values = np.tile(5.0 * signs, (3, 1))
    values[:, column] = signs[column] * np.array([2.0, np.nextafter(2.0, 1.0), np.nextafter(2.0, 3.0)])
    found = decisions(values.tolist(), (2.0 * signs).tolist())
    assert found.failed_by(NAMES[column]).tolist() == found.rejected.tolist() == [False, True, False]
    assert found.failed.sum() == 1
    assert found.reason(1) == table.TESTS[column].reason.code


@pytest.mark.parametrize("column", range(len(NAMES)), ids=NAMES)
@pytest.mark.parametrize("side", ["at least", "at most"])
def test_a_value_or_a_limit_that_is_no_number_fails(
    column: int, side: table.Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = list(table.TESTS)
    tests[column] = replace(tests[column], side=side)
    monkeypatch.setattr(table, "TESTS", tuple(tests))
    sound = [1.0] * len(NAMES)
    broken = [*sound[:column], math.nan, *sound[column + 1 :]]
    of_value, of_limit = decisions([sound, broken], sound), decisions([sound, sound], broken)
    assert of_value.rejected.tolist() == of_value.failed_by(NAMES[column]).tolist() == [False, True]
    assert of_limit.rejected.tolist() == of_limit.failed_by(NAMES[column]).tolist() == [True, True]
    assert of_value.failed.sum() == 1
    assert of_limit.failed.sum() == 2
    assert of_value.reasons(1) == of_limit.reasons(0) == [tests[column].reason.code]


def test_of_a_test_of_the_other_side_small_values_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "TESTS", (the_crops_first_pixel(100.0), *table.TESTS))
    assert table.TESTS[0].sign == -1
    crops = np.zeros((3, 4, 4, 3), np.uint8)
    crops[:, 0, 0, 0] = [99, 100, 101]
    seen = replace(evidence(np.zeros((3, 2)), np.zeros((3, 1))), crops=crops)
    found = decide(lenient(**{"first pixel": 100.0}), seen)
    assert found.value("first pixel").tolist() == [99.0, 100.0, 101.0]
    assert found.rejected.tolist() == found.failed_by("first pixel").tolist() == [False, False, True]
    assert [found.reason(cell) for cell in range(3)] == ["", "", "odd"]


@pytest.mark.parametrize("side", ["at least", "at most"])
def test_an_infinite_value_fails_on_one_side_only(side: table.Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "TESTS", (replace(the_crops_first_pixel(0.0), side=side),))
    found = decisions([[-math.inf], [math.inf]], [0.0])
    assert found.rejected.tolist() == [side == "at least", side == "at most"]


def test_what_the_detector_says_is_the_limit_and_a_detector_without_one_decides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fixed limit, too, stands in the manifest: who reads a bundle must see all that it decides by."""
    known = any_limits()
    monkeypatch.setattr(table, "TESTS", (*table.TESTS, the_crops_first_pixel(100.0)))
    seen = evidence(np.zeros((1, 2)), np.zeros((1, 1)))
    found = decide(lenient(**{"first pixel": 100.0}), seen)
    assert found.limits[-1] == 100.0
    with pytest.raises(KeyError, match="first pixel"):
        decide(replace(lenient(), limits=known), seen)


def test_all_reasons_are_told_the_gravest_first_each_once() -> None:
    assert failing().reasons(0) == []
    assert failing("texture").reasons(0) == failing("colour").reasons(0) == ["faint"]
    assert failing("colour", "texture").reasons(0) == ["faint"]
    assert failing("margin", "texture", "colour").reasons(0) == ["faint", "suspect"]
    everything = failing(*NAMES)
    assert everything.failed.all()
    assert everything.reasons(0) == [
        "smaller",
        "larger",
        "not-one-cell",
        "faint",
        "far-from-training",
        "unstable",
        "suspect",
    ]
    assert everything.reason(0) == "smaller"


def test_reasons_follow_the_order_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "TESTS", tuple(reversed(table.TESTS)))
    everything = failing(*NAMES)
    assert everything.reason(0) == "suspect"
    assert everything.reasons(0)[-1] == "smaller"


def test_a_test_that_is_not_in_the_table_has_no_value() -> None:
    with pytest.raises(ValueError, match="steadiness"):
        failing().value("steadiness")


def test_an_empty_table_accepts_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "TESTS", ())
    found = decide(lenient(), evidence(np.zeros((2, 2)), np.zeros((2, 1))))
    assert found.values.shape == (2, 0)
    assert not found.rejected.any()


@pytest.mark.parametrize(
    ("size", "reasons"),
    [(0.54, ["smaller"]), (0.55, []), (1.6, []), (1.61, ["larger"]), (math.nan, [])],
)
def test_a_size_is_judged_where_a_frame_tells_it(size: float, reasons: list[str]) -> None:
    seen = evidence(np.zeros((1, 2)), np.zeros((1, 1)), relative_size=np.array([size]))
    found = decide(lenient(small=0.55, large=1.6), seen)
    assert found.reasons(0) == reasons
    assert ("small" in found.values_of(0)) == ("large" in found.values_of(0)) == (not math.isnan(size))
