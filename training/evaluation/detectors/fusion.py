"""One score of many: the confidences of L layers [N, L] to float64 [N], high = in-distribution.

The evaluation has three modes, by what the fusion may know. Paper protocol, the tested kind of
anomaly: `fit_against` it. Other anomaly, other kinds only: `fit_against` those, which the caller chooses.
Unsupervised, no anomaly: all the others here, fitted on in-distribution validation cells alone.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import gammaln, logsumexp
from scipy.stats import chi2

from edge_runtime.errors import CheckFailedError
from training.calibration import logistic, z_sum
from training.evaluation.detectors.observed import Array

Fused = Callable[[Array], Array]


def fit_z_sum(validation: Array, deepest: int | None = None) -> Fused:
    """Unsupervised: mean confidence of the deepest layers, standardised on validation cells [M, L]."""
    return z_sum(_varied(validation), deepest).score


def fit_against(validation: Array, anomalies: Sequence[Array]) -> Fused:
    """Paper protocol, other anomaly: logistic regression of validation cells against anomalies, pooled.

    Args:
        validation: [M, L] of in-distribution cells.
        anomalies: [A, L] of each known kind, 5 rows in all at least; the tested kind, or others.

    Raises:
        CheckFailedError: no kind is given.
    """
    if not anomalies:
        raise CheckFailedError("no kind of anomaly to fit against; unsupervised fusions need none")
    return logistic(_varied(validation), np.concatenate(anomalies)).score


def fit_branch_minimum(validation: Array) -> Fused:
    """Unsupervised: the least standardised confidence, as one threshold per branch decides.

    It is below t where any branch lies more than -t standard deviations of validation cells [M, L] under
    their mean (the branches of Anthony & Kamnitsas 2023, each with its own detector).
    """
    mean, deviation = _varied(validation).mean(axis=0), validation.std(axis=0)
    return lambda confidences: np.asarray(((confidences - mean) / deviation).min(axis=1))


def fit_p_values(validation: Array) -> Callable[[Array], Array]:
    """Empirical p-value of every layer, 1 / (M + 1) to 1: returns a function of [N, L] to [N, L].

    (1 + number of validation cells [M, L] that are no higher) / (M + 1): for a new in-distribution cell it is
    at most alpha with probability at most alpha (Bates et al. 2023).
    """
    ordered = np.sort(validation, axis=0)

    def p_values(confidences: Array) -> Array:
        pairs = zip(ordered.T, confidences.T, strict=True)
        below = [np.searchsorted(column, scores, side="right") for column, scores in pairs]
        return (1 + np.stack(below, axis=1)) / (1 + len(ordered))

    return p_values


def fit_least_p_value(validation: Array) -> Fused:
    """Unsupervised: the least p-value of the layers, 1 / (M + 1) to 1.

    It is at most a where any branch is under its own threshold, set to reject a share a of validation cells.
    Everything below all validation cells [M, L] ties at 1 / (M + 1).
    """
    p_values = fit_p_values(validation)
    return lambda confidences: np.asarray(p_values(confidences).min(axis=1))


def fit_fisher(validation: Array, *, correlated: bool = False) -> Fused:
    """Unsupervised: logarithm of Fisher's combined p-value, <= 0 and finite.

    Of the layers' p-values, as Haroush et al. (2022) combine them.

    Args:
        validation: [M, L] of in-distribution cells.
        correlated: correct for the layers' correlation as Brown (1975) does, with the variance that the
            statistic has on the validation cells. It changes the p-values and never their order.
    """
    p_values = fit_p_values(validation)
    if not correlated:
        return lambda confidences: log_fisher(p_values(confidences))
    # The statistic is taken for `scale` times a chi-squared one with `freedom` degrees, by mean and variance.
    mean, variance = 2.0 * validation.shape[1], float(_statistic(p_values(validation)).var())
    scale, freedom = variance / (2 * mean), 2 * mean**2 / variance
    return lambda confidences: np.asarray(
        chi2.logsf(_statistic(p_values(confidences)) / scale, freedom), np.float64
    )


def log_fisher(p_values: Array) -> Array:
    """Logarithm of Fisher's combined p-value of independent p-values: [N, L] in (0, 1] to [N].

    The tail of a chi-squared variable with 2 L degrees of freedom is exp(-x/2) times the sum over j < L of
    (x/2)^j / j!; its logarithm is summed as such, so that it neither underflows nor saturates.
    """
    half = _statistic(p_values)[:, None] / 2
    powers = np.arange(p_values.shape[1])
    # The first term is 1 whatever the statistic, and log 0 is asked of no other.
    logs = powers * np.log(np.where(half > 0, half, 1.0)) - gammaln(powers + 1)
    logs = np.where((half > 0) | (powers == 0), logs, -np.inf)
    return np.asarray(logsumexp(logs, axis=1) - half[:, 0])


def _statistic(p_values: Array) -> Array:
    return np.asarray(-2 * np.log(p_values).sum(axis=1))


def _varied(validation: Array) -> Array:
    """Refuse a layer whose confidence is the same for every cell: it cannot be standardised."""
    constant = np.flatnonzero(validation.std(axis=0) == 0)
    if len(constant):
        raise CheckFailedError(
            f"layer {constant[0]}: its confidence does not vary; use more validation cells"
        )
    return validation
