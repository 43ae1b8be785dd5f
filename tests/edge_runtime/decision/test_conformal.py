"""The conformal limit against its definition by counting, and what it promises."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.decision.conformal import conformal_limit
from edge_runtime.errors import CheckFailedError

# Shares that binary numbers hold exactly, so that counting can say what is right.
PARTS = 64


def by_counting(values: list[float], parts: int) -> float:
    """The largest value below which at most `parts` of 64 of the places fall that a further value may take.

    Of N different values a further one may take N + 1 places, each as likely as the others.
    """
    places = len(values) + 1
    return max(
        value for value in values if (sum(other < value for other in values) + 1) * PARTS <= parts * places
    )


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=80, unique=True),
    st.integers(1, PARTS - 1),
)
def test_the_limit_is_that_of_the_definition_and_where_there_is_none_it_is_said(
    values: list[float], parts: int
) -> None:
    share = parts / PARTS
    if (len(values) + 1) * parts >= PARTS:
        assert conformal_limit(np.array(values), share) == by_counting(values, parts)
        return
    with pytest.raises(CheckFailedError, match=f"^{len(values)} cells cannot set a limit; ") as caught:
        conformal_limit(np.array(values), share)
    needed = int(re.findall(r"at least (\d+) are needed$", str(caught.value))[0])
    assert conformal_limit(np.arange(float(needed)), share) == 0.0
    with pytest.raises(CheckFailedError):
        conformal_limit(np.arange(float(needed - 1)), share)


@pytest.mark.parametrize(("count", "rank"), [(19, 1), (38, 1), (39, 2), (99, 5), (118, 5), (119, 6)])
def test_the_rank_in_a_twentieth(count: int, rank: int) -> None:
    values = np.random.default_rng(0).permutation(count) + 1.0
    assert conformal_limit(values, 0.05) == rank


def test_too_few_cells_are_told_how_many_are_needed() -> None:
    with pytest.raises(CheckFailedError, match="18 cells cannot set a limit; at least 19 are needed"):
        conformal_limit(np.zeros(18), 0.05)


def test_no_cells() -> None:
    with pytest.raises(CheckFailedError, match="0 cells cannot set a limit; at least 1 are needed"):
        conformal_limit(np.zeros(0), 0.5)


def test_values_that_are_given_are_not_sorted_in_place() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert conformal_limit(values, 0.5) == 2.0
    assert values.tolist() == [3.0, 1.0, 2.0]


def test_a_new_value_falls_below_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(4000, 60))
    below = np.mean([row[-1] < conformal_limit(row[:-1], 0.1) for row in drawn])
    assert below == pytest.approx(6 / 60, abs=0.015)  # floor(60 * 0.1) of the 60 places
