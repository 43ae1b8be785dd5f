"""Intervals over patients: wider than over cells when patients differ, and they cover."""

import math

import numpy as np
import pytest

from training.intervals import over_patients, patient_correlation


def test_equal_patients_leave_no_doubt() -> None:
    hits = np.tile([True, True, True, False], 10)
    patients = np.repeat([f"C{i}" for i in range(10)], 4)
    assert over_patients(hits, patients) == (0.75, 0.75)


def test_two_unlike_patients_span_everything() -> None:
    hits = np.repeat([True, False], 50)
    assert over_patients(hits, np.repeat(["C1", "C2"], 50)) == (0.0, 1.0)


def test_one_patient_says_nothing_of_others() -> None:
    assert over_patients(np.ones(30, bool), np.repeat(["C1"], 30)) == (0.0, 1.0)


def test_no_cells() -> None:
    assert all(math.isnan(bound) for bound in over_patients(np.zeros(0, bool), np.zeros(0, str)))


def test_covers_the_truth_where_patients_vary() -> None:
    # Patients' own shares are drawn around 0.9; the interval must hold 0.9 in about 95 of 100 studies.
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        shares = rng.beta(18, 2, size=40)
        hits = np.concatenate([rng.random(50) < share for share in shares])
        low, high = over_patients(hits, np.repeat(np.arange(40).astype(str), 50))
        covered += low <= 0.9 <= high
    assert 88 <= covered <= 100


def test_independent_cells_agree_with_the_normal_interval() -> None:
    rng = np.random.default_rng(4)
    hits = rng.random(20_000) < 0.8
    low, high = over_patients(hits, np.arange(20_000).astype(str))
    half = 1.96 * math.sqrt(0.8 * 0.2 / 20_000)
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize("correlation", [0.0, 0.02, 0.1, 0.3])
def test_the_correlation_of_beta_binomial_patients_is_found(correlation: float) -> None:
    rng = np.random.default_rng(3)
    sizes = rng.integers(20, 300, 1500)  # unequal, as patients are
    both = (1 - correlation) / correlation if correlation else 0.0
    shares = rng.beta(0.05 * both, 0.95 * both, len(sizes)) if correlation else np.full(len(sizes), 0.05)
    patients = np.repeat([f"C{i}" for i in range(len(sizes))], sizes)
    hits = rng.random(len(patients)) < np.repeat(shares, sizes)
    assert patient_correlation(hits, patients) == pytest.approx(correlation, abs=0.01 + 0.1 * correlation)


def test_patients_that_are_each_all_or_nothing_are_wholly_alike() -> None:
    assert patient_correlation(np.repeat([True, False], 50), np.repeat(["C1", "C2"], 50)) == 1.0


@pytest.mark.parametrize("patients", [["C1"] * 8, [f"C{i}" for i in range(8)]])
def test_one_patient_or_one_cell_each_tell_no_correlation(patients: list[str]) -> None:
    assert patient_correlation(np.arange(8) % 2 == 0, np.array(patients)) == 0.0
