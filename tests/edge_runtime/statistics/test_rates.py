"""Rates of a further patient: what is drawn follows from the patients who were measured."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.statistics.rates import MeasuredRate

DRAWS = 200_000
# Twenty alike and one far from them: a beta distribution through all leaves him out.
CELLS = [200] * 21
HITS = [190] * 20 + [60]


def drawn(rate: MeasuredRate) -> np.ndarray:
    return rate.of_a_patient("low", np.random.default_rng(0), DRAWS)


def test_who_lies_far_from_the_others_keeps_the_weight_of_one() -> None:
    rate = MeasuredRate.of_patients(HITS, CELLS)
    like_him = ((drawn(rate) > 0.2) & (drawn(rate) < 0.45)).mean()
    assert 1 / 22 < like_him < 1.5 / 22  # he himself, and a little of whoever is like none of them
    sums = MeasuredRate(rate.hits, rate.cells, rate.correlation, rate.patients)
    assert (drawn(sums) < 0.45).mean() < like_him


def test_a_patient_of_few_cells_says_little() -> None:
    few, many = (
        MeasuredRate.of_patients([*HITS[:20], 0], [*CELLS[:20], of]) for of in (1, 200)
    )  # none of one cell, none of many
    assert (drawn(few) < 0.2).mean() < 0.005
    assert (drawn(many) < 0.2).mean() > 0.03


def test_patients_that_do_not_differ_share_one_rate() -> None:
    same = MeasuredRate.of_patients([9] * 30, [100] * 30)
    assert drawn(same).std() == pytest.approx(np.sqrt(0.09 * 0.91 / 3000), rel=0.05)


def test_a_rate_that_went_through_json_is_the_same() -> None:
    rate = MeasuredRate.of_patients(HITS, CELLS)
    told = json.loads(json.dumps(asdict(rate)))
    assert MeasuredRate(**told | {"counts": tuple(map(tuple, told["counts"]))}) == rate
    assert len(rate.counts) == rate.patients == 21


def test_patients_who_are_not_those_of_the_sums_are_refused() -> None:
    with pytest.raises(SourceError, match="5 of 9 cells of 2 patients"):
        MeasuredRate(5, 9, 0.0, 2, ((5, 9),))
    with pytest.raises(SourceError, match="5 of 9 cells of 2 patients"):
        MeasuredRate(5, 9, 0.0, 2, ((5, 4), (0, 5)))
