"""Conformal thresholds, and how the tests of the decision share what may be rejected."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from training.thresholds import OutlineRange, Strictness, conformal_threshold

from edge_runtime.cells.cutting import cut_cells
from edge_runtime.decision.appearance import describe
from edge_runtime.decision.decide import SHARES
from edge_runtime.errors import CheckFailedError
from edge_runtime.simulator import simulate_field
from training.evaluation.segmentation_errors import SEGMENTATION_ERRORS

Array = NDArray[np.float64]


@pytest.mark.parametrize(
    ("scores", "alpha", "rank"),
    [(19, 0.05, 1), (38, 0.05, 1), (39, 0.05, 2), (99, 0.05, 5), (100, 0.1, 10), (1, 0.5, 1), (7, 0.25, 2)],
)
def test_threshold_is_the_score_of_that_rank(scores: int, alpha: float, rank: int) -> None:
    shuffled = np.random.default_rng(0).permutation(np.arange(1.0, scores + 1))
    assert conformal_threshold(shuffled, alpha) == rank


@pytest.mark.parametrize(("scores", "alpha", "needed"), [(18, 0.05, 19), (98, 0.01, 99), (0, 0.5, 1)])
def test_too_few_scores_are_refused(scores: int, alpha: float, needed: int) -> None:
    with pytest.raises(CheckFailedError, match=f"{scores} validation cells.*at least {needed} are needed"):
        conformal_threshold(np.arange(float(scores)), alpha)
    assert conformal_threshold(np.arange(float(needed)), alpha) == 0


@pytest.mark.parametrize(("scores", "alpha"), [(19, 0.05), (50, 0.05), (99, 0.1), (30, 0.2)])
def test_a_new_cell_is_rejected_as_seldom_as_promised(scores: int, alpha: float) -> None:
    draws = 20_000
    rng = np.random.default_rng(1)
    known, new = rng.standard_t(2, (draws, scores)), rng.standard_t(2, draws)
    thresholds = np.array([conformal_threshold(row, alpha) for row in known])
    rejected = (new < thresholds).mean()
    # Exactly, for exchangeable scores without ties: the rank over the number of scores and one.
    expected = np.floor((scores + 1) * alpha + 1e-9) / (scores + 1)
    assert expected <= alpha + 1e-12
    assert rejected == pytest.approx(expected, abs=4 * np.sqrt(alpha / draws))


@given(st.lists(st.floats(-10, 10), min_size=19, max_size=200), st.floats(0.06, 0.5))
def test_threshold_rejects_no_more_than_its_share_of_what_set_it(scores: list[float], alpha: float) -> None:
    threshold = conformal_threshold(np.array(scores), alpha)
    assert threshold in scores
    assert sum(score < threshold for score in scores) <= alpha * (len(scores) + 1) - 1 + 1e-9


def six_tests(cells: int, seed: int) -> Array:
    """Scores, margins, stability, wholeness, colour and texture on scales of their own, as in truth."""
    rng = np.random.default_rng(seed)
    score, margin, whole = (
        -40 * rng.chisquare(5, cells) + 7,
        rng.gamma(3, 2.0, cells),
        rng.gamma(2, 0.2, cells),
    )
    stable = 0.1 - rng.gamma(2, 0.3, cells)
    looks = 1 - whole, rng.normal(-6, 0.9, cells), rng.normal(-7, 0.6, cells)
    return np.column_stack([score, margin, stable, *looks])


def test_each_test_rejects_its_share_and_together_what_was_asked() -> None:
    strictness = Strictness.of(six_tests(40_000, 0).T, 0.05)
    setting, new = six_tests(40_000, 1), six_tests(200_000, 2)
    joint = conformal_threshold(strictness.joint(setting), 0.05)
    below = new < np.array(strictness.thresholds(joint))
    assert below.any(axis=1).mean() == pytest.approx(0.05, abs=0.004)
    assert below.mean(axis=0) == pytest.approx(0.05 * np.array(SHARES), abs=0.004)
    # A cell is rejected exactly where its worst test falls below the joint threshold.
    assert ((strictness.joint(new) < joint) == below.any(axis=1)).mean() > 0.9999


def test_the_shares_are_the_whole() -> None:
    assert sum(SHARES) == pytest.approx(1)


def test_the_unit_does_not_matter() -> None:
    tests, scale, shift = (
        six_tests(500, 0),
        np.array([0.01, 30.0, 7.0, 2.0, 0.3, 1.5]),
        np.array([5.0, -2.0, 3.0, 0.5, 7.0, -1.0]),
    )
    new = six_tests(100, 1)
    assert Strictness.of((tests * scale + shift).T, 0.1).joint(new * scale + shift) == pytest.approx(
        Strictness.of(tests.T, 0.1).joint(new)
    )


@pytest.mark.parametrize("column", range(6))
def test_outputs_that_do_not_differ_are_refused(column: int) -> None:
    tests = six_tests(100, 0)
    tests[:, column] = 1.0
    with pytest.raises(CheckFailedError, match="do not differ; train longer"):
        Strictness.of(tests.T, 0.05)


def test_the_range_of_an_outline_holds_all_but_one_in_fifty() -> None:
    appearance = np.random.default_rng(0).normal(3, 2, (20_000, 7))
    usual = OutlineRange.of(appearance)
    for number in range(5):
        apart = np.tile(appearance.mean(axis=0), (len(appearance), 1))
        apart[:, number] = appearance[:, number]
        assert (usual.wholeness(apart) < 0).mean() == pytest.approx(0.02, abs=0.002)


@given(st.floats(-5, 0.9))
def test_limits_are_where_the_wholeness_is_the_least_one(least: float) -> None:
    usual = OutlineRange.of(np.random.default_rng(0).normal(3, 2, (100, 7)))
    for limit in usual.limits(least):
        assert usual.wholeness(np.array([[*limit, 0.0, 0.0]])) == pytest.approx(least, abs=1e-9)


def test_outlines_that_are_all_alike_are_refused() -> None:
    with pytest.raises(CheckFailedError, match="outlines of the validation cells do not differ"):
        OutlineRange.of(np.ones((50, 7)))


def test_segmentation_errors_are_outside_the_range_of_whole_cells() -> None:
    fields = [simulate_field(3, index, width=1000, height=800, cells=60) for index in range(4)]
    cells = np.stack([cell.resized for field in fields for cell in cut_cells(field.frame, 125)[0]])
    usual, new = OutlineRange.of(describe(cells[::2])), cells[1::2]
    least = float(np.quantile(usual.wholeness(describe(new)), 0.05))
    for name, error in SEGMENTATION_ERRORS.items():
        assert (usual.wholeness(describe(error(new))) < least).mean() > 0.7, name
