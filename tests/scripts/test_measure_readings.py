"""Composed slides: what is drawn is what was asked for, and what is told of it is right."""

from dataclasses import astuple
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.performance import PatientCounts
from edge_runtime.report.estimate import rates_of
from edge_runtime.statistics.grades import grade
from scripts.composed_slides import (
    CALLED,
    NOT_CALLED,
    REJECTED,
    SUSPICIOUS,
    Patient,
    compose,
    read,
    readings,
    row,
    table,
)
from scripts.measure_readings import patients_of, plot
from training.testing import Answers


def patient(called: int, suspicious: int, missed: int, false: int, uninfected: int = 100) -> Patient:
    ill = [CALLED] * called + [SUSPICIOUS] * suspicious + [NOT_CALLED] * missed
    well = [CALLED] * false + [REJECTED] * 2 + [NOT_CALLED] * (uninfected - false - 2)
    counts = PatientCounts(
        not ill, len(ill), called + missed, suspicious, called, uninfected, uninfected - 2, 0, false
    )
    return Patient((counts,), np.array(ill, np.int64), np.array(well, np.int64))


PATIENTS = [patient(90, 6, 4, 0)] * 12 + [patient(0, 0, 0, 0)] * 14


def test_answers_are_gathered_by_patient() -> None:
    answers = Answers(
        np.array([1, 1, 0, 1, 0, 0]),
        np.array([True, True, False, True, False, False]),
        np.array([False, True, True, False, False, False]),
        np.array([False, True, False, False, False, False]),
    )
    infected = np.array([True, True, False, False, False, True])
    usable = np.array([True, True, True, True, True, False])
    names, healthy = ["B", "B", "B", "A", "A", "B"], np.array([False, False, False, True, True, False])
    first, second = patients_of(answers, infected, usable, names, healthy)
    assert first.uninfected.tolist() == [CALLED, NOT_CALLED]
    assert astuple(first.counts[0]) == (True, 0, 0, 0, 0, 2, 2, 0, 1)
    assert second.parasitized.tolist() == [CALLED, SUSPICIOUS]
    assert second.uninfected.tolist() == [REJECTED]
    assert astuple(second.counts[0]) == (False, 2, 1, 1, 1, 1, 0, 0, 0)


def test_a_slide_has_the_share_that_was_asked_for() -> None:
    called, not_called, nothing = np.array([CALLED]), np.array([NOT_CALLED]), np.array([], np.int64)
    drawn = compose(called, not_called, 0.1, 20_000, np.random.default_rng(0))
    assert (drawn == CALLED).mean() == pytest.approx(0.1, abs=0.01)
    assert not (compose(nothing, not_called, 0.0, 500, np.random.default_rng(0)) == CALLED).any()


def test_readings_of_patients_like_the_others_hold_the_truth() -> None:
    for share, word in ((0.0, "none-seen"), (0.1, "parasites-seen")):
        made = list(readings(PATIENTS, share, 24, 2000, seed=0, own=True))
        assert np.mean([one.covered for one in made]) > 0.9
        assert sum(one.word == word for one in made) >= 22
        assert f"| {100 * share:g} % | 24 |" in row(share, made)


def test_cells_without_a_parasite_are_the_patients_own_or_those_of_all_healthy_ones() -> None:
    some = [patient(50, 0, 0, 40)] * 3 + [patient(0, 0, 0, 0)] * 5
    own, all_of_them = (next(readings(some, 0.02, 1, 2000, seed=0, own=kind)) for kind in (True, False))
    assert own.found.share > 0.4
    assert all_of_them.found.share < 0.04


def test_a_slide_is_read_by_the_rates_of_other_patients() -> None:
    drawn = compose(PATIENTS[0].parasitized, PATIENTS[0].uninfected, 0.1, 2000, np.random.default_rng(1))
    others = [one.counts[0] for one in PATIENTS[1:]]
    better = [patient(100, 0, 0, 0).counts[0]] * 3 + others[11:]
    one, other = read(drawn, 0.1, rates_of(others)), read(drawn, 0.1, rates_of(better))
    assert one.found.corrected is not None
    assert other.found.corrected is not None
    assert one.found.corrected > other.found.corrected


@pytest.mark.parametrize(
    ("detection", "counts", "told"),
    [(0.95, 0.6, "level 1"), (0.95, 0.45, "level 2"), (0.75, 0.9, "level 3"), (0.6, 0.9, "level 4")],
)
def test_the_grade_is_the_best_whose_demands_are_met(detection: float, counts: float, told: str) -> None:
    assert told in grade(detection, counts)


def test_a_plot_has_a_column_for_each_kind_of_slide(tmp_path: Path) -> None:
    made = {
        share: list(readings(PATIENTS, share, 10, 1000, seed=0, own=True, stated=None))
        for share in (0.0, 0.1)
    }
    plot({"one": made, "another": made}, tmp_path / "plot.png")
    picture = cv2.imread(str(tmp_path / "plot.png"))
    assert picture is not None
    assert picture.shape[1] > picture.shape[0] > 300
    assert table(made).splitlines()[-1].endswith("(species are not told)")


def test_slides_may_be_read_by_stated_rates() -> None:
    stated = rates_of([patient(50, 0, 50, 0).counts[0], patient(0, 0, 0, 0).counts[0]])
    by_others, by_stated = (
        next(readings(PATIENTS, 0.1, 1, 2000, seed=0, own=True, stated=rates)) for rates in (None, stated)
    )
    assert by_others.found.share == by_stated.found.share
    assert by_stated.found.corrected == pytest.approx(by_stated.found.share / 0.5)
