"""Densities, stop rules, and parasites that lie in some fields and not in others."""

import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.statistics.density import red_cells
from edge_runtime.statistics.fields import dispersion
from edge_runtime.statistics.rates import MeasuredRate
from edge_runtime.statistics.stopping import ENOUGH_PARASITIZED, PRESETS, missing, share_where_stopped


def test_a_density_says_what_it_assumes() -> None:
    assert red_cells().density(0.001) == 5000
    assert red_cells().origin == "assumed"
    assert red_cells(haematocrit=40).density(0.001) == pytest.approx(5024)
    assert red_cells(measured=4.2e6, haematocrit=40).density(0.001) == pytest.approx(4200)


@pytest.mark.parametrize("given", [{"measured": 4.5}, {"haematocrit": 0.4}, {"measured": float("nan")}])
def test_another_unit_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(SourceError, match="give"):
        red_cells(**given)


def test_a_preset_says_what_is_still_missing() -> None:
    cdc, who, count = PRESETS["cdc"], PRESETS["who"], PRESETS["count"]
    assert missing(cdc, judged=600, parasitized=20, fields=12).nothing
    assert missing(cdc, judged=600, parasitized=2, fields=8).cells == 1400
    assert missing(cdc, judged=600, parasitized=2, fields=8).fields == 2
    assert missing(who, judged=4990, parasitized=0, fields=40).cells == 10
    assert missing(count, judged=5000, parasitized=40, fields=40).parasitized == 22
    assert missing(count, judged=5000, parasitized=ENOUGH_PARASITIZED, fields=40).nothing


def test_who_stops_at_a_parasite_leaves_it_out() -> None:
    rng = np.random.default_rng(0)
    needed = rng.negative_binomial(62, 0.02, 20_000) + 62
    shares = [share_where_stopped(62, int(cells), by_parasitized=True) for cells in needed]
    assert np.mean(shares) == pytest.approx(0.02, rel=0.005)
    assert share_where_stopped(62, 3100, by_parasitized=False) == 62 / 3100
    assert share_where_stopped(0, 500, by_parasitized=True) == 0


def test_enough_parasites_are_enough_for_a_quarter() -> None:
    rng = np.random.default_rng(1)
    found = rng.poisson(ENOUGH_PARASITIZED, 20_000) / ENOUGH_PARASITIZED
    assert (np.abs(found - 1) <= 0.25).mean() >= 0.945


def test_fields_that_differ_more_than_chance() -> None:
    rng = np.random.default_rng(2)
    cells = rng.integers(60, 140, 100)
    by_chance = dispersion(rng.binomial(cells, 0.03).tolist(), cells.tolist())
    assert 1.0 <= by_chance < 1.4
    in_some = dispersion(
        rng.binomial(cells, np.where(np.arange(100) < 20, 0.15, 0.0)).tolist(), cells.tolist()
    )
    assert in_some > 4
    assert dispersion([1, 1], [100, 100]) == dispersion([9], [100]) == dispersion([], []) == 1.0
    with pytest.raises(SourceError, match="count of parasitized cells for every field"):
        dispersion([5], [4])


def test_a_rate_that_cannot_be_is_refused() -> None:
    with pytest.raises(SourceError, match="7 of 5 cells"):
        MeasuredRate(7, 5, 0.0, 1)
    with pytest.raises(SourceError, match=r"correlation 1\.0"):
        MeasuredRate(1, 5, 1.0, 1)


@pytest.mark.parametrize(("share", "correlation"), [(0.9, 0.03), (0.003, 0.01), (0.2, 0.3)])
def test_how_alike_the_cells_of_a_patient_are(share: float, correlation: float) -> None:
    optimize, stats = (
        pytest.importorskip(f"scipy.{name}", reason="the oracle; a device has no scipy")
        for name in ("optimize", "stats")
    )
    rng = np.random.default_rng(3)
    both = 1 / correlation - 1
    cells = rng.integers(30, 150, 300)
    hits = rng.binomial(cells, rng.beta(share * both, (1 - share) * both, 300))
    found = MeasuredRate.of_patients(hits.tolist(), cells.tolist())
    mean = hits.sum() / cells.sum()

    def unlikely(logit: float) -> float:
        sum_of = np.exp(-logit)  # (1 - correlation) / correlation
        return -stats.betabinom.logpmf(hits, cells, mean * sum_of, (1 - mean) * sum_of).sum()

    best = 1 / (1 + np.exp(-optimize.minimize_scalar(unlikely, bounds=(-12, 5), method="bounded").x))
    assert found.correlation == pytest.approx(best, rel=0.06)
    assert found.correlation == pytest.approx(correlation, rel=0.6)
    assert (found.hits, found.cells, found.patients) == (hits.sum(), cells.sum(), 300)


def test_of_nothing_but_hits_or_misses_no_correlation_is_known() -> None:
    found = MeasuredRate.of_patients([0, 0, 0], [50, 0, 70])
    assert found == MeasuredRate(0, 120, 0.0, 2, ((0, 50), (0, 70)))
    assert MeasuredRate.of_patients([9, 5], [9, 5]).correlation == 0.0
    assert MeasuredRate.of_patients([3], [9]).correlation == 0.0
    assert MeasuredRate.of_patients([], []).cells == 0


def test_patients_who_differ_make_cells_worth_less() -> None:
    assert MeasuredRate(5, 1000, 0.0, 10).worth == 1000
    assert MeasuredRate(5, 1000, 0.1, 10).worth == pytest.approx(1000 / 10.9)
    assert np.isnan(MeasuredRate(0, 0, 0.0, 0).share)
