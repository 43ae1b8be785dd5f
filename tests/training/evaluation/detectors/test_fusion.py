"""Fusions against scipy and slow implementations."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, combine_pvalues, kstest
from sklearn.metrics import roc_auc_score

from edge_runtime.errors import CheckFailedError
from training.calibration import logistic
from training.evaluation.detectors.fusion import (
    fit_against,
    fit_branch_minimum,
    fit_fisher,
    fit_least_p_value,
    fit_p_values,
    fit_z_sum,
    log_fisher,
)

Array = NDArray[np.float64]
SCALES, CENTRES = np.array([1.0, 100.0, 0.01]), np.array([-5.0, -1000.0, 3.0])


def drawn(cells: int, seed: int, away: float = 0.0, correlation: float = 0.0) -> Array:
    """Confidences of three layers of quite different size."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(cells, 1))
    own = rng.normal(size=(cells, 3))
    mixed = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    return np.asarray(CENTRES + SCALES * (mixed - away))


def test_z_sum_is_the_mean_of_standardised_layers() -> None:
    validation, seen = drawn(200, 0), drawn(20, 1)
    expected = ((seen - validation.mean(axis=0)) / validation.std(axis=0)).mean(axis=1)
    assert fit_z_sum(validation)(seen) == pytest.approx(expected)


def test_branch_minimum_is_one_threshold_per_branch() -> None:
    validation, seen = drawn(200, 0), drawn(50, 1, 1.0)
    lines = validation.mean(axis=0) - 1.5 * validation.std(axis=0)
    found = fit_branch_minimum(validation)(seen) < -1.5
    assert found.tolist() == (seen < lines).any(axis=1).tolist()
    assert 0 < found.sum() < 50


def test_p_values_count_validation_cells() -> None:
    p_values = fit_p_values(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 7.0]]))
    found = p_values(np.array([[0.0, 5.0], [2.0, 4.9], [9.0, 9.0], [2.5, 6.0]]))
    assert found.tolist() == [[0.25, 0.75], [0.75, 0.25], [1.0, 1.0], [0.75, 0.75]]


def test_p_values_keep_their_promise() -> None:
    """In the mean over validation sets, to which the promise belongs."""
    found = [fit_p_values(drawn(99, 2 * i))(drawn(100, 2 * i + 1)) for i in range(300)]
    for alpha in (0.01, 0.05, 0.2):
        assert (np.concatenate(found) <= alpha).mean() == pytest.approx(alpha, rel=0.1)


def test_least_p_value_is_below_where_a_branch_is() -> None:
    validation, seen = drawn(199, 0), drawn(50, 1, 1.0)
    lines = np.sort(validation, axis=0)[9]  # 0.05 of 200: at most the tenth lowest
    found = fit_least_p_value(validation)(seen) <= 0.05
    assert found.tolist() == (seen < lines).any(axis=1).tolist()
    assert 0 < found.sum() < 50


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_fisher_is_scipys(layers: int) -> None:
    p_values = np.random.default_rng(layers).uniform(size=(50, layers)) ** 3
    expected = [combine_pvalues(row, method="fisher").pvalue for row in p_values]
    assert np.exp(log_fisher(p_values)) == pytest.approx(expected, rel=1e-9)


def test_fisher_neither_underflows_nor_saturates() -> None:
    found = log_fisher(np.array([[1e-300, 1e-300], [1e-299, 1e-300], [1.0, 1.0], [1.0, 0.999]]))
    half = 600 * np.log(10)
    assert found[0] == pytest.approx(-half + np.log1p(half))
    assert found[0] < found[1]
    assert found[2] == 0
    assert -1e-3 < found[3] < 0


def test_fisher_of_confidences() -> None:
    validation, seen = drawn(200, 0), drawn(20, 1, 1.0)
    expected = [combine_pvalues(row).pvalue for row in fit_p_values(validation)(seen)]
    assert np.exp(fit_fisher(validation)(seen)) == pytest.approx(expected, rel=1e-9)


def test_brown_corrects_the_p_values_of_correlated_layers() -> None:
    validation, seen = drawn(4000, 0, correlation=0.8), drawn(4000, 1, correlation=0.8)
    naive, corrected = (np.exp(fit_fisher(validation, correlated=c)(seen)) for c in (False, True))
    assert (naive <= 0.01).mean() > 0.03  # far too many
    assert (corrected <= 0.01).mean() == pytest.approx(0.01, abs=0.006)
    assert kstest(corrected, "uniform").statistic < kstest(naive, "uniform").statistic / 2
    assert np.array_equal(np.argsort(naive, kind="stable"), np.argsort(corrected, kind="stable"))


def test_brown_hardly_corrects_independent_layers() -> None:
    validation, seen = drawn(20_000, 0), drawn(100, 1, 1.0)
    found = fit_fisher(validation, correlated=True)(seen)
    assert found == pytest.approx(fit_fisher(validation)(seen), rel=0.05, abs=0.02)
    statistic = -2 * np.log(fit_p_values(validation)(seen)).sum(axis=1)
    assert found == pytest.approx(chi2.logsf(statistic, 6), rel=0.05, abs=0.02)


def test_against_pools_the_kinds_for_the_logistic_regression() -> None:
    validation, kinds = drawn(100, 0), [drawn(30, 1, 2.0), drawn(40, 2, -1.0)]
    expected = logistic(validation, np.concatenate(kinds)).score(validation)
    assert fit_against(validation, kinds)(validation) == pytest.approx(expected)
    assert fit_against(validation, kinds[:1])(validation) != pytest.approx(expected)


@pytest.mark.parametrize(
    "fit",
    [
        fit_z_sum,
        fit_branch_minimum,
        fit_least_p_value,
        fit_fisher,
        lambda v: fit_fisher(v, correlated=True),
        lambda v: fit_against(v, [drawn(50, 3, 3.0)]),
    ],
)
def test_far_cells_score_lower(fit: Callable[[Array], Callable[[Array], Array]]) -> None:
    near, far = drawn(100, 1), drawn(100, 2, 5.0)
    scores = fit(drawn(200, 0))
    assert scores(near).shape == (100,)
    both = np.concatenate([scores(near), scores(far)])
    assert roc_auc_score(np.repeat([1, 0], 100), both) > 0.99


def test_what_cannot_be_fitted_is_refused() -> None:
    constant = drawn(50, 0)
    constant[:, 1] = 4.0
    with pytest.raises(CheckFailedError, match="layer 1: its confidence does not vary"):
        fit_z_sum(constant)
    with pytest.raises(CheckFailedError, match="unsupervised fusions need none"):
        fit_against(drawn(50, 0), [])
