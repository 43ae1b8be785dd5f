"""The figures of a row, against golden values of the reference code and against definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.evaluation.metrics import Separation, rates, separation, separation_of_lee

RNG = np.random.default_rng(20260101)
CASES = {
    "unequal": ([9, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 1], [6.5, 5.5, 2.5, 2, 1.5]),
    "ties": ([1, 1, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [1, 1, 0.3, 0.2, 0.1]),
    "constant": ([1] * 10, [1] * 5),
    "apart": (list(range(10, 20)), [0, 1, 2, 3, 4]),
    "normal": (RNG.normal(1, 1, 2000), RNG.normal(0, 1, 3000)),
}
# TNR, AUROC, detection accuracy, AUPR in, AUPR out; per cent.
LEE = {
    "unequal": (0, 68, 75, 77.142, 45.97),
    "ties": (60, 60, 80, 63.769, 61.355),
    "constant": (0, 0, 50, 44.922, 18.815),
    "apart": (100, 100, 100, 95, 90),
    "normal": (26.633, 75.721, 69.15, 67.04, 81.661),
}
HONEST = {
    "unequal": (0, 68, 75, 83.269, 54.667),
    "ties": (60, 68, 80, 73.602, 73.333),
    "constant": (0, 50, 50, 66.667, 33.333),
    "apart": (100, 100, 100, 100, 100),
    "normal": (26.967, 75.721, 69.15, 67.080, 81.688),
}


def scores(case: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inside, outside = CASES[case]
    return np.array(inside, np.float64), np.array(outside, np.float64)


def percent(found: Separation) -> list[float]:
    return [100 * value for value in vars(found).values()]


@pytest.mark.parametrize("case", CASES)
def test_golden_values(case: str) -> None:
    assert percent(separation(*scores(case))) == pytest.approx(HONEST[case], abs=6e-4)
    assert percent(separation_of_lee(*scores(case))) == pytest.approx(LEE[case], abs=6e-4)


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=30),
    st.lists(st.integers(-3, 3), min_size=1, max_size=30),
)
def test_definitions(inside: list[int], outside: list[int]) -> None:
    found = separation(np.array(inside, float), np.array(outside, float))
    pairs = [(i > o) + 0.5 * (i == o) for i in inside for o in outside]
    assert found.auroc == pytest.approx(np.mean(pairs))
    cuts = [*sorted({*inside, *outside}), 99]
    tpr = [np.mean([i >= cut for i in inside]) for cut in cuts]
    tnr = [np.mean([o < cut for o in outside]) for cut in cuts]
    assert found.tnr == pytest.approx(max(n for p, n in zip(tpr, tnr, strict=True) if p >= 0.95))
    assert found.detection_accuracy == pytest.approx(max((p + n) / 2 for p, n in zip(tpr, tnr, strict=True)))
    assert [list(map(float, side)) for side in rates(np.array(inside, float), np.array(outside, float))] == [
        pytest.approx(tpr),
        pytest.approx(tnr),
    ]


def test_a_monotone_change_of_scores_changes_nothing() -> None:
    inside, outside = scores("normal")
    assert separation(np.exp(inside), np.exp(outside)) == separation(inside, outside)


def test_infinite_scores_keep_their_rank() -> None:
    inside, outside = np.array([1.0, 2.0, 3.0]), np.array([-np.inf, -np.inf])
    assert separation(inside, outside).auroc == 1
    assert separation(outside, inside).auroc == 0


@pytest.mark.parametrize(
    ("inside", "outside"), [([], [1.0]), ([1.0], []), ([1.0, np.nan], [0.0]), ([1.0], [np.nan])]
)
def test_nothing_to_measure_is_refused(inside: list[float], outside: list[float]) -> None:
    with pytest.raises(ValueError, match="every one must be a number"):
        separation(np.array(inside), np.array(outside))
