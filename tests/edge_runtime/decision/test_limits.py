"""How the tests share what may be rejected, and that together they reject what was asked."""

from dataclasses import replace

import numpy as np
import pytest
from detectors import lenient
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_runtime.decision import table
from edge_runtime.decision.conformal import conformal_limit
from edge_runtime.decision.decide import decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.decision.limits import (
    SWOLLEN,
    Strictness,
    fit_limits,
    outline_range,
    size_limits,
    with_pictures,
)
from edge_runtime.decision.table import CellTest, Reason
from edge_runtime.decision.values import within
from edge_runtime.errors import CheckFailedError

Array = NDArray[np.float64]

CALIBRATED = tuple(test for test in table.TESTS if test.fixed is None)
NAMES = [test.name for test in CALIBRATED]
SHARES = np.array([test.share for test in CALIBRATED])


@pytest.fixture(autouse=True)
def calibrated_tests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table without the tests whose limits are not shared out."""
    monkeypatch.setattr(table, "TESTS", CALIBRATED)


def six_tests(cells: int, seed: int) -> Array:
    """Values in the order of the table, on scales of their own, as in truth."""
    rng = np.random.default_rng(seed)
    whole, colour, texture = (
        1 - rng.gamma(2, 0.2, cells),
        rng.normal(-6, 0.9, cells),
        rng.normal(-7, 0.6, cells),
    )
    confidence, stable = -40 * rng.chisquare(5, cells) + 7, 0.1 - rng.gamma(2, 0.3, cells)
    return np.column_stack([whole, colour, texture, confidence, stable, rng.gamma(3, 2.0, cells)])


def limits_of(strictness: Strictness, joint: float) -> Array:
    """In the order of the table."""
    return np.array([strictness.limits(joint)[test.name] for test in table.TESTS])


def with_test(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """The table with a test "red" of the crops' mean red at its end."""
    red = CellTest(
        "red",
        Reason("red", "red in some way"),
        lambda seen, _: np.array([crop[..., 0].mean() for crop in seen.crops]),
        seen_by="picture",
    )
    monkeypatch.setattr(table, "TESTS", (*table.TESTS, replace(red, **changes)))  # type: ignore[arg-type]


def test_each_test_rejects_its_share_and_together_what_was_asked() -> None:
    strictness = Strictness.of(list(six_tests(40_000, 0).T), 0.05)
    setting, new = six_tests(40_000, 1), six_tests(200_000, 2)
    joint = conformal_limit(strictness.joint(setting), 0.05)
    below = new < limits_of(strictness, joint)
    assert below.any(axis=1).mean() == pytest.approx(0.05, abs=0.004)
    assert below.mean(axis=0) == pytest.approx(0.05 * SHARES, abs=0.004)
    # A cell is rejected exactly where its worst test falls below the joint limit.
    assert ((strictness.joint(new) < joint) == below.any(axis=1)).mean() > 0.9999


def test_the_unit_does_not_matter() -> None:
    tests, scale, shift = (
        six_tests(500, 0),
        np.array([2.0, 0.3, 1.5, 0.01, 7.0, 30.0]),
        np.array([0.5, 7.0, -1.0, 5.0, 3.0, -2.0]),
    )
    new = six_tests(100, 1)
    scaled = Strictness.of(list((tests * scale + shift).T), 0.1)
    assert scaled.joint(new * scale + shift) == pytest.approx(Strictness.of(list(tests.T), 0.1).joint(new))


def test_each_test_is_measured_on_its_own_cells() -> None:
    columns = list(six_tests(500, 0).T)
    more = np.concatenate([columns[1], np.full(400, -9.0)])
    found = Strictness.of([columns[0], more, *columns[2:]], 0.1)
    apart = Strictness.of([more] * len(columns), 0.1)
    plain = Strictness.of(columns, 0.1)
    assert found.middle[1] == np.median(more) == apart.middle[1]
    assert found.unit[1] == pytest.approx(np.median(more) - np.quantile(more, 0.1 * SHARES[1]))
    others = np.arange(len(columns)) != 1
    assert found.middle[others].tolist() == plain.middle[others].tolist()
    assert found.unit[others].tolist() == plain.unit[others].tolist()


@pytest.mark.parametrize("column", range(len(NAMES)), ids=NAMES)
def test_values_that_do_not_differ_are_refused_by_the_tests_name(column: int) -> None:
    tests = six_tests(100, 0)
    tests[:, column] = 1.0
    with pytest.raises(CheckFailedError, match=f"'{NAMES[column]}' do not differ.*train longer"):
        Strictness.of(list(tests.T), 0.05)


@pytest.mark.parametrize("column", range(len(NAMES)), ids=NAMES)
def test_a_test_of_the_other_side_is_the_same_turned_round(
    column: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, new = six_tests(500, 0), six_tests(100, 1)
    plain = Strictness.of(list(seen.T), 0.1)
    joint, limits = plain.joint(new), limits_of(plain, -1.1)
    tests, turned = list(table.TESTS), np.where(np.arange(len(NAMES)) == column, -1.0, 1.0)
    tests[column] = replace(tests[column], side="at most")
    monkeypatch.setattr(table, "TESTS", tuple(tests))
    other = Strictness.of(list((seen * turned).T), 0.1)
    assert other.joint(new * turned) == pytest.approx(joint)
    assert limits_of(other, -1.1) == pytest.approx(limits * turned)


def test_a_fixed_limit_stays_and_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, new = six_tests(500, 0), six_tests(100, 1)
    plain = Strictness.of(list(seen.T), 0.1)
    joint, drawn = plain.joint(new), {strict: plain.limits(strict) for strict in (-3.0, 0.0, 2.0)}
    with_test(monkeypatch, fixed=0.5)
    found = Strictness.of([*seen.T, np.ones(500)], 0.1)  # also where its values do not differ
    for value in (0.0, 1.0):
        assert found.joint(np.column_stack([new, np.full(100, value)])).tolist() == joint.tolist()
    for strict, limits in drawn.items():
        assert found.limits(strict) == {**limits, "red": 0.5}


@pytest.mark.parametrize("column", range(len(NAMES)), ids=NAMES)
def test_without_a_test_the_others_are_as_strict_as_before(column: int) -> None:
    strictness = Strictness.of(list(six_tests(500, 0).T), 0.1)
    new = six_tests(100, 1)
    fewer, gone = strictness.without(NAMES[column]), new.copy()
    gone[:, column] = -1e9
    assert fewer.joint(gone).tolist() == fewer.joint(new).tolist()
    highest = np.where(np.arange(len(NAMES)) == column, 1e9, new)
    assert fewer.joint(new).tolist() == strictness.joint(highest).tolist()


def test_given_limits_lie_at_minus_1_and_the_middle_at_0(monkeypatch: pytest.MonkeyPatch) -> None:
    with_test(monkeypatch, side="at most", share=0.1)
    middle = np.array([1.0, -6.0, -7.0, -160.0, -0.4, 6.0, 100.0])
    limits = np.array([-0.5, -8.0, -9.0, -600.0, -1.5, 0.5, 180.0])
    strictness = Strictness.of_limits(middle, limits)
    assert strictness.joint(np.stack([middle, limits, 2 * limits - middle])).tolist() == [0.0, -1.0, -2.0]
    for number in range(len(limits)):
        one = middle.copy()
        one[number] = limits[number]
        assert strictness.joint(one[None]).tolist() == [-1.0]
    assert limits_of(strictness, -1.0).tolist() == limits.tolist()


def test_one_score_for_the_decision_is_at_least_minus_1_where_it_accepts() -> None:
    middle, values = np.median(six_tests(500, 0), axis=0), six_tests(400, 1)
    limits = np.quantile(values, 0.03, axis=0)
    accepted = table.passes(values, limits).all(axis=1)
    assert 0.8 < accepted.mean() < 0.95
    # A cell that set a limit lies on it, and may fall on either side by a rounding.
    clear = (values != limits).all(axis=1)
    scores = Strictness.of_limits(middle, limits).joint(values)
    assert ((scores >= -1) == accepted)[clear].all()


def test_the_range_of_an_outline_holds_all_but_one_in_fifty() -> None:
    appearance = np.random.default_rng(0).normal(3, 2, (20_000, 7))
    low, high = map(np.array, outline_range(appearance))
    assert low.shape == high.shape == (5,)
    for number in range(5):
        apart = np.tile(appearance.mean(axis=0), (len(appearance), 1))
        apart[:, number] = appearance[:, number]
        assert (within(apart, low, high) < 0).mean() == pytest.approx(0.02, abs=0.002)


def test_colour_and_texture_have_no_range() -> None:
    appearance = np.random.default_rng(0).normal(3, 2, (100, 7))
    others = appearance.copy()
    others[:, 5:] = 7.0  # and may be all alike
    assert outline_range(others) == outline_range(appearance)


@pytest.mark.parametrize("alike", [slice(0, 5), slice(2, 3)], ids=["all", "one of them"])
def test_outlines_that_are_all_alike_are_refused(alike: slice) -> None:
    appearance = np.random.default_rng(0).normal(3, 2, (50, 7))
    appearance[:, alike] = 1.0
    with pytest.raises(CheckFailedError, match="outlines of the validation cells do not differ"):
        outline_range(appearance)


def cells(count: int, seed: int) -> Evidence:
    """Of a network of two layers and two classes, and pictures that differ."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, 2))
    outputs = {
        "logits": logits,
        "logits.smoothed": logits * 0.8 + rng.normal(0, 0.3, (count, 2)),
        "confidences": -rng.chisquare(5, (count, 2)),
    }
    crops = rng.integers(0, 256, (count, 2, 2, 3), np.uint8)
    return Evidence.of(outputs, crops, rng.normal(-6, 1, (count, 7)))


def pictures_of(count: int, seed: int) -> Evidence:
    seen = cells(count, seed)
    return Evidence(*(np.zeros((count, 0), np.float32),) * 3, seen.crops, seen.appearance, seen.relative_size)


UNLIMITED = Detector(("stem", "layer1"), 0.0, (0.5, 0.25), 1.0, (), (), limits={})


def test_pictures_count_for_the_tests_of_the_picture_alone() -> None:
    seen, pictures, detector = cells(40, 0), pictures_of(30, 1), lenient(("a", "b"), (1.0, 1.0))
    values = table.measure(seen, detector)
    columns = with_pictures(values, pictures, detector)
    for test, column, own in zip(table.TESTS, columns, values.T, strict=True):
        assert column[:40].tolist() == own.tolist()
        more = test.value(pictures, detector).tolist() if test.seen_by == "picture" else []
        assert column[40:].tolist() == more
    assert [len(column) for column in columns] == [70, 70, 70, 40, 40, 40]


@given(st.integers(0, 1000), st.sampled_from([0.05, 0.1, 0.3]))
def test_fitted_limits_reject_what_was_asked_of_the_second_half(seed: int, alpha: float) -> None:
    halves, pictures = (cells(60, 3 * seed), cells(60, 3 * seed + 1)), pictures_of(80, 3 * seed + 2)
    detector, rejected = fit_limits(UNLIMITED, halves, pictures, alpha)
    assert len(rejected) == 120
    # The cell at that rank sets the limit and is accepted, as are those above.
    assert rejected[60:].sum() == int(np.floor(61 * alpha)) - 1
    outlines = np.concatenate([halves[0].appearance, pictures.appearance])
    assert (detector.outline_low, detector.outline_high) == outline_range(outlines)
    assert list(detector.limits) == NAMES
    assert (detector.weights, detector.bias) == (UNLIMITED.weights, UNLIMITED.bias)
    for half, told in zip(halves, (rejected[:60], rejected[60:]), strict=True):
        decided = decide(detector, half)
        # The limit is a cell's own value, on either side of which a rounding may put it.
        clear = np.abs(decided.values - decided.limits).min(axis=1) > 1e-9
        assert clear.sum() >= 59
        assert (decided.rejected == told)[clear].all()


def test_the_second_half_and_its_looks_do_not_say_how_strict_a_test_is() -> None:
    first, pictures = cells(60, 0), pictures_of(80, 1)
    found = [fit_limits(UNLIMITED, (first, cells(60, seed)), pictures, 0.2)[0] for seed in (2, 3)]
    assert found[0].outline_low == found[1].outline_low
    # All limits have moved from the middle by as much, in units of what each test may reject.
    ranged = replace(found[0], limits={})
    columns = with_pictures(table.measure(first, ranged), pictures, ranged)
    middle = np.array([np.median(column) for column in columns])
    moved = [
        (np.array(list(detector.limits.values())) - middle) / Strictness.of(columns, 0.2).unit
        for detector in found
    ]
    assert moved[0] == pytest.approx(np.full(len(NAMES), moved[0][0]))
    assert moved[1] == pytest.approx(np.full(len(NAMES), moved[1][0]))
    assert moved[0][0] != moved[1][0]


def test_a_test_with_a_fixed_limit_stands_beside_the_share_that_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halves, pictures = (cells(60, 0), cells(60, 1)), pictures_of(80, 2)
    plain, rejected = fit_limits(UNLIMITED, halves, pictures, 0.1)
    with_test(monkeypatch, fixed=128.0)
    detector, again = fit_limits(UNLIMITED, halves, pictures, 0.1)
    assert detector.limits == {**plain.limits, "red": 128.0}
    assert again.tolist() == rejected.tolist()  # by the calibrated tests
    decided = decide(detector, halves[1])
    assert 0.2 < decided.failed_by("red").mean() < 0.8


def test_a_further_test_takes_its_share_on_its_own_side(monkeypatch: pytest.MonkeyPatch) -> None:
    with_test(monkeypatch, share=0.2, side="at most")
    halves, pictures = (cells(2000, 0), cells(2000, 1)), pictures_of(10, 2)
    detector, rejected = fit_limits(UNLIMITED, halves, pictures, 0.2)
    decided = decide(detector, halves[1])
    assert rejected[2000:].mean() == pytest.approx(0.2, abs=1e-3)
    assert decided.failed_by("red").mean() == pytest.approx(0.2 * 0.2, abs=0.015)
    assert (decided.value("red")[decided.failed_by("red")] > detector.limits["red"]).all()


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(CheckFailedError, match="18 cells cannot set a limit; at least 19 are needed"):
        fit_limits(UNLIMITED, (cells(60, 0), cells(18, 1)), pictures_of(80, 2), 0.05)


def test_a_cell_has_no_say_in_a_test_that_is_not_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, new = six_tests(500, 0), six_tests(100, 1)
    plain = Strictness.of(list(seen.T), 0.1)
    others = np.concatenate([seen, np.where(np.arange(6) == 0, np.inf, seen[:50])])
    found = Strictness.of(list(others.T), 0.1)
    assert (found.middle[0], found.unit[0]) == (plain.middle[0], plain.unit[0])
    asked_less = new.copy()
    asked_less[:, 0] = np.inf
    assert plain.joint(asked_less).tolist() == plain.without(NAMES[0]).joint(new).tolist()


def test_sizes_beyond_which_few_red_cells_lie_are_the_limits() -> None:
    sizes = np.random.default_rng(0).normal(1, 0.1, 2000)
    unknown = np.full(500, np.nan)
    found = size_limits(np.concatenate([sizes, unknown]), 0.01)
    largest = found["large"] / SWOLLEN
    assert (sizes < found["small"]).sum() == (sizes > largest + 1e-9).sum() == 19
    assert (found["small"], largest) == (pytest.approx(0.77, abs=0.03), pytest.approx(1.23, abs=0.03))


def test_limits_of_the_size_are_never_more_lenient_than_the_tables() -> None:
    sizes = np.random.default_rng(0).uniform(0.1, 3, 2000)
    assert size_limits(sizes, 0.01) == {"small": table.SMALLEST, "large": table.LARGEST}


def test_too_few_known_sizes_leave_the_tables_limits() -> None:
    assert size_limits(np.full(98, 1.0), 0.01) == {}
    assert size_limits(np.concatenate([np.linspace(0.8, 1.2, 99), [np.nan]]), 0.01) != {}
    assert size_limits(np.full(500, np.nan), 0.01) == {}
